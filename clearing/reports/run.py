"""Reports and reconciliation of a running installation: which netting sets, which readers. Read only."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka import TopicPartition

from clearing.asof import History, time_of
from clearing.config import Settings
from clearing.core.outputs import SettlementBatch, WindowEvent
from clearing.engine.snapshots import SnapshotStore
from clearing.explain.topics import first_at, prober
from clearing.log.records import EVENT_KEY, decode_event, decode_settlement
from clearing.names import Topics
from clearing.reading import Reader, partitions
from clearing.reports.breaks import Reconciled
from clearing.reports.collect import DayCollector, Readers, Tell
from clearing.reports.days import Day
from clearing.reports.model import DayReport
from clearing.reports.reconcile import Reconciliation
from clearing.verify.ledger import BooksToRead, PostgresBooks
from clearing.verify.spooled import Shelf

CLIENT = "clearing-report"


async def day_reports(
    settings: Settings, netting_sets: dict[str, int], day: Day, tell: Tell
) -> list[DayReport]:
    """The day of each netting set, by name. Raises KafkaError, ValueError on records that are none of ours."""
    async with _readers(settings) as readers:
        return [
            await DayCollector(
                readers,
                settings.topics,
                name,
                partition,
                History(
                    settings.topics,
                    name,
                    partition,
                    SnapshotStore(settings.snapshot_folder, settings.topic_prefix, name),
                ),
                tell,
            ).report(day)
            for name, partition in sorted(netting_sets.items())
        ]


@asynccontextmanager
async def _readers(settings: Settings) -> AsyncIterator[Readers]:
    async with (
        partitions(settings.bootstrap, CLIENT) as outputs,
        partitions(settings.bootstrap, CLIENT) as log,
        prober(settings.bootstrap) as probe,
    ):
        yield Readers(outputs, log, probe)


async def reconcile(
    settings: Settings,
    netting_sets: dict[str, int],
    grace_s: float,
    tell: Tell,
    since_ms: int | None = None,
) -> list[Reconciled]:
    """Each netting set, by name; with the ledger if settings.dsn is given. Raises KafkaError, asyncpg's errors.

    since_ms: read the journal from then on.
    """

    def books(name: str) -> BooksToRead:
        return PostgresBooks(settings.dsn, name)

    async with partitions(settings.bootstrap, CLIENT) as reader:
        return [
            await reconcile_topics(
                reader,
                settings.topics,
                name,
                partition,
                books if settings.dsn else None,
                grace_ms=round(grace_s * 1000),
                now_ms=time.time_ns() // 1_000_000,
                tell=tell,
                since_ms=since_ms,
            )
            for name, partition in sorted(netting_sets.items())
        ]


async def reconcile_topics(
    reader: Reader,
    topics: Topics,
    netting_set: str,
    partition: int,
    books: Callable[[str], BooksToRead] | None,
    *,
    grace_ms: int,
    now_ms: int,
    tell: Tell,
    since_ms: int | None = None,
) -> Reconciled:
    """One netting set: where settlements end first, then the journal, settlements to there, the ledger.

    So that each book that is read later knows of all that the ones before have. Entries of batches and windows wait
    in a temporary file, the rest is a few hundred bytes a batch.
    """
    found, shelf = Reconciliation(netting_set, now_ms, grace_ms, since_ms), Shelf()
    journal, settlements = (
        TopicPartition(topic, partition) for topic in (topics.journal, topics.settlements)
    )
    first, end = (await reader.bounds([settlements]))[settlements]
    begin = None if since_ms is None else await first_at(reader, journal, since_ms, time_of)
    async for records in reader.chunks(journal, begin):
        for record in records:
            if record.key == EVENT_KEY:
                event = decode_event(record.value or b"")
                found.take_event(shelf.lines(event) if isinstance(event, WindowEvent) else event)
        tell(f"{netting_set}, journal to offset {records[-1].offset + 1:,}")
    found.settlements_end = end
    async for records in reader.chunks(settlements, first, end):
        for record in records:
            message = decode_settlement(record.value or b"")
            if isinstance(message, SettlementBatch):
                found.take_batch(shelf.lines(message), record.offset)
        tell(f"{netting_set}, settlements to offset {records[-1].offset + 1:,} of {end:,}")
    if books is not None:
        tell(f"{netting_set}, the ledger")
        await books(netting_set).into(found)
    return found.result(with_ledger=books is not None)
