"""One netting set at one ledger, for as long as this process owns it: own, seek, post, confirm.

settlements (read_committed) → ledger → confirmations. The ledger says where to read on, never the consumer
group; a confirmation leaves after the ledger's commit. Built and stopped by clearing.ledgers.sink. Every
doubt ends the session: its clients are thrown away and a new one starts from what the ledger remembers.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from enum import Enum

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from clearing import failpoints, kafka
from clearing.config import Settings
from clearing.core.commands import Confirmation
from clearing.core.faults import Halt, HaltKind
from clearing.failures import Failure
from clearing.heartbeats import vitals
from clearing.ledgers import metrics
from clearing.ledgers.chain import BatchRecord, LedgerRecord, Progress, read
from clearing.ledgers.ledger import (
    Ledger,
    LedgerUnavailable,
    OpenLedger,
    Source,
    StaleOwner,
)
from clearing.metadata import learn
from clearing.reading import bounds

POLL_MS = 500  # an idle reader; a record that arrives ends the wait
RECORDS_PER_POLL = 500
ENTRIES_PER_TRANSACTION = 2_000  # catching up: enough to share a commit, few enough to stay quick
CONFIRMATIONS_PER_PAGE = 500
PUBLISH_TIMEOUT_S = 30
END_PATIENCE_S = 5.0  # a broker that has just started may not know its end yet
RETRY_S_FIRST, RETRY_S_MAX = 0.05, 5.0

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Ended(Enum):
    """Why a tenure ended by itself."""

    FENCED = "fenced"  # another owner took over
    HALTED = "halted"  # something is wrong that a person has to look at: its `fault` says what


class Tenure:
    """owner: host and process, for people. position: where its reader stands, for lag tools; None before it
    owns. ended_s: when it ended, on the monotonic clock; fault: the error at which it halted. passed: told the next
    offset of the topic whenever it has gone on."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        ledger: str,
        owner: str,
        open_ledger: OpenLedger,
        passed: Callable[[int], None] = lambda next_offset: None,
    ) -> None:
        self.source = source
        self.position: int | None = None
        self.ended_s = 0.0
        self.fault: Exception | None = None
        self._passed = passed
        self._settings = settings
        self._ledger_name = ledger
        self._owner = owner
        self._open_ledger = open_ledger
        self._held: int | None = None
        self._retry_s = RETRY_S_FIRST
        self._partition = TopicPartition(source.topic, source.partition)
        self._labels = (ledger, source.netting_set)
        self._log = _log.bind(ledger=ledger, netting_set=source.netting_set)

    async def run(self) -> Ended:
        """Post until cancelled; returns when another owner took over, or on a halt."""
        try:
            while True:
                try:
                    await self._session()
                except (LedgerUnavailable, KafkaError, OSError, TimeoutError) as error:
                    metrics.doubts.labels(*self._labels).inc()
                    self._log.warning("doubt", error=repr(error), retry_s=self._retry_s)
                    await asyncio.sleep(self._retry_s)
                    self._retry_s = min(2 * self._retry_s, RETRY_S_MAX)
        except StaleOwner as error:
            metrics.fenced.labels(*self._labels).inc()
            self._log.warning("fenced", error=str(error))
            return Ended.FENCED
        except Failure as error:  # it answers, and is no ledger that can be posted to
            self.fault = Halt(HaltKind.LEDGER_CONFLICT, error.message)
            return Ended.HALTED
        except Exception as error:  # a Halt, or a bug, which is no better a reason to go on
            self.fault = error
            return Ended.HALTED
        finally:
            self.ended_s = time.monotonic()
            metrics.owned.labels(*self._labels).set(0)
            vitals.leaves(self.source.netting_set)
            metrics.epoch.labels(*self._labels).set(0)

    async def _session(self) -> None:
        """From taking ownership to the first doubt, with clients of its own."""
        async with AsyncExitStack() as clients:
            ledger = await clients.enter_async_context(
                self._open_ledger(self._settings, self._ledger_name)
            )
            progress = await ledger.take_ownership(self.source, self._owner, self._held)
            self._held, self.position = progress.epoch, progress.next_offset
            metrics.epoch.labels(*self._labels).set(progress.epoch)
            metrics.owned.labels(*self._labels).set(1)
            vitals.serves(
                self.source.netting_set, epoch=progress.epoch, next_offset=progress.next_offset
            )
            self._log.info("owned", epoch=progress.epoch, next_offset=progress.next_offset)
            failpoints.at("sink.owned")

            bootstrap, client = self._settings.bootstrap, f"clearing-sink-{self._ledger_name}"
            consumer = kafka.consumer(
                bootstrap, client=client, fetch_max_wait_ms=POLL_MS, **kafka.AT_A_DISTANCE
            )
            reader = await clients.enter_async_context(
                kafka.started(consumer, self._partition.topic)
            )
            producer = kafka.producer(bootstrap, client=client)
            clients.push_async_callback(kafka.discard, producer, timeout_s=2.0)
            await producer.start()
            await learn(producer, [self._settings.topics.confirmations])

            await self._check_bounds(reader, progress)
            self._passed(progress.next_offset)
            reader.assign([self._partition])
            reader.seek(self._partition, progress.next_offset)
            while missed := await ledger.unconfirmed(self.source, CONFIRMATIONS_PER_PAGE):
                await self._confirm(ledger, producer, missed)
            while True:
                await self._cycle(reader, ledger, producer)

    async def _check_bounds(self, reader: AIOKafkaConsumer, progress: Progress) -> None:
        """The place to read on must still be in the topic (F14). Raises Halt."""
        deadline = asyncio.get_running_loop().time() + END_PATIENCE_S
        while True:
            first, end = (await bounds(reader, [self._partition]))[self._partition]
            if first <= progress.next_offset <= end:
                return
            if first > progress.next_offset:
                raise Halt(
                    HaltKind.LOG_LOST,
                    f"{self.source.topic}/{self.source.partition} begins at offset {first}, "
                    f"the ledger has to read on from {progress.next_offset}: records are lost (F14)",
                )
            if asyncio.get_running_loop().time() > deadline:
                raise Halt(
                    HaltKind.LOG_LOST,
                    f"{self.source.topic}/{self.source.partition} ends at offset {end}, "
                    f"the ledger has read up to {progress.next_offset}: its tail is lost (F14)",
                )
            await asyncio.sleep(0.2)

    async def _cycle(
        self, reader: AIOKafkaConsumer, ledger: Ledger, producer: AIOKafkaProducer
    ) -> None:
        """One poll: what it brought is posted and confirmed, up to the first record that cannot be read."""
        try:
            polled = await reader.getmany(
                self._partition, timeout_ms=POLL_MS, max_records=RECORDS_PER_POLL
            )
        except OffsetOutOfRangeError as error:
            raise LedgerUnavailable("offset out of range: look at the topic's bounds") from error
        raw: Sequence[kafka.RawRecord] = polled.get(self._partition, ())
        if raw:
            failpoints.at("sink.read")
        records: list[LedgerRecord] = []
        fault: Halt | None = None
        for record in raw:
            try:
                records.append(read(self.source.netting_set, record.offset, record.value))
            except Halt as error:
                fault = error.at(*self._partition, record.offset)
                break
        for part in _transactions(records):
            try:
                await self._post_and_confirm(ledger, producer, part)
            except Halt:
                for record in part:  # those before the one at fault are good
                    await self._post_one(ledger, producer, record)
        if fault is not None:
            raise fault
        await self._measure(reader, raw, records)

    async def _post_one(
        self, ledger: Ledger, producer: AIOKafkaProducer, record: LedgerRecord
    ) -> None:
        """Raises Halt with the record's place."""
        try:
            await self._post_and_confirm(ledger, producer, [record])
        except Halt as error:
            raise error.at(*self._partition, record.offset) from error

    async def _post_and_confirm(
        self, ledger: Ledger, producer: AIOKafkaProducer, records: Sequence[LedgerRecord]
    ) -> None:
        assert self._held is not None
        started = time.perf_counter()
        failpoints.at("sink.posting")
        posted = await ledger.post(self.source, self._held, records)
        failpoints.at("sink.posted")
        metrics.posting_seconds.labels(*self._labels).observe(time.perf_counter() - started)
        await self._confirm(ledger, producer, posted.confirmations)
        self._retry_s = RETRY_S_FIRST  # it got on: the next doubt is another one
        self._count(records, posted.confirmations)

    async def _confirm(
        self,
        ledger: Ledger,
        producer: AIOKafkaProducer,
        confirmations: Sequence[Confirmation],
    ) -> None:
        """Tell the engine, and once Kafka has it, remember that. Told twice is told once (batch id)."""
        if not confirmations:
            return
        async with asyncio.timeout(PUBLISH_TIMEOUT_S):
            acknowledged = [
                await producer.send(
                    self._settings.topics.confirmations,
                    _encode(confirmation),
                    key=confirmation.batch.encode(),
                    partition=self.source.partition,
                )
                for confirmation in confirmations
            ]
            failpoints.at("sink.confirmation.sent")
            await asyncio.gather(*acknowledged)
        failpoints.at("sink.confirmation.acknowledged")
        await ledger.mark_confirmed([confirmation.batch for confirmation in confirmations])
        failpoints.at("sink.confirmation.remembered")
        metrics.confirmations.labels(*self._labels).inc(len(confirmations))

    def _count(
        self, records: Sequence[LedgerRecord], confirmations: Sequence[Confirmation]
    ) -> None:
        answers = {confirmation.batch: confirmation for confirmation in confirmations}
        for record in records:
            if not isinstance(record, BatchRecord):
                metrics.accounts.labels(*self._labels).inc()
            elif answer := answers.get(record.batch.id):
                asset = record.batch.asset
                metrics.batches.labels(*self._labels, asset, answer.status).inc()
                if answer.status == "POSTED":
                    metrics.entries.labels(*self._labels, asset).inc(len(record.lines))
                self._log.info(
                    "batch",
                    status=answer.status,
                    reason=answer.reason,
                    asset=asset,
                    kind=record.batch.kind,
                    window=record.batch.window,
                    version=record.batch.version,
                    batch=answer.batch,
                    offset=record.offset,
                )

    async def _measure(
        self,
        reader: AIOKafkaConsumer,
        raw: Sequence[kafka.RawRecord],
        records: Sequence[LedgerRecord],
    ) -> None:
        """Lag by position: the topic's last offset may be a transaction marker, which is nothing to post."""
        now_s = time.time()
        self.position = await reader.position(self._partition)
        self._passed(self.position)
        vitals.reached(self.source.netting_set, self.position)
        end = reader.last_stable_offset(self._partition)
        lag = max(0, (end or 0) - self.position)
        metrics.lag_records.labels(*self._labels).set(lag)
        if raw or not lag:
            age_s = max(0.0, now_s - raw[-1].timestamp / 1000) if lag else 0.0
            metrics.lag_seconds.labels(*self._labels).set(age_s)
        for source, record in zip(raw, records, strict=True):
            if isinstance(record, BatchRecord) and record.batch.ledger == self._ledger_name:
                age_s = max(0.0, now_s - source.timestamp / 1000)
                metrics.confirmed_seconds.labels(*self._labels).observe(age_s)


def _transactions(records: Sequence[LedgerRecord]) -> Iterator[list[LedgerRecord]]:
    """Records in their order, cut so that a transaction stays quick; a batch is never cut."""
    part: list[LedgerRecord] = []
    entries = 0
    for record in records:
        size = len(record.lines) if isinstance(record, BatchRecord) else 1
        if part and entries + size > ENTRIES_PER_TRANSACTION:
            yield part
            part, entries = [], 0
        part.append(record)
        entries += size
    if part:
        yield part
