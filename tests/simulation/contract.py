"""What the simulation is to have in common with Kafka: facts, stated over any cluster.

tests/simulation/test_contract.py holds them against a real broker and against the simulated one. Where a client
would hide what the broker says, requests are sent as they are.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import (
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from clearing import kafka

TIMEOUT_S = 30.0


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for it, within a bound."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + TIMEOUT_S
    while not await condition():
        assert loop.time() < deadline, f"waited {TIMEOUT_S} s for {what}"
        await asyncio.sleep(0.05)


class Cluster:
    """A cluster and names of the test's own on it."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix

    def name(self, name: str) -> str:
        return f"{self.prefix}{name}"

    async def topic(self, name: str, partitions: int = 1, **configs: str) -> str:
        """A new topic, when it has leaders."""
        topic = self.name(name)
        async with kafka.administration(self.bootstrap) as admin:
            settings = {key.replace("_", "."): value for key, value in configs.items()}
            await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=settings)])

            async def led() -> bool:
                client = admin._client
                await client.force_metadata_update()
                return client.cluster.available_partitions_for_topic(topic) == set(
                    range(partitions)
                )

            await until(led, f"leaders of {topic}")
        return topic

    def producer(self, identity: str = "", **options: Any) -> AIOKafkaProducer:
        if identity:
            options["transactional_id"] = self.name(identity)
        return kafka.producer(self.bootstrap, **options)

    def consumer(self, *topics: str, group: str = "", **options: Any) -> AIOKafkaConsumer:
        return kafka.consumer(
            self.bootstrap, *topics, group=self.name(group) if group else None, **options
        )

    async def values(self, topic: str, partition: int = 0, **options: Any) -> list[bytes | None]:
        """What a reader finds up to the end as of now."""
        async with kafka.started(self.consumer(**options)) as reader:
            at = TopicPartition(topic, partition)
            reader.assign([at])
            return [record.value async for record in kafka.read_to_end(reader, at)]

    async def end(self, topic: str, partition: int = 0, **options: Any) -> int:
        async with kafka.started(self.consumer(**options)) as reader:
            at = TopicPartition(topic, partition)
            return (await reader.end_offsets([at]))[at]

    async def ends_at(self, topic: str, offset: int) -> None:
        """Wait until readers of what is committed see this end: markers follow an answer a moment later."""

        async def there() -> bool:
            return await self.end(topic) == offset

        await until(there, f"{topic} to end at {offset}")


def batch(
    values: list[bytes], producer: int, epoch: int, sequence: int, *, transactional: bool = False
) -> bytes:
    """A record batch as a producer would send it."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=int(transactional),
        producer_id=producer,
        producer_epoch=epoch,
        base_sequence=sequence,
        batch_size=1 << 20,
    )
    for number, value in enumerate(values):
        builder.append(number, 1, None, value, [])
    return bytes(builder.build())


class Raw:
    """A transactional producer by hand: each request as it is told. Answers are names of errors, "" for none."""

    def __init__(self, cluster: Cluster, identity: str) -> None:
        self.identity = cluster.name(identity)
        self.producer = self.epoch = -1
        self._client = AIOKafkaClient(bootstrap_servers=cluster.bootstrap)

    async def __aenter__(self) -> "Raw":
        await self._client.bootstrap()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def _ask(self, request: Any) -> Any:
        while True:
            node = await self._client.coordinator_lookup(
                CoordinationType.TRANSACTION, self.identity
            )
            return await self._client.send(node, request, group=ConnectionGroup.COORDINATION)

    async def begin_producer(self, timeout_ms: int = 60_000) -> None:
        """InitProducerId, until it is given."""

        async def given() -> bool:
            answer = await self._ask(InitProducerIdRequest(self.identity, timeout_ms))
            self.producer, self.epoch = answer.producer_id, answer.producer_epoch
            return answer.error_code == 0

        await until(given, "a producer id")

    async def add(self, topic: str, *, epoch: int | None = None) -> str:
        """AddPartitionsToTxn of partition 0; the transaction before may still be ending."""
        answer = ""

        async def told() -> bool:
            nonlocal answer
            at = self.epoch if epoch is None else epoch
            got = await self._ask(
                AddPartitionsToTxnRequest(self.identity, self.producer, at, [(topic, [0])])
            )
            answer = _error(got.errors[0][1][0][1])
            return answer != "CONCURRENT_TRANSACTIONS"

        await until(told, "the transaction before to end")
        return answer

    async def produce(
        self, topic: str, data: bytes, *, transactional: bool = True
    ) -> tuple[str, int]:
        """Produce to partition 0: error and offset."""
        await self._client._wait_on_metadata(topic)
        node = self._client.cluster.leader_for_partition(TopicPartition(topic, 0))
        identity = self.identity if transactional else None
        got = await self._client.send(
            node, ProduceRequest(identity, -1, 10_000, [(topic, [(0, data)])])
        )
        _, error, offset, *_ = got.topics[0][1][0]
        return _error(error), offset

    async def send(self, topic: str, values: list[bytes], sequence: int) -> tuple[str, int]:
        """Produce in the transaction, as this producer."""
        data = batch(values, self.producer, self.epoch, sequence, transactional=True)
        return await self.produce(topic, data)

    async def end(self, *, commit: bool, epoch: int | None = None) -> str:
        """EndTxn; what is said twice is repeated until its first saying is through."""
        answer = ""

        async def told() -> bool:
            nonlocal answer
            at = self.epoch if epoch is None else epoch
            got = await self._ask(EndTxnRequest(self.identity, self.producer, at, commit))
            answer = _error(got.error_code)
            return answer != "CONCURRENT_TRANSACTIONS"

        await until(told, "the same said before to be done")
        return answer


def _error(code: int) -> str:
    return for_code(code).message if code else ""
