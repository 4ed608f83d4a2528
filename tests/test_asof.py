"""A netting set as it stood at any moment, in any order, from snapshots and checkpoints (R29)."""

import random
from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition

from clearing.asof import History, TooFar
from clearing.core.faults import Halt
from clearing.engine.machine import Machine
from clearing.engine.snapshots import SnapshotStore, snapshot_name
from clearing.live import Live
from clearing.log.records import TRANSACTION_KEY, decode_transaction
from tests.explain.town import A, B, C, Town

LOG, JOURNAL = TopicPartition("log", 0), TopicPartition("journal", 0)


@pytest.fixture
def town() -> Town:
    town = Town(held="3")
    for number in range(12):
        town.now_ms += 100
        town.pays(number, A, (B, C)[number % 2], 1)
    return town


def history(town: Town, folder: Path, **bounds: float) -> History:
    return History(town.topics, "hk", 0, SnapshotStore(folder, "", "hk"), **bounds)  # pyright: ignore[reportArgumentType]


def machine_at(town: Town, at_ms: int) -> Machine:
    """By the plainest way: all records up to then."""
    machine = Machine("hk")
    for record in town.records:
        if record.time_ms <= at_ms:
            machine.apply(*record)
    return machine


async def at(one: History, town: Town, at_ms: int) -> Live:
    return await one.at(town.lists, town.lists, at_ms)


async def test_every_moment_in_any_order(town: Town, tmp_path: Path) -> None:
    one = history(town, tmp_path, checkpoint_every_s=0.0)
    first, last = town.records[0].time_ms, town.records[-1].time_ms
    moments = [first, last, first - 1, last + 1_000]
    chance = random.Random(7)
    moments += [chance.randint(first, last) for _ in range(8)]
    for at_ms in moments:
        live = await at(one, town, at_ms)
        assert live.machine.dump() == machine_at(town, at_ms).dump(), at_ms


async def test_going_on_reads_no_record_twice(town: Town, tmp_path: Path) -> None:
    one = history(town, tmp_path)
    times = sorted(record.time_ms for record in town.records)
    for at_ms in times[::10]:
        await at(one, town, at_ms)
    assert town.lists.read["log"] <= len(town.records)


async def test_going_back_begins_at_a_checkpoint(town: Town, tmp_path: Path) -> None:
    one = history(town, tmp_path, checkpoint_every_s=0.0)
    await at(one, town, town.records[-1].time_ms)
    assert one.checkpoints
    read = town.lists.read["log"]
    live = await at(one, town, town.records[-9].time_ms)
    assert live.machine.dump() == machine_at(town, town.records[-9].time_ms).dump()
    assert town.lists.read["log"] - read < len(town.records) // 2


async def test_checkpoints_are_bounded_and_lie_all_over_the_log(town: Town, tmp_path: Path) -> None:
    await at(free := history(town, tmp_path, checkpoint_every_s=0.0), town, 1 << 50)
    size = max(len(each.data) for each in free.checkpoints)
    one = history(town, tmp_path, checkpoint_every_s=0.0, checkpoint_bytes=4 * size)
    await at(one, town, 1 << 50)
    assert 2 <= len(one.checkpoints) <= len(free.checkpoints)
    assert sum(len(each.data) for each in one.checkpoints) <= 4 * size
    places = [each.next_offset for each in one.checkpoints]
    assert places == sorted(places)
    assert places[0] < len(town.records) // 2 < places[-1]


async def test_from_a_snapshot_of_the_engine(town: Town, tmp_path: Path) -> None:
    machine = Machine("hk")
    for record in town.records[:-5]:
        machine.apply(*record)
    SnapshotStore(tmp_path, "", "hk").write(snapshot_name(machine), machine.dump())
    live = await at(history(town, tmp_path), town, town.records[-1].time_ms)
    assert live.machine.dump() == town.machine.dump()
    assert town.lists.read["log"] == 5


async def test_a_snapshot_of_something_else_is_not_trusted(town: Town, tmp_path: Path) -> None:
    """F13: its chain does not lead to the journal's: all of the log is replayed."""
    other = Town(held="4")
    machine = Machine("hk")
    for record in other.records:
        machine.apply(*record)
    SnapshotStore(tmp_path, "", "hk").write(snapshot_name(machine), machine.dump())
    live = await at(history(town, tmp_path), town, town.records[-1].time_ms)
    assert live.machine.dump() == town.machine.dump()


async def test_what_the_engine_has_not_committed_is_not_there_yet(
    town: Town, tmp_path: Path
) -> None:
    town.lag(3)
    live = await at(history(town, tmp_path), town, 1 << 50)
    assert live.machine.next_offset == town.machine.next_offset - 3


async def test_further_than_allowed(town: Town, tmp_path: Path) -> None:
    one = history(town, tmp_path, records_most=10)
    with pytest.raises(
        TooFar, match="would have to be replayed from the nearest state before, 10 are allowed"
    ):
        await at(one, town, town.records[-1].time_ms)
    assert (await at(one, town, town.records[8].time_ms)).machine.next_offset <= 10


async def test_outputs_that_are_not_the_engines(town: Town, tmp_path: Path) -> None:  # R29
    records = town.lists.partitions[JOURNAL]
    place = max(i for i, record in enumerate(records) if record.key == TRANSACTION_KEY)
    said = decode_transaction(records[place].value or b"")
    forged = msgspec.json.encode(msgspec.structs.replace(said, chain="ab" * 32))
    records[place] = records[place]._replace(value=forged)
    with pytest.raises(Halt, match=r"gives outputs .*, but the journal says abababab"):
        await at(history(town, tmp_path), town, 1 << 50)


async def test_a_log_whose_beginning_is_gone(town: Town, tmp_path: Path) -> None:  # F14
    del town.lists.partitions[LOG][:10]
    with pytest.raises(Halt, match="the log begins at offset 10, but 0 is needed"):
        await at(history(town, tmp_path), town, 1 << 50)


async def test_from_when_to_when(town: Town, tmp_path: Path) -> None:
    one = history(town, tmp_path)
    first, last = town.records[0].time_ms, town.records[-1].time_ms
    assert await one.bounds_ms(town.lists) == (first, last)
    empty = Town()
    empty.lists.partitions[JOURNAL].clear()
    assert await history(empty, tmp_path).bounds_ms(empty.lists) is None
