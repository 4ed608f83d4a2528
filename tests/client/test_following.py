"""Status records to statuses of payments: repeats dropped, finality spread over a window's payments."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.client.following import Answer, Follower, Request, Status
from clearing.messages import (
    CancellationAnswer,
    CancellationRequest,
    FinalRecord,
    PaymentStatus,
    Receipt,
    StatusRecord,
    Withdrawal,
)

encode = msgspec.json.Encoder().encode
SOURCE = ("payments.hk.ALPHA", 0, 4, -1)


Row = PaymentStatus | Receipt | CancellationRequest | CancellationAnswer | Withdrawal


def told(log_offset: int, *rows: Row, index: int = 0, of: str = "hk") -> bytes:
    return encode(
        StatusRecord(
            netting_set=of,
            log_offset=log_offset,
            index=index,
            time_ms=log_offset,
            statuses=[row for row in rows if isinstance(row, PaymentStatus)],
            receipts=[row for row in rows if isinstance(row, Receipt)],
            requests=[row for row in rows if isinstance(row, CancellationRequest)],
            answers=[row for row in rows if isinstance(row, CancellationAnswer)],
            withdrawn=[row for row in rows if isinstance(row, Withdrawal)],
        )
    )


def sent(number: int, window: int = 1, **changes: object) -> PaymentStatus:
    status = PaymentStatus(
        id=f"s{number}",
        status="ACSP",
        end_to_end_id="E",
        asset="HKD",
        amount="1.00",
        creditor="BRAVO",
        window=window,
        source=SOURCE,
    )
    return msgspec.structs.replace(status, **changes)


def received(number: int, window: int = 1, **changes: object) -> Receipt:
    receipt = Receipt(
        id=f"r{number}",
        debtor="CHARLIE",
        asset="HKD",
        amount="2.00",
        end_to_end_id="F",
        window=window,
    )
    return msgspec.structs.replace(receipt, **changes)


def withdrawn(number: int, window: int = 1) -> Withdrawal:
    return Withdrawal(
        id=f"r{number}",
        debtor="CHARLIE",
        asset="HKD",
        amount="2.00",
        end_to_end_id="F",
        window=window,
        reason="XREC",
        text="taken out",
    )


def final(log_offset: int, window: int = 1, index: int = 0, **changes: object) -> bytes:
    record = FinalRecord(
        netting_set="hk",
        log_offset=log_offset,
        index=index,
        time_ms=log_offset,
        asset="HKD",
        window=window,
        version=1,
        status="ACSC",
        batch="b",
        hash="h",
        net="0",
        debits="0",
        credits="0",
        sent=1,
        received=1,
    )
    return encode(msgspec.structs.replace(record, **changes))


def follow(*values: bytes, remember: int = 100) -> tuple[list[Status], Follower]:
    """What it says of payments and instructions."""
    follower = Follower(remember)
    told = [one for offset, value in enumerate(values) for one in follower.take(value, offset)]
    return [one for one in told if isinstance(one, Status)], follower


def brief(statuses: list[Status]) -> list[tuple[str, str]]:
    return [(status.id, status.status) for status in statuses]


def test_a_payment_from_acceptance_to_finality() -> None:
    """ACSP with its window, ACSC when the window is final, for what was sent and received (R23, R41)."""
    statuses, follower = follow(told(1, sent(1), received(1)), final(2))
    assert brief(statuses) == [("s1", "ACSP"), ("r1", "ACSP"), ("s1", "ACSC"), ("r1", "ACSC")]
    assert statuses[2] == Status(
        id="s1",
        status="ACSC",
        incoming=False,
        counterparty="BRAVO",
        asset="HKD",
        amount="1.00",
        end_to_end_id="E",
        window=1,
        source=SOURCE,
        netting_set="hk",
        log_offset=2,
        time_ms=2,
        offset=1,
    )
    assert (statuses[1].incoming, statuses[1].counterparty) == (True, "CHARLIE")
    assert follower.take_incomplete() == []


def test_what_was_read_before_is_dropped() -> None:
    """Told at least once, seen once: nothing at or below the last (log offset, index) counts (R28)."""
    once = [
        told(1, sent(1)),
        told(1, received(1), index=1),
        final(2),
        final(2, window=2, index=1, sent=0),
    ]
    statuses, _ = follow(*once)
    for repeated in range(len(once)):
        again, _ = follow(*once[: repeated + 1], *once[:repeated], *once)
        assert brief(again) == brief(statuses)


def test_netting_sets_are_counted_apart() -> None:
    """The sequence is per netting set."""
    statuses, _ = follow(told(5, sent(1)), told(1, sent(2), of="eu"), told(6, sent(3)))
    assert brief(statuses) == [("s1", "ACSP"), ("s2", "ACSP"), ("s3", "ACSP")]


def test_refused_batch_changes_no_payment() -> None:
    """RJCT of a window: accepted payments stay irrevocable and become final with a later version (R4, R23)."""
    refused = final(2, status="RJCT", reason="AM04")
    statuses, _ = follow(told(1, sent(1), received(1)), refused, final(3, version=2))
    assert brief(statuses)[2:] == [("s1", "ACSC"), ("r1", "ACSC")]


@pytest.mark.parametrize(
    "row",
    [
        sent(1, status="RJCT", reason="AM04", window=0),
        sent(1, status="PDNG", window=0),
        sent(1, repeat=True, window=0),  # the original has its ACSC
        sent(1, window=2),
    ],
)
def test_only_what_is_accepted_in_the_window_becomes_final(row: PaymentStatus) -> None:
    statuses, _ = follow(told(1, row), final(2, sent=0, received=0))
    assert brief(statuses) == [("s1", row.status)]
    assert statuses[0].repeat == row.repeat


def test_payments_accepted_before_the_start_are_missed_and_said_so() -> None:
    """The counts of the final record tell a reader that it began too late."""
    _, follower = follow(told(1, sent(1)), final(2, sent=2, received=0))
    assert follower.take_incomplete() == [("hk", "HKD", 1)]
    assert follower.take_incomplete() == []


def test_memory_is_bounded() -> None:
    """Over the bound it says so instead of forgetting; what has become final makes room again."""
    with pytest.raises(BufferError, match="more than 2 accepted"):
        follow(told(1, sent(1), sent(2), sent(3)), remember=2)
    settled = final(2, sent=2, received=0)
    statuses, _ = follow(
        told(1, sent(1), sent(2)), settled, told(3, sent(3, 2), sent(4, 2)), remember=2
    )
    assert len(statuses) == 6
    none, follower = follow(told(1, *map(sent, range(9))), final(2), remember=0)
    assert {status for _, status in brief(none)} == {"ACSP"}
    assert follower.take_incomplete() == []


def test_a_payment_that_waited_becomes_final_with_the_window_it_was_released_into() -> None:
    """PDNG names no window; the release does (R14, R23)."""
    queued = sent(1, window=0, status="PDNG")
    statuses, follower = follow(
        told(1, queued),
        final(2, window=1, sent=0, received=0),
        told(3, sent(1, window=2)),
        final(4, window=2, received=0),
    )
    assert brief(statuses) == [("s1", "PDNG"), ("s1", "ACSP"), ("s1", "ACSC")]
    assert statuses[2].window == 2
    assert follower.take_incomplete() == []


def test_each_part_becomes_final_with_its_own_window() -> None:
    """R22: sent and received alike; the rest is another ACSP and ACSC, later."""
    first: dict[str, Any] = {"amount": "0.60", "remaining": "0.40"}
    statuses, follower = follow(
        told(1, sent(1, **first), received(2, **first)),
        told(2, sent(1, window=2, amount="0.40"), received(2, window=2, amount="0.40")),
        final(3),
        final(4, window=2),
    )
    ended = [(s.id, s.amount, s.remaining) for s in statuses if s.status == "ACSC"]
    assert ended == [
        ("s1", "0.60", "0.40"),
        ("r2", "0.60", "0.40"),
        ("s1", "0.40", ""),
        ("r2", "0.40", ""),
    ]
    assert follower.take_incomplete() == []


@pytest.mark.parametrize("window", [1, 0])
def test_what_is_taken_back_does_not_become_final(window: int) -> None:
    """R25: RJCT on both sides; the window settles without it, as its new version counts."""
    recast = sent(1, status="RJCT", reason="XREC", window=window)
    statuses, follower = follow(
        told(1, sent(1), sent(2), received(1), received(2)),
        final(2, status="RJCT", reason="AM04", sent=2, received=2),
        told(3, recast, withdrawn(2, window)),
        final(4, version=2),
    )
    assert brief(statuses)[4:] == [
        ("s1", "RJCT"),
        ("r2", "RJCT"),
        ("s2", "ACSC"),
        ("r1", "ACSC"),
    ]
    assert statuses[5] == Status(
        id="r2",
        status="RJCT",
        incoming=True,
        counterparty="CHARLIE",
        asset="HKD",
        amount="2.00",
        end_to_end_id="F",
        window=window,
        reason="XREC",
        text="taken out",
        netting_set="hk",
        log_offset=3,
        time_ms=3,
        offset=2,
    )
    assert follower.take_incomplete() == []


def test_only_the_part_in_the_window_that_was_recast_is_taken_back() -> None:
    """R22, R25."""
    statuses, _ = follow(
        told(1, sent(1, amount="0.60", remaining="0.40")),
        told(2, sent(1, window=2, amount="0.40")),
        told(3, sent(1, window=2, amount="0.40", status="RJCT", reason="XREC")),
        final(4, received=0),
        final(5, window=2, sent=0, received=0),
    )
    assert [(s.window, s.amount) for s in statuses if s.status == "ACSC"] == [(1, "0.60")]


def test_what_is_taken_back_makes_room() -> None:
    """A window that is emptied settles without a word: nothing of it stays remembered."""
    recast = sent(1, status="RJCT", reason="XREC")
    rows = told(1, sent(1), received(1)), told(2, recast, withdrawn(1)), told(3, sent(3), sent(4))
    statuses, _ = follow(*rows, remember=2)
    assert len(statuses) == 6


def test_a_rest_that_ends_leaves_the_part_that_was_delivered() -> None:
    """R22, R23: only what is taken back is no longer to become final."""
    part = sent(1, amount="0.60", remaining="0.40")
    rest = sent(1, window=0, status="CANC", amount="0.40", reason="CUST")
    statuses, _ = follow(told(1, part), told(2, rest), final(3, received=0))
    assert brief(statuses) == [("s1", "ACSP"), ("s1", "CANC"), ("s1", "ACSC")]
    assert statuses[2].amount == "0.60"


def test_return_says_what_it_gives_back() -> None:
    """R5."""
    statuses, _ = follow(told(1, sent(1, return_of="x"), received(1, return_of="y", reason="AC04")))
    assert [(s.return_of, s.reason) for s in statuses] == [("x", ""), ("y", "AC04")]


def test_a_receipt_without_a_value_date_is_of_the_day_it_was_told() -> None:
    """R5: in UTC; what differs is said. Of its own payments a bank knows it."""
    midnight = 86_400_000
    statuses, _ = follow(
        told(midnight - 1, received(1), received(2, value_date="1970-01-05")),
        told(midnight, received(3), sent(1)),
    )
    assert [(status.id, status.value_date) for status in statuses] == [
        ("r1", "1970-01-01"),
        ("r2", "1970-01-05"),
        ("s1", ""),
        ("r3", "1970-01-02"),
    ]


def test_an_instruction_says_what_it_is_about() -> None:
    """R12, R23: no payment, no ACSC."""
    asked = PaymentStatus(
        id="c", status="PDCR", instruction="cancel", reference="s1", text="asked", source=SOURCE
    )
    (status,), _ = follow(told(1, asked), final(2, sent=0, received=0))
    assert (status.status, status.instruction, status.reference) == ("PDCR", "cancel", "s1")
    assert (status.amount, status.asset, status.counterparty, status.window) == ("", "", "", 0)


def test_requests_and_answers_are_things_of_their_own() -> None:
    """R23."""
    request = CancellationRequest(
        id="c", original="r1", debtor="CHARLIE", asset="HKD", amount="2.00", reason="DUPL"
    )
    answer = CancellationAnswer(request="d", decision="DECLINED", reason="LEGL", creditor="BRAVO")
    heard = list(Follower(9).take(told(4, answer, request, sent(1)), 7))
    where = {"netting_set": "hk", "log_offset": 4, "time_ms": 4, "offset": 7}
    assert isinstance(heard[0], Status)
    assert heard[1:] == [
        Request(
            id="c",
            original="r1",
            counterparty="CHARLIE",
            asset="HKD",
            amount="2.00",
            end_to_end_id="",
            reason="DUPL",
            **where,
        ),
        Answer(request="d", decision="DECLINED", counterparty="BRAVO", reason="LEGL", **where),
    ]


@given(
    st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=30),
    st.lists(st.integers(0, 10), max_size=10),
)
def test_each_accepted_payment_becomes_final_once(
    rows: list[tuple[int, bool]], repeats: list[int]
) -> None:
    """However records repeat: one ACSP and one ACSC each, of its own window (R23)."""
    values = [
        told(i, sent(i, window) if outgoing else received(i, window))
        for i, (window, outgoing) in enumerate(rows)
    ]
    for window in (1, 2, 3):
        of = [outgoing for number, outgoing in rows if number == window]
        ended = final(100, window, index=window, sent=sum(of), received=len(of) - sum(of))
        values.append(ended)
    stream: list[bytes] = []
    for i, value in enumerate(values):
        stream.append(value)
        stream += values[max(0, i - repeats[i % len(repeats)]) : i + 1] if repeats else []
    statuses, follower = follow(*stream)
    ids = [f"{'s' if outgoing else 'r'}{i}" for i, (_, outgoing) in enumerate(rows)]
    assert [s.id for s in statuses if s.status == "ACSP"] == ids
    assert sorted(s.id for s in statuses if s.status == "ACSC") == sorted(ids)
    assert follower.take_incomplete() == []
