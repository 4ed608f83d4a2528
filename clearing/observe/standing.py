"""Where every reader stands, and who is at work: of each stage and group, the next offset of each partition.

What a stage has done is what it has made durable: see clearing.observe.lag. Of Kafka and the ledger; where the
ledger does not answer, the group of its sink, a little late, is taken.
"""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from clearing.config import Settings
from clearing.engine.recovery import last_transaction
from clearing.log.records import UnreadableLog
from clearing.names import Topics
from clearing.observe.groups import committed, service_groups, services

LEDGER_TIMEOUT_S = 3.0

_log = structlog.get_logger()


class Reader(NamedTuple):
    """One who reads a partition, as far as its stage and consumer group tell."""

    stage: str
    group: str
    partition: TopicPartition


class Standing(NamedTuple):
    """positions: next offset by reader; one that never ran stands at 0. members: processes by group."""

    positions: dict[Reader, int]
    members: dict[str, int]


class Ledger:
    """What the ledger's database says of its sinks, over one connection that is made anew when it breaks."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None
        self._is_down = False

    async def progress(self) -> dict[tuple[str, TopicPartition], int]:
        """(ledger, partition of settlements) → next offset; nothing where it does not answer in time."""
        if not self._dsn:
            return {}
        try:
            async with asyncio.timeout(LEDGER_TIMEOUT_S):
                rows = await self._rows()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if not self._is_down:
                _log.warning("ledger_not_asked", error=repr(error))
            self._is_down = True
            self.close()
            return {}
        self._is_down = False
        return {
            (row["ledger"], TopicPartition(row["topic"], row["partition"])): row["next_offset"]
            for row in rows
        }

    def close(self) -> None:
        """Drop the connection; the next question makes a new one."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _rows(self) -> list[asyncpg.Record]:
        connection = self._connection = self._connection or await asyncpg.connect(self._dsn)
        if not await connection.fetchval("SELECT to_regclass('clearing.progress') IS NOT NULL"):
            return []
        return await connection.fetch(
            "SELECT ledger, topic, partition, next_offset FROM clearing.progress"
        )


async def standing(
    consumer: AIOKafkaConsumer,
    admin: AIOKafkaAdminClient,
    ledger: Ledger,
    settings: Settings,
    directory: Mapping[str, int],
    sources: list[TopicPartition],
) -> Standing:
    """consumer: read_committed, of no group; its assignment is changed. sources: what intake reads.

    Raises KafkaError.
    """
    topics = settings.topics
    groups = await service_groups(admin, topics)
    partitions = sorted(directory.values())
    positions = await _of_groups(admin, topics, groups, partitions, sources)
    for number in partitions:
        log = TopicPartition(topics.log, number)
        journal = TopicPartition(topics.journal, number)
        positions[Reader("engine", topics.group("engine"), log)] = await _engine(consumer, journal)
    for (name, partition), offset in (await ledger.progress()).items():
        reader = Reader("sink", topics.group(f"sink-{name}"), partition)
        if reader in positions or partition.topic == topics.settlements:
            positions[reader] = offset
    members = dict.fromkeys((reader.group for reader in positions), 0)
    for service in await services(admin, groups):
        members[service.group] = members.get(service.group, 0) + len(service.members)
    return Standing(positions, members)


async def _of_groups(
    admin: AIOKafkaAdminClient,
    topics: Topics,
    groups: Mapping[str, list[str]],
    partitions: list[int],
    sources: list[TopicPartition],
) -> dict[Reader, int]:
    """What intake, dispatch and the sinks have committed."""
    read: dict[str, list[TopicPartition]] = {
        "intake": sources,
        "dispatch": [TopicPartition(topics.outcomes, number) for number in partitions],
        "sink": [TopicPartition(topics.settlements, number) for number in partitions],
    }
    positions: dict[Reader, int] = {}
    for stage, wanted in read.items():
        for group in groups[stage] or [topics.group(stage)]:
            found = await committed(admin, group) if groups[stage] else {}
            for partition in wanted:
                positions[Reader(stage, group, partition)] = found.get(partition, 0)
    return positions


async def _engine(consumer: AIOKafkaConsumer, journal: TopicPartition) -> int:
    """Next offset of the log by the journal; 0 where that cannot be read: all of the log is its lag then."""
    consumer.assign([journal])
    try:
        last = await last_transaction(consumer, journal)
    except UnreadableLog:
        return 0
    return last.next_offset if last else 0
