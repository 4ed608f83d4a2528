"""The parts of the screen: a section as a table that keeps its place, and a card over everything."""

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.coordinate import Coordinate
from textual.screen import ModalScreen
from textual.widgets import DataTable, Static

from clearing.top.look import as_text, justified
from clearing.top.sheet import Cell, Row, Section, Sorting, plain

_UP, _DOWN = "▲", "▼"


class Sheet(DataTable[Text]):
    """The rows of a section. What has changed is changed in place: cursor and scrolling stay where they are."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select_cursor", "Details")]

    def __init__(self) -> None:
        super().__init__(cursor_type="row", cell_padding=1, show_cursor=False)
        self.section: Section | None = None
        self._labels: list[str] = []

    def on_focus(self, _: events.Focus) -> None:
        self.show_cursor = True

    def on_blur(self, _: events.Blur) -> None:
        self.show_cursor = False

    @property
    def row(self) -> Row | None:
        """The one under the cursor."""
        rows = self.section.rows if self.section else []
        return rows[self.cursor_row] if 0 <= self.cursor_row < len(rows) else None

    def show(self, section: Section, sorting: Sorting) -> None:
        before, followed = self.section, self.row if self.cursor_row > 0 else None
        scroll_y, cursor_row = self.scroll_y, self.cursor_row
        self._label(section, sorting)
        known = before.rows if before and self.row_count else []
        if len(section.rows) < len(known):
            self.clear()
            known = []
            self.call_after_refresh(self.scroll_to, y=scroll_y, animate=False)
        for at, (old, new) in enumerate(zip(known, section.rows, strict=False)):
            self._change(at, old.cells, new, section)
        for row in section.rows[len(known) :]:
            self.add_row(*self._texts(row, section))
        self.section = section
        if followed is not None:
            at = next((n for n, row in enumerate(section.rows) if row.key == followed.key), None)
            row_count = len(section.rows)
            self.move_cursor(row=min(cursor_row, row_count - 1) if at is None else at, scroll=False)

    def _label(self, section: Section, sorting: Sorting) -> None:
        arrow = _DOWN if sorting.is_reversed else _UP
        titles = [column.title for column in section.columns]
        if sorting.column is not None and sorting.column < len(titles):
            titles[sorting.column] += f" {arrow}"
        if titles != self._labels:
            self._labels = titles
            self.clear(columns=True)
            for title, column in zip(titles, section.columns, strict=True):
                self.add_column(Text(title, justify=justified(column)))

    def _change(self, at: int, old: list[Cell], new: Row, section: Section) -> None:
        texts = self._texts(new, section)
        for column, (was, cell) in enumerate(zip(old, new.cells, strict=True)):
            if (was.text, was.tone) != (cell.text, cell.tone):
                # Columns grow and do not shrink: measuring them all again takes seconds on a long page.
                grows = len(cell.text) > len(was.text)
                self.update_cell_at(Coordinate(at, column), texts[column], update_width=grows)

    def _texts(self, row: Row, section: Section) -> list[Text]:
        texts = [as_text(cell) for cell in row.cells]
        for text, column in zip(texts, section.columns, strict=True):
            text.justify = justified(column)
        return texts


class Panel(Vertical):
    """A section with its title; without rows it says what that means."""

    def __init__(self, *, is_main: bool) -> None:
        super().__init__(classes="main" if is_main else "")
        self._title = Static(classes="title")
        self.sheet = Sheet()

    def compose(self) -> ComposeResult:
        yield self._title
        yield self.sheet

    def show(self, section: Section, sorting: Sorting) -> None:
        title = Text(section.title, "bold")
        if not section.rows:
            title.append(f"  {plain(section.empty)}", "not bold")
        if section.more:
            title.append(f"  ({section.more:,} more: / finds them)", "not bold dim")
        self._title.update(title)
        self.sheet.show(section, sorting)
        self.sheet.display = bool(section.rows)


class Card(ModalScreen[None]):
    """Something to be read, over everything else."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,question_mark,space", "dismiss", "Back")
    ]

    def __init__(self, text: Text) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(self._text)


def details_text(section: Section, row: Row) -> Text:
    """All that is known of a row, cut nowhere."""
    told = {
        column.title: cell.text for column, cell in zip(section.columns, row.cells, strict=True)
    }
    text = Text()
    for name, said in (told | row.details).items():
        if said:
            text.append(f"{plain(name):>18}  ", "bold")
            text.append(f"{plain(said)}\n")
    return text
