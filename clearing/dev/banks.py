"""Simulated banks: each publishes its streams with a plain Kafka producer and reads what it is told.

Deliberately nothing of clearing.client: a bank may use any Kafka library in any language, and what is proved
with these banks is proved for all.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from clearing import kafka, security
from clearing.dev.tally import Tally
from clearing.dev.tasks import task_group
from clearing.dev.told import Listener, Told
from clearing.dev.workload import Stream
from clearing.names import Topics

CHUNK_ROWS = 2_000
CHUNK_S = 0.05  # how often a paced bank sends; seldom costs everybody less
BATCH_BYTES = 1 << 20
PATIENCE_MS = 120_000  # a bank whose broker is down sends it later: what it planned is sent
POLL_MS = 100


class Banks:
    """All banks of a workload. scales: decimals of each asset. also: banks without a stream, that listen too.

    planned: what becomes of messages that are no stream's, see `send`. chunk_s: how often a paced bank sends.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Topics,
        streams: Sequence[Stream],
        scales: dict[str, int],
        also: Iterable[str] = (),
    ) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._names = sorted({stream.bank for stream in streams} | set(also))
        self._dealings = {stream.netting_set: stream.dealings for stream in streams}
        self._drawing = 0  # streams that still have rows to draw
        self._enough = False
        self.streams = streams
        self.scales = scales
        self.published = Tally()
        self.planned = Tally()
        self.chunk_s = CHUNK_S
        self.listener = Listener(scales)

    @property
    def told(self) -> Told:
        return self.listener.told

    async def publish(self, rows: int, rows_per_s: float = 0) -> None:
        """Publish `rows` rows over all streams at this pace (0: as fast as it goes), with all that they bring
        with them and whatever answers what banks hear; all acknowledged."""
        shares = split(rows, len(self.streams))
        total = max(1, rows)
        self._drawing = len(self.streams)
        async with task_group() as group:
            for stream, share in zip(self.streams, shares, strict=True):
                group.create_task(self._publish(stream, share, rows_per_s * share / total))

    def finish(self) -> None:
        """Draw no more rows, however many were to be published: what was meant to happen meanwhile has happened."""
        self._enough = True

    async def _publish(self, stream: Stream, rows: int, rows_per_s: float) -> None:
        topic = self._topics.payments(stream.netting_set, stream.bank)
        began, drawn = time.monotonic(), 0
        async with kafka.started(self._producer(stream.bank)) as producer:
            while drawn < rows and not self._enough:
                ahead_s = (drawn / rows_per_s if rows_per_s else 0.0) - (time.monotonic() - began)
                if ahead_s > 0:
                    await asyncio.sleep(ahead_s)
                chunk = int(rows_per_s * self.chunk_s) if rows_per_s else CHUNK_ROWS
                chunk = min(rows - drawn, max(1, min(chunk, CHUNK_ROWS)))
                await self._send(producer, topic, stream, chunk)
                drawn += chunk
            stream.finish()
            self._drawing -= 1
            while stream.owes or not self._is_done():
                if stream.owes:
                    await self._send(producer, topic, stream, 0)
                else:
                    await asyncio.sleep(CHUNK_S)

    @property
    def unsaid(self) -> str:
        """What is still to be sent, for whoever waits for it."""
        owed = sum(stream.owes for stream in self.streams)
        due = {stream.bank: stream.due for stream in self.streams if stream.due}
        return f"banks that draw {self._drawing}, that owe {owed}; answers to what is not heard: {due or 'none'}"

    def _is_done(self) -> bool:
        """Nobody will have anything to say any more."""
        return not self._drawing and not any(stream.due or stream.owes for stream in self.streams)

    async def _send(
        self, producer: AIOKafkaProducer, topic: str, stream: Stream, rows: int
    ) -> None:
        before = stream.taken
        values = stream.take(rows)
        self.listener.sample(values[-1])
        await send(producer, topic, values)
        self.published.rows += stream.taken - before
        self.published.records += len(values)

    def _producer(self, bank: str) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=f"bank-{bank}",
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=PATIENCE_MS,
            **security.in_use().arguments(),
        )

    async def send(self, netting_set: str, bank: str, *values: bytes) -> None:
        """Messages of a row each that no stream has made; `planned` is for the caller to keep."""
        topic = self._topics.payments(netting_set, bank)
        async with kafka.started(self._producer(bank)) as producer:
            await send(producer, topic, values)
        for tally in (self.published, self.planned):
            tally.rows += len(values)
            tally.records += len(values)

    def plan(self) -> Tally:
        """What must have become of everything published so far."""
        whole = Tally()
        for tally in (*(stream.tally for stream in self.streams), self.planned):
            whole.add(tally)
        return whole

    async def follow(self, started: asyncio.Event) -> None:
        """Read the status topics of all banks, from where they end now, until cancelled."""
        partitions = {TopicPartition(self._topics.status(bank), 0): bank for bank in self._names}
        reader = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            max_partition_fetch_bytes=4 << 20,
            fetch_max_bytes=4 << 20,  # of more, a busy machine has not read all before a time-out
            **security.in_use().arguments(),
        )
        async with kafka.started(reader):
            reader.assign(list(partitions))
            for partition, end in (await reader.end_offsets(list(partitions))).items():
                reader.seek(partition, end)
            started.set()
            while True:
                records = await reader.getmany(timeout_ms=POLL_MS, max_records=500)
                for partition, of in records.items():
                    for record in of:
                        self._hear(partitions[partition], record.value or b"")
                    await asyncio.sleep(0)

    def _hear(self, bank: str, value: bytes) -> None:
        """Count what a bank is told, and let it answer."""
        message = self.listener.hear(bank, value)
        if message is not None and message.netting_set in self._dealings:
            self._dealings[message.netting_set].heard(message)


async def send(producer: AIOKafkaProducer, topic: str, values: Sequence[bytes]) -> None:
    """Send values as record batches, in order, and wait until all are acknowledged.

    A batch is filled here and not by producer.send(): a third of the CPU for each record.
    """
    acknowledged: list[asyncio.Future[object]] = []
    batch = producer.create_batch()
    for value in values:
        if batch.append(key=None, value=value, timestamp=None) is None:
            acknowledged.append(await producer.send_batch(batch, topic, partition=0))
            batch = producer.create_batch()
            appended = batch.append(key=None, value=value, timestamp=None)
            assert appended is not None, f"a record of {len(value)} bytes fits no batch"
    if batch.record_count():
        acknowledged.append(await producer.send_batch(batch, topic, partition=0))
    await asyncio.gather(*acknowledged)


def split(rows: int, parts: int) -> list[int]:
    """Shares of unequal banks: the first sends twice as much as the last; together exactly `rows`."""
    weights = [2 * parts - i for i in range(parts)]
    shares = [rows * weight // sum(weights) for weight in weights]
    shares[0] += rows - sum(shares)
    return shares
