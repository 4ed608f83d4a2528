"""What the tables of `clearing status` have in common."""

from datetime import UTC, datetime

from rich import box
from rich.table import Table


def table_of(title: str, *columns: str) -> Table:
    """A column whose name begins with > is of numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(
            column.removeprefix(">"), justify="right" if column.startswith(">") else "left"
        )
    return table


def clock(time_ms: int) -> str:
    """Time of day in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%H:%M:%S")
