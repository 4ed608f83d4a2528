"""Reading partitions by the chunk, for those who look at everything: verify, replay, status.

One consumer, one partition after the other; nothing is committed and no group is joined.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from clearing import kafka
from clearing.kafka import RawRecord

STALL_TIMEOUT_S = 30.0
_POLL_MS = 200


class Reader(Protocol):
    """What `Partitions` offers; tests have one over lists."""

    async def topics(self) -> set[str]: ...
    async def bounds(self, partition: TopicPartition) -> tuple[int, int]: ...
    def chunks(
        self, partition: TopicPartition, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Sequence[RawRecord]]: ...


class Partitions:
    """Reads partitions of a cluster. Built by `partitions()`."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def topics(self) -> set[str]:
        return await self._consumer.topics()

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """First offset that is kept and the end: the last stable offset, behind which nothing is decided yet."""
        first = await self._consumer.beginning_offsets([partition])
        end = await self._consumer.end_offsets([partition])
        return first[partition], end[partition]

    async def chunks(
        self, partition: TopicPartition, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Sequence[RawRecord]]:
        """Records from `start` (None: the first kept) up to `end` (None: the end as of now), in chunks.

        It ends by position: what lies between may be markers and aborted records, which are none. Raises
        KafkaTimeoutError when the broker gives nothing for STALL_TIMEOUT_S though there must be more.
        """
        first, last = await self.bounds(partition)
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
            if records:
                yield records


@asynccontextmanager
async def partitions(bootstrap: str, client: str) -> AsyncIterator[Partitions]:
    """A reader of partitions, stopped at the end."""
    consumer = kafka.consumer(bootstrap, client=client)
    async with kafka.started(consumer):
        yield Partitions(consumer)
