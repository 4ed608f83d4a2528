"""Linked legs: collected from their senders, accepted as one, waiting as one, refused as one (R19-R21)."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from clearing.core.commands import SetStatus
from clearing.core.reasons import Code
from clearing.core.registry import BisModel, QueuePolicy
from tests.core.build import NOON_MS, linked
from tests.core.scenes import (
    ACCEPTED,
    BYPASS,
    FIFO,
    GROSS,
    QUEUED,
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


# --- together (R19) ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["delivery first", "payment first"])
def test_legs_are_accepted_with_the_last_one(order: tuple[int, int]) -> None:  # R19
    scene, legs = market(), trade()
    first, last = (legs[i] for i in order)
    assert scene.pay(first) == [QUEUED]
    assert (scene.account(A, "BOND").position, scene.account(B).position) == (0, 0)
    assert scene.pay(last) == [ACCEPTED]
    assert scene.fates == released(first.id, how="LINK")
    assert (scene.account(A, "BOND").position, scene.account(B, "BOND").position) == (-7, 7)
    assert (scene.account(A).position, scene.account(B).position) == (5, -5)
    assert scene.pay(*legs) == [ACCEPTED] * 2  # R28


def test_legs_of_one_record() -> None:  # R19
    scene, legs = market(), trade()
    assert scene.pay(row(8, B, C, 1), legs[0], row(9, C, D, 9), legs[1], row(10, A, D, 5)) == [
        *(ACCEPTED, QUEUED, QUEUED, QUEUED, QUEUED),
    ]
    scene.fund(B, 1)
    assert scene.fates == released(1, 2, how="LINK") + released(10, how="SINGLE")


def test_three_legs_from_three_senders_in_any_order() -> None:  # R19
    for order in permutations(range(3)):
        scene = Scene(asset(), held="5")
        legs = linked(row(1, A, B, 9), row(2, B, C, 8), row(3, C, A, 7), link=1)
        codes = [scene.pay(legs[i]) for i in order]
        assert codes == [[QUEUED], [QUEUED], [ACCEPTED]]
        earlier = sorted(legs[i].id for i in order[:2])
        assert scene.fates == released(*earlier, how="LINK")
        assert scene.left() == {A: 3, B: 6, C: 6, D: 5}


def test_a_leg_alone_blocks_nobody_and_stands_in_no_queue() -> None:  # R13, R19
    scene = market(bonds=0, cash=9)
    assert scene.pay(trade()[1]) == [QUEUED]
    assert (scene.queue(B), scene.account(B).headroom) == ([], 9)
    assert scene.pay(row(8, B, C, 9)) == [ACCEPTED]
    scene.close()
    assert scene.fates == []


def test_it_waits_as_one_from_the_place_of_the_last_leg() -> None:  # R12, R20
    scene, legs = market(bonds=7, cash=0), trade()
    assert scene.pay(legs[1]) == [QUEUED]
    assert scene.pay(row(8, B, C, 2), legs[0], row(9, B, C, 1)) == [QUEUED] * 3
    assert (scene.queue(B), scene.queue(A, "BOND")) == ([8, 2, 9], [1])
    scene.fund(B, 6)
    assert scene.fates == released(8, how="SINGLE")
    scene.fund(B, 1)
    assert scene.fates == released(1, 2, how="LINK")
    scene.fund(B, 1)
    assert scene.fates == released(9, how="SINGLE")


def test_no_leg_leaves_while_another_is_not_at_its_turn() -> None:  # R13, R20
    scene, legs = market(), trade()
    assert scene.pay(row(8, A, C, 9, "BOND")) == [QUEUED]
    assert scene.pay(*legs, row(9, B, D, 1)) == [QUEUED] * 3
    assert scene.queue(B) == [2, 9]
    scene.pay(row(8, A, C, 9, "BOND").cancel(10))
    assert scene.fates == [(8, Code.CANCELLED, ""), *released(1, 2, how="LINK")]


def test_a_link_of_the_suspended_waits_complete_or_not_at_all() -> None:  # R20, R32
    """A is suspended when the last leg comes, between two others."""
    for queue, codes in ((FIFO, QUEUED), (QueuePolicy.NONE, LINK_REFUSED)):
        scene = Scene(asset(queue=queue), held="9")
        legs = linked(row(1, A, B, 5), row(2, B, C, 5), row(3, B, C, 4), link=1)
        assert scene.pay(*legs[:2]) == [QUEUED] * 2
        scene.do(SetStatus, participant=A, status="SUSPENDED")
        assert scene.pay(legs[2]) == [codes]
        scene.do(SetStatus, participant=A, status="ACTIVE")
        assert scene.fates == (released(1, 2, 3, how="LINK") if queue is FIFO else [])


def test_without_fifo_a_link_passes_and_is_passed() -> None:  # R13
    scene = market(BYPASS, bonds=0)
    assert scene.pay(row(8, B, C, 6), *trade(), row(9, B, D, 1)) == [QUEUED] * 3 + [ACCEPTED]
    scene.fund(A, 7, "BOND")
    assert scene.fates == []
    scene.fund(B, 1)
    assert scene.fates == released(1, 2, how="LINK")


def test_its_own_credits_count_and_nothing_else_does() -> None:  # R19
    """B may pay with what A's leg brings it. The pairs of an account count together."""
    scene = Scene(asset(), held="5")
    legs = linked(row(1, A, B, 5), row(2, B, C, 10), row(3, C, D, 15), link=1)
    assert scene.pay(*legs) == [QUEUED, QUEUED, ACCEPTED]
    more = linked(row(4, D, A, 15), row(5, A, B, 16), link=2)
    assert scene.pay(*more) == [QUEUED, Code.LIQUIDITY]
    assert scene.fates == [(4, LINK_REFUSED, "")]


def test_linked_and_multilateral() -> None:  # R15, R20
    """A circle in cash that closes only if the link's other leg goes too."""
    scene = market(bonds=7, cash=0)
    assert scene.pay(*trade(), row(8, A, C, 5)) == [QUEUED] * 3
    assert scene.pay(row(9, C, B, 5)) == [QUEUED]
    assert scene.fates == released(1, 2, 8, 9, how="MULTILATERAL")


def test_nothing_of_a_link_leaves_if_its_other_asset_lacks() -> None:  # R15, R20
    scene = market(bonds=6, cash=0)
    assert scene.pay(*trade(), row(8, A, C, 5), row(9, C, B, 5)) == [QUEUED] * 4
    assert scene.fates == []
    scene.fund(A, 1, "BOND")
    assert scene.fates == released(1, 2, 8, 9, how="MULTILATERAL")


# --- refused as one (R20, R21) -----------------------------------------------------------------------------------

# Bonds of A, cash of B, without queues → outcomes of delivery and payment.
SHORT = [
    (7, 5, (ACCEPTED, ACCEPTED)),
    (6, 5, (Code.LIQUIDITY, LINK_REFUSED)),
    (7, 4, (LINK_REFUSED, Code.LIQUIDITY)),
    (6, 4, (Code.LIQUIDITY, LINK_REFUSED)),  # the first one that fails gives its reason
]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["delivery first", "payment first"])
@pytest.mark.parametrize(("bonds", "cash", "codes"), SHORT)
def test_refused_as_one_where_nothing_waits(
    bonds: int, cash: int, codes: tuple[Code, Code], order: tuple[int, int]
) -> None:  # R20
    scene, legs = market(NONE, bonds, cash), trade()
    first, last = order
    assert scene.pay(legs[first]) == [QUEUED]
    assert scene.pay(legs[last]) == [codes[last]]
    assert [fate[:2] for fate in scene.fates] == [(legs[first].id, codes[first])]
    assert scene.pay(*legs) == [*codes]  # R28
    assert scene.state.waiting == {}
    assert scene.pay(*trade(first=3)) == [LINK_ENDED] * 2


def test_it_waits_only_if_every_leg_may() -> None:  # R20
    scene = Scene(asset(queue=FIFO), asset("BOND"))
    scene.pair("BOND", "HKD")
    scene.fund(A, 7, "BOND")
    assert scene.pay(*trade()) == [QUEUED, Code.LIQUIDITY]
    assert scene.fates == [(1, LINK_REFUSED, "")]
    assert (scene.queue(B), scene.state.links) == ([], {})


WRONG_LEGS: list[tuple[str, dict[str, Any]]] = [
    ("other terms", {"terms": 99}),
    ("more legs", {"legs": 3}),
    ("divisible", {"partial": True}),
    ("there already", {"leg": 0}),
]


@pytest.mark.parametrize("wrong", [w[1] for w in WRONG_LEGS], ids=[w[0] for w in WRONG_LEGS])
def test_a_leg_that_does_not_match_is_refused_alone(wrong: dict[str, Any]) -> None:  # R19
    scene, (first, last) = market(), trade()
    assert scene.pay(first, replace(last, id=9, **wrong)) == [QUEUED, LINK_MISMATCH]
    unfit = replace(last, id=10, creditor="NOBODY", **wrong)
    assert scene.pay(unfit) == [Code.UNKNOWN_CREDITOR]
    assert scene.fates == []
    assert scene.pay(last) == [ACCEPTED]


def test_a_leg_for_a_link_that_waits_complete_is_refused() -> None:  # R19
    scene, (first, last) = market(cash=0), trade()
    assert scene.pay(first, last, replace(last, id=9)) == [QUEUED, QUEUED, LINK_MISMATCH]
    assert scene.pay(replace(last, id=10, creditor="NOBODY")) == [Code.UNKNOWN_CREDITOR]
    assert (scene.fates, scene.queue(B)) == ([], [2])


def test_a_leg_that_matches_but_cannot_be_refuses_the_others() -> None:  # R20
    for flaw, code in (
        ({"creditor": "NOBODY"}, Code.UNKNOWN_CREDITOR),
        ({"window": 9}, Code.WINDOW_CLOSED),
        ({"expires_at_ms": NOON_MS}, Code.EXPIRED),
        ({"decimals": 1}, Code.SCALE),
    ):
        scene, (first, last) = market(), trade()
        assert scene.pay(first) == [QUEUED]
        assert scene.pay(replace(last, **flaw)) == [code]
        assert scene.fates == [(1, LINK_REFUSED, "")]
        assert scene.pay(replace(last, id=9)) == [LINK_ENDED]


def test_what_nobody_may_say_touches_no_link() -> None:  # R28
    scene, (first, last) = market(), trade()
    stolen = replace(last, topic=f"payments.hk.{C}", creditor="NOBODY")
    unread = replace(last, id=9, reject=int(Code.SYNTAX))
    used = replace(last, id=first.id, creditor="NOBODY")
    assert scene.pay(first, stolen, unread, used) == [
        *(QUEUED, Code.NOT_OWNER, Code.SYNTAX, Code.DUPLICATE_ID),
    ]
    assert (scene.fates, scene.pay(last)) == ([], [ACCEPTED])


def test_a_first_leg_that_is_refused_opens_no_link() -> None:
    scene, (first, last) = market(), trade()
    assert scene.pay(replace(first, id=9, creditor="NOBODY")) == [Code.UNKNOWN_CREDITOR]
    assert scene.pay(first, last) == [QUEUED, ACCEPTED]


def test_the_value_of_legs_that_wait_is_counted() -> None:
    scene, most = Scene(asset()), 10**18 - 1
    big = [linked(row(i, A, B, most), row(9, B, A, 1), link=i)[0] for i in (1, 2, 3)]
    assert scene.pay(*big) == [QUEUED, QUEUED, Code.POSITION_RANGE]
    last = linked(row(1, A, B, most), row(9, B, A, 2**60), link=1)[1]
    assert scene.pay(replace(last, terms=big[0].terms, amount=most)) == [Code.POSITION_RANGE]
    assert scene.fates == [(1, LINK_REFUSED, "")]


def test_assets_that_are_no_pair() -> None:  # R21
    scene = Scene(asset(), asset("BOND"), asset("CNH"), held="9")
    scene.pair("BOND", "HKD")
    legs = linked(row(1, A, B, 1, "BOND"), row(2, B, C, 1), row(3, C, A, 1, "CNH"), link=1)
    assert scene.pay(*legs) == [QUEUED, QUEUED, LINK_PAIR]
    assert scene.fates == [(1, LINK_PAIR, ""), (2, LINK_PAIR, "")]
    assert scene.pay(*legs) == [LINK_PAIR] * 3
    scene.pair("CNH", "HKD")
    again = [replace(leg, id=leg.id + 10, link=2) for leg in legs]
    assert scene.pay(*again) == [QUEUED, QUEUED, LINK_PAIR]  # each two of them
    scene.pair("BOND", "CNH")
    again = [replace(leg, id=leg.id + 20, link=3) for leg in legs]
    assert scene.pay(*again) == [QUEUED, QUEUED, ACCEPTED]


def test_a_pair_is_asked_for_when_the_link_is_complete() -> None:  # R21
    scene = Scene(asset(), asset("BOND"), held="9")
    first, last = trade()
    assert scene.pay(first) == [QUEUED]
    scene.pair("HKD", "BOND")  # either may be called the delivery where both are net
    assert scene.pay(last) == [ACCEPTED]


def test_bis_models_of_a_pair() -> None:  # R21
    scene = Scene(asset(), asset("BOND", model=GROSS), asset("EQTY", model=GROSS), held="9")
    scene.pair("BOND", "EQTY", BisModel.GROSS_GROSS)
    scene.pair("BOND", "HKD", BisModel.GROSS_NET)
    assert scene.pay(*trade()) == [QUEUED, ACCEPTED]
    swap = linked(row(3, A, B, 1, "BOND"), row(4, B, A, 1, "EQTY"), link=2)
    assert scene.pay(*swap) == [QUEUED, ACCEPTED]
    undeclared = linked(row(5, A, B, 1, "EQTY"), row(6, B, A, 1), link=3)
    assert scene.pay(*undeclared) == [QUEUED, LINK_PAIR]
