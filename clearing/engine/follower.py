"""A copy of a netting set that follows its journal: for those who look, and for an engine that stands by.

From snapshot, log and journal, read only: the machine an engine would recover to, its outputs' chain compared. It
owns nothing and writes nothing.
"""

import asyncio
import dataclasses
import secrets
from collections.abc import Callable

from aiokafka import TopicPartition

from clearing.core.faults import Halt, HaltKind
from clearing.core.state import NettingSet
from clearing.engine.machine import Machine
from clearing.engine.snapshots import SnapshotStore
from clearing.kafka import RawRecord
from clearing.log.records import TRANSACTION_KEY, OutputRecord, Transaction, decode_transaction
from clearing.names import Topics
from clearing.reading import Reader

ENTERED_READ = 500  # log records that are looked up for when a payment that waits entered

Tell = Callable[[str], None]


def silent(_: str) -> None:
    """Nobody wants to know how far it is."""


@dataclasses.dataclass(slots=True)
class Live:
    """A machine, and the engine time at which payments that wait entered, by log offset, as far as it is known."""

    machine: Machine
    entered_ms: dict[int, int] = dataclasses.field(default_factory=dict[int, int])

    @property
    def state(self) -> NettingSet:
        return self.machine.state

    def apply(
        self, key: bytes | None, value: bytes | None, offset: int, time_ms: int
    ) -> list[OutputRecord]:
        """The next record of the log; what it causes. Raises Halt, UnreadableLog, AssertionError."""
        counters = self.state.counters
        arrivals = counters.arrivals
        outputs = self.machine.apply(key, value, offset, time_ms)
        if counters.arrivals != arrivals:
            self.entered_ms[offset] = counters.time_ms
        return outputs

    def forget_entered(self) -> None:
        """Keep only what still waits."""
        waiting = {item.log_offset for item in self.state.waiting.values()}
        self.entered_ms = {at: ms for at, ms in self.entered_ms.items() if at in waiting}


async def last_transaction(reader: Reader, journal: TopicPartition) -> Transaction | None:
    """The journal's last Transaction, None where the engine has committed nothing yet."""
    first, end = (await reader.bounds([journal]))[journal]
    back = 64
    while True:
        start, last = max(first, end - back), None
        async for records in reader.chunks(journal, start, end):
            for record in records:
                if record.key == TRANSACTION_KEY and record.value:
                    last = record.value
        if last is not None:
            return decode_transaction(last)
        if start == first:
            return None
        back *= 8  # only markers and aborted records there: look further back


class Follower:
    """Keeps a copy of one netting set up with its journal: each refresh() reads on from the one before.

    machine: one to begin with, if there is one at hand; else a snapshot.
    """

    def __init__(
        self,
        reader: Reader,
        topics: Topics,
        netting_set: str,
        partition: int,
        store: SnapshotStore,
        tell: Tell = silent,
        machine: Machine | None = None,
    ) -> None:
        self.netting_set = netting_set
        self._reader = reader
        self._log = TopicPartition(topics.log, partition)
        self._journal = TopicPartition(topics.journal, partition)
        self._store = store
        self._tell = tell
        self._seed = secrets.randbits(64)
        self._live: Live | None = Live(machine) if machine else None

    @property
    def machine(self) -> Machine | None:
        """The copy as it stands, None before there is one."""
        return self._live.machine if self._live else None

    async def refresh(self, said: Transaction | None = None) -> Live:
        """The netting set at the place its journal has reached, or at that of this transaction of it.

        Raises Halt where the log does not hold what is needed (F14), or gives other outputs than the engine's.
        """
        said = said or await last_transaction(self._reader, self._journal)
        if said is None:
            return Live(Machine(self.netting_set, self._seed))
        if said.netting_set != self.netting_set:
            raise Halt(
                HaltKind.FOREIGN_WRITER,
                f"the journal of {self.netting_set} is of netting set {said.netting_set}",
            )
        live = self._live
        if (
            live is None or live.machine.next_offset > said.next_offset
        ):  # nothing to compare it with
            live = await self._from_snapshot(said)
        if live is not None:
            await self._catch_up(live, said.next_offset)
        if live is None or live.machine.chain.hex() != said.chain:
            live = Live(Machine(self.netting_set, self._seed))  # all of it, from the first record
            await self._catch_up(live, said.next_offset)
        if live.machine.chain.hex() != said.chain:
            raise Halt(
                HaltKind.CHAIN,
                f"the log to offset {said.next_offset} gives outputs {live.machine.chain.hex()[:16]}, but the "
                f"journal says {said.chain[:16]}: the log or this software is not the one that wrote it",
            )
        live.forget_entered()
        self._live = live
        return live

    async def _from_snapshot(self, said: Transaction) -> Live | None:
        machine = await asyncio.to_thread(
            self._store.newest, said.snapshot, said.next_offset, self._seed
        )
        return Live(machine) if machine else None

    async def _catch_up(self, live: Live, goal: int) -> None:
        """Apply the log up to offset `goal` (excluded)."""
        machine = live.machine
        if machine.next_offset >= goal:
            return
        first, end = (await self._reader.bounds([self._log]))[self._log]
        if end < goal:
            raise Halt(
                HaltKind.LOG_LOST,
                f"the log ends at offset {end}, but the journal has gone to {goal}: its tail is lost",
            )
        if first > machine.next_offset:
            raise Halt(
                HaltKind.LOG_LOST,
                f"the log begins at offset {first}, but {machine.next_offset} is needed: retention cut it off",
            )
        async for records in self._reader.chunks(self._log, machine.next_offset, goal):
            for record in records:
                live.apply(record.key, record.value, record.offset, record.timestamp)
                await asyncio.sleep(0)  # whoever shares the loop gets a turn
            self._tell(f"{self.netting_set}, {machine.next_offset:,} of {goal:,} log records")

    async def look_up_entered(self, live: Live) -> None:
        """When payments that wait entered, of those that were in a snapshot already: the stamps of their records.

        Of at most ENTERED_READ records, the oldest: those of the others stay unknown.
        """
        unknown = {item.log_offset for item in live.state.waiting.values()} - live.entered_ms.keys()
        for offset in sorted(unknown)[:ENTERED_READ]:
            record = await self._record_at(offset)
            if record is not None:
                live.entered_ms[offset] = record.timestamp

    async def _record_at(self, offset: int) -> RawRecord | None:
        async for records in self._reader.chunks(self._log, offset, offset + 1):
            return records[0]
        return None
