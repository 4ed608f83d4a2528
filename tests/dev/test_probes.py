"""Probes are counted by nobody, in whichever order log and outcomes are read."""

import numpy as np
import pytest

from clearing.core.outputs import Outcomes
from clearing.core.reasons import Code
from clearing.dev.probes import ProbeRows

OURS = np.array([False, True, False])
ACCEPTED, REFUSED = Code.ACCEPTED, Code.LIQUIDITY


def outcomes(log_offset: int) -> Outcomes:
    """Of three rows, the second one a probe's."""
    codes = np.array([ACCEPTED, REFUSED, ACCEPTED], np.uint8)
    return Outcomes(log_offset, 1, codes, np.array([False, True, False]), {})


def test_rows_of_a_probe_are_taken_out_when_the_log_was_read_first() -> None:
    rows = ProbeRows()
    assert rows.logged(0, 7, OURS) is None
    assert rows.without(0, outcomes(7)).codes.tolist() == [ACCEPTED, ACCEPTED]
    assert rows.without(0, outcomes(7)).codes.tolist() == [ACCEPTED, REFUSED, ACCEPTED]


def test_they_are_given_back_when_their_outcomes_were_read_first() -> None:
    rows = ProbeRows()
    assert len(rows.without(0, outcomes(7)).codes) == 3
    early = rows.logged(0, 7, OURS)
    assert early is not None
    assert (early.codes.tolist(), early.repeat.tolist()) == ([REFUSED], [True])
    assert rows.logged(0, 7, OURS) is None


@pytest.mark.parametrize("first", ["log", "outcomes"])
def test_a_record_without_probes_is_left_as_it_is(first: str) -> None:
    rows, none = ProbeRows(), np.zeros(3, np.bool_)
    if first == "log":
        assert rows.logged(0, 7, none) is None
    assert rows.without(0, outcomes(7)).codes.tolist() == [ACCEPTED, REFUSED, ACCEPTED]
    assert rows.logged(0, 8, none) is None


def test_partitions_are_apart_and_what_was_there_before_is_forgotten() -> None:
    """Outcomes of a log record that was read by nobody, as it was there before, are not kept for ever."""
    rows = ProbeRows()
    rows.without(0, outcomes(5))
    rows.without(1, outcomes(7))
    assert rows.logged(0, 7, OURS) is None
    assert not [place for place in rows._early if place[0] == 0]
    assert rows.logged(1, 7, OURS) is not None
