"""Texts of rows as the compiled kernel writes them, held equal to the plain ones."""

import uuid

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clearing.core.money import show
from clearing.dispatch import kernel
from clearing.dispatch.statuses import status_records
from clearing.dispatch.texts import Field, Texts, distinct
from clearing.dispatch.written import warm
from tests.dispatch.rows import LogPiece, Row

ID = uuid.UUID(int=7)
AMOUNTS = st.tuples(
    st.one_of(st.integers(0, 10**18 - 1), st.integers(0, 30), st.integers(0, 10**9)),
    st.integers(0, 18),
)
NUMBERS = st.one_of(
    st.integers(0, 2**63 - 1),
    st.builds(lambda power, more: 10**power + more, st.integers(1, 18), st.integers(-1, 1)),
)
ITEMS = st.one_of(st.just(-1), st.integers(0, 2**31 - 1))


encode = msgspec.json.Encoder().encode


def said(texts: Texts, *fields: Field) -> list[str]:
    """What each row has of the fields, behind one another."""
    gathered = texts.gathered()
    rows = [b""] * gathered.places.shape[1]
    for first, column in gathered.fields(fields).tolist():
        for row, place in enumerate(gathered.places[column].tolist()):
            start, end = gathered.starts[first + place : first + place + 2].tolist()
            rows[row] += gathered.data[start:end].tobytes()
    return [row.decode() for row in rows]


@given(st.lists(AMOUNTS, min_size=1), st.lists(st.sampled_from(["", "HKD ", "x" * 70])))
def test_amounts_are_the_exact_decimals(values: list[tuple[int, int]], more: list[str]) -> None:
    amount, decimals = zip(*values, strict=True)
    texts, names = Texts(len(values)), ["of ", *more]
    name = np.arange(len(values), dtype=np.int32) % len(names)
    field = texts.amounts(
        [text.encode() for text in names],
        name,
        np.array(amount, np.int64),
        np.array(decimals, np.uint8),
    )
    plain = [show(units, scale) for units, scale in values]
    assert said(texts, field) == [names[i] + text for i, text in zip(name, plain, strict=True)]


@given(st.lists(st.tuples(NUMBERS, ITEMS), min_size=1))
def test_places_are_offset_and_item(values: list[tuple[int, int]]) -> None:
    offset, item = zip(*values, strict=True)
    texts = Texts(len(values))
    field = texts.places(np.array(offset, np.int64), np.array(item, np.int32), b"]},")
    assert said(texts, field) == [f"{number},{of}]}}," for number, of in values]


@given(st.lists(st.uuids(), min_size=1))
def test_ids_are_canonical(ids: list[uuid.UUID]) -> None:
    texts = Texts(len(ids))
    words = np.frombuffer(b"".join(each.bytes for each in ids), "<u8").reshape(-1, 2)
    assert said(texts, texts.ids(words, b'{"id":"')) == [f'{{"id":"{each}' for each in ids]


@given(
    st.lists(st.text(max_size=5), min_size=2), st.sampled_from([b"", b'","creditor":"' + b"x" * 80])
)
@example(["", "plain", "\\"], b"")
@example(["", '"'], b"")
@example(["", "\x1f"], b"")
def test_strings_stand_as_in_json(values: list[str], before: bytes) -> None:
    """Whole columns and slices of one; what is empty is left out with what stands around it."""
    column = pa.array(values, pa.string()).slice(1)
    texts = Texts(len(column))
    fields = texts.strings(column, before), texts.strings(column, before, b'"', keep=False)
    plain = [before.decode() + encode(value).decode()[1:-1] for value in values[1:]]
    optional = [f'{text}"' if value else "" for text, value in zip(plain, values[1:], strict=True)]
    assert said(texts, *fields) == [a + b for a, b in zip(plain, optional, strict=True)]


@given(st.lists(st.one_of(st.integers(-3, 3), st.integers(-(2**62), 2**62)), min_size=1))
def test_each_distinct_number_is_found_once(values: list[int]) -> None:
    numbers, places = distinct(np.array(values))
    assert numbers.tolist() == sorted(set(values))
    assert numbers[places].tolist() == values


@pytest.mark.parametrize("place", [-1, 2])
def test_what_is_in_no_table_is_refused(place: int) -> None:
    """Nothing checks an index later: memory would be read that is somebody else's."""
    texts = Texts(2)
    by = texts.index(np.array([0, place]))
    texts.table([b"a", b"b"], by)
    texts.table([b"a", b"b", b"c"], by)
    with pytest.raises(IndexError, match="none of the texts"):
        texts.gathered()


@pytest.mark.parametrize(
    ("amount", "decimals", "name"), [(-1, 0, 0), (1, 19, 0), (1, 0, -1), (1, 0, 1)]
)
def test_what_is_no_amount_is_refused(amount: int, decimals: int, name: int) -> None:
    texts = Texts(1)
    texts.amounts([b""], np.array([name]), np.array([amount]), np.array([decimals], np.uint8))
    with pytest.raises(ValueError, match="that are none"):
        texts.gathered()


@pytest.mark.parametrize(("offset", "item"), [(-1, -1), (0, -2)])
def test_what_is_no_place_is_refused(offset: int, item: int) -> None:
    texts = Texts(1)
    texts.places(np.array([offset]), np.array([item], np.int32), b"")
    with pytest.raises(ValueError, match="that are none"):
        texts.gathered()


def test_what_was_warmed_up_is_not_compiled_again() -> None:
    """Whatever columns a log record leaves out: a service would stand still for it."""
    warm()
    for row in (Row(ID), Row(ID, decimals=0, item=3, chain_reference="0x1f", priority=2, source=0)):
        piece = LogPiece([row])
        status_records("hk", piece.value(), piece.outcomes())
    found = [each for each in vars(kernel).values() if hasattr(each, "signatures")]
    assert max((len(each.signatures) for each in found), default=1) == 1
