"""A bulk as an Arrow stream: the rows are those of the same payments as JSON, refusals and all."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.inputs import SourceSpan
from clearing.core.reasons import Code
from clearing.intake import arrow, exact, packing
from clearing.intake.decode import decode
from clearing.intake.packing import SourceRecord
from clearing.log.rows import encoded
from clearing.records import Records
from tests.intake.build import (
    ID,
    OTHER_ID,
    REFERENCE,
    THIRD_ID,
    Line,
    bulk,
    lines_of,
    payment,
    raw,
    transfer,
)

SCHEMA: dict[str, pa.DataType] = {
    "type": pa.string(),
    "id": pa.binary(16),
    "debtor": pa.string(),
    "creditor": pa.dictionary(pa.int8(), pa.string()),
    "asset": pa.dictionary(pa.int32(), pa.string()),
    "amount": pa.int64(),
    "decimals": pa.uint8(),
    "value_date": pa.date32(),
    "end_to_end_id": pa.string(),
    "chain_reference": pa.string(),
    "priority": pa.string(),
    "expires_at": pa.timestamp("ms", "UTC"),
    "window": pa.int32(),
}


def batch_of(
    items: Sequence[dict[str, Any]], schema: dict[str, pa.DataType] = SCHEMA
) -> pa.RecordBatch:
    """Payments as the bank's columns; what an item lacks is null."""

    def amount(item: dict[str, Any]) -> tuple[int | None, int | None]:
        if "amount" not in item:
            return None, None
        parts = Decimal(item["amount"]).as_tuple()
        assert isinstance(parts.exponent, int)
        units = int("".join(map(str, parts.digits))) * (-1 if parts.sign else 1)
        return units, -parts.exponent

    def column(name: str) -> list[Any]:
        match name:
            case "id":
                return [
                    bytes.fromhex(i["id"].replace("-", "")) if "id" in i else None for i in items
                ]
            case "amount":
                return [amount(item)[0] for item in items]
            case "decimals":
                return [amount(item)[1] for item in items]
            case "value_date":
                days = [i.get("value_date") for i in items]
                return [None if d is None else int(np.datetime64(d).astype(int)) for d in days]
            case "expires_at":
                times = [i.get("expires_at") for i in items]
                return [None if t is None else datetime.fromisoformat(t) for t in times]
        return [item.get(name) for item in items]

    def array(name: str, kind: pa.DataType) -> pa.Array:
        if name == "value_date":
            return pa.array(column(name), pa.int32()).view(kind)
        if pa.types.is_dictionary(kind):
            return pa.array(column(name), kind.value_type).dictionary_encode().cast(kind)
        return pa.array(column(name), kind)

    return pa.record_batch({name: array(name, kind) for name, kind in schema.items()})


def written(*batches: pa.RecordBatch, compression: str | None = None, **envelope: object) -> bytes:
    given = {"type": "bulk", "id": OTHER_ID, "count": batches[0].num_rows} | envelope
    header = json.dumps({k: v for k, v in given.items() if v is not ...})
    schema = batches[0].schema.with_metadata({"clearing": header})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    return sink.getvalue().to_pybytes()


def total(items: Sequence[dict[str, Any]]) -> str:
    return str(sum(Decimal(item.get("amount", "0")) for item in items))


def stream(items: Sequence[dict[str, Any]], **envelope: Any) -> bytes:
    return written(batch_of(items), **({"control_sum": total(items)} | envelope))


def unhashed(value: bytes) -> list[Line]:
    """The rows, but for the hash of the record's bytes, which is no other form's."""
    found = lines_of(decode([value]).rows)
    return [
        line._replace(
            detail=line.detail
            and type(line.detail)(
                code=line.detail.code,
                hash="",
                detail=line.detail.detail,
                id=line.detail.id,
                item=line.detail.item,
            )
        )
        for line in found
    ]


def refusal(value: bytes) -> tuple[int, str]:
    """Code and text of a record that is refused as a whole."""
    [line] = lines_of(decode([value]).rows)
    assert line.detail is not None
    assert (line.item, line.detail.hash) == (-1, exact.record_hash(value))
    return line.reject, line.detail.detail


NAMES = st.sampled_from(["ALPHHKHH", "BETAHKHH", "A", "АLPHHKHH", "x" * 36, "$POOL", ""])
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["payment", "token_transfer", "token_transfer", "return", "cancel", ""]),
        "id": st.sampled_from([ID, THIRD_ID, ID.replace("-4", "-5"), ID.replace("-8d", "-0d"), ID[::-1]]),
        "debtor": NAMES,
        "creditor": NAMES,
        "asset": st.sampled_from(["HKD", "COIN-1", "H K D", ""]),
        "amount": st.sampled_from(["1", "0", "0.00", "12.50", "0.000000000000000001", "999999999999999999"]),
        "value_date": st.sampled_from(["2026-03-02", "0001-01-01", "9999-12-31", "-0400-01-01", "10000-01-01"]),
        "end_to_end_id": st.sampled_from(["INV 2026/17", " x", "x" * 36, "a\x00b", ""]),
        "chain_reference": st.sampled_from([REFERENCE, "", "x" * 201]),
        "priority": st.sampled_from(["NORM", "HIGH", "URGT", "SLOW", ""]),
        "expires_at": st.sampled_from(["2026-03-02T12:00:00.250+00:00", "1960-01-01T00:00:00+00:00"]),
        "window": st.sampled_from([1, 2**31 - 1, 0, -1]),
    },
)  # fmt: skip


@given(st.lists(st.tuples(st.booleans(), ITEMS), min_size=1, max_size=6))
def test_rows_are_those_of_the_same_payments_as_json(
    drawn: list[tuple[bool, dict[str, Any]]],
) -> None:
    """Sound and unsound rows, whatever is missing; and the same code and words for what is refused."""
    items = [payment() | changes if whole else changes for whole, changes in drawn]
    as_json = [item if "type" in item else {"type": "payment"} | item for item in items]
    assert unhashed(stream(items)) == unhashed(raw(bulk(as_json, total(items))))


ALONE = {
    "type": ["payment", "return", "cancel", "paymen", "payments", ""],
    "id": [ID.replace("-4", "-5"), ID.replace("-8d", "-0d"), ID.replace("-8d", "-cd"), ...],
    "debtor": ["A", "A1", "-A", "A-", "a1", "A" * 35, "A" * 36, "A.B", "", ...],
    "asset": ["H", "-H", "h_", "x" * 35, "x" * 36, "H D", "", ...],
    "amount": ["0", "0.00", "999999999999999999", "0.000000000000000001"],
    "value_date": ["0001-01-01", "9999-12-31", "-0001-12-31", "10000-01-01", ...],
    "end_to_end_id": ["x ", " x", "x y", " ", "", "x" * 35, "x" * 36, "x_", "\u00e9", "\\", ...],
    "chain_reference": [REFERENCE, ""],
    "priority": ["NORM", "HIGH", "URGT", "NORN", "NOR", "NORMA", ""],
    "expires_at": [f"{when}+00:00" for when in ("1969-12-31T23:59:59.999", "9999-12-31T23:59:59.999")],
    "window": [1, 0, -1, -(2**31), 2**31 - 1],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), [(name, each) for name in ALONE for each in ALONE[name]]
)
@pytest.mark.parametrize("one", [payment, transfer])
def test_each_value_is_judged_as_in_json(
    name: str, value: object, one: Callable[..., dict[str, Any]]
) -> None:
    """Where nothing else is wrong, and beside rows that are right."""
    if name == "chain_reference" and one is transfer:
        value = "x" * 201 if value else ""
    items = [payment(), one(**{name: value}), one()]
    assert unhashed(stream(items)) == unhashed(raw(bulk(items, total(items))))


def test_names_that_a_dictionary_has_twice_are_one() -> None:
    items = [payment(debtor=name) for name in ("BETAHKHH", "ALPHHKHH", "BETAHKHH", "ALPHHKHH")]
    batch = batch_of(items)
    names = pa.array(["ALPHHKHH", "BETAHKHH", "BETAHKHH", "ALPHHKHH"])
    twice = pa.DictionaryArray.from_arrays(pa.array([1, 0, 2, 3]), names)
    strange = batch.set_column(batch.schema.get_field_index("debtor"), "debtor", twice)
    found = decode([written(strange, control_sum=total(items))]).rows.debtor
    assert encoded(found).dictionary.to_pylist() == ["BETAHKHH", "ALPHHKHH"]
    assert encoded(found).indices.to_pylist() == [0, 1, 0, 1]


@pytest.mark.parametrize("place", [-1, 1, 127])
@pytest.mark.parametrize("name", ["debtor", "priority", "end_to_end_id"])
def test_an_index_of_no_text_is_no_stream(name: str, place: int) -> None:
    batch = batch_of([payment(priority="NORM")])
    texts = pa.array(["NORM"])
    wrong = pa.DictionaryArray.from_arrays(pa.array([place], pa.int8()), texts, safe=False)
    strange = batch.set_column(batch.schema.get_field_index(name), name, wrong)
    assert refusal(written(strange, control_sum="12.50"))[0] == Code.SYNTAX


def test_columns_that_nobody_needs_may_be_left_out() -> None:
    items = [payment(), payment(id=THIRD_ID, asset="CNH", amount="3")]
    few = {name: SCHEMA[name] for name in list(SCHEMA)[1:9]}
    value = written(batch_of(items, few), control_sum="15.5")
    assert unhashed(value) == unhashed(raw(bulk(items, "15.50")))


def test_streams_stand_among_other_records_in_their_order() -> None:
    one, other = payment(), transfer(id=THIRD_ID)
    records = [
        raw(one),
        stream([one, payment(amount="0")]),
        b"rubbish",
        stream([other]),
        raw(other),
    ]
    decoded = decode(records)
    alone = [lines_of(decode([record]).rows) for record in records]
    assert lines_of(decoded.rows) == [line for rows in alone for line in rows]
    assert decoded.record.tolist() == [0, 1, 1, 2, 3, 4]
    assert decode([records[3], records[1]]).record.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        ({"type": ...}, Code.FIELD),
        ({"type": "payment"}, Code.FIELD),
        ({"id": ...}, Code.FIELD),
        ({"id": "x"}, Code.ID),
        ({"version": 2}, Code.VERSION),
        ({"more": 1}, Code.FIELD),
        ({"count": 2}, Code.ITEM_COUNT),
        ({"count": "1"}, Code.FIELD),
        ({"count": True}, Code.FIELD),
        ({"control_sum": "1.00"}, Code.CONTROL_SUM),
        ({"control_sum": 12.5}, Code.AMOUNT_SYNTAX),
    ],
    ids=str,
)
def test_an_envelope_that_does_not_hold(envelope: dict[str, object], code: Code) -> None:
    assert refusal(stream([payment()], **envelope))[0] == code


@pytest.mark.parametrize("changes", [{"amount": -1}, {"amount": 10**18}, {"decimals": 19}])
def test_amounts_that_no_text_could_say_break_the_control_sum(changes: dict[str, int]) -> None:
    batch = batch_of([payment()])
    for name, value in changes.items():
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, pa.array([value], SCHEMA[name]))
    assert refusal(written(batch, control_sum="1")) == (
        Code.CONTROL_SUM,
        "the amount of item 0 cannot be read",
    )


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        (SCHEMA | {"amount": pa.float64()}, Code.FIELD),
        (SCHEMA | {"amount": pa.decimal128(18, 2)}, Code.FIELD),
        (SCHEMA | {"expires_at": pa.timestamp("us", "UTC")}, Code.FIELD),
        (SCHEMA | {"expires_at": pa.timestamp("ms")}, Code.FIELD),
        (SCHEMA | {"debtor": pa.large_string()}, Code.FIELD),
        (SCHEMA | {"link": pa.string()}, Code.FIELD),
        ({name: kind for name, kind in SCHEMA.items() if name != "asset"}, Code.FIELD),
    ],
    ids=["float", "decimal", "microseconds", "no zone", "large", "unknown", "missing"],
)
def test_a_schema_that_is_another(schema: dict[str, pa.DataType], code: Code) -> None:
    assert refusal(written(batch_of([], schema), control_sum="0", count=0))[0] == code


def test_a_column_that_stands_twice() -> None:
    batch = batch_of([payment()])
    twice = pa.RecordBatch.from_arrays(
        [*batch.columns, batch.column("asset")], names=[*batch.schema.names, "asset"]
    )
    assert refusal(written(twice, control_sum="12.50"))[0] == Code.DUPLICATE_KEY


def test_what_is_not_exactly_one_stream_of_one_batch() -> None:
    """Cut anywhere, several batches, a second stream, bytes behind the end; none raises, each is refused alone."""
    value, batch = stream([payment()]), batch_of([payment()])
    wrong = [value[:cut] for cut in range(4, len(value) - 8, 7)]
    wrong += [value * 2, value + b"x", written(batch, batch, control_sum="25")]
    wrong += [written(batch, control_sum="12.50", compression=codec) for codec in ("lz4", "zstd")]
    for each in wrong:
        assert refusal(each)[0] == Code.SYNTAX, each
    assert [line.reject for line in unhashed(value)] == [0]


@given(st.data())
def test_a_stream_with_wrong_bytes_never_raises(data: st.DataObject) -> None:
    """It is refused, or it is another stream that can be read."""
    value = bytearray(stream([payment(), transfer(id=THIRD_ID)]))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(4, len(value) - 1))] = data.draw(st.integers(0, 255))
    rows = lines_of(decode([bytes(value)]).rows)
    assert len(rows) in (1, 2)


def test_as_many_as_a_bulk_may_have_and_one_more() -> None:
    items = [payment(amount="1")] * exact.MAX_BULK_ITEMS
    assert len(decode([stream(items)]).rows) == len(items)
    code, text = refusal(stream([*items, payment(amount="1")]))
    assert (code, text) == (Code.TOO_LARGE, "more than 50000 items")


def test_an_empty_bulk() -> None:
    assert refusal(stream([]))[0] == Code.ITEM_COUNT


TEXTS = ("type", "debtor", "creditor", "asset", "end_to_end_id", "chain_reference", "priority")
PLACES = [pa.int8(), pa.uint8(), pa.int16(), pa.uint32(), pa.int64(), pa.uint64()]
STRANGE = st.sampled_from(
    [None, "", "ALPHHKHH", "BETAHKHH", "x" * 36, "NORM", "payment", REFERENCE]
)


def _as_strange_dictionary(column: pa.Array, data: st.DataObject) -> pa.Array:
    """The same texts from a dictionary that has some of them twice, texts that no row has, and none at all."""
    texts = column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
    known = [*texts.to_pylist(), *data.draw(st.lists(STRANGE, max_size=20))]
    known = data.draw(st.permutations(known * data.draw(st.integers(1, 2))))
    places = [
        data.draw(
            st.sampled_from(
                [i for i, each in enumerate(known) if each == text] + [None] * (text is None)
            )
        )
        for text in texts.to_pylist()
    ]
    kind = data.draw(st.sampled_from(PLACES))
    return pa.DictionaryArray.from_arrays(pa.array(places, kind), pa.array(known, pa.string()))


@given(st.lists(st.tuples(st.booleans(), ITEMS), min_size=1, max_size=6), st.data())
def test_rows_are_the_same_whatever_dictionary_their_texts_come_from(
    drawn: list[tuple[bool, dict[str, Any]]], data: st.DataObject
) -> None:
    items = [payment() | changes if whole else changes for whole, changes in drawn]
    plain = batch_of(
        items, {name: pa.string() if name in TEXTS else kind for name, kind in SCHEMA.items()}
    )
    columns = {
        name: _as_strange_dictionary(column, data)
        if name in TEXTS and data.draw(st.booleans())
        else column
        for name, column in zip(plain.schema.names, plain.columns, strict=True)
    }
    envelope = {"control_sum": total(items)}
    strange = written(pa.record_batch(columns), **envelope)
    assert unhashed(strange) == unhashed(written(plain, **envelope))
    of_texts, found = (decode([each]).rows for each in (written(plain, **envelope), strange))
    for name in ("debtor", "creditor", "asset"):
        assert encoded(getattr(found, name)).equals(encoded(getattr(of_texts, name)))


def test_what_stands_where_no_text_is_given_is_not_seen() -> None:
    """A bank's own buffers may have anything there."""
    items = [payment(), transfer(id=THIRD_ID), payment()]
    batch = batch_of(items)
    for hidden in ("", "\\ hidden \\", "x" * 300):
        for name in ("chain_reference", "priority", "type"):
            texts = [item.get(name) or hidden for item in items]
            whole = pa.array(texts, pa.string())
            mask = pa.py_buffer(np.packbits([name in item for item in items], bitorder="little"))
            column = pa.StringArray.from_buffers(3, *whole.buffers()[1:], mask)
            place = batch.schema.get_field_index(name)
            strange = batch.set_column(place, name, column)
            value = written(strange, control_sum=total(items))
            assert unhashed(value) == unhashed(stream(items))


def test_rows_are_taken_as_they_stand_from_a_stream_that_is_alone() -> None:
    """What is not changed is not copied."""
    value = stream([payment(), transfer(id=THIRD_ID)])
    rows = arrow.read(value)
    whole = np.frombuffer(value, np.uint8)
    assert all(np.shares_memory(whole, each) for each in (rows.id, rows.amount, rows.value_date))
    assert not isinstance(rows.end_to_end_id, list)
    assert np.shares_memory(whole, np.frombuffer(rows.end_to_end_id.buffers()[2], np.uint8))


@pytest.mark.parametrize("text", [b"", raw(payment())], ids=["streams alone", "a text too"])
def test_log_records_are_those_of_their_records_alone(
    text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they are cut, and whether or not their rows had to be put together."""
    monkeypatch.setattr(packing, "MAX_ROWS", 4)
    items = [payment(), transfer(id=THIRD_ID), payment(debtor="A"), payment(creditor="BETAHKHH")]
    values = [stream(items[first : first + n]) for first, n in ((0, 4), (0, 2), (2, 2), (1, 3))]
    values = [*values[:2], text, *values[2:]] if text else values
    records = [SourceRecord(offset, value) for offset, value in enumerate(values)]

    def source(first: int, last: int) -> packing.Source:
        span = SourceSpan("payments.hk.A", 0, first, last)
        return span, [Records.of(records[first:last])]

    packed = list(packing.payment_records([source(0, len(records))]))
    ends = [0, 1, 3, 4, 5] if text else [0, 1, 3, 4]
    alone = [packing.pack_payments([source(*span)]) for span in pairwise(ends)]
    assert [[each.value] for each in packed] == alone
