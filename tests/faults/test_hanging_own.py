"""A transaction of the engine's that hangs: its records stand there, its markers were never written (F5, F8).

As Kafka 4.3.1 left one behind when it was stopped in order: complete for the coordinator, open in the partitions.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from clearing import kafka
from clearing.core.faults import Halt, HaltKind
from clearing.dev.kafka import EmbeddedKafka
from clearing.engine import hanging
from clearing.reading import readers
from tests.faults.conftest import Observe

TOPICS = ("outcomes", "journal")


def of(number: int) -> list[TopicPartition]:
    """What a netting set is written to."""
    return [TopicPartition(topic, number) for topic in TOPICS]


@pytest.fixture
async def bootstrap(tmp_path: Path) -> AsyncIterator[str]:
    """A broker that does not ask the coordinator whether a partition is part of a transaction."""
    settings = {"transaction.partition.verification.enable": "false"}
    async with EmbeddedKafka(tmp_path / "kafka", heap_mib=512, settings=settings) as broker:
        async with kafka.administration(broker.bootstrap) as admin:
            compacted = {"cleanup.policy": "compact"}
            await admin.create_topics(
                [NewTopic(topic, 8, 1, topic_configs=compacted) for topic in TOPICS]
            )
        yield broker.bootstrap


def owner(bootstrap: str, name: str) -> AIOKafkaProducer:
    return kafka.producer(bootstrap, transactional_id=name)


async def leave_hanging(
    bootstrap: str, name: str, number: int, topics: Sequence[str] = TOPICS
) -> None:
    """Records of a transaction that no coordinator knows of."""
    producer = owner(bootstrap, name)
    await producer.start()
    await producer.begin_transaction()
    assert producer._txn_manager is not None
    for topic in topics:
        producer._txn_manager._txn_partitions.add(TopicPartition(topic, number))
        await producer.send_and_wait(topic, b"hangs", b"key", number)
    await kafka.discard(producer, 0.1)


async def visible(bootstrap: str, partition: TopicPartition) -> list[bytes | None]:
    reader = kafka.consumer(bootstrap)
    async with kafka.started(reader):
        reader.assign([partition])
        return [record.value async for record in kafka.read_to_end(reader, partition)]


async def hanging_in(bootstrap: str, number: int) -> set[str]:
    async with readers(bootstrap, "test") as both:
        ends = await hanging._ends(both, of(number))
    return {partition.topic for partition, found in ends.items() if found.hang}


async def test_nothing_is_recovered_over_a_transaction_that_hangs(
    bootstrap: str, observed: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:  # F5 F8
    monkeypatch.setattr(hanging, "PATIENCE_S", 0.5)

    async def end(
        number: int, known: dict[TopicPartition, int]
    ) -> dict[TopicPartition, int] | None:
        async with readers(bootstrap, "test") as both:
            return await hanging.end_hanging(both, successor, of(number), known)

    async def seen(number: int) -> list[list[bytes | None]]:
        return [await visible(bootstrap, partition) for partition in of(number)]

    await leave_hanging(bootstrap, "engine", 0)
    await leave_hanging(bootstrap, "stranger", 1)
    for number in (3, 4, 5):
        await leave_hanging(bootstrap, "engine", number, ["outcomes"])
    async with kafka.started(owner(bootstrap, "engine")) as before:
        both = [kafka.TopicRecord(*partition, b"key", b"shown") for partition in of(6)]
        await kafka.transact(before, both[:1], 10)
    await leave_hanging(bootstrap, "engine", 6, ["journal"])
    async with kafka.started(owner(bootstrap, "engine")) as successor:
        # Its own: fencing alone ends nothing, as the coordinator knows of nothing.
        assert await hanging_in(bootstrap, 0) == set(TOPICS)
        assert await end(0, {}) is None
        assert not await hanging_in(bootstrap, 0)
        again = [kafka.TopicRecord(*partition, b"key", b"again") for partition in of(0)]
        await kafka.transact(successor, again, 10)
        assert await seen(0) == [[b"again"]] * 2

        # Somebody else's: that is for people.
        with pytest.raises(Halt, match="not ours is open in outcomes-1 from offset 0") as raised:
            await end(1, {})
        assert raised.value.kind is HaltKind.FOREIGN_WRITER

        # A part of one that the journal counts: committed, as the rest of it is.
        assert await end(3, {of(3)[0]: 1}) is None
        assert await seen(3) == [[b"hangs"], []]
        # A part of one that the journal does not count, nor hangs in: aborted, as the rest of it was.
        assert await end(4, {of(4)[0]: 0}) is None
        assert await seen(4) == [[], []]
        # It is not known which of the two: that is for people.
        with pytest.raises(Halt, match="or the rest of one of ours is"):
            await end(5, {})
        assert await hanging_in(bootstrap, 5) == {"outcomes"}
        # It hangs in the journal, and readers have seen the rest: aborted, and that rest is not written again.
        assert await end(6, {of(6)[0]: 0}) is None
        assert await seen(6) == [[b"shown"], []]

        # Where nothing hangs nothing is written.
        assert await end(2, {}) == dict.fromkeys(of(2), 0)
    observed(
        "F8",
        "a transaction of the engine's own, or of a stranger, whose markers are missing, all or some",
        6,
        "its own ended by the next owner before it recovers, as the journal says; what readers have seen beyond it "
        "is not written again: nothing is lost or seen twice; a stranger's, or one that holds both: halted, the "
        "place named",
    )
