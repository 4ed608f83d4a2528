"""Payments that are written alike are read all at once, and give exactly the rows they would have given alone."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clearing.core.inputs import SourceSpan
from clearing.intake import alike, decode, exact
from clearing.log import payments
from tests.intake.build import PAYMENT, bulk, cancel, lines_of, link, payment, raw, transfer

ID = "f27c4d1a-c386-4bc4-9d61-3e30d8f16ad"
DOCUMENTS: list[Callable[..., dict[str, object]]] = [payment, payment, transfer]
# What tempts somebody who looks for quotes, braces and ends only.
ODD = ["", '"', "\\", "a{b", "a}b", "\u00e9", "\x01", '","amount":"1', "}", "{", " ", "A" * 600]
VALUES: dict[str, list[object]] = {
    "id": [f"{ID}{digit}" for digit in "0123456789abcdef"],
    "creditor": ["BETAHKHH", "GAMMHKHH", "D2"],
    "asset": ["HKD", "COIN", "x"],
    "amount": ["12.50", "5", "0.1", "0", "007", "1.", "9" * 18, "9" * 19, 5],
    "value_date": ["2026-03-02", "2026-02-30"],
    "end_to_end_id": ["E1", "INV 2026/17", " x", "x "],
    "priority": ["NORM", "HIGH", "LOW", ...],
    "expires_at": ["2026-03-02T12:00:00Z", "2026-03-02", ...],
    "window": [1, 2, 0, 1.0, ...],
    "version": [1, 2, ...],
}
WRITERS: list[Callable[[dict[str, object]], str]] = [
    lambda document: json.dumps(document, separators=(",", ":")),
    json.dumps,
    lambda document: json.dumps(dict(reversed(document.items())), ensure_ascii=False),
    lambda document: json.dumps(document, indent=1) + "\n",
]


@st.composite
def _documents(draw: st.DrawFn) -> dict[str, object]:
    """A payment whose fields are mostly plain ones."""
    changes: dict[str, object] = {"id": draw(st.sampled_from(VALUES["id"]))}
    for name in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=3)):
        odd = draw(st.integers(0, 7)) == 0
        changes[name] = draw(st.sampled_from(ODD if odd else VALUES[name]))
    return draw(st.sampled_from(DOCUMENTS))(**changes)


@st.composite
def _records(draw: st.DrawFn) -> list[bytes]:
    """Of one writer, or of several, some of them bulks, now and then one with bytes put in or left out."""
    write = draw(st.sampled_from(WRITERS))
    records: list[bytes] = []
    for _ in range(draw(st.integers(1, 8))):
        write = draw(st.sampled_from([write] * 6 + WRITERS))
        documents = draw(st.lists(_documents(), min_size=1, max_size=5))
        if draw(st.integers(0, 3)) == 0:
            worth = {"12.50": 1250, "5": 500, "0.1": 10}
            total = sum(worth.get(str(item.get("amount")), 0) for item in documents)
            documents = [bulk(documents, f"{total // 100}.{total % 100:02d}")]
        for document in documents:
            record = write(document).encode("utf-8", "surrogatepass")
            if draw(st.integers(0, 11)) == 0:
                start = draw(st.integers(0, len(record)))
                stop = draw(st.integers(start, min(len(record), start + 30)))
                piece = draw(
                    st.sampled_from(
                        [b"", b'"', b"{", b"}", b",", b" ", b"\xff", record[start:stop] * 2]
                    )
                )
                record = record[:start] + piece + record[stop:]
            records.append(record)
    return records


def _compared(records: list[bytes]) -> None:
    """Plain meaning: the rows of each record, one after the other, as exact.read gives them."""
    decoded = decode.decode(records)
    plain = [(record, exact.read(record)) for record in records]
    assert lines_of(decoded.rows) == lines_of(exact.rows_of(plain))
    assert decoded.record.tolist() == [i for i, (_, rows) in enumerate(plain) for _ in rows]
    spans = [SourceSpan("payments.hk.A", 0, 0, len(records))]
    assert payments.pack(decoded.rows, spans) == payments.pack(exact.rows_of(plain), spans)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few records there are, and however often those that are alike and others take turns."""
    monkeypatch.setattr(decode, "ALIKE_BYTES", 0)
    monkeypatch.setattr(decode, "RECORDS_A_STRETCH", 0.01)


_BULK = raw(bulk([payment(window=1), payment(amount="5"), PAYMENT], "30"))
_CUT_OFF = raw(PAYMENT)[:-1]


@pytest.mark.usefixtures("always")
@given(_records())
@example([raw(PAYMENT), raw(PAYMENT).replace(b'"HKD"', b'"HKD","asset":"HKD"')])
@example([raw(PAYMENT), raw(PAYMENT) + raw(PAYMENT), raw(PAYMENT) + b"]}"])
@example([raw(PAYMENT), b"", raw(PAYMENT)[1:], b" " + raw(PAYMENT), raw(PAYMENT) + b" ", b""])
@example([_CUT_OFF, raw(PAYMENT), b"{", raw(PAYMENT), _CUT_OFF, b"", b""])
@example([_BULK, _BULK[:-1], _BULK[:-2] + b"}", _BULK + b" ", _BULK[:-1] + b',"version":1}'])
@example([_BULK, _BULK.replace(b'"count":3', b'"count":3,"count":3'), raw(PAYMENT)])
@example([_BULK, _BULK.replace(b'"items":[', b'"items":[[') + b"]", _BULK.replace(b"[{", b"{")])
@example([_BULK, _BULK.replace(b'"items":[', b'"items":[],"count":['), raw(bulk([], "0"))])
@example([raw(bulk([PAYMENT, cancel()], "12.50")), raw(bulk([PAYMENT, PAYMENT], "25"))])
@example([raw(payment(link=link())), raw(PAYMENT), raw(bulk([payment(link=link())], "12.50"))])
def test_what_is_alike_gives_the_rows_it_would_have_given_alone(records: list[bytes]) -> None:
    _compared(records)


@pytest.mark.usefixtures("always")
def test_more_shapes_than_are_tried() -> None:
    """What is left over is read one by one."""
    documents = [payment(window=number + 1, id=f"{ID}{number % 10}") for number in range(40)]
    _compared([raw(document) for document in documents] * 2)


def test_payments_of_one_hand_are_all_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a look at each: that is what it is for, and a third of the price."""

    def never(read: object, records: object, *_: object) -> None:
        raise AssertionError(f"one by one: {records!r}")

    monkeypatch.setattr(decode, "_decode_one_by_one", never)
    monkeypatch.setattr(exact, "read", never)
    many = [payment(id=f"{ID}{n % 10}", amount=f"{n + 1}.5", priority="NORM") for n in range(200)]
    tokens = [transfer(id=f"{ID}{n % 10}") for n in range(50)]
    items = [payment(), payment(window=2), transfer(amount="1")]
    singles = [json.dumps(document).encode() for document in many + tokens]
    records = [*singles, json.dumps(bulk(items, "26.00")).encode(), *map(raw, many)]
    decoded = decode.decode(records)
    assert len(decoded.rows) == 200 + 50 + 3 + 200
    assert not np.any(decoded.rows.reject)


def test_a_record_of_many_words_keeps_only_itself_from_it() -> None:
    """An escape, another alphabet, something that is no payment: the others are alike nevertheless."""
    plain = [raw(payment(id=f"{ID}{n}")) for n in range(10)]
    odd = [raw(payment(end_to_end_id="\\")), raw(payment(asset="\u00e9")), raw(cancel()), b"", b"x"]
    records = [value for pair in zip(plain, [*odd, *odd], strict=True) for value in pair]
    found = alike.read(records, alike.text_of(records))
    assert found.found.tolist() == [True, False] * 10
    assert found.record.tolist() == list(range(0, 20, 2))
    assert found.item.tolist() == [-1] * 10
