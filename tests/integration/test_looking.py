"""Looks at a partition now and then, on a real broker: over one consumer, which rests in between."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import UnknownTopicOrPartitionError

from clearing import kafka
from clearing.looking import Looks
from tests.faults.harness import until


@pytest.fixture
async def places(bootstrap: str, topic_prefix: str) -> list[TopicPartition]:
    names = [f"{topic_prefix}{name}" for name in ("one", "other")]
    async with kafka.administration(bootstrap) as admin:
        await admin.create_topics([NewTopic(name, 1, 1) for name in names])
    return [TopicPartition(name, 0) for name in names]


async def seen(looks: Looks, place: TopicPartition) -> list[bytes | None]:
    async with looks.at(place.topic) as reader:
        reader.assign([place])
        return [record.value async for record in kafka.read_to_end(reader, place)]


async def test_every_look_sees_what_is_there_over_one_consumer(
    bootstrap: str, places: list[TopicPartition], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    start = AIOKafkaClient.bootstrap

    async def bootstrapped(self: AIOKafkaClient) -> None:
        started.append(self._client_id)
        await start(self)

    monkeypatch.setattr(AIOKafkaClient, "bootstrap", bootstrapped)
    looks = Looks(bootstrap, "looks")
    try:
        async with kafka.started(kafka.producer(bootstrap)) as producer:
            for number in range(3):
                for place in places:
                    assert await seen(looks, place) == [b"%d" % n for n in range(number)]
                for place in places:
                    await producer.send_and_wait(place.topic, b"%d" % number, partition=0)
        both = await asyncio.gather(*(seen(looks, place) for place in places))
        assert both == [[b"0", b"1", b"2"]] * 2
    finally:
        await looks.close()
    assert started.count("looks") == 1


async def test_between_two_looks_nothing_is_fetched(
    bootstrap: str, places: list[TopicPartition], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(bootstrap, "looks")
    try:
        await seen(looks, places[0])
        reader = looks._reader
        assert reader is not None
        fetcher = reader._fetcher
        assert fetcher is not None
        assert reader.paused() == reader.assignment() == {places[0]}
        # What may still be under way ends; then nothing begins.
        await until(lambda: not fetcher._in_flight, "the last fetch to end", timeout_s=10)
        assignment = reader._subscription.subscription.assignment
        fetches, *_ = fetcher._get_actions_per_node(assignment)
        assert not fetches
    finally:
        await looks.close()


async def test_after_an_error_it_begins_anew(
    bootstrap: str, topic_prefix: str, places: list[TopicPartition]
) -> None:
    looks = Looks(bootstrap, "looks")
    try:
        assert await seen(looks, places[0]) == []
        assert looks._reader is not None
        with pytest.raises(
            UnknownTopicOrPartitionError, match="nowhere does not exist: clearing topics apply"
        ):
            await seen(looks, TopicPartition(f"{topic_prefix}nowhere", 0))
        assert looks._reader is None
        assert await seen(looks, places[0]) == []
    finally:
        await looks.close()
        await looks.close()  # a second time, which does nothing
