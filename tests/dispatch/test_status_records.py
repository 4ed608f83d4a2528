"""Log record × outcomes → who is told what: tables, and the columnar way held equal to the plain one."""

import uuid
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.inputs import Decision, Kind, Reject, SourceSpan
from clearing.core.outputs import Entry, LinkedLeg, Outcomes, WindowEvent
from clearing.core.reasons import REASONS, Code
from clearing.dispatch import frames
from clearing.dispatch.statuses import final_record, status_records
from clearing.messages import FinalRecord, PaymentStatus, Receipt, StatusMessage, StatusRecord
from tests.dispatch.rows import LogPiece, Row

ID = uuid.UUID("6f1c2a3e-9b1d-4c5e-8f00-0123456789ab")
decode = msgspec.json.Decoder(StatusMessage).decode
encode = msgspec.json.Encoder().encode


def records_of(piece: LogPiece) -> dict[str, StatusRecord]:
    """What the columnar way tells, by participant; one record each."""
    told = status_records("hk", piece.value(), piece.outcomes())
    assert len({name for name, _ in told}) == len(told)
    records = {name: decode(value) for name, value in told}
    assert all(isinstance(record, StatusRecord) for record in records.values())
    return records


def test_accepted_payment_is_told_to_both_sides() -> None:
    """ACSP with its window to the debtor, a receipt to the creditor (R23, R41)."""
    piece = LogPiece([Row(ID, amount=1250, source_offset=4)])
    assert records_of(piece) == {
        "ALPHA": StatusRecord(
            netting_set="hk",
            log_offset=7,
            index=0,
            time_ms=1_700_000_000_000,
            statuses=[
                PaymentStatus(
                    id=str(ID),
                    status="ACSP",
                    end_to_end_id="E2E",
                    asset="HKD",
                    amount="12.50",
                    creditor="BRAVO",
                    window=3,
                    source=("payments.hk.ALPHA", 0, 4, -1),
                )
            ],
            receipts=[],
        ),
        "BRAVO": StatusRecord(
            netting_set="hk",
            log_offset=7,
            index=0,
            time_ms=1_700_000_000_000,
            statuses=[],
            receipts=[
                Receipt(
                    id=str(ID),
                    debtor="ALPHA",
                    asset="HKD",
                    amount="12.50",
                    end_to_end_id="E2E",
                    window=3,
                )
            ],
        ),
    }


REJECT = Reject(code=Code.FIELD, hash="00", detail="no amount", id=str(ID))
OUTCOMES = [
    # row, who is told: (status, reason, window, repeat) to the owner of the topic; receipt to the creditor?
    (Row(ID), ("ACSP", "", 3, False), True),
    (Row(ID, repeat=True), ("ACSP", "", 0, True), False),  # R28; the window may be one of long ago
    (Row(ID, code=Code.QUEUED), ("PDNG", "", 0, False), False),  # R12: it waits, nobody else knows
    (Row(ID, code=Code.QUEUED, repeat=True), ("PDNG", "", 0, True), False),  # R28
    (Row(ID, code=Code.CANCELLED, repeat=True), ("CANC", "CUST", 0, True), False),  # R28
    (Row(ID, code=Code.LINK_REFUSED), ("RJCT", "XLNK", 0, False), False),  # R20
    (Row(ID, code=Code.LIQUIDITY), ("RJCT", "AM04", 0, False), False),  # R9
    (Row(ID, code=Code.LIQUIDITY, repeat=True), ("RJCT", "AM04", 0, True), False),  # R28
    (Row(ID, code=Code.DUPLICATE_ID), ("RJCT", "AM05", 0, False), False),  # R28
    (Row(ID, code=Code.NOT_OWNER, debtor="CHARLIE"), ("RJCT", "XSND", 0, False), False),
    (Row(ID, code=Code.UNKNOWN_CREDITOR, creditor="NOBODY"), ("RJCT", "CNOR", 0, False), False),
    (Row(ID, code=Code.FIELD, reject=REJECT), ("RJCT", "XFLD", 0, False), False),
]


@pytest.mark.parametrize(("row", "status", "received"), OUTCOMES)
def test_each_outcome_is_told_to_whom_it_concerns(
    row: Row, status: tuple[str, str, int, bool], received: bool
) -> None:
    """R41; a refused or rejected payment is nobody's business but the sender's."""
    records = records_of(LogPiece([row]))
    told = records["ALPHA"].statuses[0]
    assert (told.status, told.reason, told.window, told.repeat) == status
    assert bool(told.text) == (told.status != "ACSP")
    assert set(records) == ({"ALPHA", "BRAVO"} if received else {"ALPHA"})


def test_rows_read_before_are_told_to_nobody() -> None:
    """A row of a repeated source offset has no effect, not even a word (R28, F15)."""
    assert status_records("hk", *_both(LogPiece([Row(ID, code=Code.ALREADY_READ)]))) == []
    mixed = LogPiece([Row(ID, code=Code.ALREADY_READ), Row(uuid.uuid4())])
    assert [len(record.statuses) for record in records_of(mixed).values()] == [1, 0]


def test_reject_says_what_was_wrong_and_where() -> None:
    """The sender is told where it can be known: by the topic, position in a bulk included (R30)."""
    row = Row(ID, code=Code.FIELD, reject=REJECT, source_offset=12, item=4)
    (told,) = records_of(LogPiece([row]))["ALPHA"].statuses
    assert told.id == str(ID)
    assert told.text == f"{REASONS[Code.FIELD].text}: no amount"
    assert told.source == ("payments.hk.ALPHA", 0, 12, 4)
    assert (told.asset, told.amount, told.creditor, told.end_to_end_id) == ("", "", "", "")


def test_code_of_a_newer_version_is_not_guessed_at() -> None:
    """An outcome nobody here knows stops the telling instead of being told wrongly (F17)."""
    for code in (5, 9, 99):
        with pytest.raises(ValueError, match="valid Code"):
            status_records("hk", *_both(LogPiece([Row(ID, code=code)])))


def test_outcomes_of_another_record_are_a_bug() -> None:
    piece = LogPiece([Row(ID), Row(uuid.uuid4())])
    with pytest.raises(AssertionError, match="1 outcomes for 2 rows"):
        status_records("hk", piece.value(), LogPiece([Row(ID)]).outcomes())


@pytest.mark.parametrize("limit", [1, 500, 2_000])
def test_large_records_are_cut_and_numbered(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts carry rising indexes and together say the same, in the same order."""
    monkeypatch.setattr(frames, "MAX_ROWS_BYTES", limit)
    asked = [
        Row(uuid.UUID(int=i), source=i % 2, kind=Kind.CANCEL, reference=ID, code=Code.REQUESTED)
        for i in range(100, 110)
    ]
    piece = LogPiece(
        [Row(uuid.UUID(int=i), source=i % 2) for i in range(40)] + asked,
        [SourceSpan("payments.hk.ALPHA", 0, 0, 9), SourceSpan("payments.hk.BRAVO", 0, 0, 9)],
    )
    parts: dict[str, list[StatusRecord]] = {}
    for name, value in status_records("hk", *_both(piece)):
        record = decode(value)
        assert isinstance(record, StatusRecord)
        rows = len(record.statuses) + len(record.receipts) + len(record.requests)
        assert rows == 1 or len(value) < limit + 200
        parts.setdefault(name, []).append(record)
    whole = piece.told()
    assert parts.keys() == whole.keys()
    for name, records in parts.items():
        assert len(records) > 1
        assert [record.index for record in records] == list(range(len(records)))
        assert [s for record in records for s in record.statuses] == whole[name].statuses
        assert [r for record in records for r in record.receipts] == whole[name].receipts
        assert [r for record in records for r in record.requests] == whole[name].requests


def test_no_size_loses_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every bound around the size of all its rows a bank is told of each once (R30)."""
    piece = LogPiece([Row(uuid.UUID(int=i)) for i in range(3)])
    size_bytes = len(encode(piece.told()["ALPHA"].statuses)) - 2
    for limit in range(size_bytes - 5, size_bytes + 5):
        monkeypatch.setattr(frames, "MAX_ROWS_BYTES", limit)
        told = [
            decode(value) for name, value in status_records("hk", *_both(piece)) if name == "ALPHA"
        ]
        assert [s for record in told for s in record.statuses] == piece.told()["ALPHA"].statuses


def test_records_are_cut_where_rows_one_by_one_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every limit the same parts, byte for byte: STORED FORMAT, each part's index depends on it."""
    rows = [Row(uuid.UUID(int=i), source=i % 2, end_to_end_id="E" * (i + 1)) for i in range(5)]
    spans = [SourceSpan(f"payments.hk.{name}", 0, 0, 9) for name in ("ALPHA", "BRAVO")]
    piece = LogPiece([*rows, Row(uuid.UUID(int=5), code=Code.FIELD, reject=REJECT)], spans)
    whole = piece.told()
    frame = frames.Frame('"hk"', piece.log_offset, piece.time_ms)
    for limit in range(1, 2_000):
        monkeypatch.setattr(frames, "MAX_ROWS_BYTES", limit)
        plain: list[tuple[str, bytes]] = []
        for name, record in whole.items():
            lines = frames.Rows()
            for status in record.statuses:
                lines.add("statuses", encode(status))
            for receipt in record.receipts:
                lines.add("receipts", encode(receipt))
            plain += [(name, part) for part in frame.records(lines.pieces(), 0)]
        assert status_records("hk", *_both(piece)) == plain


DATES = st.sampled_from([19_674, 19_675, 19_676, 20_000])
EXPIRIES = st.sampled_from([1, 1_700_000_000_001, 253_402_300_799_999])
LINKS = st.builds(
    LinkedLeg,
    id=st.uuids().map(str),
    terms=st.binary(min_size=16, max_size=16).map(bytes.hex),
    leg=st.integers(0, 15),
    legs=st.integers(2, 16),
    partial=st.booleans(),
)
NAMES = st.sampled_from(["ALPHA", "BRAVO", "CHARLIE", "DELTA"])
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=35)
PLAIN = st.from_regex(r"[A-Za-z0-9/ ?:().,'+-]{1,35}", fullmatch=True)
READABLE = [code for code in Code if code < Code.EMPTY or code >= Code.NOT_OWNER]


@st.composite
def pieces(draw: st.DrawFn) -> LogPiece:
    texts = draw(st.sampled_from([PLAIN, TEXTS]))
    owners = draw(st.lists(NAMES, min_size=1, max_size=4))
    kinds = draw(st.sampled_from([[Kind.PAYMENT], [Kind.PAYMENT, Kind.TOKEN_TRANSFER], list(Kind)]))
    rows = draw(
        st.lists(
            st.builds(
                Row,
                id=st.uuids(),
                debtor=NAMES,
                creditor=NAMES,
                asset=st.sampled_from(["HKD", "CNH", 'odd"asset']),
                amount=st.one_of(st.integers(1, 10**18 - 1), st.integers(1, 1000)),
                decimals=st.integers(0, 9),
                end_to_end_id=texts,
                chain_reference=st.one_of(st.just(""), texts),
                source=st.integers(0, len(owners) - 1),
                source_offset=st.integers(0, 2**60),
                item=st.one_of(st.just(-1), st.integers(0, 1000)),
                kind=st.sampled_from(kinds),
                reference=st.uuids(),
                reason=st.sampled_from(["", "CUST", "AC03"]),
                decision=st.sampled_from([Decision.AGREED, Decision.DECLINED]),
                code=st.sampled_from(READABLE),
                repeat=st.booleans(),
            ),
            min_size=1,
            max_size=30,
        )
    )
    for row in draw(st.lists(st.sampled_from(rows), max_size=3)):
        row.value_date, row.priority = draw(DATES), draw(st.integers(0, 2))
        row.expires_at_ms, row.window_asked = draw(EXPIRIES), draw(st.integers(0, 2**31 - 1))
        row.link = draw(LINKS) if row.kind < Kind.RETURN else None
    for row in draw(st.lists(st.sampled_from(rows), max_size=3)):
        code = draw(st.sampled_from([code for code in Code if 10 <= code < 40]))
        id_read = draw(st.sampled_from(["", str(row.id)]))
        row.reject = Reject(code=code, hash="00", detail=draw(TEXTS), id=id_read)
        row.code, row.repeat = code, False
        row.amount = row.decimals = row.value_date = 0
        row.link = None
    sources = [SourceSpan(f"x.payments.hk.{name}", i, 0, 9) for i, name in enumerate(owners)]
    return LogPiece(rows, sources, windows={"HKD": 3, "CNH": 41})


@given(pieces())
def test_columns_say_what_the_rows_say(piece: LogPiece) -> None:
    """The columnar way gives the bytes that the rows one by one, encoded by msgspec, give."""
    told = dict(status_records("hk", *_both(piece)))
    assert told == {name: encode(record) for name, record in piece.told().items()}


@pytest.mark.parametrize(("state", "status"), [("SETTLED", "ACSC"), ("FAILED", "RJCT")])
def test_window_that_ended_is_told_with_the_banks_own_entry(
    state: str, status: Literal["ACSC", "RJCT"]
) -> None:
    """ACSC only at finality (R23); a refused batch says why and leaves the payments irrevocable."""
    entry = Entry("ALPHA", net="-2.50", debits="5.00", credits="2.50", sent=2, received=1)
    event = WindowEvent(
        netting_set="hk",
        log_offset=9,
        time_ms=5,
        asset="HKD",
        window=3,
        version=2,
        state=state,
        batch="b",
        hash="h",
        reason="" if state == "SETTLED" else "AM04",
        entries=[entry],
    )
    assert decode(final_record(event, entry, 1)) == FinalRecord(
        netting_set="hk",
        log_offset=9,
        index=1,
        time_ms=5,
        asset="HKD",
        window=3,
        version=2,
        status=status,
        reason=event.reason,
        batch="b",
        hash="h",
        net="-2.50",
        debits="5.00",
        credits="2.50",
        sent=2,
        received=1,
    )


def _both(piece: LogPiece) -> tuple[bytes, Outcomes]:
    return piece.value(), piece.outcomes()
