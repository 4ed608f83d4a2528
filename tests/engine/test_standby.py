"""Warm copies of what others serve: followed, taken over, given up; and never trusted for their word (F2, F13)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clearing.config import Settings
from clearing.core.commands import Fund
from clearing.engine import standby
from clearing.engine.machine import Machine
from clearing.engine.standby import Standby
from tests.explain.town import A, B, Town

HK = 0


@pytest.fixture
def town(monkeypatch: pytest.MonkeyPatch) -> Town:
    town = Town()
    for number in range(5):
        town.pays(number, A, B, 1)

    @asynccontextmanager
    async def partitions(*_: object) -> AsyncIterator[object]:
        yield town.lists

    monkeypatch.setattr(standby, "partitions", partitions)
    monkeypatch.setattr(standby, "LOOK_S", 0.001)
    return town


def settings(town: Town, folder: Path, *, standby: bool) -> Settings:
    return Settings(topic_prefix=town.topics.prefix, snapshots=str(folder), standby=standby)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  the copy tells nobody
            await asyncio.sleep(0.001)


async def test_a_copy_follows_and_is_taken_over(town: Town, tmp_path: Path) -> None:
    here = Standby(settings(town, tmp_path, standby=True))
    here.keep({HK: "hk"}, own=[])
    await until(lambda: HK in here._machines)
    town.do(Fund(id="f", by="op", participant=A, asset="HKD", amount="2"))
    await until(lambda: here._machines[HK].next_offset == town.machine.next_offset)
    copy = await here.take(HK)
    assert copy is not None
    assert copy.dump() == town.machine.dump()
    town.do(Fund(id="g", by="op", participant=A, asset="HKD", amount="2"))
    await asyncio.sleep(0.01)
    assert copy.next_offset == town.machine.next_offset - 1, "followed on, though it was taken"
    assert await here.take(HK) is None
    await here.close()


async def test_what_is_to_be_served_here_stays_until_it_is_taken(
    town: Town, tmp_path: Path
) -> None:
    here = Standby(settings(town, tmp_path, standby=True))
    here.keep({HK: "hk"}, own=[])
    await until(lambda: HK in here._machines)
    here.keep({}, own=[HK])
    assert await here.take(HK) is not None
    here.keep({}, own=[HK])
    await here.close()


@pytest.mark.parametrize("is_on", [False, True])
async def test_what_was_served_here_is_kept_until_others_have_it(
    town: Town, tmp_path: Path, is_on: bool
) -> None:
    """A rebalance that gives it back costs no recovery; where copies are not wanted it is given up after that."""
    here = Standby(settings(town, tmp_path, standby=is_on))
    machine = Machine("hk")
    for record in town.records[:3]:
        machine.apply(*record)
    here.leave(HK, machine)
    assert await here.take(HK) is machine
    here.leave(HK, machine)
    here.keep({HK: "hk"}, own=[])
    if is_on:
        await until(lambda: machine.next_offset == town.machine.next_offset)
    assert (await here.take(HK) is machine) == is_on
    await here.close()


async def test_a_machine_beyond_the_journal_is_not_gone_on_with(town: Town, tmp_path: Path) -> None:
    """What it has applied may never be committed: the copy begins anew."""
    here = Standby(settings(town, tmp_path, standby=True))
    beyond = Machine("hk")
    for record in town.records:
        beyond.apply(*record)
    beyond.next_offset += 1
    here.leave(HK, beyond)
    here.keep({HK: "hk"}, own=[])
    await until(lambda: here._machines[HK] is not beyond)
    copy = await here.take(HK)
    assert copy is not None
    assert copy.dump() == town.machine.dump()
    await here.close()


async def test_a_copy_that_cannot_follow_is_no_copy(
    town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # R29
    """Its owner goes on; that this engine decides otherwise is said before anybody needs it."""
    here = Standby(settings(town, tmp_path, standby=True))
    here.keep({HK: "eu"}, own=[])  # its journal says hk
    said = ""

    def is_said() -> bool:
        nonlocal said
        said += "".join(capsys.readouterr())
        return "standby_cannot_follow" in said

    await until(is_said)
    assert await here.take(HK) is None
    await here.close()
