"""Lag of every stage, in records and in seconds; and waiting until there is none.

What a stage has done is what it has made durable: intake and dispatch by their groups' offsets, the engine by its
journal, the sink by the ledger's progress (by its group, which is a little late, if no ledger is given).
"""

import asyncio
import time

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from clearing import kafka
from clearing.config import Settings
from clearing.engine.recovery import last_transaction
from clearing.failures import ExitCode, Failure
from clearing.log.records import UnreadableLog
from clearing.observe.groups import committed, service_groups
from clearing.observe.probe import Backlog, backlogs, prober
from clearing.observe.report import Lag
from clearing.scheme.directory import read_directory

STAGES = ("intake", "engine", "dispatch", "sink")
DRAIN_POLL_S = 0.5
LEDGER_TIMEOUT_S = 10
_QUIET_LOOKS = 2  # between two looks a confirmation may have been on its way


async def positions_of_stages(
    consumer: AIOKafkaConsumer,
    client: AIOKafkaAdminClient,
    settings: Settings,
    directory: dict[str, int],
    groups: dict[str, list[str]],
    in_ledger: dict[TopicPartition, int],
) -> dict[str, dict[TopicPartition, int]]:
    """By stage, the next offset it reads of each partition. A stage that never ran stands at 0."""
    topics = settings.topics
    partitions = sorted(directory.values())
    names = await consumer.topics()
    sources = [TopicPartition(name, 0) for name in sorted(names) if topics.parse_payments(name)]
    sources += [
        TopicPartition(name, partition)
        for name in (topics.commands, topics.confirmations)
        for partition in partitions
    ]
    read = await _committed(client, groups["intake"])
    told = await _committed(client, groups["dispatch"])
    posted = await _committed(client, groups["sink"]) | in_ledger
    journals: dict[TopicPartition, int] = {}
    for partition in partitions:
        journal = TopicPartition(topics.journal, partition)
        consumer.assign([journal])
        try:
            last = await last_transaction(consumer, journal)
        except UnreadableLog:
            last = None  # how far its engine is cannot be known: all of the log is its lag
        journals[TopicPartition(topics.log, partition)] = last.next_offset if last else 0
    return {
        "intake": {source: read.get(source, 0) for source in sources},
        "engine": journals,
        "dispatch": _at(topics.outcomes, partitions, told),
        "sink": _at(topics.settlements, partitions, posted),
    }


def _at(
    topic: str, partitions: list[int], known: dict[TopicPartition, int]
) -> dict[TopicPartition, int]:
    wanted = [TopicPartition(topic, partition) for partition in partitions]
    return {partition: known.get(partition, 0) for partition in wanted}


async def _committed(client: AIOKafkaAdminClient, groups: list[str]) -> dict[TopicPartition, int]:
    """Offsets of several groups: of a partition that more than one reads, the one furthest behind."""
    result: dict[TopicPartition, int] = {}
    for group in groups:
        for partition, offset in (await committed(client, group)).items():
            result[partition] = min(offset, result.get(partition, offset))
    return result


async def ledger_progress(dsn: str) -> dict[TopicPartition, int]:
    """Next offset of the settlements topic by partition; of several ledgers the one furthest behind.

    Nothing where no ledger is given (""). Raises asyncpg's errors, OSError, TimeoutError.
    """
    if not dsn:
        return {}
    connection = await asyncpg.connect(dsn, timeout=LEDGER_TIMEOUT_S)
    try:
        if not await connection.fetchval("SELECT to_regclass('clearing.progress') IS NOT NULL"):
            return {}
        rows = await connection.fetch(
            "SELECT topic, partition, min(next_offset) AS next_offset "
            "FROM clearing.progress GROUP BY topic, partition"
        )
    finally:
        await connection.close()
    return {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def lags(
    consumer: AIOKafkaConsumer,
    client: AIOKafkaAdminClient,
    settings: Settings,
    directory: dict[str, int],
    groups: dict[str, list[str]],
    in_ledger: dict[TopicPartition, int],
) -> list[Lag]:
    """One Lag for intake over all its sources, and one per netting set for each of the other stages.

    in_ledger: what `ledger_progress` told. Raises KafkaError.
    """
    positions = await positions_of_stages(consumer, client, settings, directory, groups, in_ledger)
    found = await backlogs(
        consumer, {p: at for stage in positions.values() for p, at in stage.items()}
    )
    now_ms = time.time() * 1000
    names = {partition: name for name, partition in directory.items()}
    result = [_worst("intake", {p: found[p] for p in positions["intake"]}, now_ms)]
    for stage in STAGES[1:]:
        for partition in positions[stage]:
            scope = names[partition.partition]
            result.append(_lag(stage, scope, found[partition], now_ms))
    return result


def _lag(stage: str, scope: str, backlog: Backlog, now_ms: float, partitions: int = 1) -> Lag:
    age: float | None = 0.0
    if backlog.lag_records:
        age = None
        if backlog.oldest_ms is not None and backlog.oldest_ms > 0:
            age = round(max(0.0, now_ms - backlog.oldest_ms) / 1000, 3)
    return Lag(
        stage=stage,
        scope=scope,
        lag_records=backlog.lag_records,
        lag_seconds=age,
        partitions=partitions,
    )


def _worst(stage: str, found: dict[TopicPartition, Backlog], now_ms: float) -> Lag:
    """All sources as one: records summed, age of the oldest. One unknown age makes the age unknown."""
    behind = {partition: one for partition, one in found.items() if one.lag_records}
    if not behind:
        return _lag(stage, "all sources", Backlog(0, None), now_ms, len(found))
    stamps = [one.oldest_ms for one in behind.values()]
    known = [stamp for stamp in stamps if stamp is not None]
    oldest = min(known) if len(known) == len(stamps) else None
    worst = max(behind, key=lambda partition: behind[partition].lag_records)
    total = sum(one.lag_records for one in behind.values())
    return _lag(stage, worst.topic, Backlog(total, oldest), now_ms, len(found))


async def wait_until_drained(settings: Settings, *, timeout_s: float) -> None:
    """Wait until no stage has a lag. Raises Failure, naming the stages, when it takes longer than timeout_s."""
    deadline = time.monotonic() + timeout_s
    consumer = prober(settings.bootstrap)
    quiet = 0
    async with kafka.administration(settings.bootstrap) as client, kafka.started(consumer):
        directory = await read_directory(settings.bootstrap, settings.topics)
        while True:
            groups = await service_groups(client, settings.topics)
            in_ledger = await ledger_progress(settings.dsn)
            found = await lags(consumer, client, settings, directory, groups, in_ledger)
            behind = [lag for lag in found if lag.lag_records]
            quiet = 0 if behind else quiet + 1
            if quiet >= _QUIET_LOOKS:
                return
            if time.monotonic() > deadline:
                who = ", ".join(f"{lag.stage} {lag.scope} ({lag.lag_records:,})" for lag in behind)
                raise Failure(
                    f"not drained after {timeout_s:g} s: {who or 'never quiet'}",
                    "clearing status",
                    ExitCode.FAILED,
                )
            await asyncio.sleep(DRAIN_POLL_S)
