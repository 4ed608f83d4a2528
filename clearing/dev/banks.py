"""Simulated banks: each publishes its streams with a plain Kafka producer and reads what it is told.

Deliberately nothing of clearing.client: a bank may use any Kafka library in any language, and what is proved
with these banks is proved for all.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from clearing import kafka
from clearing.core.money import parse
from clearing.dev.tasks import task_group
from clearing.dev.workload import Stream, Tally
from clearing.messages import StatusMessage, StatusRecord
from clearing.names import Topics

CHUNK_ROWS = 2_000
CHUNK_S = 0.05  # how often a paced bank sends
BATCH_BYTES = 1 << 20
POLL_MS = 100
LATENCIES_KEPT = 100_000

_decode = msgspec.json.Decoder(StatusMessage).decode


@dataclass(slots=True)
class Told:
    """What banks were told, over all banks. nets: minor units of windows that became final (ACSC)."""

    rows: int = 0
    accepted: int = 0
    repeated: int = 0
    receipts: int = 0
    reasons: Counter[str] = field(default_factory=Counter[str])
    nets: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    finals: int = 0
    unsettled: int = 0  # windows a ledger refused
    doubled: int = 0  # records told again (at least once): dropped here by their sequence
    latencies_s: list[float] = field(default_factory=list[float])


class Banks:
    """All banks of a workload. scales: decimals of each asset."""

    def __init__(
        self, bootstrap: str, topics: Topics, streams: Sequence[Stream], scales: dict[str, int]
    ) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self.streams = streams
        self.scales = scales
        self.published = Tally()
        self.told = Told()
        self._asked: dict[str, float] = {}  # id of a sampled payment → when it was sent
        self._marks: dict[tuple[str, str], tuple[int, int]] = {}

    async def publish(self, rows: int, rows_per_s: float = 0) -> None:
        """Publish `rows` rows over all streams at this pace (0: as fast as it goes); all acknowledged."""
        shares = split(rows, len(self.streams))
        total = max(1, rows)
        async with task_group() as group:
            for stream, share in zip(self.streams, shares, strict=True):
                group.create_task(self._publish(stream, share, rows_per_s * share / total))

    async def _publish(self, stream: Stream, rows: int, rows_per_s: float) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=f"bank-{stream.bank}",
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
        )
        topic = self._topics.payments(stream.netting_set, stream.bank)
        began, sent = time.monotonic(), 0
        async with kafka.started(producer):
            while sent < rows:
                ahead_s = (sent / rows_per_s if rows_per_s else 0.0) - (time.monotonic() - began)
                if ahead_s > 0:
                    await asyncio.sleep(ahead_s)
                chunk = int(rows_per_s * CHUNK_S) if rows_per_s else CHUNK_ROWS
                chunk = min(rows - sent, max(1, min(chunk, CHUNK_ROWS)))
                before = stream.tally.rows
                values = stream.take(chunk)
                self._sample(values)
                await send(producer, topic, values)
                sent += stream.tally.rows - before
                self.published.rows += chunk
                self.published.records += len(values)

    def plan(self) -> Tally:
        """What must have become of everything published so far."""
        whole = Tally()
        for stream in self.streams:
            whole.add(stream.tally)
        return whole

    def _sample(self, values: list[bytes]) -> None:
        """Remember when one payment of this chunk was sent."""
        place = values[-1].find(b'"id":"') + 6
        if place > 5 and len(self._asked) < LATENCIES_KEPT:
            self._asked[values[-1][place : place + 36].decode("ascii", "replace")] = (
                time.monotonic()
            )

    async def follow(self, started: asyncio.Event) -> None:
        """Read the status topics of all banks, from where they end now, until cancelled."""
        banks = sorted({stream.bank for stream in self.streams})
        partitions = {TopicPartition(self._topics.status(bank), 0): bank for bank in banks}
        reader = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            max_partition_fetch_bytes=4 << 20,
        )
        async with kafka.started(reader):
            reader.assign(list(partitions))
            for partition, end in (await reader.end_offsets(list(partitions))).items():
                reader.seek(partition, end)
            started.set()
            while True:
                records = await reader.getmany(timeout_ms=POLL_MS, max_records=50)
                for partition, of in records.items():
                    for record in of:
                        self._hear(partitions[partition], record.value or b"")
                    await asyncio.sleep(0)

    def _hear(self, bank: str, value: bytes) -> None:
        message, told = _decode(value), self.told
        place = (message.log_offset, message.index)
        if place <= self._marks.get((bank, message.netting_set), (-1, -1)):
            told.doubled += 1
            return
        self._marks[bank, message.netting_set] = place
        if isinstance(message, StatusRecord):
            self._hear_statuses(message)
            return
        if message.status != "ACSC":
            told.unsettled += 1
            return
        net = parse(message.net, self.scales[message.asset])
        assert net is not None, f"{bank} was told a net of {message.net!r}"
        told.finals += 1
        told.nets[bank, message.asset] += net

    def _hear_statuses(self, message: StatusRecord) -> None:
        told, now = self.told, time.monotonic()
        told.rows += len(message.statuses)
        told.receipts += len(message.receipts)
        for status in message.statuses:
            if status.repeat:
                told.repeated += 1
            elif status.status == "ACSP":
                told.accepted += 1
            else:
                told.reasons[status.reason] += 1
            if (asked := self._asked.pop(status.id, None)) is not None:
                told.latencies_s.append(now - asked)


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
