"""Looks at an installation from outside: topics, groups and, where it is given, the ledger. Decides nothing."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from clearing import kafka
from clearing.config import Settings
from clearing.core.outputs import WindowEvent
from clearing.halts import decode_halt
from clearing.log.records import EVENT_KEY, decode_event, decode_position
from clearing.messages import HaltRecord
from clearing.observe.groups import service_groups, services
from clearing.observe.journal import Journal
from clearing.observe.lag import lags, ledger_progress
from clearing.observe.probe import prober
from clearing.observe.report import Lag, OpenWindow, StatusReport
from clearing.observe.sampler import Sampler, decode_window, sampler
from clearing.observe.transactions import open_transactions
from clearing.observe.views import UNREADABLE_KEPT, Latest
from clearing.reading import Partitions
from clearing.scheme.directory import read_directory
from clearing.views.model import Outlook

JOURNAL_TAIL_RECORDS = 5_000
SECOND_LOOK_S = 1.0

T = TypeVar("T")


class Observer:
    """Built by `observer()`. Each collect() reads on from where the one before stopped."""

    def __init__(
        self,
        settings: Settings,
        reader: Partitions,
        probe: AIOKafkaConsumer,
        client: AIOKafkaAdminClient,
        sampler: Sampler,
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._probe = probe
        self._client = client
        self._sampler = sampler
        topics = settings.topics
        self._windows: Latest[WindowEvent] = Latest(topics.windows, decode_window)
        self._positions = Latest(topics.positions, decode_position)
        self._halts = Latest(topics.halts, decode_halt)
        self._unreadable: deque[str] = deque(maxlen=UNREADABLE_KEPT)
        self._unknown: list[str] = []
        self._journal_next: dict[int, int] = {}
        self._journal = Journal()

    async def collect(self) -> StatusReport:
        """How things stand; `unknown` says what could not be learned.

        Raises KafkaError where not even the directory of netting sets can be read.
        """
        settings, topics = self._settings, self._settings.topics
        self._unknown = []
        directory = await read_directory(settings.bootstrap, topics)
        partitions = sorted(directory.values())
        groups = await self._learn("services, lag", service_groups(self._client, topics), None)
        members = services(self._client, groups) if groups else None
        found = await self._lags(directory, groups) if groups else []
        windows = await self._learn("windows", self._windows.refresh(self._reader, partitions), [])
        positions = await self._learn(
            "positions", self._positions.refresh(self._reader, partitions), []
        )
        halts = await self._learn("halts", self._read_halts(partitions), [])
        await self._learn("what was settled and what waits", self._read_journal(partitions), None)
        views = (self._windows, self._positions, self._halts)
        at_ms = int(time.time() * 1000)
        return StatusReport(
            bootstrap=settings.bootstrap,
            at_ms=at_ms,
            netting_sets=directory,
            services=await self._learn("services", members, []) if members else [],
            lags=found,
            windows=[_open(event, at_ms) for event in windows],
            ended=self._journal.ended(),
            positions=positions,
            deadlocks=self._journal.deadlocks(positions),
            shortfalls=self._journal.shortfalls(),
            proposals=self._journal.proposals(),
            halts=halts,
            unreadable=[*(said for view in views for said in view.unreadable), *self._unreadable],
            open_transactions=await self._learn(
                "transactions", open_transactions(self._client, topics, at_ms), []
            ),
            outlooks=await self._learn("whether cut-offs are made", self._outlooks(), []),
            unknown=self._unknown,
        )

    async def _learn(self, what: str, work: Awaitable[T], otherwise: T) -> T:
        """What it comes to; where Kafka does not tell, that is said, and the rest is shown."""
        try:
            return await work
        except (KafkaError, OSError, TimeoutError) as error:
            self._unknown.append(f"{what}: {str(error) or type(error).__name__}")
            return otherwise

    async def _lags(self, directory: dict[str, int], groups: dict[str, list[str]]) -> list[Lag]:
        """A ledger that does not answer is no reason to know nothing: the sink's group tells too, a little late."""
        settings = self._settings
        try:
            in_ledger = await ledger_progress(settings.dsn)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            said = str(error) or type(error).__name__
            self._unknown.append(f"how far the ledger is, its sink's group is shown: {said}")
            in_ledger = {}
        work = lags(self._probe, self._client, settings, directory, groups, in_ledger)
        return await self._learn("lag", work, [])

    async def _read_halts(self, partitions: list[int]) -> list[HaltRecord]:
        if self._settings.topics.halts not in await self._reader.topics():
            return []  # one who asks for it may make it
        return await self._halts.refresh(self._reader, partitions)

    async def _outlooks(self) -> list[Outlook]:
        """How fast something drains shows only from two looks: the first takes both, if anything waits."""
        outlooks = (await self._sampler.sample()).outlooks
        if any(one.verdict == "UNKNOWN" for one in outlooks):
            await asyncio.sleep(SECOND_LOOK_S)
            outlooks = (await self._sampler.sample()).outlooks
        return outlooks

    async def _read_journal(self, partitions: list[int]) -> None:
        """Events since the last look; at the first one only those of the journal's tail."""
        journals = [TopicPartition(self._settings.topics.journal, number) for number in partitions]
        for journal, (first, end) in (await self._reader.bounds(journals)).items():
            number = journal.partition
            start = self._journal_next.get(number, max(first, end - JOURNAL_TAIL_RECORDS))
            async for records in self._reader.chunks(journal, start, end):
                for record in records:
                    if record.key != EVENT_KEY or not record.value:
                        continue
                    try:
                        self._journal.take(decode_event(record.value))
                    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                        where = f"{journal.topic}-{number} offset {record.offset}"
                        self._unreadable.append(f"{where} cannot be read: {error}")
            self._journal_next[number] = max(start, end)


def _open(event: WindowEvent, at_ms: int) -> OpenWindow:
    left_s = (event.cutoff_ms - at_ms) / 1000 if event.cutoff_ms else None
    return OpenWindow(
        netting_set=event.netting_set,
        asset=event.asset,
        window=event.window,
        opened_at_ms=event.opened_at_ms,
        cutoff_ms=event.cutoff_ms,
        cutoff_in_s=left_s,
    )


@asynccontextmanager
async def observer(settings: Settings) -> AsyncIterator[Observer]:
    """An observer with its clients, which are stopped at the end."""
    async with AsyncExitStack() as clients:
        client = await clients.enter_async_context(kafka.administration(settings.bootstrap))
        reading = kafka.consumer(settings.bootstrap, client="clearing-status")
        probing = prober(settings.bootstrap)
        reader = Partitions(await clients.enter_async_context(kafka.started(reading)))
        probe = await clients.enter_async_context(kafka.started(probing))
        sampling = await clients.enter_async_context(sampler(settings))
        yield Observer(settings, reader, probe, client, sampling)


async def collect(settings: Settings) -> StatusReport:
    """Look once."""
    async with observer(settings) as one:
        return await one.collect()
