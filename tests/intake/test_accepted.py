"""What is accepted, and exactly as what: single, transfer, bulk; and which way a record takes never shows."""

import json
from datetime import date

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clearing.core.inputs import Kind, SourceSpan
from clearing.core.reasons import Code
from clearing.intake import exact
from clearing.intake.decode import decode
from clearing.intake.fields import Row, instant_ms_of
from clearing.intake.strict import Unreadable
from clearing.log import content, payments
from tests.intake.build import (
    ID,
    OTHER_ID,
    PAYMENT,
    REFERENCE,
    answer,
    bulk,
    cancel,
    lines,
    lines_of,
    link,
    payment,
    priority,
    raw,
    refund,
    refusal,
    transfer,
)

DAY = date(2026, 3, 2).toordinal() - date(1970, 1, 1).toordinal()


def test_a_payment_is_read_field_by_field() -> None:
    [line] = lines(raw(PAYMENT))
    assert line.id == ID.replace("-", "")
    assert line[1:9] == ("ALPHHKHH", "BETAHKHH", "HKD", 1250, 2, DAY, 0, Kind.PAYMENT)
    assert line[9:] == ("INV 2026/17", "", 0, 0, None, None, "", -1, 0, None)


def test_a_token_transfer_has_its_chain_reference() -> None:
    [line] = lines(raw(transfer(window=7, priority="URGT", expires_at="2026-03-02T12:00:00.25Z")))
    assert (line.kind, line.chain_reference) == (Kind.TOKEN_TRANSFER, REFERENCE)
    assert (line.window, line.priority) == (7, 2)
    assert line.expires_at_ms == (DAY * 24 + 12) * 3_600_000 + 250


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"amount": "1"}, "amount", 1),
        ({"amount": "0.5"}, "amount", 5),
        ({"amount": "10.50"}, "decimals", 2),
        ({"amount": "999999999999999999"}, "amount", 10**18 - 1),
        ({"amount": "0." + "0" * 17 + "1"}, "amount", 1),
        ({"amount": "0." + "9" * 18}, "decimals", 18),
        ({"value_date": "2024-02-29"}, "reject", 0),
        ({"value_date": "1969-12-31"}, "value_date", -1),
        ({"value_date": "0001-01-01"}, "reject", 0),
        ({"value_date": "9999-12-31"}, "reject", 0),
        ({"debtor": "A1"}, "debtor", "A1"),
        ({"debtor": "A" * 35}, "debtor", "A" * 35),
        ({"asset": "a"}, "asset", "a"),
        ({"end_to_end_id": "'"}, "end_to_end_id", "'"),
        ({"end_to_end_id": "a/-?:().,'+ Z9" * 2}, "reject", 0),
        ({"end_to_end_id": "E" * 35}, "reject", 0),
        ({"priority": "NORM"}, "priority", 0),
        ({"priority": "HIGH"}, "priority", 1),
        ({"window": 2**31 - 1}, "window", 2**31 - 1),
        ({"version": 1}, "reject", 0),
        ({"expires_at": "1970-01-01T00:00:00.001Z"}, "expires_at_ms", 1),
        ({"expires_at": "1969-12-31T00:00:00Z"}, "expires_at_ms", 1),  # 0 would be: never
        ({"expires_at": "0001-01-01T00:00:00Z"}, "expires_at_ms", 1),
        ({"expires_at": "2026-03-02T08:00:00+08:00"}, "expires_at_ms", DAY * 86_400_000),
        ({"expires_at": "2026-03-01T18:30:00.0-05:30"}, "expires_at_ms", DAY * 86_400_000),
    ],
)
def test_values_at_the_edge_are_exact(
    changes: dict[str, object], field: str, value: object
) -> None:
    [line] = lines(raw(payment(**changes)))
    assert line.reject == 0
    assert getattr(line, field) == value


@pytest.mark.parametrize(
    "record",
    [
        raw(PAYMENT, indent=2),
        raw(PAYMENT, separators=(",", ":")),
        b" \r\n\t" + raw(PAYMENT) + b"\n",
        raw(dict(reversed(PAYMENT.items()))),
        raw(PAYMENT).replace(b"INV", b"\\u0049NV"),
        raw(PAYMENT).replace(b'"asset"', b'"\\u0061sset"'),
        raw(PAYMENT).replace(b"/", b"\\/"),
        raw(PAYMENT) + b" " * ((1 << 20) - len(raw(PAYMENT))),
        raw(payment(priority="NORM", version=1)),
    ],
    ids=[
        "indented",
        "compact",
        "padded",
        "reversed",
        "escape",
        "escaped key",
        "slash",
        "1 MiB",
        "defaults",
    ],
)
def test_how_it_is_written_does_not_matter(record: bytes) -> None:
    """Same content, same row, same body hash in any spelling (R28)."""
    assert lines(record) == lines(raw(PAYMENT))
    assert body_hashes(record) == body_hashes(raw(PAYMENT))


def body_hashes(*records: bytes) -> list[int]:
    return content.body_hashes(decode(list(records)).rows).tolist()


def test_a_payment_in_a_bulk_is_the_payment_alone() -> None:
    """Same row and body hash, but for its place: an id may come again in another form (R28)."""
    single = [raw(PAYMENT), raw(transfer(id=OTHER_ID, amount="0.005"))]
    whole = raw(bulk([PAYMENT, transfer(id=OTHER_ID, amount="0.005")], "12.505"))
    in_bulk = lines(whole)
    assert [line.item for line in in_bulk] == [0, 1]
    assert [line._replace(item=-1) for line in in_bulk] == lines(*single)
    assert body_hashes(whole) == body_hashes(*single)


@pytest.mark.parametrize("control_sum", ["25", "25.0", "25.00", "25.000000000000000000"])
def test_a_control_sum_is_compared_as_a_number(control_sum: str) -> None:
    assert [line.reject for line in lines(raw(bulk([PAYMENT, PAYMENT], control_sum)))] == [0, 0]


def test_a_control_sum_may_pass_what_one_amount_may_not() -> None:
    """Exact beyond int64: 20 times the largest amount, and the smallest beside it."""
    items = [payment(amount="9" * 18)] * 20 + [payment(amount="0." + "0" * 17 + "1")]
    total = f"{20 * (10**18 - 1)}.{'0' * 17}1"
    assert {line.reject for line in lines(raw(bulk(items, total)))} == {0}
    assert refusal(raw(bulk(items, total[:-1] + "2")))[0] == Code.CONTROL_SUM


BULKS = [
    ("count too high", bulk([PAYMENT], "12.50", count=2), Code.ITEM_COUNT),
    ("count 0", bulk([PAYMENT], "12.50", count=0), Code.ITEM_COUNT),
    ("no items", bulk([], "0"), Code.ITEM_COUNT),
    ("count 1.0", bulk([PAYMENT], "12.50", count=1.0), Code.ITEM_COUNT),
    ("count as text that is no UTF-8", bulk([PAYMENT], "12.50", count="@"), Code.ENCODING),
    ("count as text", bulk([PAYMENT], "12.50", count="1"), Code.FIELD),
    ("items no array", bulk([], "0", items={}), Code.FIELD),
    ("control sum differs", bulk([PAYMENT], "12.51"), Code.CONTROL_SUM),
    ("control sum differs in its 18th decimal", bulk([PAYMENT], "12.500000000000000001"), Code.CONTROL_SUM),
    ("control sum with 19 decimals", bulk([PAYMENT], "12.5000000000000000001"), Code.AMOUNT_SYNTAX),
    ("control sum 1e1", bulk([PAYMENT], "1e1"), Code.AMOUNT_SYNTAX),
    ("control sum a number", bulk([PAYMENT], "12.50", control_sum=12.5), Code.AMOUNT_SYNTAX),
    ("control sum of 10,000 digits", bulk([PAYMENT], "1" * 10_000), Code.AMOUNT_SYNTAX),
    ("no control sum", bulk([PAYMENT], "12.50", control_sum=...), Code.FIELD),
    ("unknown field", bulk([PAYMENT], "12.50", note="x"), Code.FIELD),
    ("id no UUID", bulk([PAYMENT], "12.50", id="bulk-1"), Code.ID),
    ("version 2", bulk([PAYMENT], "12.50", version=2), Code.VERSION),
    ("over 50,000 items", bulk([0] * 50_001, "0"), Code.TOO_LARGE),
    ("amount of an item cannot be read", bulk([PAYMENT, payment(amount="1e2")], "112.50"), Code.CONTROL_SUM),
    ("amount of an item has 19 digits", bulk([payment(amount="1" * 19)], "1" * 19), Code.CONTROL_SUM),
    ("item no object", bulk([PAYMENT, 1], "12.50"), Code.CONTROL_SUM),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "code"), [pytest.param(document, code, id=name) for name, document, code in BULKS]
)
def test_a_bulk_whose_envelope_does_not_hold_is_refused_as_a_whole(
    document: dict[str, object], code: Code
) -> None:
    found, told = refusal(raw(document).replace(b'"@"', b'"\xed\xa0\x80"'))
    assert found == code
    assert told == ("" if code in (Code.ID, Code.ENCODING) else OTHER_ID)


def test_an_item_that_cannot_be_read_is_refused_alone() -> None:
    items = [
        PAYMENT,
        payment(debtor="x"),
        payment(amount="0.00"),
        payment(note=1),
        bulk([], "0", amount="1"),
    ]
    found = lines(raw(bulk([*items, PAYMENT], "51")))
    assert [line.item for line in found] == list(range(6))
    codes = [0, Code.CHARACTER, Code.AMOUNT_ZERO, Code.FIELD, Code.VERSION, 0]
    assert [line.reject for line in found] == codes
    assert [line.detail and (line.detail.item, line.detail.id) for line in found] == [
        None, (1, ID), (2, ID), (3, ID), (4, OTHER_ID), None,
    ]  # fmt: skip


def test_a_repeated_key_in_a_bulk_refuses_it_as_a_whole() -> None:
    whole = raw(bulk([PAYMENT, PAYMENT], "25"))
    assert refusal(whole.replace(b'"asset": "HKD"', b'"asset": "HKD", "asset": "HKD"', 1)) == (
        Code.DUPLICATE_KEY,
        "",
    )
    assert refusal(whole[:-1] + b', "count": 2}')[0] == Code.DUPLICATE_KEY


# Pieces of records: good ones, nearly good ones, and what a decoder may stumble over.
_VALUES = st.sampled_from(
    ["payment", "token_transfer", "bulk", ID, OTHER_ID, ID.upper(), "ALPHHKHH", "x", "HKD", "", " ",
     "12.50", "0", "0.00", "1", "01", "-1", "1e2", "9" * 18, "9" * 19, "0." + "1" * 18, "0." + "1" * 19,
     "2026-03-02", "2026-02-30", "2026-03-02T12:00:00Z", "0001-01-01T00:00:00+14:00",
     "NORM", "HIGH", "LOW", "AC04", "AGREED", REFERENCE, PAYMENT, link(),
     "é", "\0", "\u200b", "a b", " a", '"', "\\", "\ud800",
     1, 0, -1, 1.0, 2**31, 2**64, True, None, [], {}, ["x"], {"a": 1}]
)  # fmt: skip
_NAMES = st.sampled_from(
    [*PAYMENT, "chain_reference", "priority", "expires_at", "window", "version", "count",
     "control_sum", "items", "x", "link", "original", "reason", "payment", "request", "decision"]
)  # fmt: skip
_CHANGES = st.dictionaries(_NAMES, st.one_of(st.just(...), _VALUES), max_size=3)
_KINDS = st.sampled_from([payment, payment, transfer, refund, cancel, priority, answer])
_SINGLES = st.builds(lambda kind, changes: kind(**changes), _KINDS, _CHANGES)


_INDENTS = st.sampled_from([None, 1])


@st.composite
def _bulks(draw: st.DrawFn) -> dict[str, object]:
    items = draw(st.lists(_SINGLES, max_size=4))
    worth = {"12.50": 1250, "5": 500}
    total = sum(worth.get(str(item.get("amount")), 0) for item in items)
    changes = draw(st.dictionaries(_NAMES, st.one_of(st.just(...), _VALUES), max_size=1))
    return bulk(items, f"{total // 100}.{total % 100:02d}", **changes)


@st.composite
def _records(draw: st.DrawFn) -> bytes:
    """A record, perhaps with a few bytes cut out, put in or repeated."""
    document = draw(st.one_of(_SINGLES, _bulks()))
    text = json.dumps(document, ensure_ascii=draw(st.booleans()), indent=draw(_INDENTS))
    record = text.encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(record)))
        stop = draw(st.integers(start, min(len(record), start + 30)))
        piece = draw(
            st.one_of(
                st.just(record[start:stop] * 2),
                st.sampled_from([b"", b'"', b"\\", b",", b"}", b"]", b"[", b"NaN", b"\xff", b"\xef\xbb\xbf", b"0"]),
                st.binary(max_size=3),
            )
        )  # fmt: skip
        record = record[:start] + piece + record[stop:]
    return record


@given(st.lists(_records(), min_size=1, max_size=6))
@example([b"", raw(PAYMENT)])
@example([raw(PAYMENT), raw(transfer()), raw(bulk([PAYMENT], "12.50")), b"x"])
@example([raw(bulk([payment(window=1)] * 2, "25.00"))[:-1] + b',"version":1}'])
@example([raw(bulk([PAYMENT, cancel(), payment(link=link()), priority()], "25.0"))])
@example([raw(PAYMENT), raw(bulk([refund(), answer()], "5")), raw(payment(link=link()))])
@example([raw(PAYMENT), raw(bulk([PAYMENT, cancel(reason="x")], "12.50"))])
@example([raw(bulk([PAYMENT, cancel()], "12.50")).replace(b'"HKD"', b'"HKD","asset":"HKD"', 1)])
def test_both_ways_of_decoding_give_the_same_rows(records: list[bytes]) -> None:
    """Plain meaning: the rows of each record, one after the other, as exact.read gives them."""
    decoded = decode(records)
    plain = [(record, exact.read(record)) for record in records]
    assert lines_of(decoded.rows) == lines_of(exact.rows_of(plain))
    assert decoded.record.tolist() == [i for i, (_, rows) in enumerate(plain) for _ in rows]
    spans = [SourceSpan("payments.hk.A", 0, 0, len(records))]
    assert payments.pack(decoded.rows, spans) == payments.pack(exact.rows_of(plain), spans)


@given(st.lists(_records(), min_size=2, max_size=8), st.data())
def test_a_record_is_read_the_same_whatever_is_read_with_it(
    records: list[bytes], data: st.DataObject
) -> None:
    """A pure function of each record's bytes: how they are grouped does not show (R28, F15)."""
    cut = data.draw(st.integers(1, len(records) - 1))
    assert lines(*records) == lines(*records[:cut]) + lines(*records[cut:])
    assert body_hashes(*records) == body_hashes(*records[:cut]) + body_hashes(*records[cut:])


def test_good_payments_take_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is good and plainly written costs the slow path; that would be a 10-fold price."""
    items = [payment(amount=f"{n + 1}.5") for n in range(50)]
    whole = raw(bulk(items, f"{sum(range(1, 51)) + 25}"))
    optional = {"window": 3, "version": 1, "expires_at": "2026-03-02T12:00:00Z", "priority": "HIGH"}
    records = [raw(PAYMENT), raw(transfer(**optional)), raw(payment(**optional), indent=1), whole]

    def never(value: bytes) -> exact.Rows:
        raise AssertionError(f"decoded one by one: {value[:100]!r}")

    monkeypatch.setattr(exact, "read", never)
    rows = decode(records).rows
    assert len(rows) == 53
    assert not np.any(rows.reject)


def test_others_do_not_keep_payments_from_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """One linked leg or cancellation among many payments costs what it costs, and nothing for the others."""
    others = [raw(cancel()), raw(payment(link=link())), raw(refund()), raw(priority())]
    mixed = raw(bulk([PAYMENT, *map(json.loads, others), PAYMENT], "42.50"))
    seen: list[bytes] = []
    read, read_item = exact.read, exact.read_item

    def spied(value: bytes) -> exact.Rows:
        seen.append(value)
        return read(value)

    def spied_item(value: bytes) -> Row | Unreadable:
        seen.append(value)
        return read_item(value)

    monkeypatch.setattr(exact, "read", spied)
    monkeypatch.setattr(exact, "read_item", spied_item)
    found = lines(raw(PAYMENT), *others[:2], raw(PAYMENT), mixed, *others[2:])
    assert sorted(map(len, seen)) == sorted(2 * list(map(len, others)))
    assert [line.kind for line in found] == [1, 4, 1, 1, 1, 4, 1, 3, 5, 1, 3, 5]
    assert [line.item for line in found] == [-1, -1, -1, -1, 0, 1, 2, 3, 4, 5, -1, -1]
    assert not any(line.reject for line in found)


def test_an_instant_is_exact_to_the_millisecond() -> None:
    for ms in (1, 999, 1_772_438_400_123, 253_402_300_799_999):
        seconds, rest = divmod(ms, 1000)
        at = np.datetime64(seconds, "s")
        assert instant_ms_of(f"{at}.{rest:03d}Z") == ms
