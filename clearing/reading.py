"""Reading partitions by the chunk, for those who look at everything: verify, replay, status.

One consumer, one partition after the other; nothing is committed and no group is joined.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from clearing import kafka
from clearing.kafka import RawRecord

STALL_TIMEOUT_S = 30.0
# A fetch that waits at the end of a partition holds up every other request on its connection: keep it short,
# and stop fetching where reading has ended.
FETCH_WAIT_MS = 10
_POLL_MS = 200


Bounds = dict[TopicPartition, tuple[int, int]]


async def bounds(consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> Bounds:
    """First offset that is kept, and the end, of each partition.

    The end is the last stable offset under read_committed, behind which nothing is decided yet.
    """
    wanted = list(partitions)
    if not wanted:
        return {}
    first, end = await asyncio.gather(
        consumer.beginning_offsets(wanted), consumer.end_offsets(wanted)
    )
    return {partition: (first[partition], end[partition]) for partition in wanted}


class Reader(Protocol):
    """What `Partitions` offers; tests have one over lists."""

    async def topics(self) -> set[str]: ...
    async def bounds(self, partitions: Iterable[TopicPartition]) -> Bounds: ...
    def chunks(
        self, partition: TopicPartition, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Sequence[RawRecord]]: ...


class Partitions:
    """Reads partitions of a cluster. Built by `partitions()`."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def topics(self) -> set[str]:
        return await self._consumer.topics()

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Bounds:
        return await bounds(self._consumer, partitions)

    async def chunks(
        self, partition: TopicPartition, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Sequence[RawRecord]]:
        """Records from `start` (None: the first kept) up to `end` (None: the end as of now), in chunks.

        It ends by position: what lies between may be markers and aborted records, which are none. Raises
        KafkaTimeoutError when the broker gives nothing for STALL_TIMEOUT_S though there must be more.
        """
        if start is None or end is None:
            first, last = (await self.bounds([partition]))[partition]
            start, end = first if start is None else start, last if end is None else end
        if start >= end:
            return
        consumer = self._consumer
        consumer.assign([partition])
        consumer.seek(partition, start)
        at, idle_polls = start, 0
        while at < end:
            batches = await consumer.getmany(partition, timeout_ms=_POLL_MS)
            before, at = at, await consumer.position(partition)
            idle_polls = 0 if at > before else idle_polls + 1
            if idle_polls * _POLL_MS > STALL_TIMEOUT_S * 1000:
                raise KafkaTimeoutError(f"{partition.topic}-{partition.partition} gives no records")
            records = batches.get(partition, [])
            if records and records[-1].offset >= end:
                records = [record for record in records if record.offset < end]
            if at >= end:
                consumer.pause(partition)
            if records:
                yield records


@asynccontextmanager
async def partitions(
    bootstrap: str, client: str, *, uncommitted: bool = False
) -> AsyncIterator[Partitions]:
    """A reader of partitions, stopped at the end. uncommitted: it is given what was aborted too."""
    async with kafka.started(_consumer(bootstrap, client, uncommitted=uncommitted)) as consumer:
        yield Partitions(consumer)


class Readers(NamedTuple):
    """For whoever compares what is decided with all there is."""

    committed: AIOKafkaConsumer
    uncommitted: AIOKafkaConsumer


@asynccontextmanager
async def readers(
    bootstrap: str, client: str, topics: Iterable[str] = ()
) -> AsyncIterator[Readers]:
    """One of each isolation level, stopped at the end. topics: see kafka.started."""
    topics = list(topics)
    async with (
        kafka.started(_consumer(bootstrap, client, uncommitted=False), *topics) as committed,
        kafka.started(_consumer(bootstrap, client, uncommitted=True), *topics) as uncommitted,
    ):
        yield Readers(committed, uncommitted)


def _consumer(bootstrap: str, client: str, *, uncommitted: bool) -> AIOKafkaConsumer:
    return kafka.consumer(
        bootstrap,
        client=client,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        retry_backoff_ms=FETCH_WAIT_MS,
        isolation_level="read_uncommitted" if uncommitted else "read_committed",
    )
