"""The directory: which partition of every partitioned topic belongs to which netting set.

Kept in the compacted topic `netting-sets`. Numbers are given away once: whoever writes holds the registrar's
transactional id, so that two cannot give the same number to two netting sets.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced, UnknownError

from clearing import kafka
from clearing.looking import Looks
from clearing.messages import DirectoryEntry
from clearing.names import Topics
from clearing.security import Security

COMMIT_TIMEOUT_S = 30.0
ATTEMPTS = 8
_BACKOFF_S = 0.1
_VISIBLE_POLL_S = 0.01

_log = structlog.get_logger()
_decode = msgspec.json.Decoder(DirectoryEntry).decode

Result = TypeVar("Result")


async def read_directory(
    bootstrap: str, topics: Topics, secured: Security | None = None
) -> dict[str, int]:
    """Netting set → partition. secured: see kafka.consumer. Raises KafkaError; UnknownTopicOrPartitionError where
    no scheme was ever loaded."""
    looks = Looks(bootstrap, "clearing", secured)
    try:
        return await look_up(looks, topics)
    finally:
        await looks.close()


async def look_up(looks: Looks, topics: Topics) -> dict[str, int]:
    """read_directory, for who does it again and again."""
    async with looks.at(topics.netting_sets, "load a scheme first") as reader:
        return await _read_directory(reader, topics)


async def read_values(reader: AIOKafkaConsumer, topic: str, partition: int) -> list[bytes | None]:
    """Committed values of all records of a partition that exists."""
    assigned = TopicPartition(topic, partition)
    reader.assign([assigned])
    return [record.value async for record in kafka.read_to_end(reader, assigned)]


async def publish_directory(
    bootstrap: str, topics: Topics, netting_sets: Iterable[str]
) -> dict[str, int]:
    """Give each netting set that has none the lowest free number; returns the whole directory."""
    names = list(netting_sets)

    async def register(registrar: "Registrar") -> dict[str, int]:
        directory = await registrar.read_directory()
        complete = assign(directory, names)
        await registrar.publish(new_entries(topics, directory, complete))
        return complete

    return await as_registrar(bootstrap, topics, register)


def assign(directory: Mapping[str, int], netting_sets: Iterable[str]) -> dict[str, int]:
    """The directory with a number for each netting set: what was given stays, new ones get the lowest free."""
    complete = dict(directory)
    taken = set(directory.values())
    assert len(taken) == len(directory), f"two netting sets share a partition: {directory}"
    for name in netting_sets:
        if name not in complete:
            number = next(n for n in range(len(taken) + 1) if n not in taken)
            complete[name] = number
            taken.add(number)
    return complete


def new_entries(
    topics: Topics, before: Mapping[str, int], after: Mapping[str, int]
) -> list[kafka.TopicRecord]:
    """Records of the entries that `after` has and `before` has not."""
    return [
        kafka.TopicRecord(
            topics.netting_sets,
            0,
            name.encode(),
            msgspec.json.encode(DirectoryEntry(netting_set=name, partition=number)),
        )
        for name, number in after.items()
        if name not in before
    ]


class Registrar:
    """The one writer of directory and scheme commands, until somebody else fences it."""

    def __init__(
        self, producer: AIOKafkaProducer, reader: AIOKafkaConsumer, topics: Topics
    ) -> None:
        self._producer = producer
        self._reader = reader
        self._topics = topics

    async def read_directory(self) -> dict[str, int]:
        return await _read_directory(self._reader, self._topics)

    async def read(self, topic: str, partition: int) -> list[bytes | None]:
        """Values of all records of a partition."""
        return await read_values(self._reader, topic, partition)

    async def publish(self, records: Sequence[kafka.TopicRecord]) -> None:
        """All of them in one transaction, or none; returns once readers can see them.

        Raises KafkaError (fenced, …) or TimeoutError.
        """
        if not records:
            return
        stored = await kafka.transact(self._producer, records, COMMIT_TIMEOUT_S)
        async with asyncio.timeout(COMMIT_TIMEOUT_S):
            await self._until_visible(
                {TopicPartition(at.topic, at.partition): at.offset for at in stored}
            )

    async def _until_visible(self, last: Mapping[TopicPartition, int]) -> None:
        """A commit is answered before its markers are in the partitions; until then readers see nothing."""
        while True:
            stable = await self._reader.end_offsets(list(last))
            if all(stable[partition] > offset for partition, offset in last.items()):
                return
            await asyncio.sleep(_VISIBLE_POLL_S)


async def as_registrar(
    bootstrap: str, topics: Topics, work: Callable[[Registrar], Awaitable[Result]]
) -> Result:
    """Do `work` as the only registrar; from the start again after any doubt, which reading resolves.

    `work` reads before it publishes, once. Raises the last KafkaError or TimeoutError after ATTEMPTS.
    """
    for attempt in range(ATTEMPTS):
        try:
            async with _fenced(bootstrap, topics) as registrar:
                return await work(registrar)
        except (KafkaError, TimeoutError) as error:
            # A commit that meets a fencing may be answered UNKNOWN: a doubt like the others.
            doubts = (TimeoutError, ProducerFenced, UnknownError)
            again = isinstance(error, doubts) or error.retriable
            if not again or attempt == ATTEMPTS - 1:
                raise
            _log.info("registrar_retry", attempt=attempt + 1, error=repr(error))
        # Two at once fence one another for ever unless one of them waits longer.
        await asyncio.sleep(_BACKOFF_S * 2**attempt * random.random())  # noqa: S311
    raise AssertionError("the last attempt returns or raises")


@asynccontextmanager
async def _fenced(bootstrap: str, topics: Topics) -> AsyncIterator[Registrar]:
    """Fence first, then read: what an earlier registrar left open is aborted, and it can write no more."""
    identity = f"{topics.prefix}clearing.registrar"  # the dot: no netting set's id can be this
    producer = kafka.producer(bootstrap, transactional_id=identity)
    try:
        await producer.start()
        async with kafka.started(kafka.consumer(bootstrap)) as reader:
            yield Registrar(producer, reader, topics)
    finally:
        await kafka.discard(producer, timeout_s=COMMIT_TIMEOUT_S)


async def _read_directory(reader: AIOKafkaConsumer, topics: Topics) -> dict[str, int]:
    values = await read_values(reader, topics.netting_sets, 0)
    entries = [_decode(value) for value in values if value is not None]
    return {entry.netting_set: entry.partition for entry in entries}
