"""Transactions of ours that hang: their records are there, their end is not, and the coordinator knows of none.

Seen with Kafka 4.3.1: a broker that was stopped in order noted a commit as complete whose markers it never wrote.
Readers stand before such records. A recovery would not see that they were written, would write them again, and our
own next marker would commit both. Called after fencing, when nothing under our transactional id is under way.
"""

import asyncio
import time
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition

from clearing import kafka
from clearing.core.faults import Halt, HaltKind, Place

WRITTEN = ("outcomes", "settlements", "windows", "positions", "rejected", "journal")
ABORT_TIMEOUT_S = 20.0
PATIENCE_S = 10.0  # replicas may hear of a marker a moment later
POLL_S = 0.2

_log = structlog.get_logger()


async def end_hanging(
    bootstrap: str, client: str, producer: AIOKafkaProducer, partitions: Sequence[TopicPartition]
) -> None:
    """Let nothing be open in these partitions, which only we write; the journal is the last of them.

    The marker of a transaction that touches a partition and is aborted ends whatever is open there under our
    producer id. Nobody has seen any of it: it is decided anew. Raises Halt if something stays open, for it is not
    ours; and if the journal has no part in it, for then a part of a transaction would be lost that it counts.
    """
    hanging = await _hanging(bootstrap, client, partitions)
    if not hanging:
        return
    _log.error(
        "hanging_transaction",
        partitions=[f"{p.topic}-{p.partition} from {offset}" for p, offset in hanging.items()],
    )
    if partitions[-1] in hanging:
        await kafka.abort_over(producer, list(hanging), ABORT_TIMEOUT_S)
    deadline = time.monotonic() + PATIENCE_S
    while hanging := await _hanging(bootstrap, client, partitions):
        if time.monotonic() > deadline:
            partition, offset = next(iter(hanging.items()))
            raise Halt(
                HaltKind.FOREIGN_WRITER,
                f"a transaction that is not ours is open in {partition.topic}-{partition.partition} from offset "
                f"{offset} on, or the rest of one of ours is: readers stand still there",
                Place(*partition, offset),
            )
        await asyncio.sleep(POLL_S)


async def _hanging(
    bootstrap: str, client: str, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """Those with an open transaction, and the offset that readers stand before."""
    stable, ends = [
        await _ends(bootstrap, client, partitions, isolation)
        for isolation in ("read_committed", "read_uncommitted")
    ]
    return {p: stable[p] for p in partitions if stable[p] < ends[p]}


async def _ends(
    bootstrap: str, client: str, partitions: Sequence[TopicPartition], isolation: str
) -> dict[TopicPartition, int]:
    reader = kafka.consumer(bootstrap, client=client, isolation_level=isolation)
    async with kafka.started(reader):
        reader.assign(list(partitions))
        return await reader.end_offsets(list(partitions))
