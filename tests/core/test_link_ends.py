"""Linked legs that end without having been accepted: as one, whatever ends one of them (R12, R17, R20, R24)."""

from dataclasses import replace

import pytest

from clearing.core.commands import SetStatus
from clearing.core.reasons import Code
from clearing.core.registry import QueuePolicy
from tests.core.build import NOON_MS, Row, linked
from tests.core.scenes import (
    ACCEPTED,
    DONE,
    DROP,
    FIFO,
    HIGH,
    QUEUED,
    URGT,
    A,
    B,
    C,
    D,
    Scene,
    asset,
    market,
    released,
    row,
    trade,
)

LINK_ENDED, LINK_MISMATCH = Code.LINK_ENDED, Code.LINK_MISMATCH
LINK_PAIR, LINK_REFUSED = Code.LINK_PAIR, Code.LINK_REFUSED
NONE = QueuePolicy.NONE


# --- ends as one (R20) -------------------------------------------------------------------------------------------


def incomplete() -> tuple[Scene, list[Row]]:
    """Three legs, two of them there."""
    scene = Scene()
    legs = linked(row(1, A, B, 5), row(2, B, C, 5), row(3, C, A, 5), link=1)
    assert scene.pay(legs[2], legs[0]) == [QUEUED] * 2
    return scene, legs


def complete() -> tuple[Scene, list[Row]]:
    scene, legs = incomplete()
    scene.pay(row(8, A, D, 99))
    assert scene.pay(legs[1]) == [QUEUED]
    return scene, legs


def test_one_taken_back_ends_all() -> None:  # R12, R20
    scene, legs = incomplete()
    assert scene.pay(legs[2].cancel(9)) == [DONE]
    assert scene.fates == [(1, LINK_REFUSED, ""), (3, Code.CANCELLED, "")]
    assert scene.pay(legs[1]) == [LINK_ENDED]
    scene, legs = complete()
    assert scene.pay(legs[1].cancel(9)) == [DONE]
    assert scene.fates == [(1, LINK_REFUSED, ""), (2, Code.CANCELLED, ""), (3, LINK_REFUSED, "")]
    assert [scene.queue(bank) for bank in (A, B, C)] == [[8], [], []]


@pytest.mark.parametrize("whole", [False, True], ids=["incomplete", "complete"])
def test_one_that_expires_ends_all(whole: bool) -> None:  # R17, R20
    scene, at = Scene(), NOON_MS + 50
    rows = [row(1, A, B, 5), row(2, B, A, 4, expires_at_ms=at)]
    legs = linked(*rows, *([] if whole else [row(3, C, A, 1)]), link=1)
    scene.pay(row(8, A, D, 9), *legs[:2])
    scene.tick(at - 1)
    assert scene.fates == []
    scene.tick(at)
    assert scene.fates == [(1, LINK_REFUSED, ""), (2, Code.EXPIRED, "")]


def test_a_default_ends_all() -> None:  # R20, R24
    scene, _ = complete()
    assert scene.do(SetStatus, participant=C, status="DEFAULTED") == ""
    ended = [(1, LINK_REFUSED, ""), (2, LINK_REFUSED, ""), (3, Code.DEBTOR_DEFAULTED, "")]
    assert scene.fates == ended  # the third came first


@pytest.mark.parametrize("whole", [False, True], ids=["incomplete", "complete"])
def test_a_cutoff_that_drops_a_leg_drops_all(whole: bool) -> None:  # R17, R20
    scene = Scene(asset(queue=FIFO, at_cutoff=DROP), asset("BOND", queue=FIFO))
    scene.pair("BOND", "HKD")
    legs = trade()
    assert set(scene.pay(*(legs if whole else legs[1:]))) == {QUEUED}
    scene.close("BOND")
    assert scene.fates == []
    scene.close("HKD")
    assert scene.fates == [*([(1, LINK_REFUSED, "")] if whole else []), (2, Code.CUTOFF, "")]
    assert (scene.queue(A, "BOND"), scene.state.links) == ([], {})


def test_a_leg_for_one_window_ends_all_with_it() -> None:  # R17, R20
    scene, (first, last) = market(bonds=0), trade()
    assert scene.pay(first, replace(last, window=1)) == [QUEUED] * 2
    scene.close("HKD")
    assert scene.fates == [(1, LINK_REFUSED, ""), (2, Code.CUTOFF, "")]


def test_legs_roll_until_they_can_leave() -> None:  # R17
    scene, (first, last) = market(), trade()
    assert scene.pay(first) == [QUEUED]
    scene.close()
    assert scene.pay(last) == [ACCEPTED]
    assert [item.window for item in scene.out.resolutions] == [2]


def test_a_suspended_party_holds_the_whole_link() -> None:  # R20, R32
    scene, legs = market(), trade()
    assert scene.pay(legs[0]) == [QUEUED]
    scene.do(SetStatus, participant=A, status="SUSPENDED")
    assert scene.pay(legs[1]) == [Code.CREDITOR_SUSPENDED]
    assert scene.fates == [(1, LINK_REFUSED, "")]
    scene, legs = market(cash=0), trade()
    scene.pay(*legs)
    scene.do(SetStatus, participant=A, status="SUSPENDED")
    scene.fund(B, 5)
    assert (scene.fates, scene.queue(B)) == ([], [2])
    scene.do(SetStatus, participant=A, status="ACTIVE")
    assert scene.fates == released(1, 2, how="LINK")


def test_the_priority_of_a_leg_is_its_senders() -> None:  # R12
    scene, legs = market(cash=4), trade()
    assert scene.pay(legs[1], row(8, B, C, 9)) == [QUEUED] * 2
    assert scene.pay(legs[1].prioritise(10, URGT)) == [DONE]  # it waits in no queue yet
    assert scene.pay(legs[0]) == [QUEUED]
    assert scene.queue(B) == [2, 8]
    assert scene.pay(row(8, B, C, 9).prioritise(11, HIGH)) == [DONE]
    assert scene.queue(B) == [2, 8]


def test_a_link_is_forgotten_with_its_ids() -> None:  # R28
    scene = market(NONE)
    assert scene.pay(*trade()) == [QUEUED, ACCEPTED]
    day_ms = 86_400_000
    for days, code in ((3, LINK_ENDED), (4, QUEUED)):
        scene.tick(NOON_MS + days * day_ms)
        later = row(10 + days, A, B, 7, "BOND", value_date=20_000 + days)
        assert scene.pay(linked(later, row(2, B, A, 5), link=1)[0]) == [code]
