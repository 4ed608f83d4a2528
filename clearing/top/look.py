"""One look at a page as text: for the screen, and by itself for scripts and for whoever has no screen."""

from typing import Literal

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clearing.console.scene import Scene
from clearing.top.headline import Headline, first_line, headline, status_line
from clearing.top.pages import page_of
from clearing.top.sheet import (
    AS_IT_IS,
    EVERY_ROW,
    ROWS_MOST,
    STYLES,
    Cell,
    Column,
    Section,
    Sorting,
    arranged,
    plain,
)


class Look(msgspec.Struct, frozen=True):
    """What is seen at one moment; as JSON with --json. sections: arranged."""

    headline: Headline
    page: str
    sections: list[Section]


def look(
    scene: Scene,
    page: str,
    needle: str = "",
    sorting: Sorting | None = None,
    *,
    most: int = ROWS_MOST,
    is_reading: bool = False,
) -> Look:
    """needle, sorting, most: see `arranged`; the main section is sorted. Raises ArithmeticError (no amount)."""
    sorting = sorting or AS_IT_IS
    # Of a page of many thousands only those rows are made that are shown, unless all have to be looked through.
    made = EVERY_ROW if needle or sorting != AS_IT_IS else most
    *others, main = page_of(page).build(scene, made)
    sections = [arranged(each, needle, most=most) for each in others]
    sections.append(arranged(main, needle, sorting, most))
    return Look(headline(scene, is_reading=is_reading), page, sections)


def look_text(seen: Look) -> RenderableType:
    head = seen.headline
    parts: list[RenderableType] = [
        Text(plain(first_line(head)), STYLES[head.tone] or "bold"),
        Text(plain(status_line(head)), STYLES["warn" if head.is_stale else "dim"]),
        *(Text(f"! {plain(note)}", STYLES["warn"]) for note in head.notes),
    ]
    for section in seen.sections:
        parts += [Text(), Text(section.title, "bold")]
        parts.append(_table(section) if section.rows else Text(f"  {plain(section.empty)}"))
        if section.more:
            parts.append(Text(f"  {section.more:,} more"))
    return Group(*parts)


def _table(section: Section) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in section.columns:
        table.add_column(column.title, justify=justified(column), overflow="fold")
    for row in section.rows:
        table.add_row(*map(as_text, row.cells))
    return table


def as_text(cell: Cell) -> Text:
    """Never markup, never more than a line, nothing that steers a terminal."""
    return Text(plain(cell.text), STYLES[cell.tone], end="")


def justified(column: Column) -> Literal["left", "right"]:
    return "right" if column.is_number else "left"
