"""The story of a payment from the topics: as little of them as tells it.

The log is searched for the id from its first record on; nothing in it is opened but what holds the id. Outputs are
read from the payment's own place, found by halves, up to where it is final. The state is rebuilt only while the
payment waits.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from aiokafka import TopicPartition

from clearing import kafka
from clearing.engine.snapshots import SnapshotStore
from clearing.explain.evidence import Evidence, closed_at_ms, journal_place, log_offset_of
from clearing.explain.legs import declared_legs
from clearing.explain.rows import Search
from clearing.explain.story import LegTerms, Row, Story
from clearing.explain.telling import followed, tell
from clearing.live import Follower, Tell, last_transaction, silent
from clearing.names import Topics
from clearing.reading import FETCH_WAIT_MS, Partitions, Reader

FEW_RECORDS = 2_000  # are read through rather than searched by halves
_PROBE_BYTES = 64 << 10  # the broker gives the first record whatever its size

PlaceOf = Callable[[bytes], int | None]
Take = Callable[[bytes | None, bytes], None]


@asynccontextmanager
async def prober(bootstrap: str) -> AsyncIterator[Partitions]:
    """A reader that fetches little: to look at a record here and there."""
    consumer = kafka.consumer(
        bootstrap,
        client="clearing-explain",
        max_partition_fetch_bytes=_PROBE_BYTES,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        retry_backoff_ms=FETCH_WAIT_MS,
    )
    async with kafka.started(consumer):
        yield Partitions(consumer)


class TopicStories:
    """Tells stories of one netting set. probe: a reader that fetches little; may be `reader` itself."""

    def __init__(
        self,
        reader: Reader,
        probe: Reader,
        topics: Topics,
        netting_set: str,
        partition: int,
        store: SnapshotStore,
        note: Tell = silent,
    ) -> None:
        self.netting_set = netting_set
        self._reader = reader
        self._probe = probe
        self._log, self._outcomes, self._settlements, self._journal = (
            TopicPartition(name, partition)
            for name in (topics.log, topics.outcomes, topics.settlements, topics.journal)
        )
        self._follower = Follower(reader, topics, netting_set, partition, store, note)
        self._note = note

    async def story(self, payment: UUID) -> Story | None:
        """None: no row of the log has this id. Raises Halt, ValueError on records that are none of ours."""
        said = await last_transaction(self._reader, self._journal)
        search = await self._search(payment)
        if not search.own():
            return None
        goal = said.next_offset if said else 0
        evidence = Evidence(search.rows.values(), followed(search), goal)
        if evidence.first < goal:
            await self._collect(evidence)
        waits = said is not None and not evidence.all_have_left
        state = (await self._follower.refresh(said)).state if waits else None
        return tell(self.netting_set, search, evidence, state, await self._declared(search.own()))

    async def _search(self, payment: UUID) -> Search:
        search = Search(payment)
        first, end = (await self._reader.bounds([self._log]))[self._log]
        while end > first:
            async for records in self._reader.chunks(self._log, first, end):
                for record in records:
                    search.take(record.key, record.value, record.offset, record.timestamp)
                self._note(f"{self.netting_set}, {records[-1].offset + 1:,} of {end:,} log records")
            end = search.another_pass()
        return search

    async def _declared(self, rows: list[Row]) -> list[LegTerms]:
        """The legs of its link, from the message that a linked row came with, if it is still kept."""
        row = next((row for row in rows if row.link is not None), None)
        if row is None:
            return []
        topic, partition, offset, item = row.source
        source = TopicPartition(topic, partition)
        first, end = (await self._reader.bounds([source])).get(source, (0, 0))
        if first <= offset < end:
            async for records in self._reader.chunks(source, offset, offset + 1):
                return declared_legs(records[0].value or b"", item)
        return []

    async def _collect(self, evidence: Evidence) -> None:
        """Read the outputs, `outcomes` first: they say which windows the other topics are asked for."""
        read_to = await self._read(
            self._outcomes,
            evidence.first,
            log_offset_of,
            evidence.take_outcome,
            lambda at: at > evidence.last and evidence.all_have_left,
        )
        await self._read(
            self._journal,
            evidence.first,
            journal_place,
            evidence.take_event,
            lambda at: at > evidence.last and evidence.all_have_left and evidence.all_are_final,
        )
        events = [event for of_window in evidence.events.values() for event in of_window]
        # What a recast took out is told with the window that was aborted for it (R25).
        for at in sorted({event.log_offset for event in events if event.state == "ABORTED"}):
            if at > read_to:
                await self._read_at(self._outcomes, at, log_offset_of, evidence.take_outcome)
        for at in sorted(
            {event.time_ms for event in events if event.state == "PENDING_SETTLEMENT"}
        ):
            await self._read_at(
                self._settlements,
                at,
                closed_at_ms,
                lambda _, value: evidence.take_settlement(value),
            )

    async def _read_at(
        self, partition: TopicPartition, at: int, place_of: PlaceOf, take: Take
    ) -> None:
        await self._read(partition, at, place_of, take, lambda place: place > at)

    async def _read(
        self,
        partition: TopicPartition,
        start: int,
        place_of: PlaceOf,
        take: Take,
        is_enough: Callable[[int], bool],
    ) -> int:
        """Take records from the place `start` on until one lies so far that it is enough; the place reached."""
        at = await first_at(self._probe, partition, start, place_of)
        end = (await self._reader.bounds([partition]))[partition][1]
        reached = start - 1
        async for records in self._reader.chunks(partition, at, end):
            for record in records:
                value = record.value or b""
                place = place_of(value)
                if place is not None and is_enough(place):
                    return reached
                take(record.key, value)
                reached = reached if place is None else place
            self._note(f"{partition.topic}, {records[-1].offset + 1:,} of {end:,} records")
        return reached


async def first_at(reader: Reader, partition: TopicPartition, start: int, place_of: PlaceOf) -> int:
    """Offset from which on a partition holds whatever lies at the place `start` or behind it.

    Places never fall; records without one lie anywhere. By halves: some twenty records are looked at.
    """
    low, high = (await reader.bounds([partition]))[partition]
    while high - low > FEW_RECORDS:
        middle = (low + high) // 2
        found = await _next_place(reader, partition, middle, high, place_of)
        if found is None or found[1] >= start:
            high = middle
        else:
            low = found[0] + 1
    return low


async def _next_place(
    reader: Reader, partition: TopicPartition, start: int, end: int, place_of: PlaceOf
) -> tuple[int, int] | None:
    """Offset and place of the first record from `start` on, and before `end`, that has one."""
    async for records in reader.chunks(partition, start, end):
        for record in records:
            place = place_of(record.value or b"")
            if place is not None:
                return record.offset, place
    return None
