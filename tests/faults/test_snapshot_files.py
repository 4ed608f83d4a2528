"""Snapshot files that are damaged while no engine runs: refused by checksum, and nobody needs them (F13).

An engine on a real broker, again and again over what is left of the files of the one before. What it writes is,
byte for byte, what a machine makes of the whole log.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from clearing.core.state import DAY_MS
from clearing.engine.machine import Machine
from clearing.engine.processor import Processor
from clearing.engine.snapshots import SnapshotStore
from clearing.log import control, payments
from clearing.log.records import TRANSACTION_KEY, OutputRecord, Transaction, decode_transaction
from clearing.names import Topics
from tests.faults.conftest import Observe
from tests.faults.harness import until
from tests.integration.engine_log import (
    OUTPUTS,
    control_value,
    create_topics,
    opening,
    payments_value,
    read_outputs,
    read_topic,
    write_log,
)

RECORDS = 3  # of the log, for each engine to clear, and one more
ROWS = 5


class Town:
    """One netting set, its log and the folder of its snapshots."""

    def __init__(self, bootstrap: str, topics: Topics, folder: Path, rows: int = ROWS) -> None:
        self.bootstrap = bootstrap
        self.topics = topics
        self.store = SnapshotStore(folder, topics.prefix, "hk")
        self.rows = rows  # of a log record
        self.cleared = 0
        self.source = 0

    @property
    def snapshots(self) -> list[Path]:
        """Newest first."""
        return sorted(self.store.folder.glob("*.snapshot"), reverse=True)

    async def open(self) -> None:
        await create_topics(self.bootstrap, self.topics)
        await write_log(self.bootstrap, self.topics, [(control.KEY, control_value(opening()))])
        self.cleared = 1

    async def clear(self, beyond: int = 0) -> list[dict[str, object]]:
        """A new engine clears some more of the log, with a snapshot after each record but the last, whose
        transaction so names the newest. What it said. beyond: go on until the log is longer."""
        with capture_logs() as said:
            async with self._engine() as engine:
                for _ in range(RECORDS):
                    before = self.snapshots[:1]
                    await self._clear_one()
                    await until(lambda old=before: self.snapshots[:1] != old, "a snapshot")
                engine.snapshot_every_s = 60
                # The newest is there before the engine knows that it is safe.
                last = await self._clear_one()
                while last.snapshot != self.snapshots[0].name or last.next_offset <= beyond:
                    last = await self._clear_one()
        return [dict(line) for line in said]

    async def _clear_one(self) -> Transaction:
        today = time.time_ns() // 1_000_000 // DAY_MS
        value = payments_value([uuid4() for _ in range(self.rows)], today, self.source)
        await write_log(self.bootstrap, self.topics, [(payments.KEY, value)])
        self.source += self.rows
        self.cleared += 1
        async with asyncio.timeout(30):
            while True:
                last = await self._last()
                if last and last.next_offset >= self.cleared:
                    return last
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def _engine(self) -> AsyncIterator[Processor]:
        served = Processor(self.bootstrap, self.topics, "hk", 0, self.store, snapshot_every_s=0)
        task = asyncio.create_task(served.run())
        try:
            yield served
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _last(self) -> Transaction | None:
        records = await read_topic(self.bootstrap, self.topics.journal)
        values = [value for _, key, value, _ in records if key == TRANSACTION_KEY and value]
        return decode_transaction(values[-1]) if values else None

    async def outputs_are_those_of_a_replay(self) -> None:  # R29
        machine = Machine("hk")
        expected: list[OutputRecord] = []
        last = await self._last()
        assert last is not None
        for offset, key, value, stamp in await read_topic(self.bootstrap, self.topics.log):
            if offset < last.next_offset:  # a tick may lie behind it that no engine has come to
                expected += machine.apply(key, value, offset, stamp)
        found = await read_outputs(self.bootstrap, self.topics)
        for name in OUTPUTS:
            assert [r for r in found if r.topic == name and r.key != TRANSACTION_KEY] == [
                r for r in expected if r.topic == name
            ]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def lose(path: Path) -> None:
    path.unlink()


def of_another_version(path: Path) -> None:
    path.write_bytes(
        path.read_bytes().replace(b"clearing snapshot 1\n", b"clearing snapshot 9\n", 1)
    )


Damage = Callable[[Path], None]
# How many of the files are damaged, how, and how many of them the engine says that it refuses.
DAMAGES: list[tuple[str, Damage, int, int]] = [
    ("a bit of the newest flipped", flip, 1, 1),
    ("the newest cut short", cut, 1, 1),
    ("the newest lost", lose, 1, 1),
    ("the newest of another version", of_another_version, 1, 1),
    ("all of them flipped", flip, 2, 2),
    ("all of them lost", lose, 2, 1),
]


async def test_damaged_snapshots_are_refused_and_nothing_is_missing(
    bootstrap: str, topic_prefix: str, tmp_path: Path, rounds: int, observed: Observe
) -> None:  # F13 R29
    town = Town(bootstrap, Topics(topic_prefix), tmp_path)
    await town.open()
    await town.clear()
    for what, damage, files, refusals in DAMAGES * rounds:
        kept = town.snapshots
        assert len(kept) == 2, "an engine keeps two snapshots"
        for path in kept[:files]:
            damage(path)
        said = await town.clear()
        refused = [line for line in said if line["event"] == "snapshot_refused"]
        assert len(refused) == refusals, (what, said)
        assert str(kept[0]) in str(refused[0]["reason"])
        (replayed,) = [line for line in said if line["event"] == "replayed"]
        older = int(kept[1].name.partition("-")[0])
        assert replayed["start"] == (older if files == 1 else 0), what
    await town.outputs_are_those_of_a_replay()
    for what, _, files, _ in DAMAGES:
        went_on = "from the one before" if files == 1 else "by a replay of the whole log"
        observed("F13", what, rounds, f"refused, said so, went on {went_on}; same outputs")


@pytest.mark.parametrize("rows", [ROWS, ROWS // 2])
async def test_a_good_snapshot_of_another_log_is_off_the_chain(
    bootstrap: str, topic_prefix: str, tmp_path: Path, observed: Observe, rows: int
) -> None:  # F13 R29
    """It leads to other outputs; or our log, gone on with from there, seems to have a gap."""
    other = Town(bootstrap, Topics(f"{topic_prefix}other-"), tmp_path / "other", rows)
    await other.open()
    await other.clear()
    town = Town(bootstrap, Topics(topic_prefix), tmp_path / "one")
    await town.open()
    await town.clear(beyond=int(other.snapshots[0].name.partition("-")[0]))
    for ours, theirs in zip(town.snapshots, other.snapshots, strict=True):
        ours.write_bytes(theirs.read_bytes())
    said = await town.clear()
    doubted, *_ = [line for line in said if line["event"] == "snapshot_off_the_chain"]
    # With logs alike it is the one or the other: each engine writes ticks into its log when it is time.
    reasons = ("gap in source",) if rows < ROWS else ("its outputs", "gap in source")
    assert any(reason in str(doubted["reason"]) for reason in reasons)
    await town.outputs_are_those_of_a_replay()
    observed("F13", "a good file of another log", 1, "its chain is not the journal's: whole replay")
