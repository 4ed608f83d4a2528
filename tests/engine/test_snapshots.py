"""Snapshot files: whole or not there, refused when anything in them has changed (F13)."""

from pathlib import Path

import pytest

from clearing.core.commands import RegisterParticipant
from clearing.core.inputs import ControlItem, SourceSpan
from clearing.engine.machine import Machine
from clearing.engine.snapshots import BadSnapshot, SnapshotStore, snapshot_name
from clearing.log import control


def machine_at(records: int) -> Machine:
    machine = Machine("hk")
    for offset in range(records):
        command = RegisterParticipant(id=f"c{offset}", by="op", participant=f"BANK{offset}")
        value = control.pack(
            [ControlItem(source=0, offset=offset, message=command)],
            [SourceSpan("commands", 0, offset, offset + 1)],
        )
        machine.apply(control.KEY, value, offset, 1_700_000_000_000 + offset)
    return machine


def written(store: SnapshotStore, machine: Machine) -> str:
    name = snapshot_name(machine)
    store.write(name, machine.dump())
    return name


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path, "", "hk")


def test_a_machine_comes_back_as_it_was(store: SnapshotStore) -> None:
    machine = machine_at(5)
    again = store.read(written(store, machine), seed=7)
    assert (again.chain, again.next_offset, again.records) == (machine.chain, 5, 5)
    assert again.dump() == machine.dump()


@pytest.mark.parametrize("place", [0, 25, 200, -1])
def test_a_flipped_bit_is_refused(store: SnapshotStore, place: int) -> None:  # F13
    path = store.folder / written(store, machine_at(5))
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadSnapshot, match="checksum"):
        store.read(path.name, seed=0)


@pytest.mark.parametrize("kept", [0, 10, 100])
def test_a_truncated_file_is_refused(store: SnapshotStore, kept: int) -> None:  # F13
    path = store.folder / written(store, machine_at(5))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadSnapshot):
        store.read(path.name, seed=0)


def test_an_older_snapshot_serves_when_the_newest_is_bad(store: SnapshotStore) -> None:  # F13
    older, newer = machine_at(3), machine_at(6)
    written(store, older)
    path = store.folder / written(store, newer)
    path.write_bytes(b"rubbish")
    found = store.newest(path.name, at_most=6, seed=0)
    assert found is not None
    assert found.chain == older.chain


def test_a_snapshot_ahead_of_the_journal_is_passed_over(store: SnapshotStore) -> None:
    written(store, machine_at(6))
    assert store.newest("", at_most=5, seed=0) is None
    assert store.newest("missing.snapshot", at_most=5, seed=0) is None


def test_only_the_newest_two_are_kept(store: SnapshotStore) -> None:
    for records in (1, 2, 3, 4):
        written(store, machine_at(records))
    names = sorted(path.name for path in store.folder.iterdir())
    assert [int(name.split("-")[0]) for name in names] == [3, 4]
