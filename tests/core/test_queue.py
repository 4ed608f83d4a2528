"""Queues: their order, what blocks and what passes, and how waiting ends without release (R12, R13, R17)."""

import pytest

from clearing.core.commands import CloseWindow, Fund, SetCutoffs
from clearing.core.inputs import Kind
from clearing.core.outputs import Position
from clearing.core.reasons import REASONS, Code, Status, status_of
from clearing.core.registry import QueuePolicy
from tests.core.build import DAY, NOON_MS
from tests.core.scenes import (
    ACCEPTED,
    BYPASS,
    DONE,
    DROP,
    FIFO,
    GROSS_NOW,
    HIGH,
    NET_NOW,
    NORM,
    QUEUED,
    URGT,
    A,
    B,
    C,
    Scene,
    asset,
    released,
    row,
    waits,
)

CUTOFF, EXPIRED = Code.CUTOFF, Code.EXPIRED
Waits = list[tuple[int, int]]  # (amount, priority) of payments of A to B, ids from 1


# --- order (R12) -------------------------------------------------------------------------------------------------


def test_the_queue_is_ordered_by_priority_then_arrival() -> None:  # R12
    scene = waits((1, NORM), (1, URGT), (1, HIGH), (1, NORM), (1, URGT), (1, HIGH))
    assert scene.queue(A) == [2, 5, 3, 6, 1, 4]
    assert scene.fund(A, 4) == released(2, 5, 3, 6, how="SINGLE")
    assert scene.fund(A, 2) == released(1, 4, how="SINGLE")


def test_arrival_is_the_place_in_the_log_within_a_record_too() -> None:  # R12
    scene = Scene()
    rows = [row(9, A, B, 1), row(8, A, B, 1), row(7, A, B, 1, priority=HIGH)]
    assert scene.pay(*rows) == [QUEUED] * 3
    assert scene.queue(A) == [7, 9, 8]


def test_each_account_has_its_own_queue() -> None:
    scene = Scene(asset(queue=FIFO), asset("CNH", queue=FIFO))
    assert scene.pay(row(1, A, B, 1), row(2, A, B, 1, "CNH"), row(3, B, C, 1)) == [QUEUED] * 3
    assert [scene.queue(A), scene.queue(A, "CNH"), scene.queue(B)] == [[1], [2], [3]]
    assert scene.do(Fund, participant=A, asset="CNH", amount="1") == ""
    assert scene.fates == released(2, how="SINGLE")


# --- policies (R13) ----------------------------------------------------------------------------------------------

# Policy, what waits of a bank that has 4, what it sends then → its outcome. A higher priority stands before.
ARRIVALS: list[tuple[QueuePolicy, Waits, tuple[int, int], Code]] = [
    (FIFO, [(5, NORM)], (1, NORM), QUEUED),
    (FIFO, [(5, NORM)], (1, HIGH), ACCEPTED),
    (FIFO, [(5, NORM)], (5, HIGH), QUEUED),
    (FIFO, [(5, HIGH)], (1, HIGH), QUEUED),
    (FIFO, [(5, NORM), (5, URGT)], (1, HIGH), QUEUED),
    (BYPASS, [(5, NORM)], (1, NORM), ACCEPTED),
    (BYPASS, [(5, URGT)], (1, NORM), ACCEPTED),
    (BYPASS, [(5, URGT)], (5, URGT), QUEUED),
]


@pytest.mark.parametrize(("policy", "before", "arrives", "code"), ARRIVALS)
def test_whom_a_blocked_head_blocks(
    policy: QueuePolicy, before: Waits, arrives: tuple[int, int], code: Code
) -> None:  # R13
    scene = waits(*before, policy=policy, held="4")
    amount, priority = arrives
    assert scene.pay(row(9, A, B, amount, priority=priority)) == [code]


# Policy, what waits, funding → what leaves, in this order.
FUNDINGS: list[tuple[QueuePolicy, Waits, int, list[int]]] = [
    (FIFO, [(5, NORM), (1, NORM), (1, NORM)], 4, []),
    (FIFO, [(5, NORM), (1, NORM), (1, NORM)], 6, [1, 2]),
    (FIFO, [(1, NORM), (5, NORM), (1, HIGH)], 5, [3, 1]),
    (BYPASS, [(5, NORM), (1, NORM), (1, NORM)], 4, [2, 3]),
    (BYPASS, [(5, NORM), (3, NORM), (2, HIGH), (1, NORM)], 4, [3, 4]),
    (BYPASS, [(5, NORM), (3, NORM), (2, HIGH), (1, NORM)], 7, [3, 1]),
]


@pytest.mark.parametrize(("policy", "before", "amount", "leave"), FUNDINGS)
def test_what_leaves_when_its_debtor_gets_money(
    policy: QueuePolicy, before: Waits, amount: int, leave: list[int]
) -> None:  # R13
    scene = waits(*before, policy=policy)
    assert scene.fund(A, amount) == released(*leave, how="SINGLE")


def test_without_a_queue_nothing_waits() -> None:  # R9
    scene = Scene(asset())
    assert scene.pay(row(1, A, B, 1)) == [Code.LIQUIDITY]
    assert scene.fund(A, 1) == []


@pytest.mark.parametrize("kind", [Kind.PAYMENT, Kind.TOKEN_TRANSFER])
def test_a_payment_that_waits_is_pending_and_then_accepted(kind: Kind) -> None:  # R12, R41
    scene = Scene()
    payment = row(1, A, B, 7, kind=kind, body=3, item=6)
    record = scene.log.payments(row(2, A, A, 9), payment)
    out = scene.apply(record)
    assert out.outcomes
    assert [status_of(code) for code in out.outcomes.codes.tolist()] == [Status.RJCT, Status.PDNG]
    scene.fund(A, 7)
    (told,) = scene.out.resolutions
    assert (told.code, status_of(told.code), told.kind) == (ACCEPTED, Status.ACSP, kind)
    assert (told.debtor, told.creditor, told.asset, told.amount) == (A, B, "HKD", "7")
    assert (told.log_offset, told.row, told.end_to_end_id) == (record.offset, 1, "e3")
    assert told.source == (f"payments.hk.{A}", 0, 1, 6)
    assert (told.how, told.window, told.remaining, told.link) == ("SINGLE", 1, "", None)


def test_its_creditor_is_told_what_was_sent_to_quote_it() -> None:  # R5
    scene, until = Scene(), NOON_MS + 10**6
    payment = row(1, A, B, 7, priority=HIGH, expires_at_ms=until, window=1)
    assert scene.pay(payment, payment.prioritise(2, URGT)) == [QUEUED, DONE]
    scene.fund(A, 7)
    (told,) = scene.out.resolutions
    assert (told.value_date, told.priority, told.expires_at_ms) == (DAY, HIGH, until)
    assert (told.window_asked, told.amount, told.amount_sent) == (1, "7", "")


def test_a_repeat_says_what_has_become_of_it() -> None:  # R28
    scene, payment = Scene(), row(1, A, B, 1)
    assert scene.pay(payment) == [QUEUED]
    assert scene.pay(payment) == [QUEUED]
    assert scene.pay(row(1, A, B, 2)) == [Code.DUPLICATE_ID]
    scene.fund(A, 1)
    assert scene.pay(payment) == [ACCEPTED]


def test_a_position_says_how_much_waits() -> None:
    scene = waits((5, NORM), (2, URGT))

    def told() -> list[Position]:
        scene.tick(scene.log.time_ms + 1000)
        return [item for item in scene.out.positions if item.participant == A]

    assert [(item.queued, item.queued_payments) for item in told()] == [("7", 2)]
    scene.fund(A, 2)
    assert [(item.queued, item.queued_payments) for item in told()] == [("5", 1)]


# --- expiry (R17) ------------------------------------------------------------------------------------------------


def test_expired_at_its_time_and_not_before() -> None:  # R17
    scene, at = Scene(), NOON_MS + 1000
    assert scene.pay(row(1, A, B, 1, expires_at_ms=at)) == [QUEUED]
    assert scene.state.next_due_ms() in (at, NOON_MS + 500)
    scene.tick(at - 1)
    assert scene.fates == []
    scene.tick(at)
    assert scene.fates == [(1, EXPIRED, "")]
    assert (REASONS[EXPIRED].iso, scene.queue(A)) == ("TM01", [])
    assert scene.fund(A, 5) == []


def test_each_expires_at_its_own_time() -> None:  # R17
    scene, times = Scene(), (30, 10, 20, 0, 40)
    rows = [
        row(i, A, B, 9, expires_at_ms=NOON_MS + at if at else 0) for i, at in enumerate(times, 1)
    ]
    for one in rows:
        scene.pay(one)
    scene.pay(rows[4].cancel(9))
    ended: dict[int, list[int]] = {}
    for at in range(0, 60, 5):
        scene.tick(NOON_MS + at)
        ended[at] = [number_ for number_, *_ in scene.fates]
    assert {at: numbers for at, numbers in ended.items() if numbers} == {10: [2], 20: [3], 30: [1]}
    assert scene.queue(A) == [4]


def test_the_expired_end_in_order_of_arrival_and_make_way() -> None:  # R13, R17
    scene, at = Scene(held="3"), NOON_MS + 10
    rows = [
        *(row(1, A, B, 9, expires_at_ms=at), row(2, A, B, 9, expires_at_ms=at, priority=URGT)),
        *(row(3, A, B, 3), row(4, B, C, 9, expires_at_ms=at - 1)),
    ]
    assert scene.pay(*rows) == [QUEUED] * 4
    scene.tick(at)
    ended = [(1, EXPIRED, ""), (2, EXPIRED, ""), (4, EXPIRED, "")]
    assert scene.fates == ended + released(3, how="SINGLE")


def test_what_expires_at_the_cutoff_has_expired() -> None:
    """Expiry comes before windows that are due: it is not dropped, and not told twice."""
    scene = Scene(asset(queue=FIFO, at_cutoff=DROP))
    scene.do(SetCutoffs, asset="HKD", cutoffs_ms=[NOON_MS + 10])
    scene.pay(row(1, A, B, 1, expires_at_ms=NOON_MS + 10), row(2, A, B, 1))
    scene.tick(NOON_MS + 10)
    assert scene.fates == [(1, EXPIRED, ""), (2, CUTOFF, "")]


# --- cut-off (R17) -----------------------------------------------------------------------------------------------


def test_what_rolls_is_settled_in_the_window_that_releases_it() -> None:  # R17
    scene = waits((2, NORM))
    scene.close()
    assert (scene.fates, scene.windows) == ([], [("HKD", 1, 1, "SETTLED")])
    scene.fund(A, 2)
    assert [(item.code, item.window) for item in scene.out.resolutions] == [(ACCEPTED, 2)]
    (batch,) = scene.close()
    assert (batch.window, batch.payments) == (2, 1)


def test_what_is_dropped_is_told_why() -> None:  # R17
    scene = Scene(asset(queue=FIFO, at_cutoff=DROP), asset("CNH", queue=FIFO, at_cutoff=DROP))
    scene.pay(row(1, A, B, 2, priority=URGT), row(2, A, B, 1), row(3, A, B, 1, "CNH"))
    scene.close("HKD")
    assert scene.fates == [(1, CUTOFF, ""), (2, CUTOFF, "")]
    assert {item.window for item in scene.out.resolutions} == {0}  # in none of them
    assert (status_of(CUTOFF), REASONS[CUTOFF].iso) == (Status.RJCT, "AB03")
    assert scene.queue(A, "CNH") == [3]
    assert scene.pay(row(2, A, B, 1)) == [CUTOFF]  # R28


def test_a_payment_for_one_window_does_not_roll() -> None:  # R17
    scene = Scene()
    assert scene.pay(row(1, A, B, 2, window=1), row(2, A, B, 1)) == [QUEUED] * 2
    scene.close()
    assert scene.fates == [(1, CUTOFF, "")]
    assert scene.queue(A) == [2]
    assert scene.pay(row(3, A, B, 1, window=2)) == [QUEUED]
    scene.close()
    assert scene.fates == [(3, CUTOFF, "")]


def test_what_a_dropped_payment_blocked_leaves_for_the_next_window() -> None:  # R13, R17
    scene = Scene(held="3")
    assert scene.pay(row(1, A, B, 9, window=1), row(2, A, B, 3)) == [QUEUED] * 2
    assert scene.close() == []
    assert scene.fates == [(1, CUTOFF, ""), *released(2, how="SINGLE")]
    (batch,) = scene.close()
    assert (batch.window, batch.payments) == (2, 1)


@pytest.mark.parametrize("model", [NET_NOW, GROSS_NOW], ids=["NET", "GROSS"])
def test_windows_that_close_by_themselves_drop_only_what_is_for_them(model: object) -> None:
    """R6, R17: it is no cut-off of the queue, but who named that window will not be in a later one."""
    scene = Scene(asset(queue=FIFO, at_cutoff=DROP, model=model))
    assert scene.pay(row(1, A, B, 5), row(2, A, B, 1, window=1)) == [QUEUED] * 2
    scene.fund(B, 4)
    assert scene.pay(row(3, B, C, 4)) == [ACCEPTED]
    assert scene.windows == [("HKD", 1, 1, "PENDING_SETTLEMENT")]
    assert (scene.fates, scene.queue(A)) == ([(2, CUTOFF, "")], [1])
    scene.do(CloseWindow, asset="HKD")
    assert scene.fates == [(1, CUTOFF, "")]


@pytest.mark.parametrize("model", [NET_NOW, GROSS_NOW], ids=["NET", "GROSS"])
def test_what_ends_with_a_window_frees_those_behind_it_at_once(model: object) -> None:  # R6, R13
    """No record has to come first: what could leave has left when the step ends, and is settled with it."""
    scene = Scene(asset(queue=FIFO, model=model))
    scene.fund(A, 2)
    assert scene.pay(row(1, A, B, 5, window=1), row(2, A, B, 2)) == [QUEUED] * 2
    scene.fund(B, 4)
    assert scene.pay(row(3, B, C, 4)) == [ACCEPTED]
    assert scene.fates == [(1, CUTOFF, ""), (2, ACCEPTED, "SINGLE")]
    assert [window[1:] for window in scene.windows] == [
        (1, 1, "PENDING_SETTLEMENT"),
        (2, 1, "PENDING_SETTLEMENT"),
    ]


@pytest.mark.parametrize("policy", [FIFO, BYPASS])
def test_a_queue_that_is_full_takes_no_more(
    policy: QueuePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded: what would be more is refused for want of liquidity, and the queue goes on."""
    monkeypatch.setattr("clearing.core.limits.MAX_QUEUED", 2)
    scene = Scene(asset(queue=policy))
    rows = [row(number, A, B, 5) for number in range(1, 5)]
    assert scene.pay(*rows) == [QUEUED, QUEUED, Code.LIQUIDITY, Code.LIQUIDITY]
    assert scene.pay(row(5, A, B, 5)) == [Code.LIQUIDITY]
    assert scene.fund(A, 5) == released(1, how="SINGLE")
    assert scene.pay(row(6, A, B, 5)) == [QUEUED]
