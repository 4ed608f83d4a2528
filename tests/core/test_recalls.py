"""What was accepted stands: returns are payments of their own, recalls are asked for and answered (R5, R23)."""

from dataclasses import replace
from typing import Any

import pytest

from clearing.core.commands import Fund
from clearing.core.inputs import Decision, Kind
from clearing.core.reasons import REASONS, Code, Status, status_of
from tests.core.build import DAY, NOON_MS, Row, linked
from tests.core.scenes import (
    ACCEPTED,
    DONE,
    DROP,
    FIFO,
    QUEUED,
    A,
    B,
    C,
    Scene,
    asset,
    released,
    row,
)

DAY_MS = 86_400_000
EXCEEDS, NO_ORIGINAL = Code.RETURN_EXCEEDS, Code.NO_ORIGINAL
NOT_WAITING, NO_REQUEST, REQUESTED = Code.NOT_WAITING, Code.NO_REQUEST, Code.REQUESTED
PAID = row(1, A, B, 10)


def paid(**changes: Any) -> Scene:
    """A has paid B 10."""
    scene = Scene(asset(queue=FIFO, **changes), held="10")
    assert scene.pay(PAID) == [ACCEPTED]
    return scene


# --- returns (R5) ------------------------------------------------------------------------------------------------


def test_a_return_is_a_payment_of_its_own_window() -> None:  # R5
    scene = paid()
    (first,) = scene.close()
    scene.answer(first)
    assert scene.pay(PAID.give_back(2, 4, decimals=0)) == [ACCEPTED]
    assert (scene.account(A).headroom, scene.account(B).headroom) == (4, 16)
    (second,) = scene.close()
    assert (second.window, second.payments, second.gross) == (2, 1, "4")
    assert [(line.participant, line.net) for line in second.entries] == [(A, "4"), (B, "-4")]


# Amounts given back one after the other of 10 → outcomes.
RETURNS = [
    ([10], [ACCEPTED]),
    ([11], [EXCEEDS]),
    ([4, 6], [ACCEPTED, ACCEPTED]),
    ([4, 7, 6, 1], [ACCEPTED, EXCEEDS, ACCEPTED, EXCEEDS]),
    ([10, 10], [ACCEPTED, EXCEEDS]),
]


@pytest.mark.parametrize("in_one_record", [True, False])
@pytest.mark.parametrize(("amounts", "codes"), RETURNS)
def test_no_more_than_is_left_is_given_back(
    amounts: list[int], codes: list[Code], in_one_record: bool
) -> None:  # R5
    scene = paid()
    rows = [PAID.give_back(2 + i, amount, decimals=0) for i, amount in enumerate(amounts)]
    found = scene.pay(*rows) if in_one_record else [code for one in rows for code in scene.pay(one)]
    assert found == codes
    assert scene.pay(*rows) == codes  # R28: counted once


def test_amounts_are_compared_whatever_their_decimals() -> None:
    scene = Scene(asset(scale=2), held="100")
    whole, cents = Row(1, A, B, 10, decimals=0), Row(2, A, B, 1000, decimals=2)
    assert scene.pay(whole, cents) == [ACCEPTED] * 2
    codes = scene.pay(
        *(whole.give_back(3, 1001, decimals=2), whole.give_back(4, 100, decimals=1)),
        *(cents.give_back(5, 10, decimals=0), cents.give_back(6, 1, decimals=2)),
    )
    assert codes == [EXCEEDS, ACCEPTED, ACCEPTED, EXCEEDS]


UNFIT: list[tuple[str, Row]] = [
    ("an unknown id", replace(PAID, id=77)),
    ("another amount", replace(PAID, amount=99)),
    ("another creditor", replace(PAID, creditor=C)),
    ("another asset", replace(PAID, asset="CNH")),
    ("what waits", row(3, A, B, 50)),
    ("what was refused", row(4, A, B, 10**18)),
    ("what was taken back", row(5, A, B, 1)),
]


@pytest.mark.parametrize("original", [u[1] for u in UNFIT], ids=[u[0] for u in UNFIT])
def test_only_what_was_accepted_and_is_quoted_rightly_is_given_back(original: Row) -> None:  # R5
    scene = paid()
    waits, refused, taken = row(3, A, B, 50), row(4, A, B, 10**18), row(5, A, B, 1)
    codes = scene.pay(waits, refused, taken, taken.cancel(6))
    assert codes == [QUEUED, Code.OVER_MAXIMUM, QUEUED, DONE]
    assert scene.pay(original.give_back(9, 1, decimals=0, asset="HKD")) == [NO_ORIGINAL]
    assert scene.state.returned == {}


def test_what_left_a_queue_or_a_link_or_is_a_token_is_given_back_too() -> None:  # R5
    scene = Scene()
    waits, token = row(1, A, B, 5), row(2, A, B, 1, kind=Kind.TOKEN_TRANSFER)
    legs = linked(row(3, A, B, 3), row(4, B, A, 2), link=1)
    assert scene.pay(waits, token, *legs) == [QUEUED] * 4
    scene.fund(A, 99)
    assert scene.fates == released(1, 2, how="SINGLE") + released(3, 4, how="LINK")
    scene.fund(B, 99)
    back = [one.give_back(10 + one.id, one.amount, decimals=0) for one in (waits, token, *legs)]
    assert scene.pay(*back) == [ACCEPTED] * 4


def test_a_payment_of_the_same_record_is_given_back() -> None:  # R5
    scene = Scene(held="10")
    assert scene.pay(PAID, PAID.give_back(2, 10, decimals=0)) == [ACCEPTED] * 2
    assert scene.pay(PAID.give_back(3, 1, decimals=0)) == [EXCEEDS]


def returning() -> tuple[Scene, Row]:
    """B, which has spent all, returns 8 of 10: it waits."""
    scene = paid(at_cutoff=DROP)
    assert scene.pay(row(2, B, C, 20)) == [ACCEPTED]
    back = PAID.give_back(3, 8, decimals=0, expires_at_ms=NOON_MS + 50)
    assert scene.pay(back) == [QUEUED]
    return scene, back


def test_a_return_that_waits_counts() -> None:  # R5
    scene, _ = returning()
    assert scene.pay(PAID.give_back(4, 3, decimals=0)) == [EXCEEDS]
    assert scene.fund(B, 8) == released(3, how="SINGLE")
    assert [item.kind for item in scene.out.resolutions] == [Kind.RETURN]
    assert scene.pay(PAID.give_back(5, 3, decimals=0)) == [EXCEEDS]
    assert scene.pay(PAID.give_back(6, 2, decimals=0)) == [QUEUED]


@pytest.mark.parametrize("how", ["cancelled", "expired", "dropped"])
def test_a_return_that_ends_may_be_made_again(how: str) -> None:  # R5
    scene, back = returning()
    if how == "cancelled":
        assert scene.pay(back.cancel(9)) == [DONE]
    elif how == "expired":
        scene.tick(NOON_MS + 50)
    else:
        scene.close()
    assert len(scene.fates) == 1
    scene.do(Fund, participant=B, asset="HKD", amount="10")
    assert scene.pay(PAID.give_back(4, 10, decimals=0)) == [ACCEPTED]


def test_a_return_that_is_refused_may_be_made_again() -> None:  # R5, R9
    scene = Scene(asset(), held="10")
    assert scene.pay(PAID, row(2, B, C, 20)) == [ACCEPTED] * 2
    assert scene.pay(PAID.give_back(3, 10, decimals=0)) == [Code.LIQUIDITY]
    scene.fund(B, 10)
    assert scene.pay(PAID.give_back(4, 10, decimals=0)) == [ACCEPTED]


def test_a_return_may_itself_be_given_back() -> None:
    scene, back = paid(), PAID.give_back(2, 4, decimals=0)
    assert scene.pay(back) == [ACCEPTED]
    assert scene.pay(back.give_back(3, 4, decimals=0)) == [ACCEPTED]
    assert scene.pay(back.give_back(4, 1, decimals=0)) == [EXCEEDS]


def test_returned_is_known_as_long_as_its_original() -> None:  # R5, R28
    """While something of the original's day waits, its ids are known; so is what was returned."""
    scene = paid()
    assert scene.pay(PAID.give_back(2, 10, decimals=0), row(3, C, A, 99)) == [ACCEPTED, QUEUED]
    for days in range(1, 9):
        scene.tick(NOON_MS + days * DAY_MS)
        again = PAID.give_back(10 + days, 1, decimals=0, value_date=DAY + days)
        assert scene.pay(again) == [EXCEEDS], f"{days} days later"


def test_an_original_is_forgotten_in_the_end() -> None:  # R28
    scene = paid()
    for days, code in ((3, ACCEPTED), (4, NO_ORIGINAL)):
        scene.tick(NOON_MS + days * DAY_MS)
        back = PAID.give_back(10 + days, 1, decimals=0, value_date=DAY + days)
        assert scene.pay(back) == [code]


# --- recalls (R23) -----------------------------------------------------------------------------------------------


def recalled() -> tuple[Scene, Row]:
    """A has asked B to give 10 back."""
    scene, recall = paid(), PAID.cancel(2)
    assert scene.pay(recall) == [REQUESTED]
    return scene, recall


def test_cancelling_what_was_accepted_is_a_request() -> None:  # R23
    scene, recall = recalled()
    assert status_of(REQUESTED) is Status.PDCR
    assert (scene.fates, scene.account(A).headroom, scene.account(B).headroom) == ([], 0, 20)
    assert scene.pay(recall, PAID) == [REQUESTED, ACCEPTED]  # R28
    assert scene.pay(PAID.cancel(3)) == [NOT_WAITING]  # it has been asked for


@pytest.mark.parametrize("decision", [Decision.AGREED, Decision.DECLINED])
def test_the_creditor_answers_once_and_no_money_moves(decision: Decision) -> None:  # R23
    scene, recall = recalled()
    answer = recall.answer(3, decision)
    assert scene.pay(answer) == [DONE]
    assert (scene.account(A).headroom, scene.account(B).headroom) == (0, 20)
    assert scene.pay(answer, recall.answer(4, decision)) == [DONE, NO_REQUEST]
    assert scene.pay(PAID.cancel(5)) == [REQUESTED]  # it may be asked for again


def test_a_stranger_has_nothing_to_take_back() -> None:  # R12
    scene, refused = Scene(), row(1, "NOBODY", B, 5)
    assert scene.pay(refused, refused.cancel(2)) == [Code.UNKNOWN_DEBTOR, NO_ORIGINAL]


def test_what_is_agreed_follows_as_a_return() -> None:  # R5, R23
    scene, recall = recalled()
    assert scene.pay(recall.answer(3), PAID.give_back(4, 10, decimals=0)) == [DONE, ACCEPTED]
    assert (scene.account(A).headroom, scene.account(B).headroom) == (10, 10)


def test_nobody_else_answers() -> None:  # R23
    scene, recall = recalled()
    said = [
        recall.answer(3, debtor=C),
        recall.answer(4, creditor=C),
        recall.answer(5, debtor=A, creditor=B),
        replace(recall.answer(6), topic=f"payments.hk.{C}"),
        replace(recall, id=99).answer(7),
        PAID.answer(8),  # the payment is no request
    ]
    codes = [NO_REQUEST, NO_REQUEST, NO_REQUEST, Code.NOT_OWNER, NO_REQUEST, NO_REQUEST]
    assert scene.pay(*said) == codes
    assert scene.pay(recall.answer(9)) == [DONE]
    assert REASONS[NO_REQUEST].iso == "NOOR"


def test_what_is_settled_is_asked_for_and_never_edited() -> None:  # R23
    scene = paid()
    (batch,) = scene.close()
    assert scene.pay(PAID.cancel(2)) == [REQUESTED]
    scene.answer(batch)
    assert scene.windows == [("HKD", 1, 1, "SETTLED")]
    assert scene.pay(PAID.cancel(2).answer(3)) == [DONE]
    assert scene.pay(PAID.cancel(4)) == [REQUESTED]
    assert scene.account(B).prefunded == 20


def test_requests_and_answers_of_one_record() -> None:
    scene, recall = Scene(held="10"), PAID.cancel(2)
    codes = scene.pay(PAID, recall, recall.answer(3), PAID.cancel(4), recall.answer(5))
    assert codes == [ACCEPTED, REQUESTED, DONE, REQUESTED, NO_REQUEST]


def test_a_request_is_forgotten_in_the_end() -> None:  # R28
    for days, code in ((3, DONE), (4, NO_REQUEST)):
        scene, recall = recalled()
        scene.tick(NOON_MS + days * DAY_MS)
        assert scene.pay(recall.answer(3)) == [code]


def test_recalls_of_what_was_returned_are_the_banks_business() -> None:  # R23
    """The engine moves no money by itself: asking for what was given back is declined by whoever has it not."""
    scene, back = paid(), PAID.give_back(2, 10, decimals=0)
    assert scene.pay(back, PAID.cancel(3)) == [ACCEPTED, REQUESTED]
    assert scene.pay(PAID.cancel(3).answer(4, Decision.DECLINED)) == [DONE]
