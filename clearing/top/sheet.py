"""What a page of `clearing top` is made of: sections of rows of cells; sorted, filtered. Pure, no terminal here.

A cell has a text for people and a value to sort by; None is unknown, shown as "–" and sorted last. Texts are as
they were read, anything may stand in them: whoever shows one says it with `plain`.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

UNKNOWN = "–"
EVERY_ROW = 1 << 30
ROWS_MOST = 200  # of a section on a screen: more are counted, a filter finds them

Tone = Literal["", "good", "warn", "bad", "dim"]
# A tone is told by its glyph too: there may be no colour, or an eye that does not tell them apart.
GLYPHS: dict[Tone, str] = {"": "○", "good": "●", "warn": "▲", "bad": "✗", "dim": "·"}
STYLES: dict[Tone, str] = {  # Okabe and Ito's palette
    "": "",
    "good": "#56b4e9",
    "warn": "#e69f00",
    "bad": "bold #d55e00",
    "dim": "dim",
}


class Column(NamedTuple):
    title: str
    is_number: bool = False


class Cell(msgspec.Struct, frozen=True):
    """value: to sort by, of one type in all of a column, or None."""

    text: str
    value: float | str | None = None
    tone: Tone = ""


class Row(msgspec.Struct, frozen=True):
    """key: the same thing has the same one in every look. details: what there was no room for, in full."""

    key: str
    cells: list[Cell]
    details: dict[str, str] = {}


class Section(msgspec.Struct, frozen=True):
    """rows: the most urgent first. empty: what it means that there is none. more: rows that are left out."""

    title: str
    columns: list[Column]
    rows: list[Row]
    empty: str
    more: int = 0


class Sorting(NamedTuple):
    """column: None: as the page has it."""

    column: int | None = None
    is_reversed: bool = False


AS_IT_IS = Sorting()


def arranged(
    section: Section, needle: str = "", sorting: Sorting = AS_IT_IS, most: int = ROWS_MOST
) -> Section:
    """Rows in which `needle` stands somewhere, in whatever case, sorted, and at most `most`."""
    rows = [row for row in section.rows if _has(row, needle.casefold())]
    column, is_reversed = sorting
    if column is not None and column < len(section.columns):
        rows = _sorted(rows, column, is_reversed)
    elif is_reversed:
        rows.reverse()
    empty = f"nothing with {needle!r}" if needle and section.rows else section.empty
    more = section.more + max(0, len(rows) - most)
    return Section(section.title, section.columns, rows[:most], empty, more)


def _has(row: Row, needle: str) -> bool:
    return not needle or any(
        needle in text.casefold()
        for text in (*(cell.text for cell in row.cells), *row.details.values())
    )


def _sorted(rows: Sequence[Row], column: int, is_reversed: bool) -> list[Row]:
    """What is unknown stands last, whichever way."""
    known = [row for row in rows if row.cells[column].value is not None]
    unknown = [row for row in rows if row.cells[column].value is None]
    known.sort(key=lambda row: _order(row.cells[column].value), reverse=is_reversed)
    return known + unknown


def _order(value: float | str | None) -> tuple[float, str]:
    return (0.0, value) if isinstance(value, str) else (value or 0.0, "")


def plain(text: str) -> str:
    """What somebody else wrote must not steer the terminal: one line of visible characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
