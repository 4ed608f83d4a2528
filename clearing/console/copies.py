"""Copies of the netting sets' states, live ones kept up with the journal, and past ones rebuilt from the log.

Everything that looks into a state is done where it is kept, in a workshop's thread, and leaves as values.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from clearing.asof import RECORDS_MOST, History
from clearing.config import Settings
from clearing.console.workshop import ANSWER_TIMEOUT_S, Workshop
from clearing.engine.snapshots import SnapshotStore
from clearing.explain.story import Story
from clearing.explain.topics import TopicStories, first_at, prober
from clearing.live import Follower, Live, Tell
from clearing.reading import Partitions, Reader, partitions
from clearing.views.model import LagSample, decode_lag

IDLE_S = 600.0  # so long a copy that nobody looks at is kept: it may be gigabytes, and is rebuilt when asked for
TIDY_EVERY_S = 30.0
SEARCH_TIMEOUT_S = 1_800.0  # for the life of a payment a log is read from its beginning
LAG_GAP_MS = 60_000
LAG_BACK = 10  # samples

T = TypeVar("T")


class _Bench:
    """A workshop with a reader of topics. The reader is made with the first question, anew after an error."""

    def __init__(self, settings: Settings, name: str, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self.settings = settings
        self._name = name
        self._workshop = Workshop(name, timeout_s)
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

    async def aside(self, work: Callable[[], Awaitable[None]]) -> None:
        """In the thread, if there is one and it has nothing to do."""
        if self._workshop.is_idle:
            await self._workshop.do(work)

    async def close(self) -> None:
        clients, self._clients = self._clients, None
        self._reader = self._probe = None
        if clients is not None:
            await clients.aclose()

    async def stop(self) -> None:
        await self._workshop.stop(self.close)


class Copies:
    """Of the netting sets of an installation: how they stand, how they stood, and the lives of payments.

    records_most: log records that are replayed for one look into the past. clock: seconds, never back.
    """

    def __init__(
        self,
        settings: Settings,
        records_most: int = RECORDS_MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._records_most = records_most
        self._clock = clock
        self._live = _Bench(settings, "copies of the state")
        self._past = _Bench(settings, "the past")
        self._reading = _Bench(settings, "reading of topics")
        self._lives = _Bench(settings, "lives of payments", SEARCH_TIMEOUT_S)
        self._followers: dict[str, tuple[Partitions, Follower]] = {}
        self._histories: dict[str, History] = {}
        self._followed_s: dict[str, float] = {}  # when somebody looked last
        self._went_back_s: dict[str, float] = {}

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
            self._followed_s[netting_set] = self._clock()
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
        self._went_back_s[netting_set] = self._clock()
        if netting_set not in self._histories:
            self._histories[netting_set] = History(
                topics, netting_set, partition, store, records_most=self._records_most
            )
        return self._histories[netting_set]

    @property
    def kept(self) -> tuple[list[str], list[str]]:
        """Netting sets of which a copy is kept: of now, of the past."""
        return sorted(self._followers), sorted(self._histories)

    async def keep_tidy(self) -> None:
        """Until cancelled: forget what nobody has looked at for IDLE_S."""
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            await self.tidy()

    async def tidy(self) -> None:
        """Forget copies that are idle, and the clients of a bench that has none left."""
        before_s = self._clock() - IDLE_S
        for bench, kept, used_s in (
            (self._live, self._followers, self._followed_s),
            (self._past, self._histories, self._went_back_s),
        ):
            idle = [name for name in kept if used_s[name] < before_s]
            if idle:
                await bench.aside(partial(_forget, bench, kept, idle))

    async def story(
        self, netting_set: str, partition: int, payment: UUID, tell: Tell
    ) -> Story | None:
        """The life of a payment; None where the netting set does not know it.

        tell: called in the thread, with how far it is; what it raises ends the search.
        """

        async def work(reader: Partitions, probe: Partitions) -> Story | None:
            topics, store = self._settings.topics, self._lives.store(netting_set)
            stories = TopicStories(reader, probe, topics, netting_set, partition, store, tell)
            return await stories.story(payment)

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
        return await self._reading.do(lambda reader, _: work(reader))

    async def stop(self) -> None:
        for bench in (self._live, self._past, self._reading, self._lives):
            await bench.stop()


async def _forget(bench: _Bench, kept: dict[str, Any], names: list[str]) -> None:
    """In the bench's thread, where a copy is taken apart without holding up the page."""
    for name in names:
        kept.pop(name, None)
    if not kept:
        await bench.close()


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
