"""Recovery: from the journal's last transaction and a snapshot to a machine that stands exactly there.

Called after fencing, never before: what the predecessor left open has been aborted by then (DESIGN.md §2, 2-3).
"""

import asyncio

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from clearing import failpoints
from clearing.core.faults import Halt, HaltKind
from clearing.engine.machine import Machine
from clearing.engine.snapshots import SnapshotStore
from clearing.kafka import read_to_end
from clearing.log.records import TRANSACTION_KEY, Transaction, decode_transaction

_log = structlog.get_logger()


async def last_transaction(reader: AIOKafkaConsumer, journal: TopicPartition) -> Transaction | None:
    """The journal's last Transaction, None on an empty journal. The reader is read_committed and assigned."""
    first = (await reader.beginning_offsets([journal]))[journal]
    end = (await reader.end_offsets([journal]))[journal]
    back = 64
    while True:
        start = max(first, end - back)
        last = None
        async for record in read_to_end(reader, journal, start):
            if record.key == TRANSACTION_KEY and record.value:
                last = record.value
        if last is not None:
            return decode_transaction(last)
        if start == first:
            return None
        back *= 8  # only markers and aborted records there: look further back


async def recover(
    reader: AIOKafkaConsumer,
    log: TopicPartition,
    transaction: Transaction | None,
    netting_set: str,
    store: SnapshotStore,
    seed: int,
) -> Machine:
    """The machine at the journal's place: snapshot, then replay. Raises Halt if the outputs' chain differs."""
    if transaction is None:
        machine = Machine(netting_set, seed)
        await _replay(reader, log, machine, 0)
        return machine
    if transaction.netting_set != netting_set:
        raise Halt(
            HaltKind.FOREIGN_WRITER,
            f"the journal of {netting_set} was written for netting set {transaction.netting_set}",
        )
    goal = transaction.next_offset
    machine = await asyncio.to_thread(store.newest, transaction.snapshot, goal, seed)
    failpoints.at("engine.recover.snapshot_loaded")
    if machine is not None:
        await _replay(reader, log, machine, goal)
        if machine.chain.hex() == transaction.chain:
            return machine
        _log.error("snapshot_off_the_chain", netting_set=netting_set, offset=goal)
    machine = Machine(netting_set, seed)
    await _replay(reader, log, machine, goal)
    if machine.chain.hex() != transaction.chain:
        raise Halt(
            HaltKind.CHAIN,
            f"replay of the log to offset {goal} gives outputs {machine.chain.hex()[:16]}, "
            f"but the journal says {transaction.chain[:16]}: the log or the software is not the one that wrote it",
        )
    return machine


async def _replay(
    reader: AIOKafkaConsumer, log: TopicPartition, machine: Machine, goal: int
) -> None:
    """Apply the log from the machine's place up to offset `goal` (excluded), for the state only.

    Raises Halt if the log does not hold what is needed from here on (F14).
    """
    first = (await reader.beginning_offsets([log]))[log]
    end = (await reader.end_offsets([log]))[log]
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
    start = machine.next_offset
    async for record in read_to_end(reader, log, start):
        if record.offset >= goal:
            break
        machine.apply(record.key, record.value, record.offset, record.timestamp)
        failpoints.at("engine.recover.replaying")
        await asyncio.sleep(
            0
        )  # a long replay must not cost the group membership: heartbeats get their turn
    if machine.next_offset > start:
        _log.info("replayed", netting_set=machine.netting_set, start=start, end=machine.next_offset)
