"""The outbox against a producer that is told when to acknowledge: order, bounds, failure."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError

from clearing.dispatch import outbox as module
from clearing.dispatch.outbox import Delivery, Outbox
from clearing.sending import RecordBatch


class Producer:
    """Takes batches; `sent` has (topic, records, future) of each, acknowledged or failed by the test."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, asyncio.Future[None]]] = []

    async def send_batch(
        self, batch: RecordBatch, topic: str, *, partition: int
    ) -> asyncio.Future[None]:
        assert batch.closed(), "a batch that is open can grow by what comes later"
        assert partition == 0
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent.append((topic, batch.record_count(), future))
        return future

    def log(self) -> list[tuple[str, int]]:
        return [(topic, records) for topic, records, _ in self.sent]


def outbox_of(producer: Any) -> Outbox:
    return Outbox(producer)


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_batch_of_a_topic_at_a_time() -> None:
    """What follows is sent only when what is before it stands in the topic; other topics do not wait."""
    producer = Producer()
    outbox, delivery = outbox_of(producer), Delivery(1, 0)
    outbox.put("a", b"k", b"1", delivery)
    await settle()
    for value in (b"2", b"3"):
        outbox.put("a", b"k", value, delivery)
        outbox.put("b", b"k", value, delivery)
    await settle()
    assert producer.log() == [("a", 1), ("b", 2)]
    producer.sent[0][2].set_result(None)
    await settle()
    assert producer.log() == [("a", 1), ("b", 2), ("a", 2)]
    await outbox.close()


async def test_a_delivery_is_done_with_its_last_acknowledgement() -> None:
    producer = Producer()
    outbox, first, second = outbox_of(producer), Delivery(1, 0), Delivery(2, 0)
    outbox.put("a", b"k", b"1", first)
    outbox.put("b", b"k", b"1", first)
    outbox.put("b", b"k", b"2", second)
    await settle()
    assert (first.pending, second.pending) == (2, 1)
    producer.sent[1][2].set_result(None)
    await settle()
    assert (first.pending, second.pending) == (1, 0)
    producer.sent[0][2].set_result(None)
    await asyncio.wait_for(outbox.drained(), 5)
    assert first.pending == 0


async def test_after_a_failure_nothing_more_is_sent_to_the_topic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the last record of the topic would say that what failed was told (F6)."""
    monkeypatch.setattr("clearing.kafka.BATCH_BYTES", 100)
    producer = Producer()
    outbox, delivery = outbox_of(producer), Delivery(1, 0)
    for _ in range(3):
        outbox.put("a", b"k", b"x" * 90, delivery)
    await settle()
    assert producer.log() == [("a", 1)]
    producer.sent[0][2].set_exception(KafkaTimeoutError())
    await settle()
    assert producer.log() == [("a", 1)]
    for check in (outbox.room, outbox.drained):
        with pytest.raises(KafkaTimeoutError):
            await check()
    with pytest.raises(KafkaTimeoutError):
        outbox.check()
    assert delivery.pending == 3


async def test_what_is_under_way_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that does not answer stalls the telling, not the memory (F5)."""
    monkeypatch.setattr(module, "MAX_IN_FLIGHT_BYTES", 10)
    producer = Producer()
    outbox = outbox_of(producer)
    await asyncio.wait_for(outbox.room(), 5)
    outbox.put("a", b"k", b"x" * 10, Delivery(1, 0))
    waiting = asyncio.create_task(outbox.room())
    await settle()
    assert not waiting.done()
    producer.sent[0][2].set_result(None)
    await asyncio.wait_for(waiting, 5)


async def test_closing_gives_up_what_is_under_way() -> None:
    producer = Producer()
    outbox, delivery = outbox_of(producer), Delivery(1, 0)
    outbox.put("a", b"k", b"1", delivery)
    await settle()
    await asyncio.wait_for(outbox.close(), 5)
    assert delivery.pending == 1
    assert producer.sent[0][2].cancelled()
