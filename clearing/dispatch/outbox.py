"""Status records on their way: many topics at once, within one topic strictly one batch after the other.

What stands in a status topic is therefore always a beginning of what it is to be told, without a hole, whoever
sent it and whenever it died. That is what makes the last record of a topic tell a successor where to go on.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from clearing import failpoints, kafka
from clearing.dispatch import metrics
from clearing.sending import RecordBatch

MAX_IN_FLIGHT_BYTES = 32 << 20  # also bounds a produce request, of which a broker takes 100 MiB


@dataclass(slots=True)
class Delivery:
    """One outcomes record: done when none of the status records it caused is pending."""

    next_offset: int
    time_ms: int
    pending: int = 0


class _Letter(NamedTuple):
    key: bytes
    value: bytes | memoryview
    delivery: Delivery


class Outbox:
    """Takes status records and sees them acknowledged. The first failure of any is the end of all."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._queues: dict[str, deque[_Letter]] = {}
        self._senders: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None

    def put(self, topic: str, key: bytes, value: bytes | memoryview, delivery: Delivery) -> None:
        """Queue one record, whose value must not change any more; does not wait: await room() before."""
        delivery.pending += 1
        self._bytes += len(value)
        queue = self._queues.get(topic)
        if queue is None:
            queue = self._queues[topic] = deque()
            sender = asyncio.create_task(self._send(topic, queue))
            self._senders.add(sender)
            sender.add_done_callback(self._ended)
        queue.append(_Letter(key, value, delivery))

    async def room(self) -> None:
        """Wait until less than MAX_IN_FLIGHT_BYTES are under way. Raises what a send has failed with."""
        await self._until(MAX_IN_FLIGHT_BYTES)

    async def drained(self) -> None:
        """Wait until everything is acknowledged. Raises what a send has failed with."""
        await self._until(1)

    def check(self) -> None:
        """Raise what a send has failed with."""
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Give up what is not acknowledged: whoever comes next looks at the topics and tells it."""
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)

    async def _until(self, below_bytes: int) -> None:
        self.check()
        while self._bytes >= below_bytes:
            self._changed.clear()
            await self._changed.wait()
            self.check()

    async def _send(self, topic: str, queue: deque[_Letter]) -> None:
        while queue:
            batch = RecordBatch(kafka.BATCH_BYTES)
            letters: list[_Letter] = []
            while queue and batch.append(key=queue[0].key, value=queue[0].value):
                letters.append(queue.popleft())
            batch.close()  # all of it or nothing: a batch is what the broker appends as one
            began = time.perf_counter()
            acknowledged = await self._producer.send_batch(batch, topic, partition=0)
            failpoints.at("dispatch.sent")
            await acknowledged
            failpoints.at("dispatch.acknowledged")
            metrics.send_seconds.observe(time.perf_counter() - began)
            for letter in letters:
                letter.delivery.pending -= 1
                self._bytes -= len(letter.value)
            metrics.in_flight_bytes.set(self._bytes)
            self._changed.set()
        del self._queues[topic]

    def _ended(self, sender: asyncio.Task[None]) -> None:
        self._senders.discard(sender)
        if not sender.cancelled() and (error := sender.exception()) is not None:
            self._failure = self._failure or error
            self._changed.set()
