"""The dispatch process: a consumer group over `outcomes` says which netting sets to tell of, a Lane tells of each.

Offsets of `outcomes` are committed only when every status record they caused is acknowledged. After a Kafka error
everything is thrown away and begun anew from there: what was told meanwhile stands in the status topics.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedVersionError,
)

from clearing import failpoints, kafka
from clearing.config import Settings
from clearing.dispatch import metrics
from clearing.dispatch.lane import Lane
from clearing.dispatch.outbox import Outbox
from clearing.dispatch.told import StatusTopics
from clearing.dispatch.written import warm
from clearing.halts import Halts
from clearing.heartbeats import vitals
from clearing.scheme.directory import look_up

SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_INTERVAL_MS = 1_000
COMMIT_INTERVAL_S = 0.2
# What is acknowledged before a partition is given up need not be looked up by its next owner.
HAND_OVER_TIMEOUT_S = 2.0
RETRY_S = 1.0
# Nothing that time heals: a person has to give a right or change a setting.
LASTING_ERRORS = (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedVersionError,
)
# Whatever else comes of Kafka or the network: all is begun anew.
_PASSING = (KafkaError, OSError, TimeoutError)

_log = structlog.get_logger()


async def run(settings: Settings, ready: Callable[[], None] | None = None) -> None:
    """Tell what the group assigns until cancelled. Raises KafkaError if it could never begin, or must not go on."""
    await asyncio.to_thread(warm)  # before there is a group that would wait for it
    begun = False
    # Outlives the clients: what has halted stays so.
    halts = Halts(settings, "dispatch", settings.topics.outcomes)

    def now_ready() -> None:
        nonlocal begun
        if ready is not None and not begun:
            ready()
        begun = True

    try:
        while True:
            try:
                await _serve(settings, halts, now_ready)
            except LASTING_ERRORS:
                raise
            except _PASSING as error:
                if not begun:
                    raise
                metrics.restarts.inc()
                _log.warning("begin_anew", error=repr(error))
            await asyncio.sleep(RETRY_S)
    finally:
        await halts.close()


async def _serve(settings: Settings, halts: Halts, ready: Callable[[], None]) -> None:
    """One life of all clients."""
    consumer = kafka.consumer(
        settings.bootstrap,
        group=settings.topics.group("dispatch"),
        instance=settings.instance,
        client="clearing-dispatch",
        auto_offset_reset="latest",  # nothing is read here: membership and offsets only
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
    )
    producer = kafka.producer(settings.bootstrap, client="clearing-dispatch")
    scanner = kafka.consumer(settings.bootstrap, client="clearing-dispatch-ends")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(kafka.discard, producer, HAND_OVER_TIMEOUT_S)
        await producer.start()
        await stack.enter_async_context(kafka.started(scanner))
        outbox = Outbox(producer)
        stack.push_async_callback(outbox.close)
        statuses = StatusTopics(scanner, settings.topics)
        dispatch = _Dispatch(settings, consumer, statuses, outbox, halts)
        consumer.subscribe([settings.topics.outcomes], listener=dispatch)
        await stack.enter_async_context(kafka.started(consumer))
        stack.push_async_callback(dispatch.hand_over)
        ready()
        while True:
            await dispatch.serve_assigned()
            outbox.check()
            await consumer.getmany(timeout_ms=int(COMMIT_INTERVAL_S * 1000))


class _Dispatch(ConsumerRebalanceListener):
    """Lanes of this process by partition of `outcomes`."""

    def __init__(
        self,
        settings: Settings,
        consumer: AIOKafkaConsumer,
        statuses: StatusTopics,
        outbox: Outbox,
        halts: Halts,
    ) -> None:
        self._halts = halts
        self._settings = settings
        self._consumer = consumer
        self._statuses = statuses
        self._outbox = outbox
        # As the group said last: nothing while it is dealing them out anew, when the consumer still names the old.
        self._assigned: set[TopicPartition] = set()
        self._lanes: dict[TopicPartition, Lane] = {}
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._committed: dict[TopicPartition, int] = {}

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  aiokafka awaits it
        self._assigned = set()
        await self.hand_over()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._consumer.pause(*assigned)
        self._assigned = set(assigned)
        _log.info("assigned", partitions=sorted(partition.partition for partition in assigned))

    async def serve_assigned(self) -> None:
        """Start lanes for what is new, commit what is acknowledged, say how far behind we are."""
        for partition in await self._to_begin():
            self._tasks[partition] = asyncio.create_task(self._tell(partition))
        for task in self._tasks.values():
            if task.done():
                task.result()  # only what is begun anew leaves _tell
        await self._commit()
        for lane in self._lanes.values():
            if lane.netting_set:
                records, oldest_ms = lane.lag()
                age_s = 0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000)
                metrics.lag_records.labels(lane.netting_set).set(records)
                metrics.lag_seconds.labels(lane.netting_set).set(age_s)
                if (reached := lane.committable()) is not None:
                    vitals.reached(lane.netting_set, reached)

    async def _to_begin(self) -> list[TopicPartition]:
        """Assigned partitions without a lane that hold something: most have no netting set yet and cost nothing."""
        idle = self._assigned - self._tasks.keys()
        if not idle:
            return []
        ends = await self._consumer.end_offsets(list(idle))
        # Only what is still ours: the group may have dealt them out anew meanwhile.
        return sorted(p for p, end in ends.items() if end and p in self._assigned)

    async def hand_over(self) -> None:
        """Stop all lanes; commit what is acknowledged within HAND_OVER_TIMEOUT_S."""
        # Out of the others' sight at once: a task that was cancelled has no result to look at.
        tasks = list(self._tasks.values())
        self._tasks.clear()
        await kafka.ended(tasks)
        try:
            async with asyncio.timeout(HAND_OVER_TIMEOUT_S):
                await self._outbox.drained()
                await self._commit()
        except (KafkaError, TimeoutError) as error:
            _log.warning("handed_over_untold", error=repr(error))
        for lane in self._lanes.values():
            vitals.leaves(lane.netting_set)
        self._lanes.clear()
        self._committed.clear()

    async def _tell(self, partition: TopicPartition) -> None:
        """One lane for as long as its partition is assigned here. A lane that halts leaves the others alone."""
        number = partition.partition
        await self._halts.before_serving(number)
        while True:
            try:
                await self._run_lane(partition)
            except _PASSING:
                raise
            except Exception as error:  # never skip: a person has to look before it starts again
                name = self._lanes[partition].netting_set or await self._name_of(number)
                await self._halts.stand_still(name, number, error)

    async def _run_lane(self, partition: TopicPartition) -> None:
        number, topics = partition.partition, self._settings.topics
        bootstrap, client = self._settings.bootstrap, f"clearing-dispatch-{number}"
        async with (
            kafka.started(kafka.consumer(bootstrap, client=client), partition.topic) as outcomes,
            kafka.started(kafka.consumer(bootstrap, client=client), topics.log) as log,
        ):
            lane = Lane(outcomes, log, topics, number, self._statuses, self._outbox)
            self._lanes[partition] = lane
            await lane.run(await self._consumer.committed(partition))

    async def _name_of(self, number: int) -> str:
        """The netting set of a partition, of which a lane knows only once it has read something."""
        try:
            directory = await look_up(self._halts.looks, self._settings.topics)
        except KafkaError as error:
            _log.warning("directory_unread", error=repr(error))
            directory = {}
        return next((name for name, its in directory.items() if its == number), f"of-{number}")

    async def _commit(self) -> None:
        offsets = {
            partition: offset
            for partition, lane in self._lanes.items()
            if (offset := lane.committable()) is not None
            and offset != self._committed.get(partition)
        }
        if not offsets:
            return
        try:
            failpoints.at("dispatch.committing")
            await self._consumer.commit(offsets)
            failpoints.at("dispatch.committed")
        except (CommitFailedError, IllegalStateError) as error:
            # Not ours any more: the next owner finds in the status topics what was told.
            _log.warning("not_committed", error=repr(error))
            return
        self._committed |= offsets
        for partition, offset in offsets.items():
            self._halts.passed(partition.partition, offset)
