"""A netting set as it stood at any moment, from its log: the same state that its engine had then (R29).

From the nearest snapshot or checkpoint before, else from the first record; what the engine had committed by then is
what counts, and the outputs' chain is compared with its journal's. Read only. Bounded in work and in memory.
"""

import secrets
import time
from bisect import bisect_right, insort
from itertools import pairwise
from typing import NamedTuple

import msgspec
from aiokafka import TopicPartition

from clearing.core.faults import Halt, HaltKind
from clearing.engine.machine import Machine
from clearing.engine.snapshots import SnapshotStore
from clearing.explain.topics import first_at
from clearing.live import Live, last_transaction
from clearing.log.records import TRANSACTION_KEY, Transaction, decode_transaction
from clearing.names import Topics
from clearing.reading import Reader

CHECKPOINT_EVERY_S = 2.0  # of replaying: so long it takes at most to get anywhere a second time
CHECKPOINT_BYTES = 256 << 20
CHECKPOINTS_MOST = 32
RECORDS_MOST = 2_000_000
_BACK = 64


class TooFar(Exception):
    """It would take more replaying than is allowed."""


class _Timed(msgspec.Struct):
    time_ms: int


_timed = msgspec.json.Decoder(_Timed).decode


def time_of(value: bytes) -> int | None:
    """Engine time of a journal record; None of one that has none."""
    try:
        return _timed(value).time_ms
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class Checkpoint(NamedTuple):
    """A machine at a place of its log, as bytes."""

    next_offset: int
    data: bytes


class History:
    """The past of one netting set. Keeps the machine it gave last, and some checkpoints on the way to it."""

    def __init__(
        self,
        topics: Topics,
        netting_set: str,
        partition: int,
        store: SnapshotStore,
        *,
        records_most: int = RECORDS_MOST,
        checkpoint_every_s: float = CHECKPOINT_EVERY_S,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
    ) -> None:
        self.netting_set = netting_set
        self._log = TopicPartition(topics.log, partition)
        self._journal = TopicPartition(topics.journal, partition)
        self._store = store
        self._records_most = records_most
        self._every_s = checkpoint_every_s
        self._bytes_most = checkpoint_bytes
        self._seed = secrets.randbits(64)
        self._last: Live | None = None
        self.checkpoints: list[Checkpoint] = []  # by place

    async def bounds_ms(self, reader: Reader) -> tuple[int, int] | None:
        """Time of the first and of the last transaction; None where nothing is committed yet."""
        last = await last_transaction(reader, self._journal)
        if last is None:
            return None
        async for records in reader.chunks(self._journal):
            for record in records:
                first = time_of(record.value or b"")
                if first is not None:
                    return first, last.time_ms
        return None

    async def at(self, reader: Reader, probe: Reader, at_ms: int) -> Live:
        """The netting set as it stood then; before its first transaction it is empty.

        The Live belongs to this History: look, and keep nothing of it. probe: a reader that fetches little, or the
        same. Raises TooFar; Halt where the log does not hold what is needed, or gives other outputs.
        """
        said = await self._transaction(reader, probe, at_ms)
        if said is None:
            return Live(Machine(self.netting_set, self._seed))
        live = self._nearest(said)
        try:
            await self._replay(reader, live, said.next_offset)
            if live.machine.chain.hex() != said.chain:
                live = await self._from_the_first(reader, said)
        except BaseException:
            self._last = None  # it may have stopped half-way
            raise
        live.forget_entered()
        self._last = live
        return live

    async def _transaction(self, reader: Reader, probe: Reader, at_ms: int) -> Transaction | None:
        """The last one of this time or before."""
        behind = await first_at(probe, self._journal, at_ms + 1, time_of)
        first, end = (await reader.bounds([self._journal]))[self._journal]
        back = _BACK
        while True:
            start, found = max(first, behind - back), None
            async for records in reader.chunks(self._journal, start, end):
                for record in records:
                    if (time_of(record.value or b"") or 0) > at_ms:
                        end = min(end, record.offset)
                        break
                    if record.key == TRANSACTION_KEY and record.value:
                        found = decode_transaction(record.value)
                else:
                    continue
                break
            if found is not None or start == first:
                return found
            back *= 8

    def _nearest(self, said: Transaction) -> Live:
        """The latest known machine that is not beyond the goal: the one given last, a checkpoint, a snapshot."""
        goal, last = said.next_offset, self._last
        self._last = None
        at = bisect_right(self.checkpoints, goal, key=lambda each: each.next_offset)
        checkpoint = self.checkpoints[at - 1] if at else None
        known = checkpoint.next_offset if checkpoint else 0
        if last is not None and known <= last.machine.next_offset <= goal:
            return last
        snapshot = self._store.newest("", goal, self._seed)
        if snapshot is not None and snapshot.next_offset > known:
            return Live(snapshot)
        if checkpoint is not None:
            return Live(Machine.load(memoryview(checkpoint.data), self._seed))
        return Live(Machine(self.netting_set, self._seed))

    async def _from_the_first(self, reader: Reader, said: Transaction) -> Live:
        """What it began from was not of this log (F13): all of it again. Raises Halt where that is no better."""
        self.checkpoints.clear()
        live = Live(Machine(self.netting_set, self._seed))
        await self._replay(reader, live, said.next_offset)
        if live.machine.chain.hex() != said.chain:
            raise Halt(
                HaltKind.CHAIN,
                f"the log to offset {said.next_offset} gives outputs {live.machine.chain.hex()[:16]}, but "
                f"the journal says {said.chain[:16]}: the log or this software is not the one that wrote it",
            )
        return live

    async def _replay(self, reader: Reader, live: Live, goal: int) -> None:
        """Apply the log up to offset `goal` (excluded)."""
        machine = live.machine
        if machine.next_offset >= goal:
            return
        if goal - machine.next_offset > self._records_most:
            raise TooFar(
                f"{goal - machine.next_offset:,} log records would have to be replayed from the nearest state "
                f"before, {self._records_most:,} are allowed"
            )
        first, _ = (await reader.bounds([self._log]))[self._log]
        if first > machine.next_offset:
            raise Halt(
                HaltKind.LOG_LOST,
                f"the log begins at offset {first}, but {machine.next_offset} is needed: retention cut it off",
            )
        since_s = time.monotonic()
        async for records in reader.chunks(self._log, machine.next_offset, goal):
            for record in records:
                live.apply(record.key, record.value, record.offset, record.timestamp)
            if time.monotonic() - since_s >= self._every_s:
                self._keep(machine)
                since_s = time.monotonic()

    def _keep(self, machine: Machine) -> None:
        """Remember this place. What is too much goes where two lie closest, so that all of the log stays near."""
        if any(each.next_offset == machine.next_offset for each in self.checkpoints):
            return
        data = b"".join(machine.dump())
        insort(self.checkpoints, Checkpoint(machine.next_offset, data))
        while self.checkpoints and (
            len(self.checkpoints) > CHECKPOINTS_MOST
            or sum(len(each.data) for each in self.checkpoints) > self._bytes_most
        ):
            places = [0, *(each.next_offset for each in self.checkpoints)]
            gaps = [after - before for before, after in pairwise(places)]
            del self.checkpoints[gaps.index(min(gaps))]
