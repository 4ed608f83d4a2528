"""A transaction of which readers have seen a part, and will never see the rest.

Where Kafka has left some of its markers unwritten (clearing.engine.hanging), the rest is aborted: by whoever takes
over, or by the fencing of one that died over it. What was seen cannot be taken back. So it is not written again:
the log is stepped once more, what that causes is compared with what stands there, and the rest is written.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition

from clearing import kafka
from clearing.core.faults import Halt, HaltKind, Place
from clearing.engine.recovery import last_transactions
from clearing.log.records import OutputRecord, Transaction, UnreadableLog

Seen = dict[str, deque[kafka.RawRecord]]  # by topic, in their order; no topic without records


async def seen_behind(
    bootstrap: str,
    client: str,
    journal: TopicPartition,
    last: Sequence[Transaction],
    known: Mapping[TopicPartition, int],
) -> Seen:
    """What committed readers see behind the journal's last transaction, of one that was aborted in the journal.

    known: where the last transaction's records end. Raises Halt if readers do not see all of that transaction.
    """
    seen: Seen = {}
    committed = kafka.consumer(bootstrap, client=client)
    uncommitted = kafka.consumer(bootstrap, client=client, isolation_level="read_uncommitted")
    async with kafka.started(committed), kafka.started(uncommitted):
        for partition, end in known.items():
            await _check_last(committed, uncommitted, partition, end)
        if not await _was_aborted(uncommitted, journal, last):
            return seen
        for partition, end in known.items():
            committed.assign([partition])
            if found := [one async for one in kafka.read_to_end(committed, partition, end)]:
                seen[partition.topic] = deque(found)
    return seen


async def _check_last(
    committed: AIOKafkaConsumer,
    uncommitted: AIOKafkaConsumer,
    partition: TopicPartition,
    end: int,
) -> None:
    """The last record of a transaction that the journal shows is seen. It may be gone by now, or a marker."""
    place = end - 1
    if end == 0 or await _stands_at(committed, partition, place):
        return
    if await _stands_at(uncommitted, partition, place):
        raise Halt(
            HaltKind.LOG_LOST,
            f"{partition.topic} offset {place} belongs to the journal's last transaction, but was aborted: whoever "
            f"ended what Kafka had left open of it (ops/adr/0022) was stopped meanwhile",
            Place(*partition, place),
        )


async def _stands_at(reader: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> bool:
    reader.assign([partition])
    first = (await reader.beginning_offsets([partition]))[partition]
    if offset < first:
        return False
    async for record in kafka.read_to_end(reader, partition, offset):
        return record.offset == offset
    return False


async def _was_aborted(
    uncommitted: AIOKafkaConsumer, journal: TopicPartition, last: Sequence[Transaction]
) -> bool:
    """Whether a transaction that readers do not see stands in the journal behind the last one that they do."""
    uncommitted.assign([journal])
    with suppress(UnreadableLog):  # nobody's that we know
        written = await last_transactions(uncommitted, journal)
        return bool(written) and written[-1].sequence > (last[-1].sequence if last else 0)
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
