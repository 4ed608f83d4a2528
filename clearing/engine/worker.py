"""The engine process: a consumer group says which netting sets to serve, one Processor serves each.

The group's word is only a hint (the fencing decides); several engines share the netting sets and take
over from one another. A netting set that halts stands still (clearing.halts) and leaves the others alone.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from clearing import kafka
from clearing.config import Settings
from clearing.engine.processor import Fenced, Processor
from clearing.engine.snapshots import SnapshotStore
from clearing.engine.standby import Standby
from clearing.engine.warming import warm
from clearing.halts import Halts
from clearing.scheme.directory import look_up

SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_INTERVAL_MS = 1_000
DIRECTORY_INTERVAL_S = 2.0
STANDBY_DIRECTORY_INTERVAL_S = 20.0
# After being fenced: long enough for the group to tell a process that slept that it is not a member any more.
FENCED_WAIT_S = 3 * HEARTBEAT_INTERVAL_MS / 1000

_log = structlog.get_logger()


async def run(settings: Settings, ready: Callable[[], None] | None = None) -> None:
    """Serve what the group assigns until cancelled. Before it joins the group it has all its machine code."""
    await asyncio.to_thread(warm)
    consumer = kafka.consumer(
        settings.bootstrap,
        group=settings.topics.group("engine"),
        instance=settings.instance,
        client="clearing-engine",
        auto_offset_reset="latest",  # nothing is read here: membership only
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
    )
    engine = _Engine(settings, consumer)
    consumer.subscribe([settings.topics.log], listener=engine)
    try:
        async with kafka.started(consumer):
            if ready is not None:
                ready()
            while True:
                await engine.serve_assigned()
                await consumer.getmany(timeout_ms=int(DIRECTORY_INTERVAL_S * 1000))
    finally:
        await engine.stop_all()
        await engine.standby.close()
        await engine.halts.close()


class _Engine(ConsumerRebalanceListener):
    """Processors of this process by partition."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer) -> None:
        self.settings = settings
        self.halts = Halts(settings, "engine", settings.topics.log)
        self.standby = Standby(settings)
        self._consumer = consumer
        # As the group said last: nothing while it is dealing them out anew, when the consumer still names the old.
        self._assigned: set[TopicPartition] = set()
        self._is_dealt = False
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._directory: dict[int, str] = {}
        self._directory_at_s = 0.0

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  aiokafka awaits it
        self._assigned, self._is_dealt = set(), False
        await self.stop_all()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._consumer.pause(*assigned)
        self._assigned, self._is_dealt = set(assigned), True
        _log.info("assigned", partitions=sorted(partition.partition for partition in assigned))

    async def serve_assigned(self) -> None:
        """Start a processor for every assigned partition that has a netting set and none yet."""
        for number in [number for number, task in self._tasks.items() if task.done()]:
            # Never by itself, but for a CancelledError that a library lets slip: nothing stands still unsaid.
            _log.error("serving_ended", partition=number, task=repr(self._tasks.pop(number)))
        await self._read_directory_if_due()
        # Only what is still ours: the group may have dealt them out anew meanwhile.
        numbers = {partition.partition for partition in self._assigned}
        for number in sorted((numbers & self._directory.keys()) - self._tasks.keys()):
            self._tasks[number] = asyncio.create_task(self._serve(number))
        if self._is_dealt:
            others = self._directory.keys() - self._tasks.keys()
            self.standby.keep({n: self._directory[n] for n in others}, own=self._tasks.keys())

    async def _read_directory_if_due(self) -> None:
        """For what is assigned; and now and then for what is to be stood by for."""
        is_known = all(partition.partition in self._directory for partition in self._assigned)
        age_s = time.monotonic() - self._directory_at_s
        if is_known and (not self.settings.standby or age_s < STANDBY_DIRECTORY_INTERVAL_S):
            return
        self._directory_at_s = time.monotonic()
        try:
            directory = await look_up(self.halts.looks, self.settings.topics)
        except KafkaError as error:
            _log.warning("directory_unread", error=repr(error))
            return
        self._directory = {partition: name for name, partition in directory.items()}

    async def _serve(self, partition: int) -> None:
        """One netting set for as long as it is assigned here."""
        netting_set = self._directory[partition]
        store = SnapshotStore(
            self.settings.snapshot_folder, self.settings.topic_prefix, netting_set
        )
        await self.halts.before_serving(partition)
        machine = await self.standby.take(partition)
        while True:
            processor = Processor(
                self.settings.bootstrap,
                self.settings.topics,
                netting_set,
                partition,
                store,
                self.settings.snapshot_every_s,
                partial(self.halts.passed, partition),
                machine,
            )
            machine = None
            try:
                await processor.run()
            except asyncio.CancelledError:
                self.standby.leave(partition, processor.machine)
                raise
            except Fenced as error:
                machine = processor.machine
                _log.warning("fenced", netting_set=netting_set, error=str(error))
                await asyncio.sleep(FENCED_WAIT_S)  # still assigned after that: ours to take back
            except Exception as error:
                await self.halts.stand_still(netting_set, partition, error)

    async def stop_all(self) -> None:
        """Stop serving, and wait until nothing of it is left; _serve has reported whatever there was."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        await kafka.ended(tasks)
