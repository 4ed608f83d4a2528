"""The simulated cluster's groups are faithful: each fact here holds on a real Kafka too, in the same words."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import CommitFailedError
from aiokafka.structs import OffsetAndMetadata

from clearing import kafka
from tests.simulation.contract import Cluster, until

Hold = Callable[[Callable[[Cluster], Awaitable[None]]], Awaitable[None]]


class Heard(ConsumerRebalanceListener):
    """What a member is told, in its order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[int]]] = []

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.told.append(("revoked", sorted(at.partition for at in revoked)))

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.told.append(("assigned", sorted(at.partition for at in assigned)))


def member(cluster: Cluster, topic: str, heard: Heard, instance: str = "") -> AIOKafkaConsumer:
    consumer = cluster.consumer(
        group="workers",
        auto_offset_reset="earliest",
        session_timeout_ms=2_000,
        heartbeat_interval_ms=300,
        **({"group_instance_id": instance} if instance else {}),
    )
    consumer.subscribe([topic], listener=heard)
    return consumer


def last(heard: Heard, *wanted: list[int]) -> Callable[[], Awaitable[bool]]:
    async def told() -> bool:
        return bool(heard.told) and heard.told[-1] in [("assigned", w) for w in wanted]

    return told


async def test_members_share_partitions_and_take_over(hold: Hold) -> None:  # F3
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("in", 2)
        one, two = Heard(), Heard()
        async with kafka.started(member(cluster, topic, one)):
            await until(last(one, [0, 1]), "all of them")
            async with kafka.started(member(cluster, topic, two)):
                await until(last(two, [0], [1]), "its share")
                await until(last(one, [0], [1]), "its share")
            await until(last(one, [0, 1]), "all of them again")
        kinds = [kind for kind, _ in one.told]
        assert kinds == ["revoked", "assigned"] * 3
        assert one.told[0] == ("revoked", [])
        assert one.told[2] == ("revoked", [0, 1])

    await hold(fact)


async def test_a_static_member_comes_back_without_a_rebalance(hold: Hold) -> None:
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("in", 2)
        one, two, again = Heard(), Heard(), Heard()
        async with kafka.started(member(cluster, topic, one, "one")):
            await until(last(one, [0, 1]), "all of them")
            async with kafka.started(member(cluster, topic, two, "two")):
                await until(last(two, [0], [1]), "its share")
                await until(last(one, [0], [1]), "its share")
            before = len(one.told)
            async with kafka.started(member(cluster, topic, again, "two")):
                await until(last(again, two.told[-1][1]), "the share of its former self")
                await asyncio.sleep(1)
                assert len(one.told) == before

    await hold(fact)


async def test_offsets_are_the_members_to_commit(hold: Hold) -> None:
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("in", 2)
        heard, other = Heard(), Heard()
        at = TopicPartition(topic, 0)
        async with kafka.started(member(cluster, topic, heard)) as consumer:
            await until(last(heard, [0, 1]), "all of them")
            assert await consumer.committed(at) is None
            await consumer.commit({at: OffsetAndMetadata(7, "seven")})
            assert await consumer.committed(at) == 7
            async with kafka.started(member(cluster, topic, other)) as second:
                await until(last(other, [0], [1]), "its share")
                assert await second.committed(at) == 7
        async with kafka.started(member(cluster, topic, Heard())) as third:
            assert await third.committed(at) == 7
            assert isinstance(third._coordinator, GroupCoordinator)
            third._coordinator.generation = 1  # as one that slept through rebalances
            with pytest.raises(CommitFailedError):
                await third.commit({at: 8})

    await hold(fact)
