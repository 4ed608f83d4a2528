"""The engine process: a consumer group says which netting sets to serve, one Processor serves each.

The group's word is only a hint (the fencing decides); several engines share the netting sets and take
over from one another. A netting set that halts stands still (clearing.halts) and leaves the others alone.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from clearing import kafka
from clearing.config import Settings
from clearing.engine.processor import Fenced, Processor
from clearing.engine.snapshots import SnapshotStore
from clearing.halts import Halts
from clearing.scheme.directory import read_directory

SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_INTERVAL_MS = 1_000
DIRECTORY_INTERVAL_S = 2.0
# After being fenced: long enough for the group to tell a process that slept that it is not a member any more.
FENCED_WAIT_S = 3 * HEARTBEAT_INTERVAL_MS / 1000

_log = structlog.get_logger()


async def run(settings: Settings, ready: Callable[[], None] | None = None) -> None:
    """Serve what the group assigns until cancelled."""
    engine = _Engine(settings)
    consumer = kafka.consumer(
        settings.bootstrap,
        group=settings.topics.group("engine"),
        instance=settings.instance,
        client="clearing-engine",
        auto_offset_reset="latest",  # nothing is read here: membership only
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
    )
    consumer.subscribe([settings.topics.log], listener=engine)
    try:
        async with kafka.started(consumer):
            engine.consumer = consumer
            if ready is not None:
                ready()
            while True:
                await engine.serve_assigned(consumer.assignment())
                await consumer.getmany(timeout_ms=int(DIRECTORY_INTERVAL_S * 1000))
    finally:
        await engine.stop_all()
        await engine.halts.close()


class _Engine(ConsumerRebalanceListener):
    """Processors of this process by partition."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.halts = Halts(settings, "engine", settings.topics.log)
        self.consumer: AIOKafkaConsumer | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._directory: dict[int, str] = {}

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  aiokafka awaits it
        await self._stop([partition.partition for partition in revoked])

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.consumer is not None:
            self.consumer.pause(*assigned)
        _log.info("assigned", partitions=sorted(partition.partition for partition in assigned))

    async def serve_assigned(self, assigned: set[TopicPartition]) -> None:
        """Start a processor for every assigned partition that has a netting set and none yet."""
        assert self.consumer is not None
        self.consumer.pause(*assigned)
        numbers = {partition.partition for partition in assigned}
        await self._stop([number for number in self._tasks if number not in numbers])
        for number in [number for number, task in self._tasks.items() if task.done()]:
            # Never by itself, but for a CancelledError that a library lets slip: nothing stands still unsaid.
            _log.error("serving_ended", partition=number, task=repr(self._tasks.pop(number)))
        if any(number not in self._directory for number in numbers):
            await self._read_directory()
        for number in sorted(numbers - self._tasks.keys()):
            if number in self._directory:
                self._tasks[number] = asyncio.create_task(self._serve(number))

    async def _read_directory(self) -> None:
        try:
            directory = await read_directory(self.settings.bootstrap, self.settings.topics)
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
        while True:
            processor = Processor(
                self.settings.bootstrap,
                self.settings.topics,
                netting_set,
                partition,
                store,
                self.settings.snapshot_every_s,
                partial(self.halts.passed, partition),
            )
            try:
                await processor.run()
            except Fenced as error:
                _log.warning("fenced", netting_set=netting_set, error=str(error))
                await asyncio.sleep(FENCED_WAIT_S)  # still assigned after that: ours to take back
            except Exception as error:
                await self.halts.stand_still(netting_set, partition, error)

    async def _stop(self, partitions: list[int]) -> None:
        tasks = [task for number in partitions if (task := self._tasks.pop(number, None))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(
            *tasks, return_exceptions=True
        )  # _serve has reported whatever there was

    async def stop_all(self) -> None:
        await self._stop(list(self._tasks))
