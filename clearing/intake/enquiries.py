"""What the broker has to say of sources before they are read, asked of many of them together.

A worker is given thousands of sources at once, at every start and whenever the group deals them anew. Each takes
four requests if it is asked about alone: seconds of work on both sides before the first payment flows. What is
wanted at the same time is asked about together here: while one batch is under way the next one gathers.

Nobody answers for another: where a batch fails or takes long, each of its members is asked about alone.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from clearing import kafka
from clearing.intake.identities import Identities
from clearing.intake.sources import SourceStopped, Stop

TOGETHER = (
    500  # a batch; its answers take some ten milliseconds to read, in which nothing else runs
)
TOGETHER_TIMEOUT_S = (
    2.0  # a node that does not answer holds the sources of the others up for so long
)
ALONE_AT_ONCE = 32
BOUNDS_TIMEOUT_S = 10.0

_log = structlog.get_logger()


class Found(NamedTuple):
    """committed: by the group, None if nothing is; read before the bounds, as another worker may be at it.

    bounds: (the source's first offset, the one behind its last). A source whose topic is not the one that was read
    has none that mean anything, but says why.
    """

    committed: int | None
    bounds: tuple[int, int] | SourceStopped


class Enquiries:
    """For one session's consumer. Answers nobody unless `run` runs."""

    def __init__(self, consumer: AIOKafkaConsumer, identities: Identities) -> None:
        self._consumer = consumer
        self._identities = identities
        self._asked: asyncio.Queue[tuple[TopicPartition, asyncio.Future[Found | None]]] = (
            asyncio.Queue()
        )
        self._alone = asyncio.Semaphore(ALONE_AT_ONCE)

    async def of(self, partition: TopicPartition) -> Found:
        """Raises SourceStopped where the bounds cannot be read, and KafkaError for what concerns the session."""
        answer: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
        self._asked.put_nowait((partition, answer))
        found = await answer
        if found is None:
            async with self._alone:
                found = (await self._ask([partition]))[partition]
        return found

    async def run(self) -> NoReturn:
        """Ask for what there is to ask, batch by batch."""
        while True:
            batch = [await self._asked.get()]
            while len(batch) < TOGETHER and not self._asked.empty():
                batch.append(self._asked.get_nowait())
            waiting = [(partition, answer) for partition, answer in batch if not answer.done()]
            found = await self._together([partition for partition, _ in waiting])
            for partition, answer in waiting:
                if not answer.done():  # who asked may have been cancelled meanwhile
                    answer.set_result(found.get(partition))

    async def _together(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Found]:
        """What is missing is to be asked for alone."""
        led = [partition for partition in partitions if self._has_leader(partition)]
        if len(led) < 2:
            return {}
        try:
            async with asyncio.timeout(TOGETHER_TIMEOUT_S):
                return await self._ask(led)
        except (SourceStopped, KafkaError, TimeoutError) as error:
            _log.warning("sources_asked_about_alone", sources=len(led), error=repr(error))
            return {}

    def _has_leader(self, partition: TopicPartition) -> bool:
        """As far as it is known: aiokafka would try for all until there is one."""
        return self._consumer._client.cluster.leader_for_partition(partition) not in (None, -1)

    async def _ask(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Found]:
        committed = await kafka.committed(self._consumer, partitions)
        strangers = await self._identities.require(
            self._consumer, [(partition.topic, committed[partition][1]) for partition in partitions]
        )
        bounds = await self._bounds([each for each in partitions if each.topic not in strangers])
        return {
            partition: Found(
                committed[partition][0], strangers.get(partition.topic) or bounds[partition]
            )
            for partition in partitions
        }

    async def _bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, int]]:
        try:
            async with asyncio.timeout(BOUNDS_TIMEOUT_S):
                first = await self._consumer.beginning_offsets(partitions)
                end = await self._consumer.end_offsets(partitions)
        except (KafkaError, TimeoutError) as error:
            raise SourceStopped(
                Stop.UNREACHABLE, f"its bounds cannot be read: {error!r}"
            ) from error
        return {partition: (first[partition], end[partition]) for partition in partitions}
