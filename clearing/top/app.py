"""The screen of `clearing top`: the answer first, then one page at a time. Looks at its source again and again."""

import os
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import ContentSwitcher, DataTable, Footer, Input, Static

from clearing.console.scene import Scene
from clearing.observe.phrases import duration
from clearing.top.cells import clock
from clearing.top.headline import first_line, status_line
from clearing.top.keys import HELP
from clearing.top.look import Look, look
from clearing.top.pages import NAMES, PAGES
from clearing.top.sheet import AS_IT_IS, GLYPHS, STYLES, Sorting, plain
from clearing.top.source import Source
from clearing.top.widgets import Card, Panel, Sheet, details_text


class Top(App[None]):
    """source: where the scenes are from. page: the first one. needle: what is filtered by."""

    CSS_PATH = Path(__file__).with_name("top.tcss")
    TITLE = "clearing top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(page.key, f"page('{page.name}')", page.name, show=False) for page in PAGES),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("escape", "unfilter", "All", show=False),
        Binding("s", "sort(1)", "Sort"),
        Binding("S", "sort(-1)", "Sort back", show=False),
        Binding("r", "reverse", "Reverse"),
        Binding("p", "pause", "Pause"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(
        self, source: Source, *, page: str = "overview", needle: str = "", interval_s: float = 1.0
    ) -> None:
        no_color = "NO_COLOR" in os.environ
        super().__init__(ansi_color=no_color)
        if no_color:
            self.theme = "ansi-dark"  # the terminal's own two colours
        self._source = source
        self._page = page
        self._needle = needle
        self._interval_s = interval_s
        self._sortings = dict.fromkeys(NAMES, AS_IT_IS)
        self._scene: Scene | None = None
        self._look: Look | None = None
        self._paused = False

    def compose(self) -> ComposeResult:
        yield Static(id="first", markup=False)
        yield Static(id="status", markup=False)
        yield Static(id="notes", markup=False)
        yield Static(id="tabs")
        with ContentSwitcher(initial=self._page):
            for page in PAGES:
                with Vertical(id=page.name):
                    for number in range(page.sections):
                        yield Panel(is_main=number == page.sections - 1)
        yield Input(
            self._needle, placeholder="filter: what has it in it", id="filter", compact=True
        )
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#filter").display = False
        self.action_page(self._page)
        self.set_interval(self._interval_s, self.look_again)

    # --- what is seen --------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """Take a new scene, unless the old one is held on to."""
        if not self._paused or self._scene is None:
            self._scene = self._source.scene()
        self._show(self._scene)

    def _show(self, scene: Scene) -> None:
        sorting = self._sortings[self._page]
        try:
            seen = look(
                scene, self._page, self._needle, sorting, is_reading=self._source.is_reading
            )
        except ArithmeticError as error:
            said = f"{GLYPHS['bad']} cannot be shown: something read is no amount ({error!r})"
            self.query_one("#first", Static).update(Text(plain(said), STYLES["bad"]))
            return
        self._look = seen
        head = seen.headline
        self.query_one("#first", Static).update(
            Text(plain(first_line(head)), STYLES[head.tone] or "bold")
        )
        self.query_one("#status", Static).update(self._status(seen))
        notes = self.query_one("#notes", Static)
        notes.display = bool(head.notes)
        told = "\n".join(f"! {plain(note)}" for note in head.notes)
        notes.update(Text(told, STYLES["warn"]))
        panels = self.query_one(f"#{self._page}").query(Panel)
        for panel, section in zip(panels, seen.sections, strict=True):
            panel.show(section, sorting if panel.has_class("main") else AS_IT_IS)

    def _status(self, seen: Look) -> Text:
        head = seen.headline
        held = ""
        if self._paused:
            since_s = max(0, self._source.scene().now_ms - head.now_ms) / 1000
            held = f"PAUSED at {clock(head.now_ms).text}, {duration(since_s)} ago"
        filtered = f"only {self._needle!r}" if self._needle else ""
        tone = STYLES["warn" if head.is_stale or self._paused else "dim"]
        return Text(plain(status_line(head, held, filtered)), tone)

    def _tabs(self) -> Content:
        told = [
            f"[{'reverse bold ' if page.name == self._page else ''}@click=app.page('{page.name}')]"
            f" {page.key}\u00a0{page.name} [/]"
            for page in PAGES
        ]
        return Content.from_markup("".join(told))

    @property
    def _main(self) -> Panel:
        return self.query_one(f"#{self._page}").query(Panel).last()

    # --- what is asked for -----------------------------------------------------------------------------------

    def action_page(self, name: str) -> None:
        self._page = name
        self.query_one(ContentSwitcher).current = name
        self.query_one("#tabs", Static).update(self._tabs())
        self.look_again()
        self._main.sheet.focus()

    def action_filter(self) -> None:
        typed = self.query_one("#filter", Input)
        typed.display = True
        typed.focus()

    def action_unfilter(self) -> None:
        self.query_one("#filter", Input).value = ""
        self._leave_filter()

    def _leave_filter(self) -> None:
        self.query_one("#filter").display = False
        self._main.sheet.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._needle = event.value
        self._again()

    def on_input_submitted(self, _: Input.Submitted) -> None:
        self._leave_filter()

    def action_sort(self, step: int) -> None:
        """By the next column; after the last one as the page has it."""
        columns = len(self._look.sections[-1].columns) if self._look else 0
        chosen, is_reversed = self._sortings[self._page]
        number = (0 if chosen is None else chosen + 1) + step
        number %= columns + 1
        self._sort_by(Sorting(number - 1 if number else None, is_reversed and bool(number)))

    def action_reverse(self) -> None:
        chosen, is_reversed = self._sortings[self._page]
        self._sort_by(Sorting(chosen, not is_reversed))

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        if event.data_table is self._main.sheet:
            chosen, is_reversed = self._sortings[self._page]
            again = chosen == event.column_index
            self._sort_by(Sorting(event.column_index, again and not is_reversed))

    def _sort_by(self, sorting: Sorting) -> None:
        self._sortings[self._page] = sorting
        self._again()

    def _again(self) -> None:
        """Another look at the same scene."""
        if self._scene is not None:
            self._show(self._scene)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        sheet = event.data_table
        assert isinstance(sheet, Sheet), "there are no other tables"
        if sheet.section and sheet.row:
            self.push_screen(Card(details_text(sheet.section, sheet.row)))

    def action_pause(self) -> None:
        self._paused = not self._paused
        self.look_again()

    def action_help(self) -> None:
        self.push_screen(Card(HELP))
