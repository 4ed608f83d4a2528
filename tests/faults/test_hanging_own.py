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
                [NewTopic(topic, 4, 1, topic_configs=compacted) for topic in TOPICS]
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
    for topic, partition in of(number)[: len(topics)]:
        producer._txn_manager._txn_partitions.add(TopicPartition(topic, partition))
        await producer.send_and_wait(topic, b"hangs", b"key", partition)
    await kafka.discard(producer, 0.1)


async def visible(bootstrap: str, partition: TopicPartition) -> list[bytes | None]:
    reader = kafka.consumer(bootstrap)
    async with kafka.started(reader):
        reader.assign([partition])
        return [record.value async for record in kafka.read_to_end(reader, partition)]


async def test_nothing_is_recovered_over_a_transaction_that_hangs(
    bootstrap: str, observed: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:  # F5 F8
    monkeypatch.setattr(hanging, "PATIENCE_S", 0.5)
    await leave_hanging(bootstrap, "engine", 0)
    await leave_hanging(bootstrap, "stranger", 1)
    await leave_hanging(bootstrap, "engine", 3, ["outcomes"])
    async with kafka.started(owner(bootstrap, "engine")) as successor:
        # Its own: fencing alone ends nothing, as the coordinator knows of nothing.
        assert await hanging._hanging(bootstrap, "test", of(0)) == dict.fromkeys(of(0), 0)
        await hanging.end_hanging(bootstrap, "test", successor, of(0))
        assert not await hanging._hanging(bootstrap, "test", of(0))
        again = [kafka.TopicRecord(*partition, b"key", b"again") for partition in of(0)]
        await kafka.transact(successor, again, 10)
        assert [await visible(bootstrap, partition) for partition in of(0)] == [[b"again"]] * 2

        # Somebody else's: that is for people.
        with pytest.raises(Halt, match="not ours is open in outcomes-1 from offset 0") as raised:
            await hanging.end_hanging(bootstrap, "test", successor, of(1))
        assert raised.value.kind is HaltKind.FOREIGN_WRITER

        # A part of one that the journal has no part in: aborted, it would be lost to all who trust the journal.
        with pytest.raises(Halt, match="or the rest of one of ours is"):
            await hanging.end_hanging(bootstrap, "test", successor, of(3))
        assert set(await hanging._hanging(bootstrap, "test", of(3))) == {of(3)[0]}

        # Where nothing hangs nothing is written.
        await hanging.end_hanging(bootstrap, "test", successor, of(2))
        ends = await hanging._ends(bootstrap, "test", of(2), "read_uncommitted")
        assert ends == dict.fromkeys(of(2), 0)
    observed(
        "F8",
        "a transaction of the engine's own, or of a stranger, whose markers are missing",
        3,
        "its own ended by the next owner before it recovers, its records never seen and written again once; a "
        "stranger's, or a part that the journal is not in: halted, the place named",
    )
