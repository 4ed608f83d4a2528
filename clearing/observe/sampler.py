"""Lag as operators need it, once a look: records, seconds, money, pace, time to drain against the cut-off.

Built by `sampler()`, asked once a second by the views' timer (and by `clearing status`); decides nothing. What it
sees comes from topics, groups and ledger; how it is judged stands in behaviour, staging and outlook: pure.
"""

import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from clearing import kafka
from clearing.config import Settings
from clearing.core.outputs import Position, WindowEvent
from clearing.log.records import decode_event, decode_position
from clearing.observe import metrics
from clearing.observe.behaviour import Look, is_held_back
from clearing.observe.ends import Ends, Extent
from clearing.observe.gap import Gap, Worth, settlement_value
from clearing.observe.outlook import outlook
from clearing.observe.probe import Backlog, backlogs, prober
from clearing.observe.retention import Retention
from clearing.observe.round_trip import RoundTrip, round_trip
from clearing.observe.staging import (
    Track,
    befores,
    place,
    queue_lags,
    scales_of,
    stage_lag,
    told_sources,
)
from clearing.observe.standing import Ledger, Reader, Standing, standing
from clearing.observe.transactions import open_transactions
from clearing.observe.value import Means, value_of
from clearing.observe.views import Latest
from clearing.reading import FETCH_WAIT_MS, Bounds, Partitions
from clearing.scheme.directory import read_directory
from clearing.views.model import LagSample, Outlook, StageLag

DIRECTORY_EVERY_S = 10.0
LEARN_EVERY_S = 5.0  # when nothing waits, a record is read to know what payments are worth


class Sampler:
    """Built by `sampler()`. Remembers the last looks, so that behaviour can be told."""

    def __init__(
        self,
        settings: Settings,
        admin: AIOKafkaAdminClient,
        probe: AIOKafkaConsumer,
        reader: Partitions,
        ledger: Ledger,
        trip: RoundTrip | None = None,
    ) -> None:
        """probe, reader: read_committed, of no group, and nobody else's."""
        self._settings, self._topics = settings, settings.topics
        self._admin, self._probe, self._reader = admin, probe, reader
        self._ends = Ends(admin)
        self._ledger = ledger
        self._trip = trip
        self._windows: Latest[WindowEvent] = Latest(self._topics.windows, decode_window)
        self._positions = Latest(self._topics.positions, decode_position)
        self._retention = Retention(admin)
        self.positions: list[Position] = []  # of the last sample
        self._directory: dict[str, int] = {}
        self._sources: list[TopicPartition] = []
        self._directory_at = -DIRECTORY_EVERY_S
        self._tracks: dict[Reader, Track] = {}
        self._gaps: dict[Reader, Gap] = {}
        self._means: dict[str, Means] = {}
        self._learnt_at: dict[TopicPartition, tuple[float, int]] = {}

    async def sample(self) -> LagSample:
        """How things stand now. Raises KafkaError."""
        await self._look_up()
        where = await standing(
            self._probe, self._admin, self._ledger, self._settings, self._directory, self._sources
        )
        at_ms = int(time.time() * 1000)
        extents = await self._ends.of(reader.partition for reader in where.positions)
        found = await self._behind(where.positions, extents)
        skew_ms = self._trip.clock_skew_ms if self._trip else None
        broker_ms = at_ms - (skew_ms or 0.0)
        self._remember(at_ms, where, extents, found)
        culprits = await self._culprits(at_ms)
        worths = await self._worths(where.positions, found, extents)
        retention_ms = await self._retention.of({one.partition.topic for one in where.positions})
        names = {number: name for name, number in self._directory.items()}
        self.positions = await self._positions.refresh(self._reader, sorted(names))
        scales = scales_of(self.positions)
        lags = [
            stage_lag(
                reader,
                place(reader, self._topics, names),
                self._tracks[reader],
                found[reader],
                worths.get(reader),
                now_ms=broker_ms,
                retention_ms=retention_ms.get(reader.partition.topic),
                scales=scales,
                culprit=culprits.get(reader.partition, ""),
            )
            for reader in where.positions
        ]
        return LagSample(
            at_ms=at_ms,
            clock_skew_ms=skew_ms,
            stages=told_sources(lags) + queue_lags(self._topics.positions, names, self.positions),
            outlooks=await self._outlooks(lags, worths, int(broker_ms)),
            probe=self._trip.latest if self._trip else None,
        )

    def _remember(
        self,
        at_ms: int,
        where: Standing,
        extents: Mapping[TopicPartition, Extent],
        found: Mapping[Reader, Backlog],
    ) -> None:
        """A look at each reader into its window; who is gone is forgotten."""
        for reader, position in where.positions.items():
            _, stable, end = extents[reader.partition]
            members = where.members.get(reader.group)
            look = Look(at_ms, position, found[reader].lag_records, stable, end, members)
            self._tracks.setdefault(reader, Track()).window.add(look)
        self._tracks = {reader: self._tracks[reader] for reader in where.positions}
        self._gaps = {reader: gap for reader, gap in self._gaps.items() if reader in self._tracks}

    async def _look_up(self) -> None:
        """Netting sets and payments topics, every DIRECTORY_EVERY_S."""
        now = time.monotonic()
        if now - self._directory_at < DIRECTORY_EVERY_S:
            return
        topics = self._topics
        self._directory = await read_directory(self._settings.bootstrap, topics)
        names = await self._probe.topics()
        self._sources = [
            TopicPartition(name, 0) for name in sorted(names) if topics.parse_payments(name)
        ]
        self._sources += [
            TopicPartition(name, number)
            for name in (topics.commands, topics.confirmations)
            for number in sorted(self._directory.values())
        ]
        self._directory_at = now
        if self._trip:
            self._trip.netting_sets = sorted(self._directory)

    async def _behind(
        self, positions: Mapping[Reader, int], extents: Mapping[TopicPartition, Extent]
    ) -> dict[Reader, Backlog]:
        limits = {partition: (one.first, one.stable) for partition, one in extents.items()}
        found: dict[Reader, Backlog] = {}
        left = dict(positions)
        while left:  # once, unless several groups read a partition
            now: dict[TopicPartition, Reader] = {}
            for reader in left:
                now.setdefault(reader.partition, reader)
            looked = await backlogs(self._probe, {p: left[r] for p, r in now.items()}, limits)
            found |= {reader: looked[partition] for partition, reader in now.items()}
            left = {reader: at for reader, at in left.items() if reader not in found}
        return found

    async def _culprits(self, at_ms: int) -> dict[TopicPartition, str]:
        """By partition, whose transaction keeps its last stable offset back. Asked only where one stands still."""
        last_two = [list(track.window.looks)[-2:] for track in self._tracks.values()]
        if not any(len(looks) == 2 and is_held_back(looks) for looks in last_two):
            return {}
        culprits: dict[TopicPartition, str] = {}
        for one in await open_transactions(self._admin, self._topics, at_ms):
            who = one.transactional_id or f"producer {one.producer_id}, which no coordinator knows"
            open_s = (at_ms - one.since_ms) / 1000
            said = f"{who} (epoch {one.producer_epoch}), open for {open_s:,.0f} s"
            culprits.setdefault(TopicPartition(one.topic, one.partition), said)
        return culprits

    async def _worths(
        self,
        positions: Mapping[Reader, int],
        found: Mapping[Reader, Backlog],
        extents: Mapping[TopicPartition, Extent],
    ) -> dict[Reader, Worth]:
        """Engine and sink: read in the gap itself. Intake: by what its banks sent of late."""
        worths: dict[Reader, Worth] = {}
        names = {number: name for name, number in self._directory.items()}
        for reader, position in positions.items():
            end, records = extents[reader.partition].stable, found[reader].lag_records
            if reader.stage == "engine":
                means = self._means.setdefault(names[reader.partition.partition], Means())
                worths[reader] = await self._in_log(reader, position, end, records, means)
            elif reader.stage == "sink":
                gap = self._gaps.setdefault(reader, Gap(reader.partition, settlement_value))
                worths[reader] = await gap.look(self._reader, position, end, records)
        for reader in positions:
            if reader.stage == "intake" and (
                parsed := self._topics.parse_payments(reader.partition.topic)
            ):
                records = found[reader].lag_records
                means = self._means.get(parsed[0], Means())
                money = means.estimate(parsed[1], records) if records else {}
                known = money is not None
                worths[reader] = Worth(money or {}, bool(records), 0 if known else records, [])
        return worths

    async def _in_log(
        self, engine: Reader, position: int, end: int, records: int, means: Means
    ) -> Worth:
        """Learns what payments are worth from what it reads; when nothing waits, from the log's last record."""
        log = engine.partition
        gap = self._gaps.setdefault(engine, Gap(log, value_of))
        worth = await gap.look(self._reader, position, end, records)
        learnt = worth.learnt
        at, seen = self._learnt_at.get(log, (-LEARN_EVERY_S, 0))
        now = time.monotonic()
        if not learnt and end > seen and now - at >= LEARN_EVERY_S:
            learnt = await gap.newest(self._reader, end)
            self._learnt_at[log] = now, end
        for value in learnt:
            means.learn(value, now)
        return worth

    async def _outlooks(
        self, lags: list[StageLag], worths: Mapping[Reader, Worth], now_ms: int
    ) -> list[Outlook]:
        windows = await self._windows.refresh(self._reader, sorted(self._directory.values()))
        by_place = {(one.partition.topic, one.partition.partition): w for one, w in worths.items()}
        before = {name: befores(name, lags, by_place) for name in self._directory}
        return [
            outlook(window, before[window.netting_set], now_ms)
            for window in windows
            if window.netting_set in before
        ]


def decode_window(value: bytes) -> WindowEvent:
    """A record of the topic `windows`, which holds nothing else."""
    event = decode_event(value)
    assert isinstance(event, WindowEvent), "the topic `windows` holds nothing else"
    return event


class Quick(Partitions):
    """A reader of partitions that knows their bounds at once."""

    def __init__(self, consumer: AIOKafkaConsumer, ends: Ends) -> None:
        super().__init__(consumer)
        self._ends = ends

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Bounds:
        found = await self._ends.of(partitions)
        return {partition: (one.first, one.stable) for partition, one in found.items()}


@asynccontextmanager
async def sampler(settings: Settings, *, probing: bool = False) -> AsyncIterator[Sampler]:
    """A sampler with its clients, which are stopped at the end. probing: it sends probe payments too."""
    bootstrap = settings.bootstrap
    async with AsyncExitStack() as clients:
        clients.callback(metrics.forget)
        admin = await clients.enter_async_context(kafka.administration(bootstrap))
        reading = kafka.consumer(bootstrap, client="clearing-lag", fetch_max_wait_ms=FETCH_WAIT_MS)
        probe = await clients.enter_async_context(kafka.started(prober(bootstrap)))
        reader = await clients.enter_async_context(kafka.started(reading))
        ledger = Ledger(settings.dsn)
        clients.callback(ledger.close)
        trip = (
            await clients.enter_async_context(round_trip(settings))
            if probing and settings.probe_every_s > 0
            else None
        )
        yield Sampler(settings, admin, probe, Quick(reader, Ends(admin)), ledger, trip)
