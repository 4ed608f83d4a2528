"""Hot standby: warm copies of the netting sets that other engines serve, a moment behind their journals.

To take one over is then to fence and to apply what its owner committed last (DESIGN.md §6: within a second). Each
copy is compared with the journal's chain at every look: where this engine would decide otherwise than the one that
serves, it says so long before it is needed.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from clearing import kafka
from clearing.config import Settings
from clearing.core.faults import Halt
from clearing.engine import metrics
from clearing.engine.follower import Follower
from clearing.engine.machine import Machine
from clearing.engine.snapshots import SnapshotStore
from clearing.log.records import UnreadableLog
from clearing.reading import partitions

LOOK_S = 0.2
RETRY_S = 5.0

_log = structlog.get_logger()


class Standby:
    """The copies of one process, by partition.

    Without `settings.standby` only what was served here last is kept, until it is known who serves it next: a
    rebalance that changes nothing costs no recovery.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._machines: dict[int, Machine] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def leave(self, partition: int, machine: Machine | None) -> None:
        """Where a processor of this process has stopped: maybe beyond the journal; the next owner finds out."""
        if machine is not None:
            self._machines[partition] = machine

    def keep(self, others: Mapping[int, str], own: Collection[int]) -> None:
        """Other processes serve `others`, by partition; this one serves `own`, and takes what there is of them."""
        wanted = others if self._settings.standby else {}
        for partition in self._machines.keys() - wanted.keys() - set(own):
            del self._machines[partition]
        for partition in self._tasks.keys() - wanted.keys() - set(own):
            self._tasks.pop(partition).cancel()
        for partition in wanted.keys() - self._tasks.keys():
            task = asyncio.create_task(self._follow(partition, wanted[partition]))
            self._tasks[partition] = task

    async def take(self, partition: int) -> Machine | None:
        """The copy of a netting set that is served here from now on, as far as it has come."""
        if (task := self._tasks.pop(partition, None)) is not None:
            await kafka.ended([task])
        return self._machines.pop(partition, None)

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        await kafka.ended(tasks)

    async def _follow(self, partition: int, netting_set: str) -> None:
        """Until cancelled, again after an error."""
        try:
            while True:
                try:
                    await self._follow_journal(partition, netting_set)
                except (KafkaError, TimeoutError, OSError) as error:
                    _log.warning("standby_interrupted", netting_set=netting_set, error=repr(error))
                except (Halt, UnreadableLog, AssertionError) as error:
                    # Its owner clears on; that this engine could not take over is said while there is time.
                    _log.error("standby_cannot_follow", netting_set=netting_set, error=str(error))
                    self._machines.pop(partition, None)
                await asyncio.sleep(RETRY_S)
        finally:
            with suppress(KeyError):  # there was none yet
                metrics.standby_offset.remove(netting_set)

    async def _follow_journal(self, partition: int, netting_set: str) -> None:
        settings = self._settings
        journal = TopicPartition(settings.topics.journal, partition)
        store = SnapshotStore(settings.snapshot_folder, settings.topic_prefix, netting_set)
        async with partitions(settings.bootstrap, "clearing-standby") as reader:
            follower = Follower(
                reader,
                settings.topics,
                netting_set,
                partition,
                store,
                machine=self._machines.get(partition),
            )
            seen = -1
            while True:
                _, end = (await reader.bounds([journal]))[journal]
                if end != seen:
                    seen, machine = end, (await follower.refresh()).machine
                    self._machines[partition] = machine
                    metrics.standby_offset.labels(netting_set).set(machine.next_offset)
                await asyncio.sleep(LOOK_S)
