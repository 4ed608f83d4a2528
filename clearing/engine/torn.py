"""A transaction of which readers have seen a part, and will never see the rest.

Where Kafka has left some of its markers unwritten (clearing.engine.hanging), the rest is aborted: by whoever takes
over, or by the fencing of one that was stopped while it ended it. What was seen cannot be taken back. So the log is
stepped once more from before it, what that causes is compared with what stands there, and the rest is written.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from clearing import kafka
from clearing.core.faults import Halt, HaltKind, Place
from clearing.engine.recovery import last_transactions
from clearing.log.records import OutputRecord, Transaction, UnreadableLog
from clearing.reading import Readers

Seen = dict[str, deque[kafka.RawRecord]]  # by topic, in their order; no topic without records


class Torn(NamedTuple):
    """What readers see behind a transaction of the journal, and whether they see that one itself in all topics."""

    seen: Seen
    whole: bool


async def look_behind(
    readers: Readers,
    journal: TopicPartition,
    last: Transaction | None,
    known: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> Torn:
    """Of a transaction of the journal, None: its beginning. known: where its records end in the other topics; ends:
    where these end, with nothing open in them.

    What readers see behind it counts if the journal holds a transaction behind it too, maybe aborted: it is of that
    one. Otherwise the journal has lost its end, which is not for us to mend (recovery.check_outcomes).
    """
    before = {partition: max(0, end - 1) for partition, end in known.items()}
    found = await _read(readers.committed, before, ends)
    behind = {p.topic: deque(one for one in found[p] if one.offset >= known[p]) for p in known}
    seen: Seen = {topic: records for topic, records in behind.items() if records}
    # What is not seen just before the end is a marker, or gone, or should be seen.
    unsure = {
        partition: place
        for partition, place in before.items()
        if known[partition] and not any(one.offset == place for one in found[partition])
    }
    if not seen and not unsure:
        return Torn({}, whole=True)
    written = await _read(readers.uncommitted, unsure, ends)
    if any(one.offset == unsure[p] for p, records in written.items() for one in records):
        return Torn(seen, whole=False)
    torn = bool(seen) and await _goes_on(readers.uncommitted, journal, last)
    return Torn(seen if torn else {}, whole=True)


async def _read(
    reader: AIOKafkaConsumer,
    places: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> dict[TopicPartition, list[kafka.RawRecord]]:
    """Records of these partitions from these places to their ends. What is gone by now is left out."""
    found: dict[TopicPartition, list[kafka.RawRecord]] = {partition: [] for partition in places}
    held = [partition for partition, place in places.items() if place < ends[partition]]
    if not held:
        return found
    reader.assign(held)
    first = await reader.beginning_offsets(held)
    for partition in held:
        reader.seek(partition, max(places[partition], first[partition]))
    while reading := [p for p in held if await reader.position(p) < ends[p]]:
        for partition, records in (await reader.getmany(*reading, timeout_ms=200)).items():
            found[partition] += [one for one in records if one.offset < ends[partition]]
    return found


async def _goes_on(
    uncommitted: AIOKafkaConsumer, journal: TopicPartition, last: Transaction | None
) -> bool:
    """Whether a transaction stands in the journal behind this one, to be seen or not."""
    uncommitted.assign([journal])
    with suppress(UnreadableLog):  # nobody's that we know
        written = await last_transactions(uncommitted, journal)
        return bool(written) and written[-1].sequence > (last.sequence if last else 0)
    return False


def unseen(
    seen: Seen, outputs: Iterable[OutputRecord], topics: Mapping[str, str]
) -> Iterator[OutputRecord]:
    """Of what is to be written the rest; what is seen is taken out of `seen`. topics: their full names by output.

    Raises Halt if readers have seen something else.
    """
    for output in outputs:
        topic = topics[output.topic]
        if topic not in seen:
            yield output
            continue
        there = seen[topic].popleft()
        if not seen[topic]:
            del seen[topic]
        if (there.key, there.value) != (output.key, output.value):
            raise Halt(
                HaltKind.FOREIGN_WRITER,
                f"{topic} offset {there.offset} is behind the journal's last transaction, and not what this engine "
                f"writes there",
                Place(topic, -1, there.offset),
            )
