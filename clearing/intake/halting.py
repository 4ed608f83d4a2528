"""Sources that cannot be read on, told where operators look: in the topic `halts`, one record for each source.

A stopped source is intake's own kind of halt: its netting set goes on with the others. Never in the way of reading.
"""

import asyncio

import structlog
from aiokafka import TopicPartition

from clearing.config import Settings
from clearing.core.faults import Halt, HaltKind, Place
from clearing.halts import LOOK_TIMEOUT_S, Halts, halt_key

_log = structlog.get_logger()


class SourceHalts(Halts):
    """What one intake process tells. `partition` is always that of the netting set."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "intake", settings.topics.log)
        self._looked: set[int] = set()
        self._looking = (
            asyncio.Lock()
        )  # all sources of a netting set start at once: one of them looks

    async def source_stopped(
        self, netting_set: str, partition: int, source: TopicPartition, reason: str
    ) -> None:
        """Tell of a source that cannot be read on; once, while nothing about it changes."""
        key = halt_key(partition, self.service, source)
        await self._look(partition)
        before = self._standing.get(key)
        if key in self._met_here and before and (before.state, before.reason) == ("HALTED", reason):
            return
        self._met_here.add(key)
        record = self.record(netting_set, key, Halt(HaltKind.SOURCE, reason, Place(*source, -1)))
        await self._tell(partition, key, record)

    async def source_goes_on(self, partition: int, source: TopicPartition) -> None:
        """It is read again: what was told of it is over."""
        await self._look(partition)
        self.over(partition, halt_key(partition, self.service, source))

    async def is_retried(self, partition: int, source: TopicPartition) -> bool:
        """Whether an operator has asked to try a source again that this process has told of."""
        key = halt_key(partition, self.service, source)
        if key not in self._met_here:
            return False
        try:
            record = (await self._topic.read(partition, LOOK_TIMEOUT_S)).get(key)
        except Exception as error:  # asked again soon
            _log.warning("halts_unread", partition=partition, error=repr(error))
            return False
        if record is None or record.state == "HALTED":
            return False
        self._standing[key] = record
        self._met_here.discard(key)
        return True

    async def lane_stands_still(self, netting_set: str, partition: int, error: Exception) -> None:
        """See stand_still."""
        await self._look(partition)
        await self.stand_still(netting_set, partition, error)

    async def until_retried(self, partition: int) -> None:
        """At once, unless this process has halted for the netting set: then once an operator says so."""
        if halt_key(partition, self.service) in self._met_here:
            await self.before_serving(partition)

    async def _look(self, partition: int) -> None:
        """Learn what stood there before this process, once."""
        async with self._looking:
            if partition in self._looked:
                return
            try:
                found = await self._topic.read(partition, LOOK_TIMEOUT_S)
            except Exception as error:  # then what stands there is not counted on
                _log.warning("halts_unread", partition=partition, error=repr(error))
                return
            self._looked.add(partition)
            prefix = halt_key(partition, self.service)
            before = {key: record for key, record in found.items() if key.startswith(prefix)}
            self._standing = before | self._standing
            if record := before.get(prefix):
                self.warn(record, tried_again=True)
