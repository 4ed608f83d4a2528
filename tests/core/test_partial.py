"""Partial delivery: in proportion on every leg, at a cut-off, where it is flagged; the rest is a fail (R22)."""

from typing import Any

import pytest

from clearing.core.commands import SetBilateralLimit, SetReservation, SetStatus
from clearing.core.reasons import Code
from clearing.core.registry import BisModel
from tests.core.build import NOON_MS, linked
from tests.core.scenes import (
    ACCEPTED,
    BYPASS,
    DONE,
    DROP,
    FIFO,
    GROSS,
    QUEUED,
    A,
    B,
    C,
    Scene,
    asset,
    market,
    number,
    released,
    row,
)


def sale(bonds: int, cash: int, link: int = 1, partial: bool = True, **changes: Any) -> list[Any]:
    """A delivers bonds to B against cash."""
    legs = row(1, A, B, bonds, "BOND", **changes), row(2, B, A, cash, **changes)
    return linked(*legs, link=link, partial=partial)


def parts(scene: Scene) -> list[tuple[int, str, str, str]]:
    """(id, part, rest, how) of what was accepted."""
    return [
        (number(item.id), item.amount, item.remaining, item.how)
        for item in scene.out.resolutions
        if item.code == ACCEPTED
    ]


# Bonds and cash of the trade, bonds that A has, cash that B has → parts delivered at the cut-off.
PARTS = [
    (10, 20, 3, 99, (3, 6)),  # bonds bind
    (10, 20, 99, 7, (3, 6)),  # cash binds: 7 would be three and a half
    (10, 20, 5, 8, (4, 8)),
    (7, 5, 6, 4, None),  # no smaller whole proportion
    (6, 9, 5, 9, (4, 6)),
    (6, 9, 3, 5, (2, 3)),
    (6, 9, 1, 9, None),
    (6, 9, 6, 2, None),
    (1000, 10, 999, 10, (900, 9)),
    (4, 4, 0, 4, None),
]


@pytest.mark.parametrize(("bonds", "cash", "has_bonds", "has_cash", "delivered"), PARTS)
def test_the_largest_whole_proportion_that_fits_is_delivered(
    bonds: int, cash: int, has_bonds: int, has_cash: int, delivered: tuple[int, int] | None
) -> None:  # R22
    scene = market(FIFO, has_bonds, has_cash)
    assert scene.pay(*sale(bonds, cash)) == [QUEUED] * 2
    assert scene.fates == []
    scene.close("BOND")
    if delivered is None:
        assert scene.fates == []
        return
    one, two = delivered
    assert parts(scene) == [
        (1, str(one), str(bonds - one), "PARTIAL"),
        (2, str(two), str(cash - two), "PARTIAL"),
    ]
    assert scene.account(A, "BOND").position == -one
    assert scene.account(A).position == two
    assert (scene.queue(A, "BOND"), scene.queue(B)) == ([1], [2])


def test_not_without_the_flag_and_not_before_a_cutoff() -> None:  # R22
    scene = market(FIFO, 3, 99)
    scene.pay(*sale(10, 20, partial=False))
    scene.close()
    assert scene.fates == []
    scene = market(FIFO, 3, 99)
    scene.pay(*sale(10, 20))
    scene.tick(NOON_MS + 10**7)
    scene.fund(A, 1, "BOND")
    assert scene.fates == []


def test_the_rest_is_delivered_when_it_can_be_and_then_it_is_accepted() -> None:  # R22
    scene, legs = market(FIFO, 3, 99), sale(10, 20)
    scene.pay(*legs)
    scene.close("HKD")
    assert scene.pay(*legs) == [QUEUED] * 2  # R28: until the last part
    scene.fund(A, 4, "BOND")
    scene.close("HKD")
    assert parts(scene) == [(1, "4", "3", "PARTIAL"), (2, "8", "6", "PARTIAL")]
    assert scene.fund(A, 3, "BOND") == released(1, 2, how="LINK")
    assert parts(scene) == [(1, "3", "", "LINK"), (2, "6", "", "LINK")]
    sent = [(item.amount_sent, item.link and item.link.leg) for item in scene.out.resolutions]
    assert sent == [("10", 0), ("20", 1)]
    assert scene.pay(*legs) == [ACCEPTED] * 2
    assert (scene.account(A, "BOND").headroom, scene.account(A).headroom) == (0, 20)
    assert scene.state.waiting == {}


def test_parts_count_in_the_window_that_closes_and_close_with_the_other_leg() -> None:  # R2, R20
    scene = Scene(asset("BOND", queue=FIFO, model=GROSS), asset(queue=FIFO))
    scene.pair("BOND", "HKD", BisModel.GROSS_NET)
    scene.fund(A, 3, "BOND")
    scene.fund(B, 20)
    scene.pay(*sale(10, 20), row(8, B, C, 1))
    bonds, cash = scene.close("BOND")
    assert [(line.participant, line.net, line.payment) for line in bonds.entries] == [
        (A, "-3", "01000000-0000-0000-0000-000000000000"),
        (B, "3", "01000000-0000-0000-0000-000000000000"),
    ]
    assert (bonds.payments, bonds.gross, cash.payments, cash.gross) == (1, "3", 1, "6")
    assert (bonds.linked, cash.linked) == ([cash.id], [bonds.id])
    assert scene.queue(B) == [2, 8]  # behind the rest, though it would fit: FIFO


def test_only_what_is_at_its_turn() -> None:  # R13, R22
    scene = market(FIFO, 3, 99)
    scene.pay(row(8, A, C, 4, "BOND"), *sale(10, 20))
    scene.close()
    assert scene.fates == []
    scene = market(BYPASS, 3, 99)
    scene.pay(row(8, A, C, 4, "BOND"), *sale(10, 20))
    scene.close()
    assert parts(scene) == [(1, "3", "7", "PARTIAL"), (2, "6", "14", "PARTIAL")]


def test_not_for_the_suspended() -> None:  # R32
    scene = market(FIFO, 3, 99)
    scene.pay(*sale(10, 20))
    scene.do(SetStatus, participant=A, status="SUSPENDED")
    scene.close()
    assert scene.fates == []


@pytest.mark.parametrize(
    ("kind", "fields", "bonds"),
    [
        (SetBilateralLimit, {"participant": B, "counterparty": A, "limit": "13"}, 6),
        (SetReservation, {"participant": B, "reserved": "90"}, 4),
    ],
)
def test_every_limit_counts(kind: Any, fields: dict[str, Any], bonds: int) -> None:  # R10, R22
    scene = market(FIFO, 9, 99)
    scene.pay(*sale(10, 20))
    assert scene.do(kind, asset="HKD", **fields) == ""
    scene.close("BOND")
    assert parts(scene) == [
        (1, str(bonds), str(10 - bonds), "PARTIAL"),
        (2, str(2 * bonds), str(20 - 2 * bonds), "PARTIAL"),
    ]


@pytest.mark.parametrize(("urgent", "first", "second"), [(0, (1, 2), (3, 4)), (1, (3, 4), (1, 2))])
def test_links_are_served_in_their_order(
    urgent: int, first: tuple[int, int], second: tuple[int, int]
) -> None:  # R12, R22
    scene = market(BYPASS, 9, 99)
    scene.pay(*sale(10, 20))
    later = row(3, A, B, 10, "BOND", priority=urgent), row(4, B, A, 20)
    scene.pay(*linked(*later, link=2, partial=True))
    scene.close("BOND")
    assert [number for number, *_ in parts(scene)] == [*first]
    assert parts(scene)[0][1] == "9"
    scene.fund(A, 3, "BOND")  # too little for the rest of the second, enough for that of the first
    assert scene.fates == released(*first, how="LINK")
    scene.close("BOND")
    assert parts(scene)[0][:2] == (second[0], "2")


def test_a_fail_rolls_whatever_the_policy_until_somebody_ends_it() -> None:  # R17, R22
    scene, legs = market(FIFO, 3, 99, at_cutoff=DROP), sale(10, 20)
    scene.pay(*legs, row(8, B, C, 10**9))
    scene.close("HKD")
    assert scene.fates == [*released(1, 2, how="PARTIAL"), (8, Code.CUTOFF, "")]
    scene.close()
    scene.close()
    assert scene.fates == []
    assert scene.pay(legs[0].cancel(9)) == [DONE]
    ended = [(number(item.id), item.code, item.amount) for item in scene.out.resolutions]
    assert ended == [(1, Code.CANCELLED, "7"), (2, Code.LINK_REFUSED, "14")]
    assert scene.account(A, "BOND").position == -3  # what was delivered stands
    assert scene.pay(*legs) == [Code.CANCELLED, Code.LINK_REFUSED]


def test_a_fail_expires() -> None:  # R17
    scene = market(FIFO, 3, 99)
    scene.pay(*sale(10, 20, expires_at_ms=NOON_MS + 9))
    scene.close()
    scene.tick(NOON_MS + 9)
    ended = [(number(item.id), item.code, item.amount) for item in scene.out.resolutions]
    assert ended == [(1, Code.EXPIRED, "7"), (2, Code.LINK_REFUSED, "14")]


def test_a_part_of_three_legs_in_one_asset() -> None:  # R22
    scene = Scene(asset(queue=FIFO))
    legs = linked(row(1, A, B, 6), row(2, B, C, 9), row(3, C, A, 12), link=1, partial=True)
    assert scene.pay(*legs) == [QUEUED] * 3
    scene.fund(B, 1)
    scene.fund(C, 3)
    (batch,) = scene.close()
    # 1/3 of each: B pays 3 and gets 2, C pays 4 and gets 3.
    assert parts(scene) == [
        *((1, "2", "4", "PARTIAL"), (2, "3", "6", "PARTIAL"), (3, "4", "8", "PARTIAL")),
    ]
    assert {entry.participant: entry.net for entry in batch.entries} == {A: "2", B: "-1", C: "-1"}
