"""Copies of the state that nobody looks at any more are forgotten; what is being looked at is not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clearing.config import Settings
from clearing.console import copies
from clearing.console.copies import IDLE_S, Copies
from clearing.console.lives import NobodyAsks
from clearing.live import Live
from tests.explain.town import Town, uuid

NOON_MS = 1 << 60


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_idle_copies_are_forgotten(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    @asynccontextmanager
    async def listed(*_: object) -> AsyncIterator[object]:
        opened.append("opened")
        yield town.lists
        opened.append("closed")

    monkeypatch.setattr(copies, "partitions", listed)
    monkeypatch.setattr(copies, "prober", listed)
    clock = Clock()
    it = Copies(Settings(snapshots=str(tmp_path)), clock=clock)

    def place(live: Live) -> int:
        return live.machine.next_offset

    try:
        await it.tidy()  # nothing was asked yet: nothing is begun for it
        assert opened == []
        reached = await it.live("hk", 0, place)
        assert reached == await it.past("hk", 0, NOON_MS, place) > 0
        assert it.kept == (["hk"], ["hk"])
        clock.now_s = IDLE_S - 1
        await it.live("hk", 0, place)
        clock.now_s = IDLE_S + 1
        await it.tidy()
        assert it.kept == (["hk"], [])
        assert opened.count("closed") == 2  # reader and probe of the past, of which nothing is left
        clock.now_s = 3 * IDLE_S
        await it.tidy()
        assert it.kept == ([], [])
        assert await it.live("hk", 0, place) == reached  # made anew for whoever asks again
    finally:
        await it.stop()
    assert opened.count("opened") == opened.count("closed")


async def test_a_search_that_nobody_waits_for_ends_where_it_is(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads no further, and the next one is not held up by it."""

    @asynccontextmanager
    async def listed(*_: object) -> AsyncIterator[object]:
        yield town.lists

    monkeypatch.setattr(copies, "partitions", listed)
    monkeypatch.setattr(copies, "prober", listed)
    it = Copies(Settings(snapshots=str(tmp_path)))
    told: list[str] = []

    def over(said: str) -> None:
        told.append(said)
        raise NobodyAsks

    try:
        with pytest.raises(NobodyAsks):
            await it.story("hk", 0, uuid(0), over)
        assert len(told) == 1
        story = await it.story("hk", 0, uuid(0), told.append)
        assert story is not None
        assert story.id == str(uuid(0))
        assert told[1].startswith("hk, ")
        assert told[1].endswith(" log records")
    finally:
        await it.stop()
