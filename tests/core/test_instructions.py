"""What the sender of a payment that waits may still do with it: take it back, change its priority (R12)."""

from dataclasses import replace

import pytest

from clearing.core.commands import SetCap
from clearing.core.reasons import Code, Status, status_of
from tests.core.build import Row
from tests.core.scenes import (
    ACCEPTED,
    DONE,
    HIGH,
    NORM,
    QUEUED,
    URGT,
    A,
    B,
    C,
    Scene,
    released,
    row,
    waits,
)

CANCELLED = Code.CANCELLED


def test_its_sender_takes_it_back() -> None:  # R12
    scene, payment = waits((5, NORM)), row(1, A, B, 5, priority=NORM)
    assert scene.pay(row(2, A, B, 3)) == [QUEUED]
    cancellation = payment.cancel(10)
    assert scene.pay(cancellation) == [DONE]
    assert scene.fates == [(1, CANCELLED, "")]
    assert (status_of(CANCELLED), status_of(DONE)) == (Status.CANC, Status.CNCL)
    assert (scene.queue(A), scene.pay(payment)) == ([2], [CANCELLED])
    assert scene.pay(cancellation) == [DONE]  # R28
    assert scene.pay(payment.cancel(11)) == [Code.NOT_WAITING]
    assert scene.fund(A, 9) == released(2, how="SINGLE")


def test_what_is_taken_back_makes_way_in_the_same_record() -> None:  # R13
    scene = waits((5, NORM), (3, NORM), held="3")
    assert scene.pay(row(1, A, B, 5).cancel(10)) == [DONE]
    assert scene.fates == [(1, CANCELLED, ""), *released(2, how="SINGLE")]


FIVE = row(1, A, B, 5)
# Who says it, of what, from whose topic → outcome.
WRONG_CANCELLATIONS: list[tuple[str, Row, Code]] = [
    (
        "another's, from the own topic",
        replace(FIVE.cancel(9), topic=f"payments.hk.{B}"),
        Code.NOT_OWNER,
    ),
    ("as if it were the own", replace(FIVE, debtor=B, creditor=A).cancel(9), Code.NO_ORIGINAL),
    ("of another amount", replace(FIVE, amount=6).cancel(9), Code.NO_ORIGINAL),
    ("to another creditor", replace(FIVE, creditor=C).cancel(9), Code.NO_ORIGINAL),
    ("of an unknown id", replace(FIVE, id=7).cancel(9), Code.NO_ORIGINAL),
    ("of one that was refused", row(2, A, B, 10**18).cancel(9), Code.NOT_WAITING),
]


@pytest.mark.parametrize(
    ("said", "code"), [w[1:] for w in WRONG_CANCELLATIONS], ids=[w[0] for w in WRONG_CANCELLATIONS]
)
def test_nobody_else_takes_it_back_and_nothing_but_it(said: Row, code: Code) -> None:  # R12
    scene = waits((5, NORM))
    assert scene.pay(row(2, A, B, 10**18)) == [Code.OVER_MAXIMUM]
    assert scene.pay(said) == [code]
    assert (scene.fates, scene.queue(A)) == ([], [1])


def test_another_priority_keeps_the_arrival() -> None:  # R12
    scene = waits((5, NORM), (4, NORM), (3, NORM), (2, HIGH))
    third = row(3, A, B, 3)
    assert scene.pay(third.prioritise(10, URGT)) == [DONE]
    assert scene.queue(A) == [3, 4, 1, 2]
    assert scene.pay(third.prioritise(11, HIGH)) == [DONE]
    assert scene.queue(A) == [3, 4, 1, 2]  # it came before the fourth
    assert scene.pay(third.prioritise(12, NORM)) == [DONE]
    assert scene.queue(A) == [4, 1, 2, 3]
    assert scene.pay(third.prioritise(10, URGT)) == [DONE]  # R28: said before, and not done again
    assert scene.queue(A) == [4, 1, 2, 3]


def test_what_comes_first_by_its_new_priority_may_leave_at_once() -> None:  # R12, R13
    scene = waits((5, NORM), (3, NORM), held="3")
    assert scene.pay(row(2, A, B, 3).prioritise(10, URGT)) == [DONE]
    assert scene.fates == released(2, how="SINGLE")


def test_priority_is_the_senders_and_of_what_waits() -> None:  # R12
    scene = waits((5, NORM), held="1")
    one, accepted = row(1, A, B, 5), row(2, B, A, 1)
    assert scene.pay(accepted) == [ACCEPTED]
    said = [
        one.prioritise(10, URGT, debtor=B),  # B's own word about A's payment
        one.prioritise(11, URGT, debtor=A, topic=f"payments.hk.{B}"),
        replace(one, id=77).prioritise(12, URGT),
        accepted.prioritise(13, URGT),
    ]
    assert scene.pay(*said) == [
        Code.NO_ORIGINAL,
        Code.NOT_OWNER,
        Code.NO_ORIGINAL,
        Code.NOT_WAITING,
    ]
    assert [item.priority for item in scene.state.waiting.values()] == [NORM]


def test_instructions_may_be_about_earlier_rows_of_their_record() -> None:
    scene, one, two = Scene(), row(1, A, B, 5), row(2, A, B, 3)
    codes = scene.pay(one, two, two.prioritise(3, URGT), one.cancel(4), one, one.cancel(5))
    assert codes == [QUEUED, QUEUED, DONE, DONE, CANCELLED, Code.NOT_WAITING]
    assert (scene.fates, scene.queue(A)) == ([(1, CANCELLED, "")], [2])


def test_what_was_taken_back_frees_room_for_others() -> None:
    """Whatever waits counts against what an asset can hold, and no longer when it has ended."""
    scene = Scene()
    big = row(1, A, B, 10**18 - 1)
    rows = [replace(big, id=number) for number in (1, 2, 3)]
    assert scene.pay(*rows) == [QUEUED, QUEUED, Code.POSITION_RANGE]
    assert scene.pay(rows[0].cancel(9), replace(big, id=4)) == [DONE, QUEUED]
    assert scene.do(SetCap, participant=A, asset="HKD", net_debit_cap="7") == ""
    assert scene.state.assets[0].waiting == 2 * (10**18 - 1)
