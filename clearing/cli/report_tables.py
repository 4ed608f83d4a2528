"""Reports for people: tables of a day, lines of a reconciliation. Unknown is "–", never 0."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from clearing.observe.phrases import duration
from clearing.reports import DayReport, Reconciled
from clearing.reports.days import in_zone

if TYPE_CHECKING:
    from rich.console import RenderableType

UNKNOWN = "–"
_ROWS = 40  # of a table; files have all of them

# Of each table: its title, and column → field. A field with a value beside it is shown with it.
_TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "assets": (
        "The scheme",
        {
            "asset": "asset",
            "accepted": "accepted",
            "value": "accepted_value",
            "refused": "refused",
            "queued": "queued",
            "ended": "ended",
            "waiting": "waiting",
            "longest wait": "longest_wait_ms",
            "windows": "windows",
            "final": "windows_final",
            "batches": "batches",
            "gross": "gross",
            "net": "net",
            "closed → final": "finality_median_ms",
            "longest": "finality_longest_ms",
        },
    ),
    "accounts": (
        "Participants",
        {
            "participant": "participant",
            "asset": "asset",
            "sent": "sent",
            "value sent": "sent_value",
            "received": "received",
            "value received": "received_value",
            "refused": "refused",
            "unreadable": "unreadable",
            "queued": "queued",
            "waiting": "waiting",
            "longest wait": "longest_wait_ms",
            "net": "net",
            "funded": "funded",
        },
    ),
    "reasons": (
        "Refused, ended, unreadable",
        {
            "participant": "participant",
            "asset": "asset",
            "": "kind",
            "reason": "reason",
            "payments": "payments",
            "value": "value",
            "meaning": "text",
        },
    ),
    "windows": (
        "Windows",
        {
            "asset": "asset",
            "window": "window",
            "closed": "closed_at_ms",
            "final": "final_at_ms",
            "took": "finality_ms",
            "state": "state",
            "version": "version",
            "batches": "batches",
            "payments": "payments",
            "gross": "gross",
        },
    ),
    "nets": (
        "Nets",
        {
            "participant": "participant",
            "asset": "asset",
            "window": "window",
            "debits": "debits",
            "credits": "credits",
            "net": "net",
            "final": "final_at_ms",
        },
    ),
    "exceptions": (
        "Exceptions",
        {
            "at": "at_ms",
            "": "kind",
            "asset": "asset",
            "window": "window",
            "participant": "participant",
            "times": "times",
            "what": "text",
        },
    ),
}
_TEXTS = frozenset({"participant", "asset", "kind", "reason", "text", "state"})


def day_tables(reports: list[DayReport]) -> "RenderableType":
    from rich.console import Group

    return Group(*(part for report in reports for part in _report(report)))


def _report(report: DayReport) -> "Iterable[RenderableType]":
    from rich.text import Text

    whose = f", {report.participant}" if report.participant else ""
    until = (
        "complete"
        if report.is_complete
        else "nothing has happened yet"
        if report.as_of_ms is None
        else f"not over: as of {in_zone(report.as_of_ms, report.timezone)}"
    )
    heading = f"{report.netting_set}{whose}, {report.date} ({report.timezone}), {until}"
    yield Text(heading, "bold")
    for name, (title, columns) in _TABLES.items():
        rows = getattr(report, name)
        if rows:
            yield _table(title, columns, rows, report.timezone)
            if len(rows) > _ROWS:
                yield Text(f"  and {len(rows) - _ROWS:,} more: --output FOLDER has them all\n")
    if not report.accounts and not report.windows:
        yield Text("  nothing on this day")


def _table(
    title: str, columns: dict[str, str], rows: list[object], timezone: str
) -> "RenderableType":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    for heading, field in columns.items():
        is_text = field in _TEXTS or field.endswith("_at_ms")
        table.add_column(heading, justify="left" if is_text else "right", overflow="fold")
    for row in rows[:_ROWS]:
        table.add_row(
            *(Text(_cell(field, getattr(row, field), timezone)) for field in columns.values())
        )
    return table


def _cell(field: str, value: object, timezone: str) -> str:
    if value is None or value == "":
        return UNKNOWN if value is None else ""
    if field == "at_ms" or field.endswith("_at_ms"):
        return in_zone(int(str(value)), timezone).partition("T")[2][:12]
    if field.endswith("_ms"):
        ms = int(str(value))
        return f"{ms} ms" if ms < 1000 else duration(ms / 1000)
    if isinstance(value, int):
        return f"{value:,}"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def reconciled_lines(found: list[Reconciled]) -> "RenderableType":
    """The answer of each netting set, its breaks, and what looks like one and is none."""
    from rich.text import Text

    text = Text()
    for one in found:
        text.append(f"{one.sentence}\n", "green" if one.ok else "bold red")
        for broken in one.breaks:
            text.append(f"  {broken.kind.replace('_', ' ')}: {broken.text}\n", "red")
        for line in one.explained:
            text.append(f"  explained: {line}\n")
    text.rstrip()
    return text
