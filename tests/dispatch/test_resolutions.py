"""Resolutions → who is told what: what waited is released or ends, what is recast is taken back."""

import msgspec
import pytest

from clearing.core.outputs import Entry, Resolution, Resolutions, WindowEvent
from clearing.core.reasons import REASONS, Code
from clearing.dispatch import frames
from clearing.dispatch.resolutions import resolution_records
from clearing.dispatch.statuses import final_records
from clearing.messages import PaymentStatus, Receipt, StatusMessage, StatusRecord, Withdrawal

ID = "6f1c2a3e-9b1d-4c5e-8f00-0123456789ab"
SOURCE = ("payments.hk.ALPHA", 0, 4, -1)
decode = msgspec.json.Decoder(StatusMessage).decode
encode = msgspec.json.Encoder().encode


def resolution(code: Code = Code.ACCEPTED, **changes: object) -> Resolution:
    one = Resolution(
        id=ID,
        code=code,
        kind=1,
        debtor="ALPHA",
        creditor="BRAVO",
        asset="HKD",
        amount="10.00",
        log_offset=3,
        row=8,
        source=SOURCE,
        end_to_end_id="E2E",
        chain_reference="eip155:1:0x0:0",
    )
    return msgspec.structs.replace(one, **changes)


def status(**changes: object) -> PaymentStatus:
    told = PaymentStatus(
        id=ID,
        status="ACSP",
        end_to_end_id="E2E",
        asset="HKD",
        amount="10.00",
        creditor="BRAVO",
        source=SOURCE,
    )
    return msgspec.structs.replace(told, **changes)


def receipt(**changes: object) -> Receipt:
    told = Receipt(
        id=ID,
        debtor="ALPHA",
        asset="HKD",
        amount="10.00",
        end_to_end_id="E2E",
        chain_reference="eip155:1:0x0:0",
    )
    return msgspec.structs.replace(told, **changes)


def chunk(*items: Resolution) -> Resolutions:
    return Resolutions(netting_set="hk", log_offset=9, time_ms=5, items=list(items))


def told(resolutions: Resolutions, **indexes: int) -> dict[str, list[StatusRecord]]:
    """By participant; every record is written as msgspec writes it."""
    by_name: dict[str, list[StatusRecord]] = {}
    for name, value in resolution_records(resolutions, indexes):
        record = decode(value)
        assert isinstance(record, StatusRecord)
        assert encode(record) == value
        by_name.setdefault(name, []).append(record)
    return by_name


def record(index: int = 0, **rows: object) -> StatusRecord:
    empty = StatusRecord(
        netting_set="hk", log_offset=9, index=index, time_ms=5, statuses=[], receipts=[]
    )
    return msgspec.structs.replace(empty, **rows)


def test_released_payment_is_told_to_both_sides() -> None:
    """ACSP with its window at the log record that released it, and a receipt (R14, R41)."""
    assert told(chunk(resolution(how="BILATERAL", window=4))) == {
        "ALPHA": [record(statuses=[status(window=4)])],
        "BRAVO": [record(receipts=[receipt(window=4)])],
    }


def test_part_says_what_was_delivered_and_what_still_waits() -> None:
    """R22."""
    part = resolution(how="PARTIAL", window=4, amount="6.00", remaining="4.00")
    changes = {"window": 4, "amount": "6.00", "remaining": "4.00"}
    assert told(chunk(part)) == {
        "ALPHA": [record(statuses=[status(**changes)])],
        "BRAVO": [record(receipts=[receipt(**changes)])],
    }


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (Code.CANCELLED, "CANC"),  # R12
        (Code.EXPIRED, "RJCT"),
        (Code.CUTOFF, "RJCT"),  # R17
        (Code.LINK_REFUSED, "RJCT"),  # R20
        (Code.DEBTOR_DEFAULTED, "RJCT"),  # R24
        (Code.CREDITOR_DEFAULTED, "RJCT"),  # R24
    ],
)
def test_what_ends_unaccepted_is_told_to_its_sender_alone(code: Code, word: str) -> None:
    """The other side never heard of it."""
    reason = REASONS[code]
    ended = status(status=word, reason=reason.iso, text=reason.text)
    assert told(chunk(resolution(code))) == {"ALPHA": [record(statuses=[ended])]}


def test_recast_takes_the_receipt_back() -> None:
    """R25: the creditor had been told of it, so it is told that it is none any more."""
    reason = REASONS[Code.RECAST]
    taken = {"window": 4, "reason": reason.iso, "text": reason.text}
    withdrawal = Withdrawal(
        id=ID, debtor="ALPHA", asset="HKD", amount="10.00", end_to_end_id="E2E", **taken
    )
    assert told(chunk(resolution(Code.RECAST, window=4))) == {
        "ALPHA": [record(statuses=[status(status="RJCT", **taken)])],
        "BRAVO": [record(withdrawn=[withdrawal])],
    }


def test_one_record_a_bank_whatever_it_pays_and_receives() -> None:
    """In the order in which it was done; numbered on from the rows of the same log record (R28)."""
    there = resolution(window=4)
    back = resolution(window=4, id="back", debtor="BRAVO", creditor="ALPHA")
    recast = resolution(Code.RECAST, id="recast", debtor="BRAVO", creditor="ALPHA")
    records = told(chunk(there, back, recast), ALPHA=1)
    assert {name: [r.index for r in of] for name, of in records.items()} == {
        "ALPHA": [1],
        "BRAVO": [0],
    }
    (alpha,) = records["ALPHA"]
    assert [one.id for one in (*alpha.statuses, *alpha.receipts, *alpha.withdrawn)] == [
        ID,
        "back",
        "recast",
    ]


@pytest.mark.parametrize("limit", [1, 500, 2_000])
def test_large_records_are_cut_and_numbered(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are cut: all of it in order, indexes without a gap."""
    monkeypatch.setattr(frames, "MAX_ROWS_BYTES", limit)
    items = [resolution((Code.ACCEPTED, Code.RECAST)[i % 2], id=f"{i}") for i in range(20)]
    for name, records in told(chunk(*items), ALPHA=2, BRAVO=2).items():
        assert [one.index for one in records] == list(range(2, 2 + len(records)))
        assert len(records) > 1
        if name == "ALPHA":
            assert [one.id for r in records for one in r.statuses] == [f"{i}" for i in range(20)]
        else:
            received = [one.id for r in records for one in r.receipts]
            assert received == [f"{i}" for i in range(0, 20, 2)]
            withdrawn = [one.id for r in records for one in r.withdrawn]
            assert withdrawn == [f"{i}" for i in range(1, 20, 2)]


def test_code_of_a_newer_version_is_not_guessed_at() -> None:
    """F17."""
    with pytest.raises(ValueError, match="99 is not a valid Code"):
        resolution_records(chunk(msgspec.structs.replace(resolution(), code=99)), {})


def test_windows_are_told_to_participants_alone() -> None:
    """What the scheme itself gives to cover a shortfall has an entry, but nobody who reads (R25)."""
    entries = [
        Entry(name, net="0.00", debits="0.00", credits="0.00", sent=0, received=0)
        for name in ("ALPHA", "$COLLATERAL", "$POOL", "BRAVO")
    ]
    event = WindowEvent(
        netting_set="hk",
        log_offset=9,
        time_ms=5,
        asset="HKD",
        window=3,
        version=2,
        state="SETTLED",
        entries=entries,
    )
    records = [(name, decode(value)) for name, value in final_records(event, {"BRAVO": 2})]
    assert [(name, one.index) for name, one in records] == [("ALPHA", 0), ("BRAVO", 2)]
