"""Is anybody else writing to the partitions that only the owner writes? Seen by the offsets its own records get."""

from collections import Counter
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition
from aiokafka.structs import RecordMetadata

from clearing.core.faults import Halt, HaltKind, Place


class Ownership:
    """Of one owner: each transaction goes on where the one before ended, behind its marker.

    Fencing keeps the engine's predecessors out; a producer that bypasses it (wrong rights, a tool) is seen here,
    with the next transaction, at no cost. ends: where the partitions ended when the owner began.
    """

    def __init__(self, ends: Mapping[TopicPartition, int]) -> None:
        self._next = dict(ends)

    def ends(self, written: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Behind the records of a transaction that will be written to these partitions, one of them a record."""
        counts = Counter(written)
        return {partition: start + counts[partition] for partition, start in self._next.items()}

    def check(self, stored: Iterable[RecordMetadata]) -> None:
        """Where a committed transaction's records stand, in their order. Raises Halt: not behind one another."""
        ends: dict[TopicPartition, int] = {}
        unknown: set[TopicPartition] = set()
        for at in stored:
            partition = at.topic_partition
            expected = ends.get(partition, self._next.get(partition))
            if at.offset < (expected or 0):  # a send repeated, whose place the broker had forgotten
                unknown.add(partition)
            if partition in unknown:
                continue
            if expected is not None and at.offset > expected:
                raise Halt(
                    HaltKind.FOREIGN_WRITER,
                    f"{partition.topic}-{partition.partition} has something at offset {expected} that this "
                    f"engine did not write, though it alone may: its own record came to stand at {at.offset}",
                    Place(partition.topic, partition.partition, expected),
                )
            ends[partition] = at.offset + 1
        for partition, end in ends.items():
            self._next[partition] = end + 1  # behind the marker of the commit
        for partition in unknown:
            self._next.pop(partition, None)
