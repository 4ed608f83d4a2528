"""What a client asks about topics: no topic is made by asking, and many are asked about at once.

On a broker that makes every topic it is asked for, which is Kafka's default.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError

from clearing import kafka
from clearing.dev.kafka import EmbeddedKafka
from clearing.metadata import existing, learn

TOPICS = [f"topic-{number}" for number in range(8)]


@pytest.fixture(scope="module")
async def willing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedKafka]:
    """A broker with TOPICS, willing to make more."""
    settings = {"auto.create.topics.enable": "true"}
    folder = tmp_path_factory.mktemp("willing")
    async with EmbeddedKafka(folder, heap_mib=256, settings=settings) as broker:
        async with kafka.administration(broker.bootstrap) as admin:
            await admin.create_topics([NewTopic(name, 1, 1) for name in TOPICS])
        yield broker


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every request of a client, by its name."""
    requests: list[str] = []
    send = AIOKafkaClient.send
    update = AIOKafkaClient._metadata_update

    async def sent(self: AIOKafkaClient, node: Any, request: Any, **rest: Any) -> Any:
        requests.append(type(request).__name__)
        return await send(self, node, request, **rest)

    async def updated(self: AIOKafkaClient, *args: Any) -> Any:
        requests.append("update")
        return await update(self, *args)

    monkeypatch.setattr(AIOKafkaClient, "send", sent)
    monkeypatch.setattr(AIOKafkaClient, "_metadata_update", updated)
    return requests


async def test_what_is_not_there_is_not_made_by_asking_for_it(willing: EmbeddedKafka) -> None:
    async with (
        kafka.started(kafka.consumer(willing.bootstrap)) as reader,
        kafka.started(kafka.producer(willing.bootstrap)) as producer,
    ):
        for client in (reader, producer):
            assert await existing(client, [*TOPICS[:2], "nowhere"]) == set(TOPICS[:2])
            assert await existing(client, []) == set()
        # Whoever asks in any other way makes it; by then what was asked for before would be there too.
        assert await reader.end_offsets([TopicPartition("elsewhere", 0)])
        assert await existing(reader, ["elsewhere", "nowhere"]) == {"elsewhere"}


async def test_who_leads_many_topics_is_asked_once(
    willing: EmbeddedKafka, asked: list[str]
) -> None:
    partitions = [TopicPartition(name, 0) for name in TOPICS]
    async with kafka.started(kafka.consumer(willing.bootstrap), *TOPICS[:4]) as reader:
        await reader.end_offsets(partitions[:4])
        assert asked == ["update", "OffsetRequest"]
        await learn(reader, TOPICS[4:])  # those before are not forgotten
        await reader.beginning_offsets(partitions)
        assert asked == ["update", "OffsetRequest"] * 2
    asked.clear()
    async with kafka.started(kafka.producer(willing.bootstrap)) as producer:
        await learn(producer, TOPICS)
        for name in TOPICS:
            await producer.send(name, b"", partition=0)
        await producer.flush()
        assert asked.count("update") == 1
        await learn(producer, TOPICS[3:])
        assert asked.count("update") == 1


async def test_where_no_broker_answers_it_is_not_known(
    willing: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: AIOKafkaClient, node: Any, request: Any, **_: Any) -> Any:
        raise KafkaConnectionError("away")

    async with kafka.started(kafka.consumer(willing.bootstrap)) as reader:
        with monkeypatch.context() as patched:
            patched.setattr(AIOKafkaClient, "send", away)
            with pytest.raises(KafkaConnectionError, match="no broker says"):
                await existing(reader, TOPICS)
        assert await existing(reader, TOPICS) == set(TOPICS)
