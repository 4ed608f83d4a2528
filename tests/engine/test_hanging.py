"""What becomes of a transaction that hangs follows from where the journal says that its topics ended (F8)."""

import pytest
from aiokafka import TopicPartition

from clearing.engine.hanging import Ends, decide

OUTCOMES, POSITIONS, JOURNAL = (TopicPartition(t, 0) for t in ("outcomes", "positions", "journal"))
WHOLE = Ends(50, 50)


@pytest.mark.parametrize(
    ("positions", "end", "fate"),
    [
        (Ends(7, 9), 9, "commit"),  # the records of the journal's last transaction
        (Ends(7, 9), 10, "commit"),  # of one before it, whose marker is not there either
        (Ends(7, 9), 7, "abort"),  # of one that the journal does not show
        (Ends(8, 9), 7, "abort"),
        (Ends(7, 9), 8, ""),  # of both
        (Ends(7, 9), None, ""),  # of a version that noted no ends
        (Ends(9, 9), 9, ""),  # nothing hangs
    ],
)
def test_a_part_is_decided_as_the_journal_says(positions: Ends, end: int | None, fate: str) -> None:
    found = {OUTCOMES: WHOLE, POSITIONS: positions, JOURNAL: WHOLE}
    known = {OUTCOMES: 50} | ({POSITIONS: end} if end is not None else {})
    decided = decide(found, known, JOURNAL)
    assert decided.commit == [POSITIONS] * (fate == "commit")
    assert decided.abort == [POSITIONS] * (fate == "abort")


@pytest.mark.parametrize("known", [{}, {OUTCOMES: 10, POSITIONS: 7}])
def test_with_the_journal_hangs_what_belongs_to_it(known: dict[TopicPartition, int]) -> None:
    found = {OUTCOMES: Ends(10, 12), POSITIONS: Ends(7, 9), JOURNAL: Ends(30, 31)}
    decided = decide(found, known, JOURNAL)
    assert decided.abort == list(found)
    assert not decided.commit


def test_an_older_part_is_committed_while_the_journal_hangs() -> None:
    found = {OUTCOMES: Ends(10, 12), POSITIONS: Ends(5, 6), JOURNAL: Ends(30, 31)}
    decided = decide(found, {OUTCOMES: 10, POSITIONS: 7}, JOURNAL)
    assert decided.commit == [POSITIONS]
    assert decided.abort == [OUTCOMES, JOURNAL]
