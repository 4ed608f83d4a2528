"""Lag against a real broker: markers and aborted records are none, and what is not decided yet does not count."""

import asyncio
import time

from aiokafka import TopicPartition
from aiokafka.admin import NewTopic

from clearing import kafka
from clearing.observe.probe import backlogs, prober
from clearing.reading import partitions


async def _topic(bootstrap: str, name: str) -> TopicPartition:
    async with kafka.administration(bootstrap) as admin:
        await admin.create_topics([NewTopic(name, 1, 1)])
    return TopicPartition(name, 0)


async def _decided(bootstrap: str, partition: TopicPartition, end: int) -> None:
    """Wait until the partition is decided up to `end`: a commit is answered before its markers are written."""
    async with partitions(bootstrap, "test") as reader, asyncio.timeout(30):
        while (await reader.bounds([partition]))[partition][1] < end:  # noqa: ASYNC110  the broker's state, not ours
            await asyncio.sleep(0.02)


async def _backlog(
    bootstrap: str, partition: TopicPartition, position: int
) -> tuple[int, int | None]:
    async with kafka.started(prober(bootstrap)) as consumer:
        found = await backlogs(consumer, {partition: position})
    return found[partition]


async def test_a_transaction_marker_is_no_lag(bootstrap: str, topic_prefix: str) -> None:
    """A topic of two records in two transactions has four offsets."""
    partition = await _topic(bootstrap, f"{topic_prefix}markers")
    producer = kafka.producer(bootstrap, transactional_id=f"{topic_prefix}marker")
    before_ms = int(time.time() * 1000)
    async with kafka.started(producer):
        for value in (b"one", b"two"):
            async with producer.transaction():
                await producer.send(partition.topic, value, partition=0)
        await _decided(bootstrap, partition, 4)
        assert await _backlog(bootstrap, partition, 4) == (0, None)
        assert await _backlog(bootstrap, partition, 3) == (0, None)
        lag_records, oldest_ms = await _backlog(bootstrap, partition, 1)
        assert lag_records == 2  # the second record and the marker behind it: at most so many
        assert oldest_ms is not None
        assert oldest_ms >= before_ms - 1_000
        # What was aborted, and what is not committed yet, is no work for anybody.
        await producer.begin_transaction()
        await producer.send_and_wait(partition.topic, b"aborted", partition=0)
        await producer.abort_transaction()
        await _decided(bootstrap, partition, 6)
        assert await _backlog(bootstrap, partition, 4) == (0, None)
        await producer.begin_transaction()
        await producer.send_and_wait(partition.topic, b"open", partition=0)
        assert await _backlog(bootstrap, partition, 4) == (0, None)
        await producer.commit_transaction()
        await _decided(bootstrap, partition, 8)
        assert (await _backlog(bootstrap, partition, 4))[0] > 0


async def test_chunks_end_by_position(bootstrap: str, topic_prefix: str) -> None:
    """Reading a partition to its end does not wait for a record that will not come."""
    partition = await _topic(bootstrap, f"{topic_prefix}chunks")
    producer = kafka.producer(bootstrap, transactional_id=f"{topic_prefix}chunk")
    async with kafka.started(producer), partitions(bootstrap, "test") as reader:
        assert [records async for records in reader.chunks(partition)] == []
        for value in (b"one", b"two"):
            async with producer.transaction():
                await producer.send(partition.topic, value, partition=0)
        await _decided(bootstrap, partition, 4)
        assert (await reader.bounds([partition]))[partition] == (0, 4)

        async def values(start: int | None = None, end: int | None = None) -> list[bytes | None]:
            chunks = reader.chunks(partition, start, end)
            return [record.value async for records in chunks for record in records]

        assert await values() == [b"one", b"two"]
        assert await values(1) == [b"two"]
        assert await values(0, 2) == [b"one"]
        assert await values(3) == []
