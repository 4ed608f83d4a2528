"""What was told already: the ends of the status topics, and of `outcomes` below the committed offset.

Reads backwards in growing steps, many partitions at once, bounded. Never writes.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from clearing.kafka import RawRecord
from clearing.metadata import existing, learn
from clearing.names import Topics

Place = tuple[int, int]  # (log_offset, index) of a status record: rises within a netting set

FIRST_STEP_RECORDS = 16
MAX_RECORDS_BACK = 16_384
TOPICS_INTERVAL_S = 2.0  # how often it is asked again for a topic that is missing

_log = structlog.get_logger()
_Found = TypeVar("_Found")


class _Header(msgspec.Struct):
    """What both kinds of status message begin with."""

    netting_set: str
    log_offset: int
    index: int


_decode = msgspec.json.Decoder(_Header).decode


async def last_matching(
    reader: AIOKafkaConsumer,
    ends: Mapping[TopicPartition, int],
    match: Callable[[RawRecord], _Found | None],
) -> dict[TopicPartition, _Found]:
    """What `match` makes of the last record below each end for which it is not None.

    Partitions without such a record among the last MAX_RECORDS_BACK offsets are left out. `reader` must be
    nobody else's meanwhile; it fetches nothing afterwards.
    """
    found: dict[TopicPartition, _Found] = {}
    try:
        await learn(reader, (partition.topic for partition in ends))
        first = await reader.beginning_offsets(list(ends))
        missing = {partition: end for partition, end in ends.items() if end > first[partition]}
        step = FIRST_STEP_RECORDS
        while missing:
            starts = {p: max(first[p], end - step) for p, end in missing.items()}
            found |= await _last_between(reader, starts, missing, match)
            deeper = {p: start for p, start in starts.items() if p not in found}
            if step >= MAX_RECORDS_BACK:
                break
            missing = {p: start for p, start in deeper.items() if start > first[p]}
            step *= 4
    finally:
        reader.pause(*reader.assignment())
    return found


async def _last_between(
    reader: AIOKafkaConsumer,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    match: Callable[[RawRecord], _Found | None],
) -> dict[TopicPartition, _Found]:
    """By position, not by offset: what lies between may be markers and aborted records, which are none."""
    found: dict[TopicPartition, _Found] = {}
    reader.assign(list(starts))
    for partition, start in starts.items():
        reader.seek(partition, start)
    behind = set(starts)
    while behind:
        for partition, records in (await reader.getmany(*behind, timeout_ms=200)).items():
            for record in records:
                if record.offset < ends[partition] and (value := match(record)) is not None:
                    found[partition] = value
        behind = {p for p in behind if await reader.position(p) < ends[p]}
    return found


class StatusTopics:
    """Which participants have a status topic, and what each was told last. Shared by all netting sets."""

    def __init__(self, reader: AIOKafkaConsumer, topics: Topics) -> None:
        self._reader = reader
        self._topics = topics
        self._turn = asyncio.Lock()
        self._missing_at_s: dict[str, float] = {}

    async def existing(self, participants: Iterable[str]) -> set[str]:
        """Those of the participants that have a topic. Asks for a missing one only every TOPICS_INTERVAL_S."""
        now_s = asyncio.get_running_loop().time()
        before_s = now_s - TOPICS_INTERVAL_S
        asked = {p for p in participants if self._missing_at_s.get(p, before_s) <= before_s}
        if not asked:
            return set()
        topics = await existing(self._reader, map(self._topics.status, asked))
        found = {p for p in asked if self._topics.status(p) in topics}
        self._missing_at_s |= dict.fromkeys(asked - found, now_s)
        return found

    async def last_told(self, participants: Iterable[str], netting_set: str) -> dict[str, Place]:
        """Place of the last record of the netting set in each one's topic; without an entry: nothing was told."""
        partitions = {TopicPartition(self._topics.status(p), 0): p for p in participants}

        def place(record: RawRecord) -> Place | None:
            if record.key != netting_set.encode() or record.value is None:
                return None
            try:
                header = _decode(record.value)
            except msgspec.DecodeError as error:
                _log.warning("foreign_status_record", offset=record.offset, error=str(error))
                return None
            return header.log_offset, header.index

        async with self._turn:
            await learn(self._reader, (partition.topic for partition in partitions))
            ends = await self._reader.end_offsets(list(partitions))
            found = await last_matching(self._reader, ends, place)
        return {partitions[partition]: where for partition, where in found.items()}

    async def last_below(
        self,
        partition: TopicPartition,
        end: int,
        match: Callable[[RawRecord], _Found | None],
    ) -> _Found | None:
        """last_matching of one partition."""
        async with self._turn:
            return (await last_matching(self._reader, {partition: end}, match)).get(partition)
