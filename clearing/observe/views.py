"""The latest record of each key of a compacted topic, kept up to date by reading on from where it stood."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec
from aiokafka import TopicPartition

from clearing.reading import Partitions

T = TypeVar("T")
UNREADABLE_KEPT = 5


class Latest(Generic[T]):
    """key -> decoded value of one compacted topic. The first refresh reads all of it, later ones the rest.

    unreadable: the latest records that are none of ours, a sentence each; they are left out.
    """

    def __init__(self, topic: str, decode: Callable[[bytes], T]) -> None:
        self._topic = topic
        self._decode = decode
        self._next: dict[int, int] = {}
        self._values: dict[bytes, T] = {}
        self.unreadable: deque[str] = deque(maxlen=UNREADABLE_KEPT)

    async def refresh(self, reader: Partitions, partitions: Iterable[int]) -> list[T]:
        """Read what is new; all values, ordered by key. A record without a value removes its key."""
        wanted = [TopicPartition(self._topic, number) for number in partitions]
        for partition, (first, end) in (await reader.bounds(wanted)).items():
            start = max(first, self._next.get(partition.partition, 0))
            async for records in reader.chunks(partition, start, end):
                for record in records:
                    key = record.key or b""
                    if not record.value:
                        self._values.pop(key, None)
                        continue
                    try:
                        self._values[key] = self._decode(record.value)
                    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                        where = f"{self._topic}-{partition.partition} offset {record.offset}"
                        self.unreadable.append(f"{where} cannot be read: {error}")
            self._next[partition.partition] = max(end, start)
        return [self._values[key] for key in sorted(self._values)]
