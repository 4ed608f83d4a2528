"""What an owner finds behind it: how far the journal has gone, and what readers see of its last transactions.

Asked of the partitions that only the owner writes, once its predecessors are fenced and before anything is replayed
(clearing.engine.processor).
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced

from clearing.core.faults import Halt
from clearing.engine.hanging import end_hanging
from clearing.engine.recovery import check_outcomes, last_transactions, shown_before
from clearing.engine.torn import Seen, Torn, look_behind
from clearing.log.records import Transaction
from clearing.reading import Readers

Places = Mapping[
    str, TopicPartition
]  # by WRITTEN's names of topics, in that order: the journal is the last


class Past(NamedTuple):
    """shown: the journal's last transactions. whole: those up to the last of which readers see all. seen: what they
    see behind that. ends: of all that only the owner writes."""

    shown: list[Transaction]
    whole: list[Transaction]
    seen: Seen
    ends: dict[TopicPartition, int]

    @property
    def torn(self) -> bool:
        """Whether readers have seen a part of a transaction, and will not see the rest."""
        return bool(self.seen) or self.whole != self.shown


async def look_back(both: Readers, producer: AIOKafkaProducer, places: Places) -> Past:
    """What is there when nothing is open any more. Raises Halt where that cannot be, or is not to be mended; and
    ProducerFenced if somebody wrote meanwhile, who has overtaken us."""
    partitions = list(places.values())
    while True:
        both.committed.assign(partitions[-1:])
        stable = await both.committed.end_offsets(partitions)
        shown = await last_transactions(both.committed, places["journal"])
        ends = await end_hanging(both, producer, partitions, _known(places, shown))
        if ends is not None:
            break
    try:
        past = await _compared(both, places, shown, ends)
    except Halt as halt:
        if await both.committed.end_offsets(partitions) == stable:
            raise
        raise _overtaken(str(halt)) from halt
    if past.torn and await both.committed.end_offsets(partitions) != stable:
        raise _overtaken("a transaction seems to be torn")
    return past


def _overtaken(found: str) -> ProducerFenced:
    """What does not fit together is no proof of anything if somebody wrote meanwhile."""
    return ProducerFenced(f"somebody else wrote while this was read: {found}")


async def _compared(
    both: Readers,
    places: Places,
    shown: list[Transaction],
    ends: dict[TopicPartition, int],
) -> Past:
    """The journal with what else readers see. Raises Halt if it has lost its end."""
    whole, journal, outcomes = shown, places["journal"], places["outcomes"]
    seen: Seen = {}
    while not (behind := await _look_behind(both, places, whole, ends)).whole:
        # What readers see of it is what they see behind the one before, events in the journal among it.
        sequence = whole[-1].sequence
        whole, told = await shown_before(both.committed, journal, sequence, ends[journal])
        seen = {journal.topic: deque(told)} if told else {}
    if outcomes.topic not in behind.seen:
        await check_outcomes(both.committed, outcomes, whole, ends[outcomes])
    return Past(shown, whole, behind.seen | seen, ends)


async def _look_behind(
    both: Readers, places: Places, last: Sequence[Transaction], ends: Mapping[TopicPartition, int]
) -> Torn:
    transaction = last[-1] if last else None
    return await look_behind(both, places["journal"], transaction, _known(places, last), ends)


def _known(places: Places, last: Sequence[Transaction]) -> dict[TopicPartition, int]:
    """Where the records of the journal's last transaction end in all other topics."""
    ends = last[-1].ends if last else dict.fromkeys(list(places)[:-1], 0)
    return {places[topic]: end for topic, end in ends.items()}
