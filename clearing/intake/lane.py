"""One netting set's way into the log: read its sources fairly, pack, send, wait for the log's word.

At most one log record is in flight: were one in the middle lost, its successor would be a gap that halts the
engine. While it is, the next is read and packed. Nothing is remembered here that the log does not have.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalStateError

from clearing import failpoints, kafka
from clearing.core.reasons import REASONS, Code
from clearing.intake import metrics
from clearing.intake.packing import (
    MAX_ROWS,
    Packed,
    control_records,
    payment_records,
)
from clearing.intake.sources import Read, Source, SourceStopped, stopped_by
from clearing.log import payments

SOURCE_RECORDS = (
    8192  # most of one source in a round: one that floods leaves room for the others (F18)
)
# From here on the next log record is packed while the last one is on its way; below, waiting for the
# acknowledgement first makes fewer and larger ones, and nothing later.
OVERLAP_ROWS = 1024
WAIT_MS = 200
PAUSE_S = 0.05
MARKERS_S = (
    1.0  # positions that moved over markers alone are written with the next rows, or after this
)
SLOW_S = 10.0

_log = structlog.get_logger()


class _Batch(NamedTuple):
    control: list[Read]
    payments: list[Read]


class _Sent(NamedTuple):
    packed: Packed
    acknowledged: asyncio.Future[object]
    at_s: float
    oldest_ms: int  # timestamp of the oldest record in it


class Lane:
    """Built by the worker for each partition of the log that its sources feed.

    acknowledged: next offset of each source partition that the log has; the worker puts in where each begins,
    and commits what it has become here.
    on_stopped: told of a source that cannot be read on; it is no longer in `sources` then.
    """

    def __init__(
        self,
        *,
        name: str,
        log: TopicPartition,
        consumer: kafka.Consumer,
        producer: AIOKafkaProducer,
        acknowledged: dict[TopicPartition, int],
        on_stopped: Callable[[TopicPartition, SourceStopped], None],
    ) -> None:
        self.name = name
        self.log = log
        self.sources: deque[Source] = deque()
        self._consumer = consumer
        self._producer = producer
        self._acknowledged = acknowledged
        self._on_stopped = on_stopped
        self._added = asyncio.Event()
        self._sent: _Sent | None = None
        self._sent_at_s = time.monotonic()
        self._oldest_ms = 0  # of what is read and not sent, 0: nothing is

    def add(self, source: Source) -> None:
        self.sources.append(source)
        self._added.set()

    def condemn(self, topic: str, why: SourceStopped) -> None:
        """Read nothing more of a topic: what is read of it and not sent stays out of the log."""
        for source in self.sources:
            if source.partition.topic == topic:
                source.condemned = why

    async def run(self) -> None:
        """Until cancelled. Raises KafkaError when the log refuses a record: nothing behind it was sent."""
        while True:
            batch = await self._read()
            failpoints.at("intake.read")
            rows = await self._send(control_records(batch.control))
            rows += await self._send(payment_records(batch.payments))
            if rows < OVERLAP_ROWS:
                await self._acknowledge()

    async def finish(self, timeout_s: float) -> None:
        """Wait for the log record in flight, within a bound. If it fails, its rows will be read again."""
        if self._sent is None:
            return
        future = self._sent.acknowledged
        await asyncio.wait([future], timeout=timeout_s)
        if future.done() and not future.cancelled() and future.exception() is None:
            await self._acknowledge()

    def lag(self, now_ms: int) -> tuple[int, float]:
        """(records the sources have and the log has not, age in seconds of the oldest that is read)."""
        behind = 0
        assigned = self._consumer.assignment()
        for source in self.sources:
            known = source.partition in assigned
            end = (self._consumer.highwater(source.partition) or 0) if known else 0
            behind += max(0, end - self._acknowledged[source.partition])
        oldest_ms = self._sent.oldest_ms if self._sent else self._oldest_ms
        return behind, max(0, now_ms - oldest_ms) / 1000 if oldest_ms else 0.0

    async def _read(self) -> _Batch:
        """What the sources have, a bounded share of each; waits until there is something."""
        self._oldest_ms = 0  # all that was read before is sent
        while True:
            try:
                if self._sweep() or self._markers_are_due():
                    return self._batch()
                await self._acknowledge()  # nothing to pack meanwhile
                await self._wait()
            except IllegalStateError:  # being reassigned: the worker is about to end this lane
                await asyncio.sleep(PAUSE_S)

    def _sweep(self) -> bool:
        """Take what the consumer has fetched, source by source; the next sweep begins where this one ends."""
        records = 0
        for _ in range(len(self.sources)):
            if records >= MAX_ROWS:
                break
            source = self.sources[0]
            self.sources.rotate(-1)
            if source.condemned is not None:
                self._stop(source, source.condemned)
                continue
            position = self._consumer.at(source.partition)
            assert position == source.end, f"{source.partition} went on by itself to {position}"
            try:
                records += self._take(source, min(SOURCE_RECORDS, MAX_ROWS - records))
            except Exception as error:
                if (stopped := stopped_by(error)) is None:
                    raise
                self._stop(source, stopped)
        return records > 0

    def _take(self, source: Source, most: int) -> int:
        parts = self._consumer.fetched(source.partition, most)
        if parts is None:
            return 0
        source.records += parts
        source.end = self._consumer.at(source.partition)
        return sum(map(len, parts))

    async def _wait(self) -> None:
        """Until one of the sources has something, or for WAIT_MS."""
        if not self.sources:
            self._added.clear()
            await self._added.wait()
            return
        await self._consumer.came([source.partition for source in self.sources], WAIT_MS)

    def _stop(self, source: Source, why: SourceStopped) -> None:
        self.sources.remove(source)
        self._on_stopped(source.partition, why)

    def _markers_are_due(self) -> bool:
        return time.monotonic() - self._sent_at_s > MARKERS_S and any(
            source.end > source.start for source in self.sources
        )

    def _batch(self) -> _Batch:
        batch = _Batch([], [])
        for source in self.sources:
            if source.end > source.start and source.condemned is None:
                taken = source.take()
                (batch.control if source.is_control else batch.payments).append(taken)
        firsts = [
            int(parts[0].timestamp_ms[0]) for _, parts in (*batch.control, *batch.payments) if parts
        ]
        self._oldest_ms = min(firsts, default=0)
        return batch

    async def _send(self, packing: Iterator[Packed]) -> int:
        """Send the log records one by one, each when the one before is acknowledged. Returns the rows."""
        rows = 0
        while True:
            begun_s = time.perf_counter()
            packed = next(packing, None)
            if packed is None:
                return rows
            metrics.pack_seconds.labels(self.name).observe(time.perf_counter() - begun_s)
            await self._acknowledge()
            failpoints.at("intake.packed")
            acknowledged = await self._producer.send(
                self.log.topic, packed.value, key=packed.key, partition=self.log.partition
            )
            failpoints.at("intake.sent")
            self._sent_at_s = time.monotonic()
            self._sent = _Sent(packed, acknowledged, self._sent_at_s, self._oldest_ms)
            rows += packed.rows

    async def _acknowledge(self) -> None:
        """Wait for the log record in flight, however long: the producer tries until it is told."""
        if self._sent is None:
            return
        packed, future, at_s, _ = self._sent
        while not (await asyncio.wait([future], timeout=SLOW_S))[0]:
            waited_s = round(time.monotonic() - at_s)
            _log.warning("log_does_not_answer", netting_set=self.name, waited_s=waited_s)
        future.result()
        failpoints.at("intake.acknowledged")
        self._sent = None
        for span in packed.spans:
            self._acknowledged[TopicPartition(span.topic, span.partition)] = span.end
        self._count(packed, time.monotonic() - at_s)

    def _count(self, packed: Packed, acknowledged_s: float) -> None:
        name, kind = self.name, "payments" if packed.key == payments.KEY else "control"
        metrics.acknowledge_seconds.labels(name).observe(acknowledged_s)
        metrics.records.labels(name, kind).inc(packed.records)
        metrics.rows.labels(name, kind).inc(packed.rows)
        metrics.log_records.labels(name, kind).inc()
        metrics.log_bytes.labels(name).inc(len(packed.value))
        metrics.batch_rows.labels(name).observe(packed.rows)
        for code, count in Counter(packed.reject_codes).items():
            metrics.rejects.labels(name, REASONS[Code(code)].iso).inc(count)
