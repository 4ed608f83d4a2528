"""Days and examples as worlds (tests/verify/world.py), and their reports."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from clearing.asof import History
from clearing.engine.snapshots import SnapshotStore
from clearing.reports import Day, DayReport
from clearing.reports.collect import DayCollector, Readers
from tests.cli.conftest import _alone, run
from tests.verify.conftest import day, example, world
from tests.verify.world import ListReader, World

__all__ = ["_alone", "day", "example", "run", "world"]

Report = Callable[..., Awaitable[DayReport]]


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """The report of a world: of the day on which it began, or of another."""

    async def made(world: World, day: Day | None = None) -> DayReport:
        first = world.records(world.topics.log)[0]
        store = SnapshotStore(tmp_path / "snapshots", "", world.netting_set)
        collector = DayCollector(
            Readers(ListReader(world), ListReader(world), ListReader(world)),
            world.topics,
            world.netting_set,
            0,
            History(world.topics, world.netting_set, 0, store),
            lambda _: None,
        )
        return await collector.report(day or Day.at(first.timestamp))

    return made
