"""Recovery: from the journal's last transaction and a snapshot to a machine that stands exactly there.

Called after fencing, never before: what the predecessor left open has been aborted by then (DESIGN.md §2, 2-3).
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from clearing import __version__, failpoints, kafka
from clearing.core.faults import Halt, HaltKind, Place
from clearing.engine import metrics
from clearing.engine.machine import Machine
from clearing.engine.snapshots import SnapshotStore
from clearing.halts import as_halt
from clearing.log.records import (
    TRANSACTION_KEY,
    Transaction,
    UnreadableLog,
    decode_transaction,
    log_offset_of,
)
from clearing.reading import bounds

_log = structlog.get_logger()


async def last_transaction(reader: AIOKafkaConsumer, journal: TopicPartition) -> Transaction | None:
    """The journal's last Transaction, None on an empty journal. The reader is read_committed and assigned."""
    found = await last_transactions(reader, journal)
    return found[-1] if found else None


async def last_transactions(reader: AIOKafkaConsumer, journal: TopicPartition) -> list[Transaction]:
    """The journal's last Transaction and the one before it, as far as there are such. Raises UnreadableLog."""
    first, end = (await bounds(reader, [journal]))[journal]
    back = 64
    while True:
        start = max(first, end - back)
        last: deque[kafka.RawRecord] = deque(maxlen=2)
        async for record in kafka.read_to_end(reader, journal, start, end):
            if record.key == TRANSACTION_KEY and record.value:
                last.append(record)
        if last or start == first:
            return [
                *_readable(list(last)[:-1]),
                *(_transaction(journal, r) for r in list(last)[-1:]),
            ]
        back *= 8  # only markers and aborted records there: look further back


async def shown_before(
    reader: AIOKafkaConsumer, journal: TopicPartition, sequence: int, end: int
) -> tuple[list[Transaction], list[kafka.RawRecord]]:
    """The journal's last Transaction of a lower sequence number, none if there is none, and the events that stand
    behind it, up to where the journal ends. Raises UnreadableLog."""
    reader.assign([journal])
    first = (await reader.beginning_offsets([journal]))[journal]
    back = 64
    while True:
        start = max(first, end - back)
        records = [record async for record in kafka.read_to_end(reader, journal, start, end)]
        events: deque[kafka.RawRecord] = deque()
        for record in reversed(records):
            if record.key != TRANSACTION_KEY:
                events.appendleft(record)
            elif (transaction := _transaction(journal, record)).sequence < sequence:
                return [transaction], list(events)
        if start == first:
            return [], list(events)
        back *= 8


def _readable(records: Sequence[kafka.RawRecord]) -> Iterator[Transaction]:
    """Of the one before the last: only looked at where the last is in doubt."""
    for record in records:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            yield decode_transaction(record.value or b"")


def _transaction(journal: TopicPartition, record: kafka.RawRecord) -> Transaction:
    try:
        return decode_transaction(record.value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableLog(
            f"{journal.topic} offset {record.offset} is no transaction that this version can read: {error}",
            Place(*journal, record.offset),
        ) from error


async def check_outcomes(
    reader: AIOKafkaConsumer, outcomes: TopicPartition, last: Sequence[Transaction], end: int
) -> None:
    """Outcomes, which end there, reach no further than the journal: they are written with it. Raises Halt: what the
    journal has lost would be cleared, settled and told a second time."""
    if not end:
        return
    goal = last[-1].next_offset if last else 0
    reader.assign([outcomes])
    first = (await reader.beginning_offsets([outcomes]))[outcomes]
    back = 8
    while True:
        start = max(first, end - back)
        seen = [record async for record in kafka.read_to_end(reader, outcomes, start, end)]
        for record in reversed(seen):
            offset = log_offset_of(record.key, record.value)
            if offset is not None and offset >= goal:
                raise Halt(
                    HaltKind.LOG_LOST,
                    f"{outcomes.topic} offset {record.offset} is about log offset {offset}, but the journal ends "
                    f"before {goal}: the journal has lost its end, or somebody else writes outcomes",
                    Place(*outcomes, -1),
                )
        if seen or start == first:
            return
        back *= 8


async def recover(
    reader: AIOKafkaConsumer,
    log: TopicPartition,
    journal: TopicPartition,
    last: Sequence[Transaction],
    netting_set: str,
    store: SnapshotStore,
    warm: Machine | None = None,
) -> Machine:
    """The machine at the place of the journal's last transaction: a warm one or a snapshot, then replay.

    warm: one that this process has at hand, from wherever. It serves if it is not beyond that place and comes to
    the journal's chain there: that proves it. Raises Halt if a replay gives another chain than the journal says, or
    the log does not hold what is needed.
    """
    seed = secrets.randbits(64)
    if not last:
        machine = Machine(netting_set, seed)
        await _replay(reader, log, machine, 0)
        return machine
    said = last[-1]
    if said.netting_set != netting_set:
        raise Halt(
            HaltKind.FOREIGN_WRITER,
            f"the last transaction in {journal.topic}-{journal.partition} is one of netting set "
            f"{said.netting_set}, not of {netting_set}",
            Place(*journal, -1),
        )
    goal = said.next_offset
    doubt: Halt | None = None
    if warm is not None and warm.netting_set == netting_set:
        first = (await reader.beginning_offsets([log]))[log]
        if first <= warm.next_offset <= goal:
            _log.info("warm", netting_set=netting_set, next_offset=warm.next_offset)
            warm.loaded_records = warm.records
            doubt = await _replay_to(reader, log, warm, said, "warm_copy")
            if doubt is None:
                return warm
    warm = None  # it may be as large as what comes now
    machine = await asyncio.to_thread(store.newest, said.snapshot, goal, seed)
    failpoints.at("engine.recover.snapshot_loaded")
    if machine is not None:
        doubt = await _replay_to(reader, log, machine, said, "snapshot")
        if doubt is None:
            return machine
    machine = Machine(netting_set, seed)
    try:
        await _replay(reader, log, machine, goal)
    except Halt as halt:
        # Where it is only that the log begins later, what halted the shorter replay says more.
        raise halt if doubt is None or doubt.kind == HaltKind.CHAIN else doubt from None
    if machine.chain.hex() != said.chain:
        raise off_the_chain(machine, journal, last)
    return machine


async def _replay_to(
    reader: AIOKafkaConsumer, log: TopicPartition, machine: Machine, said: Transaction, begun: str
) -> Halt | None:
    """Replay up to this transaction. Why what the machine has begun with is not to be trusted; None if it is.

    A halt on the way is its fault too, until a whole replay halts as well. begun: with what, for the log line.
    """
    start = machine.next_offset
    try:
        await _replay(reader, log, machine, said.next_offset)
    except Halt as halt:
        if halt.kind == HaltKind.LOG_LOST:
            raise
        doubt = halt
    else:
        if machine.chain.hex() != said.chain:
            doubt = Halt(HaltKind.CHAIN, "its outputs are not those of the journal")
        elif said.engine == __version__ or not _has_windows_from_before(machine, start):
            return None
        else:
            # What it holds of them another version decided: only a replay shows that we would have decided the
            # same (F17).
            _log.warning(
                "windows_of_another_version", netting_set=said.netting_set, engine=said.engine
            )
            return Halt(HaltKind.CHAIN, f"version {said.engine} decided what it holds")
    _log.error(
        f"{begun}_off_the_chain",
        netting_set=said.netting_set,
        offset=machine.next_offset,
        reason=str(doubt),
    )
    metrics.snapshots_refused.labels(said.netting_set).inc()
    return doubt


def _has_windows_from_before(machine: Machine, offset: int) -> bool:
    """Whether a window is open that took payments in below that offset of the log."""
    return any(0 <= asset.window.log_first < offset for asset in machine.state.assets)


def off_the_chain(machine: Machine, journal: TopicPartition, last: Sequence[Transaction]) -> Halt:
    """The journal's last transaction is not what the log gives: is it one of ours at all?"""
    said = last[-1]
    replayed = (
        f"a replay of the log to offset {said.next_offset} gives outputs {machine.chain.hex()[:16]}, but the "
        f"last transaction in {journal.topic}-{journal.partition} (sequence {said.sequence}, by {said.owner}) says "
        f"{said.chain[:16]}"
    )
    for before in last[:-1]:
        if said.sequence != before.sequence + 1 or said.next_offset < before.next_offset:
            return Halt(
                HaltKind.FOREIGN_WRITER,
                f"{replayed}, and it does not go on from the one before it (sequence {before.sequence}): somebody "
                f"else writes the journal",
                Place(*journal, -1),
            )
    reason = "the log or the software is not the one that wrote it"
    if said.engine != __version__:
        reason = (
            f"version {said.engine} of the engine wrote it, this is version {__version__}, which decides "
            f"differently: no window is decided by two versions"
        )
    return Halt(HaltKind.CHAIN, f"{replayed}: {reason}", Place(*journal, -1))


async def _replay(
    reader: AIOKafkaConsumer, log: TopicPartition, machine: Machine, goal: int
) -> None:
    """Apply the log from the machine's place up to offset `goal` (excluded), for the state only.

    Raises Halt if the log does not hold what is needed from here on (F14).
    """
    first, end = (await bounds(reader, [log]))[log]
    if end < goal:
        raise Halt(
            HaltKind.LOG_LOST,
            f"the log ends at offset {end}, but the journal has gone to {goal}: its tail is lost",
            Place(*log, -1),
        )
    if first > machine.next_offset:
        raise Halt(
            HaltKind.LOG_LOST,
            f"the log begins at offset {first}, but {machine.next_offset} is needed: retention cut it off",
            Place(*log, -1),
        )
    start = machine.next_offset
    async for record in kafka.read_to_end(reader, log, start, goal):
        try:
            machine.apply(record.key, record.value, record.offset, record.timestamp)
        except Exception as error:
            raise as_halt(error).at(*log, record.offset) from error
        failpoints.at("engine.recover.replaying")
        await asyncio.sleep(
            0
        )  # a long replay must not cost the group membership: heartbeats get their turn
    if machine.next_offset > start:
        _log.info("replayed", netting_set=machine.netting_set, start=start, end=machine.next_offset)
