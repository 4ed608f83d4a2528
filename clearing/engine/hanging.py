"""Transactions of ours that hang: their records are there, their end is not, and the coordinator knows of none.

Seen with Kafka 4.3.1: a broker that was stopped in order noted a commit as complete whose markers it never wrote.
Readers stand before such records. A recovery would not see that they were written, would write them again, and our
own next marker would commit both. Called after fencing, when nothing under our transactional id is under way.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition

from clearing import kafka
from clearing.core.faults import Halt, HaltKind, Place
from clearing.reading import Readers

WRITTEN = ("outcomes", "settlements", "windows", "positions", "rejected", "journal")
END_TIMEOUT_S = 20.0
PATIENCE_S = 10.0  # replicas may hear of a marker a moment later
POLL_S = 0.2

_log = structlog.get_logger()


class Ends(NamedTuple):
    """Of a partition: up to where committed readers get, and where it ends. Something is open between them."""

    stable: int
    end: int

    @property
    def hang(self) -> bool:
        return self.stable < self.end


class Decided(NamedTuple):
    """What is to become of what hangs."""

    commit: list[TopicPartition]
    abort: list[TopicPartition]


async def end_hanging(
    readers: Readers,
    producer: AIOKafkaProducer,
    partitions: Sequence[TopicPartition],
    known: Mapping[TopicPartition, int],
) -> dict[TopicPartition, int] | None:
    """Let nothing be open in these partitions, which only we write; the journal is the last of them.

    known: `ends` of the journal's last transaction, 0 where it has none yet. The marker of another transaction that
    touches a partition ends whatever is open there under our producer id. What the journal shows is committed, as
    its record there was; what it does not show is aborted, and cleared anew: where readers have seen a part of it,
    without that part (clearing.engine.torn).

    Returns where the partitions end; None if something had to be ended: the journal may say more now. Raises Halt
    if something stays open, for it is not ours, or it cannot be known what the rest of it came to.
    """
    found = await _ends(readers, partitions)
    hanging = [partition for partition in partitions if found[partition].hang]
    if not hanging:
        return {partition: ends.end for partition, ends in found.items()}
    _log.error(
        "hanging_transaction",
        partitions=[f"{p.topic}-{p.partition} from {found[p].stable}" for p in hanging],
    )
    journal = partitions[-1]
    decided = decide(found, known, journal)
    for which, commit in ((decided.commit, True), (decided.abort, False)):
        if which:
            await kafka.end_over(producer, which, END_TIMEOUT_S, commit=commit)
    deadline = time.monotonic() + PATIENCE_S
    while hanging := [
        partition for partition, ends in (await _ends(readers, partitions)).items() if ends.hang
    ]:
        if time.monotonic() > deadline:
            partition = hanging[0]
            offset = found[partition].stable
            raise Halt(
                HaltKind.FOREIGN_WRITER,
                f"a transaction that is not ours is open in {partition.topic}-{partition.partition} from offset "
                f"{offset} on, or the rest of one of ours is: readers stand still there",
                Place(*partition, offset),
            )
        await asyncio.sleep(POLL_S)
    return None


def decide(
    found: Mapping[TopicPartition, Ends],
    known: Mapping[TopicPartition, int],
    journal: TopicPartition,
) -> Decided:
    """What lies before the end of the journal's last transaction is committed as that is. What lies behind it is of
    one that the journal does not show: aborted. Fencing aborts too what it meets half ended: whoever is stopped
    over an abort leaves nothing behind that it did not want.

    A part that holds both is left as it is; so is one whose topic has no known end, unless the journal hangs too.
    """
    decided = Decided([], [])
    for partition, ends in found.items():
        if not ends.hang:
            continue
        until = known.get(partition, 0 if found[journal].hang else ends.end)
        if ends.stable >= until:
            decided.abort.append(partition)
        elif partition in known and ends.end <= until:
            decided.commit.append(partition)
    return decided


async def _ends(
    readers: Readers, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, Ends]:
    stable, ends = [await reader.end_offsets(partitions) for reader in readers]
    return {partition: Ends(stable[partition], ends[partition]) for partition in partitions}
