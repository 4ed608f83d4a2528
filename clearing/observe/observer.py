"""Looks at an installation from outside: topics, groups and, where it is given, the ledger. Decides nothing."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from clearing import kafka
from clearing.config import Settings
from clearing.core.outputs import WindowEvent
from clearing.halts import decode_halt
from clearing.log.records import EVENT_KEY, decode_event, decode_position
from clearing.messages import HaltRecord
from clearing.observe.groups import service_groups, services
from clearing.observe.journal import Journal
from clearing.observe.lag import lags
from clearing.observe.probe import prober
from clearing.observe.report import OpenWindow, StatusReport
from clearing.observe.sampler import Sampler, decode_window, sampler
from clearing.observe.transactions import open_transactions
from clearing.observe.views import UNREADABLE_KEPT, Latest
from clearing.reading import Partitions
from clearing.scheme.directory import read_directory
from clearing.views.model import Outlook

JOURNAL_TAIL_RECORDS = 5_000
SECOND_LOOK_S = 1.0


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
        self._journal_next: dict[int, int] = {}
        self._journal = Journal()

    async def collect(self) -> StatusReport:
        """How things stand. Raises KafkaError, asyncpg's errors."""
        settings = self._settings
        directory = await read_directory(settings.bootstrap, settings.topics)
        partitions = sorted(directory.values())
        groups = await service_groups(self._client, settings.topics)
        found = await lags(self._probe, self._client, settings, directory, groups)
        windows = await self._windows.refresh(self._reader, partitions)
        positions = await self._positions.refresh(self._reader, partitions)
        halts: list[HaltRecord] = []
        if settings.topics.halts in await self._reader.topics():  # one who asks for it may make it
            halts = await self._halts.refresh(self._reader, partitions)
        await self._read_journal(partitions)
        views = (self._windows, self._positions, self._halts)
        at_ms = int(time.time() * 1000)
        return StatusReport(
            bootstrap=settings.bootstrap,
            at_ms=at_ms,
            netting_sets=directory,
            services=await services(self._client, groups),
            lags=found,
            windows=[_open(event, at_ms) for event in windows],
            ended=self._journal.ended(),
            positions=positions,
            deadlocks=self._journal.deadlocks(positions),
            shortfalls=self._journal.shortfalls(),
            proposals=self._journal.proposals(),
            halts=halts,
            unreadable=[*(said for view in views for said in view.unreadable), *self._unreadable],
            open_transactions=await open_transactions(self._client, settings.topics, at_ms),
            outlooks=await self._outlooks(),
        )

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
