"""A netting set's live state beside the engine: the same machine, read only, its chain compared."""

from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition

from clearing.core import snapshot
from clearing.core.commands import Fund
from clearing.core.faults import Halt
from clearing.engine.machine import Machine
from clearing.engine.snapshots import SnapshotStore, snapshot_name
from clearing.live import Follower, Live, from_file, without_ids
from clearing.log.records import TRANSACTION_KEY, decode_transaction
from tests.explain.town import A, B, C, Town

LOG, JOURNAL = TopicPartition("log", 0), TopicPartition("journal", 0)


@pytest.fixture
def town() -> Town:
    town = Town(held="3")
    for number in range(20):
        town.pays(number, A, (B, C)[number % 2], 1)
    return town


def follower(town: Town, folder: Path) -> Follower:
    return Follower(town.lists, town.topics, "hk", 0, SnapshotStore(folder, "", "hk"))


def same(live: Live, machine: Machine) -> bool:
    return live.machine.dump() == machine.dump()


def save_snapshot(town: Town, folder: Path, records: int) -> None:
    """A snapshot of the machine as it was after the first so many records."""
    machine = Machine("hk")
    for record in town.records[:records]:
        machine.apply(*record)
    SnapshotStore(folder, "", "hk").write(snapshot_name(machine), machine.dump())


def forge(town: Town, **changes: object) -> None:
    """The journal's last transaction says something else."""
    records = town.lists.partitions[JOURNAL]
    at = max(i for i, record in enumerate(records) if record.key == TRANSACTION_KEY)
    said = msgspec.structs.replace(decode_transaction(records[at].value or b""), **changes)
    records[at] = records[at]._replace(value=msgspec.json.encode(said))


async def test_from_the_first_record(town: Town, tmp_path: Path) -> None:
    live = await follower(town, tmp_path).refresh()
    assert same(live, town.machine)
    assert live.entered_ms == {r.offset: r.time_ms for r in town.records[-17:]}


async def test_from_a_snapshot_and_the_rest_of_the_log(town: Town, tmp_path: Path) -> None:
    save_snapshot(town, tmp_path, len(town.records) - 5)
    files = sorted(tmp_path.rglob("*"))
    one = follower(town, tmp_path)
    live = await one.refresh()
    assert same(live, town.machine)
    assert town.lists.read["log"] == 5
    assert sorted(tmp_path.rglob("*")) == files
    assert len(live.entered_ms) == 5
    await one.look_up_entered(live)
    assert live.entered_ms == {r.offset: r.time_ms for r in town.records[-17:]}


async def test_each_refresh_reads_on(town: Town, tmp_path: Path) -> None:
    one = follower(town, tmp_path)
    await one.refresh()
    read = town.lists.read["log"]
    town.do(Fund(id="f", by="op", participant=A, asset="HKD", amount="2"))
    live = await one.refresh()
    assert same(live, town.machine)
    assert town.lists.read["log"] == read + 1
    assert len(live.entered_ms) == 15  # what has left is forgotten
    assert same(await one.refresh(), town.machine)


async def test_a_place_of_the_journal_that_is_past(town: Town, tmp_path: Path) -> None:
    said = [
        decode_transaction(record.value or b"")
        for record in town.lists.partitions[JOURNAL]
        if record.key == TRANSACTION_KEY
    ]
    live = await follower(town, tmp_path).refresh(said[-4])
    assert live.machine.next_offset == town.machine.next_offset - 3


async def test_nothing_is_committed_yet(tmp_path: Path) -> None:
    town = Town()
    town.lists.partitions[JOURNAL].clear()
    live = await follower(town, tmp_path).refresh()
    assert (live.machine.next_offset, live.state.participants) == (0, [])


async def test_a_snapshot_of_something_else_is_not_trusted(town: Town, tmp_path: Path) -> None:
    """F13: its chain does not lead to the journal's, so the whole log is replayed."""
    other = Town(held="4")
    save_snapshot(other, tmp_path, len(other.records) - 1)
    assert same(await follower(town, tmp_path).refresh(), town.machine)


async def test_outputs_that_are_not_the_engines(town: Town, tmp_path: Path) -> None:  # R29
    forge(town, chain="ab" * 32)
    with pytest.raises(Halt, match=r"gives outputs .*, but the journal says abababab"):
        await follower(town, tmp_path).refresh()


async def test_another_netting_sets_journal(town: Town, tmp_path: Path) -> None:
    forge(town, netting_set="eu")
    with pytest.raises(Halt, match="the journal of hk is of netting set eu"):
        await follower(town, tmp_path).refresh()


async def test_a_log_whose_tail_is_lost(town: Town, tmp_path: Path) -> None:  # F14
    town.lists.ends[LOG] -= 2
    with pytest.raises(Halt, match="its tail is lost"):
        await follower(town, tmp_path).refresh()


async def test_a_log_whose_beginning_is_gone(town: Town, tmp_path: Path) -> None:  # F14
    """With a snapshot from behind it that is no loss."""
    del town.lists.partitions[LOG][:10]
    with pytest.raises(Halt, match="the log begins at offset 10, but 0 is needed"):
        await follower(town, tmp_path).refresh()
    save_snapshot(town, tmp_path, 30)
    assert same(await follower(town, tmp_path).refresh(), town.machine)


def test_from_a_saved_log(town: Town, tmp_path: Path) -> None:
    live = from_file(town.save(tmp_path / "hk.log"))
    assert same(live, town.machine)
    assert live.entered_ms == {r.offset: r.time_ms for r in town.records[-17:]}


def test_a_copy_to_try_things_on_is_all_but_what_is_remembered(town: Town) -> None:
    state = town.machine.state
    before = b"".join(snapshot.dump(state))
    copy = without_ids(state)
    assert (len(copy.ids), copy.members) == (0, {})
    assert [item.id for item in copy.waiting.values()] == list(state.waiting)
    copy.accounts.prefunded += 1
    copy.queues.clear()
    assert b"".join(snapshot.dump(state)) == before
