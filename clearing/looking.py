"""A look at a partition now and then, over one consumer that is kept: halts, the directory of netting sets.

A consumer that is made anew for each look costs some ten requests and two connections; one that goes on fetching
costs ten requests a second.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import UnknownTopicOrPartitionError

from clearing import kafka
from clearing.metadata import existing, learn
from clearing.security import Security

CLOSE_TIMEOUT_S = 2.0


class Looks:
    """Its consumer is started when it is needed first, fetches nothing between two looks, and does not outlive an
    error. One look at a time."""

    def __init__(self, bootstrap: str, client: str, secured: Security | None = None) -> None:
        self._bootstrap = bootstrap
        self._secured = secured
        self._client = client
        self._reader: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def at(
        self, topic: str, hint: str = "clearing topics apply"
    ) -> AsyncIterator[AIOKafkaConsumer]:
        """The consumer, for a look at this topic: without an assignment to count on, and nobody else's meanwhile.

        Raises UnknownTopicOrPartitionError if there is none (asking for it by name might make it), with the hint
        what makes it, else KafkaError, OSError.
        """
        async with self._turn:
            try:
                reader = await self._started()
                await _require(reader, topic, hint)
                yield reader
                reader.pause(*reader.assignment())
            except BaseException:
                await self.close()
                raise

    async def _started(self) -> AIOKafkaConsumer:
        if self._reader is None:
            self._reader = kafka.consumer(
                self._bootstrap, client=self._client, secured=self._secured
            )
            await self._reader.start()
            await asyncio.sleep(0)  # stopped before its tasks ever ran, it would cancel us
        return self._reader

    async def close(self) -> None:
        """The next look begins with a new consumer."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await asyncio.wait([asyncio.create_task(reader.stop())], timeout=CLOSE_TIMEOUT_S)


async def _require(reader: AIOKafkaConsumer, topic: str, hint: str) -> None:
    if not await existing(reader, [topic]):
        raise UnknownTopicOrPartitionError(f"{topic} does not exist: {hint}")
    await learn(reader, [topic])
