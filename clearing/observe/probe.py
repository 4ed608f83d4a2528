"""What lies between a position and the end of a partition: nothing, markers only, or records, and how old.

Subtracting offsets would show a lag where a transaction marker is all there is: so it looks.
"""

import asyncio
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from clearing import kafka
from clearing.reading import Bounds, bounds

PROBE_TIMEOUT_S = 5.0
_FETCH_BYTES = (
    64 << 10
)  # the first record is all that is wanted; the broker gives it whatever its size
_POLL_MS = 10  # a longer wait holds up other requests on the same connection


def prober(bootstrap: str) -> AIOKafkaConsumer:
    """A consumer that fetches little."""
    return kafka.consumer(
        bootstrap,
        client="clearing-status",
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_wait_ms=_POLL_MS,
    )


class Backlog(NamedTuple):
    """lag_records: from the first record to the end. oldest_ms: its time stamp, None if it is unknown."""

    lag_records: int
    oldest_ms: int | None


NOTHING = Backlog(0, None)


async def backlogs(
    consumer: AIOKafkaConsumer,
    positions: dict[TopicPartition, int],
    limits: Bounds | None = None,
) -> dict[TopicPartition, Backlog]:
    """Backlog behind each position, the next offset to be read. The consumer is read_committed, of no group.

    A position below what is kept counts from the first record that is there. Where the broker gives no record
    within PROBE_TIMEOUT_S the difference of offsets is told, and the age is unknown. limits: first offset and last
    stable one of each partition, where they are known already.
    """
    limits = limits or await bounds(consumer, positions)
    result = dict.fromkeys(positions, NOTHING)
    waiting: dict[TopicPartition, int] = {}
    for partition, position in positions.items():
        first, end = limits[partition]
        if max(position, first) < end:
            waiting[partition] = end
    if not waiting:
        return result
    consumer.assign(list(waiting))
    for partition in waiting:
        consumer.seek(partition, max(positions[partition], limits[partition][0]))
    deadline = asyncio.get_running_loop().time() + PROBE_TIMEOUT_S
    while waiting and asyncio.get_running_loop().time() < deadline:
        batches = await consumer.getmany(*waiting, timeout_ms=_POLL_MS, max_records=len(waiting))
        for partition, records in batches.items():
            end = waiting.pop(partition)
            if records[0].offset < end:
                result[partition] = Backlog(end - records[0].offset, records[0].timestamp)
            consumer.pause(partition)
        for partition, end in list(waiting.items()):
            if await consumer.position(partition) >= end:
                del waiting[partition]  # markers and aborted records: no lag
                consumer.pause(partition)
    for partition, end in waiting.items():
        result[partition] = Backlog(end - max(positions[partition], limits[partition][0]), None)
    return result
