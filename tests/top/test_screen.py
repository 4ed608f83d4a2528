"""The screen under somebody's hands, by Textual's own pilot: 80 columns, 24 lines, every key."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from clearing.top.app import Top
from clearing.top.pages import PAGES
from clearing.top.widgets import Card, Sheet
from clearing.views.model import LAG_KEY
from tests.top.test_pages import hostile
from tests.top.values import HALT, NOW_MS, OUTLOOK, POSITION, SENTENCE, TOPICS, Town, busy, sample

SIZE = (80, 24)
NEVER_S = 1_000_000.0  # the tests say when it looks again


class Hands:
    """Presses keys, reads the screen."""

    def __init__(self, app: Top, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot

    async def press(self, *keys: str) -> str:
        await self._pilot.press(*keys)
        return await self.seen()

    async def look(self) -> str:
        """After another look at the source."""
        self.app.look_again()
        return await self.seen()

    async def seen(self) -> str:
        """The text of the screen, single-spaced."""
        await self._pilot.pause()
        svg = self.app.export_screenshot(simplify=True)
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
        return " ".join(unescape("".join(texts)).replace("\xa0", " ").split())

    @property
    def sheet(self) -> Sheet:
        focused = self.app.focused
        assert isinstance(focused, Sheet)
        return focused

    @property
    def marked(self) -> str:
        """Key of the row under the cursor."""
        row = self.sheet.row
        assert row is not None
        return row.key


@asynccontextmanager
async def hands(town: Town, **options: str) -> AsyncIterator[Hands]:
    app = Top(town, interval_s=NEVER_S, **options)
    async with app.run_test(size=SIZE) as pilot:
        yield Hands(app, pilot)


async def test_it_opens_with_the_answer_its_age_and_every_stage() -> None:
    async with hands(busy()) as ours:
        seen = await ours.seen()
        assert "● HKD window 1,412 closes in 4 min 10 s" in seen
        assert "data 0.8 s old · live" in seen
        for said in ("ON_TIME", "48,211", "intake", "engine", "HUNG_TXN", "q Quit", "? Help"):
            assert said in seen


async def test_every_page_has_its_key_and_fits_the_screen() -> None:
    town = busy()
    town.put(TOPICS.halts, HALT)
    telling = {
        "overview": "HUNG_TXN",
        "windows": "SETTLED",
        "positions": "120 %",
        "queues": "of the asset's",
        "rejected": "unexpected end of JSON",
        "services": "✗ late",
        "halts": "✗ HALTED",
        "batches": "PENDING",
        "participants": "CEDRHKHH",
        "audit": "it is suspended already",
    }
    async with hands(town) as ours:
        for page in PAGES:
            seen = await ours.press(page.key)
            assert telling[page.name] in seen, page.name
            assert "stands still" in seen, "the answer is above every page"
            assert ours.sheet.region.bottom <= SIZE[1]


async def test_it_shows_what_has_come_and_the_cursor_stays_with_its_row() -> None:
    town = busy()
    async with hands(town, page="positions") as ours:
        await ours.press("down", "down")
        assert ours.marked == "hk|HKD|AURAHKHH"
        row = replace(POSITION, position="-2000.00", headroom="-1000.00")
        town.put(TOPICS.positions, row, b"AURAHKHH")
        assert "200 %" in await ours.look()
        assert (ours.marked, ours.sheet.cursor_row) == ("hk|HKD|AURAHKHH", 0)


async def test_a_filter_narrows_as_it_is_typed_and_is_told() -> None:
    async with hands(busy(), page="positions") as ours:
        seen = await ours.press("slash", *"bamb")
        assert "BAMBHKHH" in seen
        assert "CEDRHKHH" not in seen
        assert "only 'bamb'" in seen
        assert "CEDRHKHH" not in await ours.press("enter")
        assert "nothing with 'bambq'" in await ours.press("slash", "end", "q"), (
            "q is a letter there"
        )
        seen = await ours.press("escape")
        assert "CEDRHKHH" in seen
        assert "only" not in seen


async def test_columns_are_sorted_by_and_turned_round() -> None:
    async with hands(busy(), page="positions") as ours:
        assert ours.marked == "hk|HKD|CEDRHKHH", "the fullest first"
        assert "participant ▲" in await ours.press("s")
        assert ours.marked == "hk|HKD|AURAHKHH"
        assert "participant ▼" in await ours.press("r")
        assert ours.marked == "hk|HKD|DUSKHKHH"
        await ours.press("S")
        assert ours.marked == "hk|HKD|CEDRHKHH", "and as it was"


async def test_pausing_holds_on_to_what_is_shown() -> None:
    town = busy()
    async with hands(town) as ours:
        await ours.press("p")
        missed = replace(OUTLOOK, verdict="WILL_MISS", sentence="HKD misses it.")
        town.now_ms += 14_000
        town.put(TOPICS.view("lag"), sample(NOW_MS + 13_500, missed), LAG_KEY)
        seen = await ours.look()
        assert "HKD window 1,412 closes in" in seen
        assert "PAUSED at 16:30:00, 14 s ago" in seen
        seen = await ours.press("p")
        assert "✗ HKD misses it." in seen
        assert "PAUSED" not in seen


async def test_enter_tells_all_of_a_row_and_the_question_mark_the_keys() -> None:
    town = busy()
    town.put(TOPICS.halts, HALT)
    async with hands(town) as ours:
        seen = await ours.press("7", "enter")
        assert isinstance(ours.app.screen, Card)
        for said in (HALT.next_command, HALT.runbook, "settlements.hkma-0 offset 86", HALT.owner):
            assert said in seen
        await ours.press("escape")
        assert "80 % of a cap used" in await ours.press("question_mark")
        assert "Details" in await ours.press("escape")


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_it_ends_when_told(key: str) -> None:
    async with hands(busy()) as ours:
        assert ours.app.return_code is None
        await ours.press(key)
        assert ours.app.return_code == 0


async def test_without_views_and_when_stale_it_says_so_on_the_screen() -> None:
    town = Town()
    async with hands(town) as ours:
        assert "No views: run clearing views" in await ours.seen()
        town.put(TOPICS.view("lag"), sample(), LAG_KEY)
        assert SENTENCE[:40] in await ours.look()
        town.now_ms += 60_000
        seen = await ours.look()
        assert "STALE, of 1 min 1 s ago" in seen
        assert "data 1 min 1 s old · STALE" in seen


async def test_what_others_wrote_is_text_on_every_page_and_card() -> None:
    async with hands(hostile()) as ours:
        for page in PAGES:
            seen = await ours.press(page.key, "home")
            assert "\x1b" not in seen
            assert "owned" in seen, page.name
        seen = await ours.press("enter")
        assert isinstance(ours.app.screen, Card)
        assert "[@click=app.quit]y[/]" in seen
        assert ours.app.return_code is None


async def test_an_amount_that_is_none_ends_nothing_and_is_told() -> None:
    town = busy()
    async with hands(town) as ours:
        town.put(TOPICS.positions, replace(POSITION, position="a lot"), b"AURAHKHH")
        assert "✗ cannot be shown: something read is no amount" in await ours.look()
        town.put(TOPICS.positions, POSITION, b"AURAHKHH")
        assert SENTENCE[:40] in await ours.look()


async def test_without_colour_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with hands(busy(), page="positions") as ours:
        assert ours.app.no_color
        seen = await ours.seen()
        for said in ("✗ ████████ 120 %", "▲ ██████▊· 85 %", "● ███▋···· 45 %", "– no cap"):
            assert said in seen
