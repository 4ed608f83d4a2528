"""Which partition of the log belongs to which netting set, followed as it grows.

From the compacted topic `netting-sets`. A payments topic may be there before its netting set is: whoever asks
waits, and nothing is lost. A netting set that moves would split its log: that ends the process.
"""

import asyncio
from typing import NoReturn, TypeVar

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from clearing import kafka
from clearing.core.faults import Halt, HaltKind
from clearing.messages import DirectoryEntry
from clearing.metadata import existing, learn
from clearing.names import Topics

LOOK_AGAIN_S = 1.0
WAIT_MS = 1_000

_log = structlog.get_logger()
Key = TypeVar("Key")
Value = TypeVar("Value")
_decode = msgspec.json.Decoder(DirectoryEntry).decode


class Directory:
    """Empty until `follow` has read; keeps what it knows when `follow` is started again."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._partitions: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._grown = asyncio.Event()
        self.waiting = 0  # how many ask for what is not there

    async def partition_of(self, netting_set: str) -> int:
        """The netting set's partition, as soon as it has one."""
        return await self._entry(self._partitions, netting_set)

    async def name_of(self, partition: int) -> str:
        """The netting set of a partition, as soon as there is one."""
        return await self._entry(self._names, partition)

    async def _entry(self, entries: dict[Key, Value], key: Key) -> Value:
        waited = key not in entries
        self.waiting += waited
        try:
            while key not in entries:
                await self._grown.wait()
        finally:
            self.waiting -= waited
        return entries[key]

    async def follow(self) -> NoReturn:
        """Read the directory and go on reading. Raises KafkaError, and Halt on what must not be."""
        partition = TopicPartition(self._topics.netting_sets, 0)
        async with kafka.started(
            kafka.consumer(self._bootstrap, client="clearing-intake")
        ) as reader:
            await self._topic_exists(reader)
            await learn(reader, [partition.topic])
            reader.assign([partition])
            reader.seek(partition, (await reader.beginning_offsets([partition]))[partition])
            while True:
                read = await reader.getmany(partition, timeout_ms=WAIT_MS)
                for record in read.get(partition, []):
                    if record.value is not None:
                        self._learn(_decode(record.value))

    async def _topic_exists(self, reader: AIOKafkaConsumer) -> None:
        """Asking a broker for a topic that is not there may make it, with the wrong settings."""
        while True:
            if await existing(reader, [self._topics.netting_sets]):
                return
            await asyncio.sleep(LOOK_AGAIN_S)

    def _learn(self, entry: DirectoryEntry) -> None:
        name, partition = entry.netting_set, entry.partition
        if self._partitions.get(name, partition) != partition:
            raise Halt(
                HaltKind.FOREIGN_WRITER,
                f"netting set {name} has moved from partition {self._partitions[name]} to {partition}",
            )
        if self._names.get(partition, name) != name:
            raise Halt(
                HaltKind.FOREIGN_WRITER,
                f"{name} and {self._names[partition]} share partition {partition}",
            )
        if name not in self._partitions:
            _log.info("netting_set", netting_set=name, partition=partition)
        self._partitions[name] = partition
        self._names[partition] = name
        self._grown.set()
        self._grown = asyncio.Event()
