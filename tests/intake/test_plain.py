"""Plain payments are read by compiled loops, and give exactly the rows the exact path would have given.

The same tests run a second time with the loops as plain Python, in which an index out of bounds is an error.
"""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clearing.core.inputs import SourceSpan
from clearing.intake import decode, exact, plain
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


_BULK = raw(bulk([payment(window=1), payment(amount="5"), PAYMENT], "30"))
_CUT_OFF = raw(PAYMENT)[:-1]
_TWICE = raw(PAYMENT).replace(b'"type": "payment"', b'"debtor": "ALPHHKHH"')


@given(_records())
@example([raw(PAYMENT), raw(PAYMENT).replace(b'"HKD"', b'"HKD","asset":"HKD"')])
@example([raw(PAYMENT), raw(PAYMENT) + raw(PAYMENT), raw(PAYMENT) + b"]}"])
@example([raw(PAYMENT), b"", raw(PAYMENT)[1:], b" " + raw(PAYMENT), raw(PAYMENT) + b" ", b""])
@example([_CUT_OFF, raw(PAYMENT), b"{", raw(PAYMENT), _CUT_OFF, b"", b""])
@example([raw(PAYMENT), raw(payment(type="token_transfer")), raw(transfer(type="payment"))])
@example([raw(transfer()), raw(transfer(type="payment")), raw(transfer(chain_reference=...))])
@example([raw(PAYMENT), _TWICE, _TWICE])
@example([_BULK, _BULK[:-1], _BULK[:-2] + b"}", _BULK + b" ", _BULK[:-1] + b',"version":1}'])
@example([_BULK, _BULK.replace(b'"count": 3', b'"count": 3, "count": 3'), raw(PAYMENT)])
@example([_BULK, _BULK.replace(b'"items": [', b'"items": [[') + b"]", _BULK.replace(b"[{", b"{")])
@example([_BULK, _BULK.replace(b'"items": [', b'"items": [], "count": ['), raw(bulk([], "0"))])
@example([raw(bulk([PAYMENT, cancel()], "12.50")), raw(bulk([PAYMENT, PAYMENT], "25"))])
@example([raw(payment(link=link())), raw(PAYMENT), raw(bulk([payment(link=link())], "12.50"))])
def test_the_rows_are_those_of_the_exact_path(records: list[bytes]) -> None:
    _compared(records)


@pytest.mark.parametrize("whole", [raw(PAYMENT), raw(transfer(window=3, priority="HIGH")), _BULK])
def test_a_record_that_is_cut_off_takes_nothing_from_what_stands_beside_it(whole: bytes) -> None:
    """Wherever it is cut, and also where its end is the end of all that is read."""
    for cut in range(len(whole)):
        _compared([whole, whole[:cut], whole, whole[cut:]])
        _compared([whole[:cut], whole[cut:], whole[:cut]])


@pytest.mark.parametrize("byte", [b"", b'"', b"\\", b"{", b"}", b",", b":", b"0", b"\xc3", b"\0"])
def test_a_byte_that_is_another_one_is_noticed_wherever_it_stands(byte: bytes) -> None:
    """Behind a payment that it is compared with, and before it."""
    whole = raw(payment(window=12, expires_at="2026-03-02T12:00:00Z", version=1))
    changed = [whole[:at] + byte + whole[at + 1 :] for at in range(len(whole))]
    _compared([record for each in changed for record in (whole, each)])


def test_words_are_told_apart_by_every_byte_of_theirs() -> None:
    """Also those that are long, and those that others begin with."""
    creditors = ["A0", "A" * 35, "A" * 34, "A" * 34 + "B", "B" + "A" * 34, "A0", "A" * 35]
    _compared([raw(payment(creditor=creditor)) for creditor in creditors * 3])


def test_plain_payments_never_take_the_exact_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(read: object) -> None:
        raise AssertionError(f"one by one: {read!r}")

    monkeypatch.setattr(exact, "read", never)
    monkeypatch.setattr(exact, "read_item", never)
    many = [payment(id=f"{ID}{n % 10}", amount=f"{n + 1}.5", priority="NORM") for n in range(200)]
    tokens = [transfer(id=f"{ID}{n % 10}") for n in range(50)]
    items = [payment(), payment(window=2), transfer(amount="1")]
    singles = [json.dumps(document).encode() for document in many + tokens]
    records = [*singles, json.dumps(bulk(items, "26.00")).encode(), *map(raw, many)]
    decoded = decode.decode(records)
    assert len(decoded.rows) == 200 + 50 + 3 + 200
    assert not np.any(decoded.rows.reject)


def test_what_is_not_plain_keeps_only_itself_from_it() -> None:
    """An escape, another alphabet, something that is no payment; in a bulk, that item alone."""
    plain_ones = [raw(payment(id=f"{ID}{n}")) for n in range(10)]
    odd = [raw(payment(end_to_end_id="\\")), raw(payment(asset="\u00e9")), raw(cancel()), b"", b"x"]
    records = [value for pair in zip(plain_ones, [*odd, *odd], strict=True) for value in pair]
    mixed = raw(bulk([PAYMENT, cancel(), PAYMENT], "25"))
    found = plain.read(plain.values_of([*records, mixed]))
    assert found.is_read.tolist() == [True, False] * 10 + [True]
    assert found.record.tolist() == [*range(0, 20, 2), 20, 20]
    assert found.rows.item.tolist() == [-1] * 10 + [0, 2]
    assert [(record, item) for record, item, _ in found.others] == [(20, 1)]
    assert found.sums == {20: "25"}
