"""A producer that bypasses the engine is seen by the offsets that the engine's own records get."""

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import RecordMetadata

from clearing.core.faults import Halt, HaltKind, Place
from clearing.engine.ownership import Ownership


def stored(*places: tuple[str, int]) -> list[RecordMetadata]:
    return [
        RecordMetadata(topic, 2, TopicPartition(topic, 2), offset, 0, 0, 0)
        for topic, offset in places
    ]


def test_transactions_that_follow_on_one_another_are_fine() -> None:
    """The commit's marker takes one offset of each partition that the transaction wrote to, and of no other."""
    ownership = Ownership({})
    ownership.check(stored(("outcomes", 10), ("journal", 70), ("journal", 71)))
    ownership.check(stored(("outcomes", 12), ("outcomes", 13), ("journal", 73)))
    ownership.check(stored(("journal", 75)))
    ownership.check(stored(("outcomes", 15), ("journal", 77)))


@pytest.mark.parametrize(
    ("second", "topic", "offset"),
    [
        ([("journal", 74), ("outcomes", 12)], "journal", 73),
        ([("outcomes", 14), ("journal", 73)], "outcomes", 12),
        ([("outcomes", 12), ("outcomes", 14), ("journal", 73)], "outcomes", 13),
    ],
)
def test_a_place_it_did_not_write_halts(
    second: list[tuple[str, int]], topic: str, offset: int
) -> None:
    ownership = Ownership({})
    ownership.check(stored(("outcomes", 10), ("journal", 71)))
    with pytest.raises(Halt, match=f"{topic}-2 has something at offset {offset} ") as halted:
        ownership.check(stored(*second))
    assert halted.value.kind is HaltKind.FOREIGN_WRITER
    assert halted.value.place == Place(topic, 2, offset)


def test_it_goes_on_where_everything_ended_when_it_began() -> None:
    journal, outcomes = TopicPartition("journal", 2), TopicPartition("outcomes", 2)
    ownership = Ownership({journal: 5_000, outcomes: 40})
    assert ownership.ends([outcomes, outcomes, journal]) == {journal: 5_001, outcomes: 42}
    ownership.check(stored(("outcomes", 40), ("outcomes", 41), ("journal", 5_000)))
    assert ownership.ends([journal]) == {journal: 5_003, outcomes: 43}
    with pytest.raises(Halt, match="outcomes-2 has something at offset 43 "):
        ownership.check(stored(("outcomes", 44)))


def test_what_it_was_not_told_of_is_not_its_business() -> None:
    Ownership({}).check(stored(("journal", 5_000)))


def test_a_send_whose_place_the_broker_had_forgotten_accuses_nobody() -> None:
    """A batch sent again is answered without offsets: they count from -1 then."""
    ownership = Ownership({})
    ownership.check(stored(("journal", 71)))
    ownership.check(stored(("journal", -1), ("journal", 0), ("journal", 1)))
    ownership.check(stored(("journal", 90)))
    with pytest.raises(Halt):
        ownership.check(stored(("journal", 93)))
