"""The sink process: a consumer group says which netting sets to post, one Tenure posts each.

The group's word is only a hint: the ledger's epoch decides who may write. An owner that was fenced does not
fight back: it waits until the group has confirmed its assignment. One that halts stands still (clearing.halts).
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from functools import partial

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from clearing import kafka
from clearing.config import Settings
from clearing.failures import ExitCode, Failure
from clearing.halts import Halts
from clearing.ledgers.ledger import LedgerUnavailable, OpenLedger, Source
from clearing.ledgers.postgres import open_ledger as open_postgres
from clearing.ledgers.tenure import Ended, Tenure
from clearing.scheme.directory import look_up

SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_INTERVAL_MS = 1_000
POLL_MS = 200  # how soon a new assignment is taken up
DIRECTORY_INTERVAL_S = 2.0
GROUP_COMMIT_INTERVAL_S = 5.0
GROUP_COMMIT_TIMEOUT_S = 2.0
START_PATIENCE_S = 30.0
# Longer than a process that slept needs to hear from the group that it is a member no more: no duels.
FENCED_WAIT_S = 5 * HEARTBEAT_INTERVAL_MS / 1000

_log = structlog.get_logger()


async def run(
    settings: Settings,
    ready: Callable[[], None] | None = None,
    *,
    ledger: str = "postgres",
    open_ledger: OpenLedger = open_postgres,
) -> None:
    """Post the batches of one ledger until cancelled; several processes share the netting sets.

    ledger: as the scheme's assets name it. ready: called once the ledger answers and the group is joined.
    Raises Failure when the ledger cannot be reached at the start, or has not been migrated.
    """
    await _await_ledger(settings, ledger, open_ledger)
    consumer = kafka.consumer(
        settings.bootstrap,
        group=settings.topics.group(f"sink-{ledger}"),
        instance=settings.instance,
        client=f"clearing-sink-{ledger}",
        auto_offset_reset="latest",  # nothing is read here: membership only
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
    )
    sink = _Sink(settings, ledger, open_ledger, consumer)
    consumer.subscribe([settings.topics.settlements], listener=sink)
    try:
        async with kafka.started(consumer):
            if ready is not None:
                ready()
            while True:
                await sink.reconcile()
                await consumer.getmany(timeout_ms=POLL_MS)
    finally:
        await sink.stop()


async def _await_ledger(settings: Settings, ledger: str, open_ledger: OpenLedger) -> None:
    """The ledger may be starting too: give it a while, then say what is wrong with it."""
    deadline = time.monotonic() + START_PATIENCE_S
    while True:
        try:
            async with open_ledger(settings, ledger):
                return
        except LedgerUnavailable as error:
            if time.monotonic() > deadline:
                raise Failure(
                    f"cannot reach the ledger {ledger}: {error}",
                    "clearing dev up (a local one), or --dsn postgresql://… (yours)",
                    ExitCode.UNREACHABLE,
                ) from error
            _log.warning("ledger_unavailable", ledger=ledger, error=str(error))
            await asyncio.sleep(1.0)


class _Sink(ConsumerRebalanceListener):
    """Tenures of this process by partition. Tenures go on through a rebalance: their epoch guards them."""

    def __init__(
        self, settings: Settings, ledger: str, open_ledger: OpenLedger, consumer: AIOKafkaConsumer
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._open_ledger = open_ledger
        self._consumer = consumer
        self._halts = Halts(settings, f"sink-{ledger}", settings.topics.settlements)
        self._owner = f"{socket.gethostname()}/{os.getpid()}"
        self._assigned: set[int] = set()
        self._renewed: set[int] = set()  # assigned anew and not looked at since
        self._tenures: dict[int, Tenure] = {}
        self._tasks: dict[int, asyncio.Task[Ended]] = {}
        self._directory: dict[int, str] = {}
        self._directory_due = 0.0
        self._group_commit_due = 0.0

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Nothing yet: most partitions come back at once, and the ledger refuses whoever is too late."""

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        self._assigned = {partition.partition for partition in assigned}
        self._renewed = set(self._assigned)
        _log.info("assigned", ledger=self._ledger, partitions=sorted(self._assigned))

    async def reconcile(self) -> None:
        """Stop what is assigned elsewhere, start what is assigned here and has a netting set."""
        await self._stop([number for number in self._tasks if number not in self._assigned])
        renewed, self._renewed = self._renewed, set()
        for number, task in list(self._tasks.items()):
            if task.done() and (number in renewed or self._may_return(number, task.result())):
                del self._tasks[number]
        await self._read_directory()
        for number in sorted(self._assigned & self._directory.keys() - self._tasks.keys()):
            source = Source(self._directory[number], self._settings.topics.settlements, number)
            self._tasks[number] = asyncio.create_task(self._serve(source))
        await self._commit_group_offsets()

    async def _serve(self, source: Source) -> Ended:
        """One netting set until it is fenced; one that halts waits for a person, and leaves the others alone."""
        number = source.partition
        await self._halts.before_serving(number)
        while True:
            tenure = self._tenures[number] = Tenure(
                self._settings,
                source,
                self._ledger,
                self._owner,
                self._open_ledger,
                partial(self._halts.passed, number),
            )
            if await tenure.run() is Ended.FENCED:
                return Ended.FENCED
            assert tenure.fault is not None
            await self._halts.stand_still(source.netting_set, number, tenure.fault)

    def _may_return(self, number: int, ended: Ended) -> bool:
        """A fenced owner waits for a new assignment, but not for ever: whoever fenced it may have lost the
        partition to it a moment before."""
        waited_s = time.monotonic() - self._tenures[number].ended_s
        return ended is Ended.FENCED and waited_s > FENCED_WAIT_S

    async def _read_directory(self) -> None:
        """Which netting set a partition carries; asked again while some partition has none yet."""
        if self._assigned <= self._directory.keys() or time.monotonic() < self._directory_due:
            return
        self._directory_due = time.monotonic() + DIRECTORY_INTERVAL_S
        try:
            directory = await look_up(self._halts.looks, self._settings.topics)
        except KafkaError as error:
            _log.warning("directory_unread", error=repr(error))
            return
        self._directory = {partition: name for name, partition in directory.items()}

    async def _commit_group_offsets(self) -> None:
        """For tools that show the lag of consumer groups. Nothing is ever read from these offsets."""
        if time.monotonic() < self._group_commit_due:
            return
        self._group_commit_due = time.monotonic() + GROUP_COMMIT_INTERVAL_S
        topic = self._settings.topics.settlements
        offsets = {
            TopicPartition(topic, number): tenure.position
            for number, tenure in self._tenures.items()
            if tenure.position is not None and number in self._assigned
        }
        if not offsets:
            return
        try:
            async with asyncio.timeout(GROUP_COMMIT_TIMEOUT_S):
                await self._consumer.commit(offsets)
        except (KafkaError, TimeoutError) as error:
            _log.debug("group_offsets_not_committed", error=repr(error))

    async def stop(self) -> None:
        """Stop every tenure and wait until it has cleaned up."""
        await self._stop(list(self._tasks))
        await self._halts.close()

    async def _stop(self, numbers: list[int]) -> None:
        tasks = [self._tasks.pop(number) for number in numbers]
        for number in numbers:
            self._tenures.pop(number, None)
        for result in await kafka.ended(tasks):
            if isinstance(result, Exception):
                _log.error("tenure_failed", ledger=self._ledger, error=repr(result))
