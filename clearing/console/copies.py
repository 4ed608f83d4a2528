"""Copies of the netting sets' states, live ones kept up with the journal, and past ones rebuilt from the log.

Everything that looks into a state is done where it is kept, in a workshop's thread, and leaves as values.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar
from uuid import UUID

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from clearing.asof import History
from clearing.config import Settings
from clearing.console.workshop import Workshop
from clearing.engine.snapshots import SnapshotStore
from clearing.explain.story import Story
from clearing.explain.topics import TopicStories, first_at, prober
from clearing.live import Follower, Live
from clearing.reading import Partitions, Reader, partitions
from clearing.views.model import LagSample, decode_lag

LAG_GAP_MS = 60_000
LAG_BACK = 10  # samples

T = TypeVar("T")


class _Bench:
    """A workshop with a reader of topics. The reader is made with the first question, anew after an error."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings = settings
        self._name = name
        self._workshop = Workshop(name)
        self._clients: AsyncExitStack | None = None
        self._reader: Partitions | None = None
        self._probe: Partitions | None = None

    def store(self, netting_set: str) -> SnapshotStore:
        settings = self.settings
        return SnapshotStore(settings.snapshot_folder, settings.topic_prefix, netting_set)

    async def do(self, work: Callable[[Partitions, Partitions], Awaitable[T]]) -> T:
        """In the thread: with a reader, and one that fetches little."""

        async def here() -> T:
            reader, probe = await self._open()
            try:
                return await work(reader, probe)
            except (KafkaError, asyncio.CancelledError):
                await self.close()
                raise

        return await self._workshop.do(here)

    async def _open(self) -> tuple[Partitions, Partitions]:
        if self._reader is None or self._probe is None:
            async with AsyncExitStack() as opening:
                bootstrap = self.settings.bootstrap
                reader = await opening.enter_async_context(
                    partitions(bootstrap, "clearing-console")
                )
                probe = await opening.enter_async_context(prober(bootstrap))
                self._clients = opening.pop_all()
                self._reader, self._probe = reader, probe
        return self._reader, self._probe

    async def close(self) -> None:
        clients, self._clients = self._clients, None
        self._reader = self._probe = None
        if clients is not None:
            await clients.aclose()

    async def stop(self) -> None:
        await self._workshop.stop(self.close)


class Copies:
    """Of the netting sets of an installation: how they stand, how they stood, and the lives of payments."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._live = _Bench(settings, "copies of the state")
        self._past = _Bench(settings, "the past")
        self._lives = _Bench(settings, "lives of payments")
        self._followers: dict[str, tuple[Partitions, Follower]] = {}
        self._histories: dict[str, History] = {}

    async def live(
        self,
        netting_set: str,
        partition: int,
        look: Callable[[Live], T],
        *,
        entered: bool = False,
    ) -> T:
        """What `look` makes of the state now; it must not change it, nor keep any of it. Raises Halt, KafkaError.

        entered: it is to be known when what waits entered.
        """

        async def work(reader: Partitions, probe: Partitions) -> T:
            read_by, follower = self._followers.pop(netting_set, (None, None))
            if follower is None or read_by is not reader:
                topics, store = self._settings.topics, self._live.store(netting_set)
                follower = Follower(reader, topics, netting_set, partition, store)
            live = await follower.refresh()
            self._followers[netting_set] = reader, follower  # only if nothing was wrong with it
            if entered:
                await follower.look_up_entered(live)
            return look(live)

        return await self._live.do(work)

    async def past(
        self, netting_set: str, partition: int, at_ms: int, look: Callable[[Live], T]
    ) -> T:
        """The same of the state as of then. Raises TooFar, Halt, KafkaError."""

        async def work(reader: Partitions, probe: Partitions) -> T:
            history = self._history(netting_set, partition)
            return look(await history.at(reader, probe, at_ms))

        return await self._past.do(work)

    async def bounds_ms(self, netting_set: str, partition: int) -> tuple[int, int] | None:
        """First and last moment of which there is a state; None: nothing is committed yet."""

        async def work(reader: Partitions, probe: Partitions) -> tuple[int, int] | None:
            return await self._history(netting_set, partition).bounds_ms(reader)

        return await self._past.do(work)

    def _history(self, netting_set: str, partition: int) -> History:
        topics, store = self._settings.topics, self._past.store(netting_set)
        return self._histories.setdefault(
            netting_set, History(topics, netting_set, partition, store)
        )

    async def story(self, netting_set: str, partition: int, payment: UUID) -> Story | None:
        """The life of a payment; None where the netting set does not know it."""

        async def work(reader: Partitions, probe: Partitions) -> Story | None:
            topics, store = self._settings.topics, self._lives.store(netting_set)
            return await TopicStories(reader, probe, topics, netting_set, partition, store).story(
                payment
            )

        return await self._lives.do(work)

    async def lag_at(self, at_ms: int) -> LagSample | None:
        """The last sample of that time or before; None where none is kept."""
        topic = self._settings.topics.view("lag")

        async def work(reader: Partitions, probe: Partitions) -> LagSample | None:
            if topic not in await reader.topics():
                return None
            return await lag_sample_at(reader, probe, TopicPartition(topic, 0), at_ms)

        return await self._past.do(work)

    async def read(self, work: Callable[[Partitions], Awaitable[T]]) -> T:
        """Read from topics because somebody asks: a batch, bytes that could not be read, the audit log."""
        return await self._lives.do(lambda reader, _: work(reader))

    async def stop(self) -> None:
        for bench in (self._live, self._past, self._lives):
            await bench.stop()


async def lag_sample_at(
    reader: Reader, probe: Reader, samples: TopicPartition, at_ms: int
) -> LagSample | None:
    """The last sample not after at_ms; None: none is, or that one is more than LAG_GAP_MS older."""
    behind = await first_at(probe, samples, at_ms + 1, _sampled_ms)
    first, end = (await reader.bounds([samples]))[samples]
    found: LagSample | None = None
    async for records in reader.chunks(samples, max(first, behind - LAG_BACK), end):
        for record in records:
            sample = decode_lag(record.value or b"")
            if sample.at_ms > at_ms:
                return found
            found = sample if at_ms - sample.at_ms <= LAG_GAP_MS else None
    return found


def _sampled_ms(value: bytes) -> int | None:
    try:
        return decode_lag(value).at_ms
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
