"""Transactions that are open for too long on the installation's topics, and whose they are (F8).

Nobody reads past the first record of an open transaction: one that nobody ends holds up every stage behind it, and
no lag shows, as lag counts what may be read. Kafka knows the producer (KIP-664), and is asked here.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from clearing.names import Topics
from clearing.observe.transaction_requests import (
    DescribeProducersRequest,
    DescribeTransactionsRequest,
    ListTransactionsRequest,
)

# The engine's take milliseconds, and a successor ends what a dead engine has left open.
TOO_LONG_S = 5.0
_NOT_OPEN = -1


class OpenTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """One that holds up the readers of a partition. offset: of its first record there, none is read from it on.

    since_ms: when it began, by the broker's clock; transactional_id, state: as the coordinator knows them, "" where
    it knows of no such transaction (Kafka calls that hanging: no time-out will ever end it).
    """

    topic: str
    partition: int
    offset: int
    since_ms: int
    producer_id: int
    producer_epoch: int
    transactional_id: str
    state: str

    def ended_by(self, bootstrap: str) -> str:
        """The command that ends it: its records are never read then, and its producer is locked out."""
        tool = f"kafka-transactions.sh --bootstrap-server {bootstrap}"
        if self.transactional_id:
            return f"{tool} forceTerminateTransaction --transactionalId {self.transactional_id}"
        place = f"--topic {self.topic} --partition {self.partition} --start-offset {self.offset}"
        return f"{tool} abort {place}"


async def open_transactions(
    admin: AIOKafkaAdminClient, topics: Topics, at_ms: int, too_long_s: float = TOO_LONG_S
) -> list[OpenTransaction]:
    """Open for longer than that on any topic of the installation, the oldest first. Raises KafkaError."""
    cluster = await admin._client.fetch_all_metadata()
    led: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for topic in filter(topics.contains, cluster.topics()):
        for partition in cluster.partitions_for_topic(topic) or ():
            leader = cluster.leader_for_partition(TopicPartition(topic, partition))
            if leader is not None and leader >= 0:
                led[leader][topic].append(partition)
    found = [one for node, of in led.items() for one in await _producers(admin, node, of)]
    if not found:
        return []
    known: dict[int, _Known] = {}
    for broker in cluster.brokers():
        known |= await _transactions(admin, broker.nodeId, [one.producer_id for one in found])
    named = [_named(one, known.get(one.producer_id)) for one in found]
    late = [one for one in named if at_ms - one.since_ms > too_long_s * 1000]
    return sorted(late, key=lambda one: (one.since_ms, one.topic, one.partition))


class _Known(msgspec.Struct, frozen=True):
    """What a coordinator knows of a transaction."""

    transactional_id: str
    state: str
    since_ms: int


def _named(one: OpenTransaction, known: _Known | None) -> OpenTransaction:
    if known is None:
        return one
    since_ms = known.since_ms if known.since_ms > 0 else one.since_ms
    return msgspec.structs.replace(
        one, transactional_id=known.transactional_id, state=known.state, since_ms=since_ms
    )


async def _producers(
    admin: AIOKafkaAdminClient, node: int, partitions: Mapping[str, Sequence[int]]
) -> list[OpenTransaction]:
    """Open transactions as the leader of the partitions sees them: it does not know their names."""
    asked = [(topic, list(numbers), {}) for topic, numbers in sorted(partitions.items())]
    response = await admin._client.send(node, DescribeProducersRequest(asked))
    return [
        OpenTransaction(
            topic=topic,
            partition=partition,
            offset=offset,
            since_ms=last_ms,
            producer_id=producer,
            producer_epoch=epoch,
            transactional_id="",
            state="",
        )
        for topic, found, _ in response.topics
        for partition, _, _, producers, _ in found
        for producer, epoch, _, last_ms, _, offset, _ in producers
        if offset != _NOT_OPEN
    ]


async def _transactions(
    admin: AIOKafkaAdminClient, node: int, producers: Sequence[int]
) -> dict[int, _Known]:
    """By producer id, those that this broker coordinates."""
    listed = await admin._client.send(node, ListTransactionsRequest(sorted(set(producers))))
    names = [name for name, *_ in listed.transactions]
    if not names:
        return {}
    described = await admin._client.send(node, DescribeTransactionsRequest(names))
    return {
        producer: _Known(name, state, since_ms)
        for error, name, state, _, since_ms, producer, *_ in described.transactions
        if not error
    }
