"""Status records to statuses of payments: repeats dropped, finality spread over a window's payments."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.client.following import Follower, Status
from clearing.messages import FinalRecord, PaymentStatus, Receipt, StatusRecord

encode = msgspec.json.Encoder().encode
SOURCE = ("payments.hk.ALPHA", 0, 4, -1)


def told(log_offset: int, *rows: PaymentStatus | Receipt, index: int = 0, of: str = "hk") -> bytes:
    return encode(
        StatusRecord(
            netting_set=of,
            log_offset=log_offset,
            index=index,
            time_ms=log_offset,
            statuses=[row for row in rows if isinstance(row, PaymentStatus)],
            receipts=[row for row in rows if isinstance(row, Receipt)],
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


def received(number: int, window: int = 1) -> Receipt:
    return Receipt(
        id=f"r{number}",
        debtor="CHARLIE",
        asset="HKD",
        amount="2.00",
        end_to_end_id="F",
        window=window,
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
    follower = Follower(remember)
    return [
        s for offset, value in enumerate(values) for s in follower.take(value, offset)
    ], follower


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
