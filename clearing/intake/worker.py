"""The intake process: shares the source partitions with its peers by a consumer group, feeds the log.

Any number may run. A source that is read twice, by a zombie or after a restart, does no harm: the engine drops
what it has (DESIGN.md §2). So there is no transaction here, and offsets are committed lazily, after the log's word.
"""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, UnknownTopicOrPartitionError

from clearing import failpoints, kafka
from clearing.config import Settings
from clearing.halts import RETRY_POLL_S
from clearing.heartbeats import vitals
from clearing.intake import metrics
from clearing.intake.decode import warm
from clearing.intake.directory import Directory
from clearing.intake.enquiries import Enquiries
from clearing.intake.halting import SourceHalts
from clearing.intake.identities import Identities
from clearing.intake.lane import Lane
from clearing.intake.packing import MAX_SOURCE_BYTES
from clearing.intake.sources import PASSING, Source, SourceStopped, Stop, first_offset
from clearing.metadata import existing, learn

SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_INTERVAL_MS = 1_000
METADATA_AGE_MS = 5_000  # a new payments topic is found within this
# As much at once as a log record has room for.
FETCH: dict[str, Any] = {"fetch_max_bytes": MAX_SOURCE_BYTES, "gathers": True}
COMMIT_INTERVAL_S = 0.25
COMMIT_TIMEOUT_S = 2.0
MEASURE_INTERVAL_S = 1.0
RECOGNISE_INTERVAL_S = 2.0  # a topic that was deleted and made again is noticed within this
WATCH_MS = 1_000
PROVEN_S = 10.0  # a lane that has run so long is over what had halted it before
RETRY_INTERVAL_S = 30.0  # of a source that stopped for a reason that may pass
FINISH_TIMEOUT_S = 3.0  # with the commit behind it less than the session timeout
CLOSE_TIMEOUT_S = 5.0
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
LONG_SESSION_S = 60.0

_log = structlog.get_logger()


async def run(settings: Settings, ready: Callable[[], None] | None = None) -> None:
    """Read what the group assigns until cancelled.

    Raises KafkaError where Kafka or the log topic is not there at the start; once it was ready, an error of
    Kafka's ends the session, not the service: everything is built anew from what the log has acknowledged.
    Raises Halt when the directory of netting sets contradicts itself: no source could be trusted to go anywhere.
    """
    await asyncio.to_thread(warm)
    directory = Directory(settings.bootstrap, settings.topics)
    acknowledged: dict[TopicPartition, int] = {}
    identities = Identities()
    halts = SourceHalts(settings)
    was_ready = False
    failures = 0

    def begun() -> None:
        nonlocal was_ready
        if not was_ready and ready is not None:
            ready()
        was_ready = True

    try:
        while True:
            begun_s = time.monotonic()
            try:
                await _Session(settings, directory, acknowledged, identities, halts).run(begun)
            except KafkaError as error:
                if not was_ready:
                    raise
                failures = 0 if time.monotonic() - begun_s > LONG_SESSION_S else failures + 1
                pause_s = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
                metrics.sessions_lost.inc()
                _log.error("session_lost", error=repr(error), again_in_s=pause_s)
                await asyncio.sleep(pause_s)
    finally:
        await halts.close()


class _Session(ConsumerRebalanceListener):
    """One consumer, one producer and what hangs on them: given up as a whole at the first doubt.

    acknowledged: next offset of each source partition that this process knows the log to have. It outlives
    the session: what the log has acknowledged stays acknowledged, committed or not.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        acknowledged: dict[TopicPartition, int],
        identities: Identities,
        halts: SourceHalts,
    ) -> None:
        self._settings = settings
        self._topics = settings.topics
        self._directory = directory
        self._acknowledged = acknowledged
        self._identities = identities
        self._halts = halts
        self._committed: dict[TopicPartition, int] = {}
        self._lanes: dict[int, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # of lanes and of sources that start
        self._stopped: dict[TopicPartition, Stop] = {}
        self._gates: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._group = asyncio.TaskGroup()
        self._closing = False
        self._consumer = self._new_consumer()
        self._enquiries = Enquiries(self._consumer, identities)
        self._producer = kafka.producer(
            settings.bootstrap, client="clearing-intake", compression_type="zstd"
        )

    def _new_consumer(self) -> kafka.Consumer:
        consumer = kafka.consumer(
            self._settings.bootstrap,
            group=self._topics.group("intake"),
            instance=self._settings.instance,
            client="clearing-intake",
            **FETCH,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            metadata_max_age_ms=METADATA_AGE_MS,
        )
        control = "|".join(map(re.escape, (self._topics.commands, self._topics.confirmations)))
        consumer.subscribe(
            pattern=f"{self._topics.payments_pattern}|^(?:{control})$", listener=self
        )
        return consumer

    async def run(self, begun: Callable[[], None]) -> None:
        """Until cancelled, or until something fails. Raises the error itself, not a group of them."""
        try:
            await self._producer.start()
            await self._require_log()
            async with self._group as group:
                await self._consumer.start()
                for work in (
                    self._enquiries.run,
                    self._commit_regularly,
                    self._watch,
                    self._recognise,
                    self._retry_sources,
                    self._measure,
                ):
                    group.create_task(work())
                group.create_task(self._directory.follow())
                begun()
        except BaseExceptionGroup as errors:
            raise _cause(errors) from errors
        finally:
            await self._close()

    async def _require_log(self) -> None:
        """Before any client asks the broker for the log by name, which may make it with wrong settings."""
        if not await existing(self._producer, [self._topics.log]):
            raise UnknownTopicOrPartitionError(f"{self._topics.log} does not exist")
        await learn(self._producer, [self._topics.log])

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  aiokafka awaits it
        """Nothing of them is read any more when this returns; what the log has by then is committed."""
        await self._stop_all()
        await self._commit()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self._closing:
            return
        _log.info("assigned", sources=len(assigned))
        self._consumer.pause(*assigned)  # until it is known where each begins
        for partition in sorted(assigned):
            self._start_task(self._start(partition))

    def _start_task(self, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self, partition: TopicPartition, after_s: float = 0.0) -> None:
        """Find out where a source's records go and where it begins, then hand it to its lane."""
        await asyncio.sleep(after_s)
        committed: int | None = None
        try:
            name, number, is_control = await self._destination(partition)
            async with self._gates[number]:
                await self._halts.until_retried(number)
            acknowledged = self._acknowledged.get(partition)
            committed, bounds = await self._enquiries.of(partition)
            if isinstance(bounds, SourceStopped):
                raise bounds
            start = first_offset(committed, acknowledged, *bounds)
            self._consumer.seek(partition, start)
            self._consumer.resume(partition)
        except SourceStopped as why:
            if why.reason is Stop.RECREATED and committed is None:
                self._acknowledged.setdefault(partition, 0)  # so that there is something to commit
            self._on_stopped(partition, why)
            return
        except IllegalStateError:
            return  # taken away meanwhile: whoever gets it next starts it
        self._acknowledged[partition] = start
        self._stopped.pop(partition, None)
        self._lane(name, number).add(Source(partition, is_control, start, start))
        await self._halts.source_goes_on(number, partition)

    async def _destination(self, partition: TopicPartition) -> tuple[str, int, bool]:
        """(netting set, its partition of the log, whether this is control). Waits for the directory."""
        name, number = await self._netting_set(partition)
        if number not in await self._producer.partitions_for(self._topics.log):
            raise SourceStopped(Stop.NO_LOG_PARTITION, f"the log has no partition {number}")
        return name, number, self._topics.parse_payments(partition.topic) is None

    async def _netting_set(self, partition: TopicPartition) -> tuple[str, int]:
        """Its name and its partition of the log. Waits for the directory."""
        payments = self._topics.parse_payments(partition.topic)
        if payments is None:
            return await self._directory.name_of(partition.partition), partition.partition
        return payments[0], await self._directory.partition_of(payments[0])

    def _lane(self, name: str, number: int) -> Lane:
        if number not in self._lanes:
            lane = Lane(
                name=name,
                log=TopicPartition(self._topics.log, number),
                consumer=self._consumer,
                producer=self._producer,
                acknowledged=self._acknowledged,
                on_stopped=self._on_stopped,
            )
            self._lanes[number] = lane
            vitals.serves(name)
            self._start_task(self._run_lane(lane))
        return self._lanes[number]

    async def _run_lane(self, lane: Lane) -> None:
        """An error that nobody foresaw stops this netting set's way into the log, and nobody else's."""
        number = lane.log.partition
        proven = asyncio.get_running_loop().call_later(PROVEN_S, self._halts.passed, number, 0)
        try:
            await lane.run()
        except (KafkaError, OSError, TimeoutError):
            raise
        except Exception as error:
            proven.cancel()
            sources = {source.partition for source in lane.sources}
            self._consumer.pause(*sources & self._consumer.assignment())
            await self._halts.lane_stands_still(lane.name, number, error)
            del self._lanes[number]
            vitals.leaves(lane.name)
            for source in lane.sources:  # anew from what the log has
                self._start_task(self._start(source.partition))
        finally:
            proven.cancel()

    async def _retry_sources(self) -> None:
        """Start those again that an operator has asked for."""
        while True:
            await asyncio.sleep(RETRY_POLL_S)
            for partition in list(self._stopped):
                _, number = await self._netting_set(partition)
                if await self._halts.is_retried(number, partition):
                    self._start_task(self._start(partition))

    def _on_stopped(self, partition: TopicPartition, why: SourceStopped) -> None:
        """Report a source that cannot be read on. It starts again only where that cannot skip anything."""
        self._stopped[partition] = why.reason
        if partition in self._consumer.assignment():
            self._consumer.pause(partition)
        if why.reason is Stop.RECREATED:
            # Committed once more, as of the topic that was: Kafka has forgotten it with that topic, and who is
            # assigned this one next may not have seen that.
            self._committed.pop(partition, None)
        passing = why.reason in PASSING
        _log.error(
            "source_stopped",
            topic=partition.topic,
            partition=partition.partition,
            reason=why.reason,
            detail=str(why),
            again_in_s=RETRY_INTERVAL_S if passing else None,
        )
        self._start_task(self._tell_stopped(partition, str(why)))
        if passing:
            self._start_task(self._start(partition, RETRY_INTERVAL_S))

    async def _tell_stopped(self, partition: TopicPartition, reason: str) -> None:
        name, number = await self._netting_set(partition)
        said = f"{partition.topic}-{partition.partition} is not read on: {reason}"
        await self._halts.source_stopped(name, number, partition, said)

    async def _stop_all(self) -> None:
        """End lanes and starts; wait, within a bound, for what is on its way to the log."""
        await kafka.ended(list(self._tasks))  # the task group has their errors
        await asyncio.gather(*(lane.finish(FINISH_TIMEOUT_S) for lane in self._lanes.values()))
        for lane in self._lanes.values():  # another worker's to measure from here on
            metrics.lag_records.labels(lane.name).set(0)
            metrics.lag_seconds.labels(lane.name).set(0)
            vitals.leaves(lane.name)
        self._lanes.clear()
        self._stopped.clear()

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_S)
            await self._commit()

    async def _commit(self) -> None:
        """Tell the group what the log has. Failing costs only that it is read and dropped again."""
        offsets = {
            partition: offset
            for partition in self._consumer.assignment()
            if (offset := self._acknowledged.get(partition)) is not None
            and self._committed.get(partition) != offset
        }
        if not offsets:
            return
        named = {
            partition: (offset, self._identities.of(partition.topic))
            for partition, offset in offsets.items()
        }
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                failpoints.at("intake.committing")
                await self._consumer.commit(named)
                failpoints.at("intake.committed")
        except (KafkaError, TimeoutError) as error:
            metrics.commits_failed.inc()
            _log.warning("offsets_not_committed", error=repr(error), sources=len(offsets))
        else:
            self._committed |= offsets

    async def _watch(self) -> None:
        """Raise what the group has to complain of, also while there is no source to read."""
        nothing = TopicPartition(self._topics.log, 0)  # not subscribed: no record ever comes of it
        while True:
            await self._consumer.getmany(nothing, timeout_ms=WATCH_MS)

    async def _recognise(self) -> None:
        """Stop sources whose topic is another one than before; learn those of other workers too."""
        while True:
            await asyncio.sleep(RECOGNISE_INTERVAL_S)
            strangers = await self._identities.recognise(
                self._consumer, self._consumer.subscription()
            )
            for topic, why in strangers.items():
                for lane in self._lanes.values():
                    lane.condemn(topic, why)
            for partition, reason in list(self._stopped.items()):
                if (why := strangers.get(partition.topic)) and reason is not why.reason:
                    self._on_stopped(partition, why)  # now it is known what made its position go

    async def _measure(self) -> None:
        while True:
            now_ms = time.time_ns() // 1_000_000
            for lane in self._lanes.values():
                records, seconds = lane.lag(now_ms)
                metrics.lag_records.labels(lane.name).set(records)
                metrics.lag_seconds.labels(lane.name).set(seconds)
            stopped = list(self._stopped.values())
            for reason in Stop:
                metrics.sources_stopped.labels(reason).set(stopped.count(reason))
            metrics.sources.set(sum(len(lane.sources) for lane in self._lanes.values()))
            metrics.sources_waiting.set(self._directory.waiting)
            await asyncio.sleep(MEASURE_INTERVAL_S)

    async def _close(self) -> None:
        self._closing = True
        await self._stop_all()
        await self._commit()
        stop = asyncio.create_task(self._consumer.stop())
        await asyncio.wait([stop], timeout=CLOSE_TIMEOUT_S)
        if not stop.done():
            stop.cancel()
            _log.warning("group_not_left", timeout_s=CLOSE_TIMEOUT_S)
        await kafka.discard(self._producer, CLOSE_TIMEOUT_S)


def _cause(errors: BaseExceptionGroup) -> BaseException:
    """The one error to report: a bug before anything of Kafka's."""
    leaves: list[BaseException] = []
    groups: list[BaseException] = [errors]
    while groups:
        error = groups.pop()
        if isinstance(error, BaseExceptionGroup):
            groups += error.exceptions
        else:
            leaves.append(error)
    return next((error for error in leaves if not isinstance(error, KafkaError)), leaves[0])
