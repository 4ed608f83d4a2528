"""A bulk as an Arrow IPC stream: payments checked by columns, refused row by row as their JSON would be.

Pure: bytes in, rows out. What the columns mean stands in topics/README.md (bulk/arrow). A row that the columns'
checks doubt becomes the JSON object it stands for, and clearing.intake.instructions has the last word on that.
"""

import struct
from typing import Any

import numpy as np
import pyarrow as pa

from clearing.core import money
from clearing.core.inputs import U8, Bool
from clearing.core.reasons import Code
from clearing.intake import columns as by_columns
from clearing.intake import exact, fields, instructions
from clearing.intake.decoded import Decoded, interleave
from clearing.intake.strict import Number, Unreadable, parse
from clearing.log.rows import RowBatch

MAGIC = b"\xff\xff\xff\xff"  # how every message of a stream begins; no UTF-8 does
NO_STREAM = (pa.ArrowException, OSError, ValueError, StopIteration, struct.error)
_HEADER = b"clearing"  # key of the schema's metadata: the envelope, JSON
_ENVELOPE = ("type", "id", "count", "control_sum")
_TEXT = pa.string()
_REQUIRED: dict[str, pa.DataType] = {
    "id": pa.binary(16),
    "debtor": _TEXT,
    "creditor": _TEXT,
    "asset": _TEXT,
    "amount": pa.int64(),
    "decimals": pa.uint8(),
    "value_date": pa.date32(),
    "end_to_end_id": _TEXT,
}
_OPTIONAL: dict[str, pa.DataType] = {
    "type": _TEXT,
    "chain_reference": _TEXT,
    "priority": _TEXT,
    "expires_at": pa.timestamp("ms", "UTC"),
    "window": pa.int32(),
}
_TYPES = _REQUIRED | _OPTIONAL
_DAYS = range(-719_162, 2_932_897)  # 0001-01-01 to 9999-12-31, what a JSON date can say
_LAST_MS = 253_402_300_800_000  # 10000-01-01
_NOT_A_STREAM = Unreadable(
    Code.SYNTAX, "not exactly one Arrow IPC stream of one record batch, its buffers uncompressed"
)


def read(value: bytes) -> RowBatch:
    """Rows of one record, as clearing.intake.exact.read has those of a JSON bulk; some 0.4 µs a row."""
    opened = _open(value)
    if isinstance(opened, Unreadable):
        return exact.rows_of([(value, exact.whole(opened))])
    rows, sound = _rows(opened)
    rows.item = np.arange(len(rows), dtype=np.int32)
    if sound.all():
        return rows
    doubted = [
        (i, instructions.check(_document(opened, i))) for i in np.flatnonzero(~sound).tolist()
    ]
    slow = exact.rows_of([(value, doubted)])
    record = np.zeros(len(rows), np.int32)
    kept = np.flatnonzero(sound)
    return interleave(Decoded(rows, record), kept, Decoded(slow, record[: len(slow)])).rows


def _open(value: bytes) -> "_Columns | Unreadable":
    """The columns of a bulk whose envelope holds."""
    if len(value) > exact.MAX_BULK_BYTES:
        return Unreadable(Code.TOO_LARGE, f"more than {exact.MAX_BULK_BYTES} bytes")
    try:
        batch = batch_of(value)
    except NO_STREAM:
        return _NOT_A_STREAM
    metadata = batch.schema.metadata or {}
    envelope = parse(metadata.get(_HEADER, b""))
    if isinstance(envelope, Unreadable):
        return envelope
    if not isinstance(envelope, dict) or envelope.get("type") != "bulk":
        return Unreadable(Code.FIELD, "the stream's envelope is no JSON object of type bulk")
    fault = exact.shape_fault(envelope, _ENVELOPE) or _schema_fault(batch.schema)
    if fault is None and not isinstance(envelope["count"], Number):
        fault = Unreadable(Code.FIELD, "count is no number")
    if fault is None:
        columns = _Columns(batch)
        fault = exact.bulk_fault(envelope, len(columns), columns.sum)
        if fault is None:
            return columns
    return fault._replace(id=fields.readable_id(envelope))


def batch_of(value: bytes) -> pa.RecordBatch:
    """The one batch of a stream, its buffers proved. Raises one of NO_STREAM on anything else.

    Compressed buffers are none of ours: what they unpack to, the broker has not measured.
    """
    messages = pa.ipc.MessageReader.open_stream(pa.BufferReader(value))
    types: list[str] = []
    for message in messages:
        types.append(message.type)
        if message.type != "schema" and _is_compressed(message.metadata.to_pybytes(), message.type):
            raise ValueError("compressed buffers")
    if types[:1] != ["schema"] or types[-1:] != ["record batch"] or types.count("record batch") > 1:
        raise ValueError("not one record batch")
    source = pa.BufferReader(value)
    stream = pa.ipc.open_stream(source)
    batch = stream.read_next_batch()
    batch.validate(full=True)
    if next(iter(stream), None) is not None or source.tell() != len(value):
        raise ValueError("more than one stream")
    assert (
        len(batch.schema.names) == batch.num_columns
    )  # names are texts: asking for them proves it
    return batch


def _is_compressed(message: bytes, kind: str) -> bool:
    """Whether a message's record batch names a codec (its field 3); that of a dictionary is its field 1."""
    root = int.from_bytes(message[:4], "little")
    batch = _referred(message, root, 2)
    if kind == "dictionary" and batch is not None:
        batch = _referred(message, batch, 1)
    return batch is None or _referred(message, batch, 3) is not None


def _referred(data: bytes, table: int, field: int) -> int | None:
    """FlatBuffers: where the table is that this field of the table at `table` refers to, None if it has none.

    pyarrow has verified the buffer when it read the message.
    """
    (back,) = struct.unpack_from("<i", data, table)
    vtable = table - back
    (size,) = struct.unpack_from("<H", data, vtable)
    if 4 + 2 * field >= size:
        return None
    (place,) = struct.unpack_from("<H", data, vtable + 4 + 2 * field)
    return table + place + struct.unpack_from("<I", data, table + place)[0] if place else None


def _schema_fault(schema: pa.Schema) -> Unreadable | None:
    """FIELD, DUPLICATE_KEY: of the columns."""
    if len(set(schema.names)) < len(schema.names):
        return Unreadable(Code.DUPLICATE_KEY, "a column stands twice")
    if not _TYPES.keys() >= set(schema.names):
        return Unreadable(Code.FIELD, "an unknown column")
    for name, kind in _TYPES.items():
        if name not in schema.names:
            if name in _REQUIRED:
                return Unreadable(Code.FIELD, f"column {name} is missing")
            continue
        given = schema.field(name).type
        if pa.types.is_dictionary(given) and kind == _TEXT:
            given = given.value_type
        if given != kind:
            return Unreadable(Code.FIELD, f"column {name} is not of type {kind}")
    return None


class _Columns:
    """The columns of a batch whose schema is right; n rows, any of them may be null."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._columns = {
            name: column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        self._n = batch.num_rows
        self.amount = self.numbers("amount", np.int64)
        self.decimals = self.numbers("decimals", np.uint8)

    def __len__(self) -> int:
        return self._n

    def given(self, name: str) -> Bool:
        """Which rows have a value there."""
        column = self._columns.get(name)
        if column is None:
            return np.zeros(self._n, np.bool_)
        return column.is_valid().to_numpy(zero_copy_only=False)

    def numbers(self, name: str, dtype: Any) -> np.ndarray:
        """Values as the number they are stored as; 0 where there is none."""
        column = self._columns.get(name)
        if column is None:
            return np.zeros(self._n, dtype)
        stored = column.view(_STORED.get(column.type, column.type))
        return stored.fill_null(0).to_numpy().astype(dtype, copy=False)

    def texts(self, name: str) -> pa.StringArray:
        """ "" where there is none."""
        column = self._columns.get(name)
        return pa.array([""] * self._n, _TEXT) if column is None else column.fill_null("")

    def ids(self) -> U8:
        """(n, 16); zeros where there is none."""
        column = self._columns["id"].fill_null(bytes(16))
        buffer = column.buffers()[1]
        return np.frombuffer(buffer, np.uint8)[16 * column.offset :][: 16 * self._n].reshape(-1, 16)

    def value(self, name: str, row: int) -> Any:
        """One value as Python has it, None where there is none."""
        return self._columns[name][row].as_py() if name in self._columns else None

    def sum(self) -> int | Unreadable:
        """What the items add to the control sum, in units of 10^-18."""
        types = self.texts("type")
        counts = ~by_columns.is_one_of(types, instructions.WITHOUT_AMOUNT)
        unreadable = counts & ~self.has_amounts
        if unreadable.any():
            return exact.no_sum(int(unreadable.argmax()))
        return exact.total_of(np.where(counts, self.amount, 0), np.where(counts, self.decimals, 0))

    @property
    def has_amounts(self) -> Bool:
        """Which rows have an amount that a JSON text could say."""
        units, decimals = self.amount, self.decimals
        digits = (units >= 0) & (units < 10**money.MAX_DIGITS) & (decimals <= money.MAX_DIGITS)
        return digits & self.given("amount") & self.given("decimals")


# What pyarrow has no NumPy type for, or another one than the number that is stored.
_STORED = {pa.date32(): pa.int32(), pa.timestamp("ms", "UTC"): pa.int64()}


def _rows(columns: _Columns) -> tuple[RowBatch, Bool]:
    """(rows, sound); unsound rows hold values that mean nothing."""
    n = len(columns)
    sound = columns.has_amounts & (columns.amount != 0)
    for name in _REQUIRED:
        sound &= columns.given(name)
    ids = columns.ids()
    sound &= (ids[:, 6] >> 4 == 4) & (ids[:, 8] >> 6 == 2)
    days = columns.numbers("value_date", np.int32)
    sound &= (days >= _DAYS.start) & (days < _DAYS.stop)
    expires = columns.numbers("expires_at", np.int64)
    sound &= ~columns.given("expires_at") | ((expires > 0) & (expires < _LAST_MS))
    window = columns.numbers("window", np.int32)
    sound &= ~columns.given("window") | (window > 0)
    kind = _choices(columns, "type", by_columns.KINDS, sound)
    return RowBatch(
        id=ids,
        debtor=by_columns.participants(columns.texts("debtor"), sound),
        creditor=by_columns.participants(columns.texts("creditor"), sound),
        asset=by_columns.assets(columns.texts("asset"), sound),
        amount=columns.amount,
        decimals=columns.decimals,
        value_date=days,
        priority=_choices(columns, "priority", fields.PRIORITY_INDEX, sound),
        kind=kind,
        end_to_end_id=by_columns.end_to_end_ids(columns.texts("end_to_end_id"), sound),
        chain_reference=by_columns.chain_references(
            columns.texts("chain_reference"), columns.given("chain_reference"), kind, sound
        ),
        expires_at_ms=expires,
        window=window,
        source=np.zeros(n, np.int32),
        source_offset=np.zeros(n, np.int64),
        item=np.arange(n, dtype=np.int32),
        reject=np.zeros(n, np.uint8),
    ), sound


def _choices(columns: _Columns, name: str, index: dict[str, int], sound: Bool) -> U8:
    """index[text]; the first of the index where there is none."""
    given = columns.given(name)
    default = next(iter(index))
    if not given.any():
        return np.full(len(columns), index[default], np.uint8)
    return by_columns.choices(by_columns.mend(columns.texts(name), given, default), index, sound)


def _document(columns: _Columns, row: int) -> dict[str, object]:
    """The JSON object that a row stands for."""
    found: dict[str, object] = {
        name: columns.value(name, row)
        for name in ("debtor", "creditor", "asset", "end_to_end_id", "chain_reference", "priority")
    }
    type_ = columns.value("type", row)
    found["type"] = "payment" if type_ is None else type_
    id_ = columns.value("id", row)
    found["id"] = None if id_ is None else fields.id_text(id_)
    if columns.value("amount", row) is not None and columns.value("decimals", row) is not None:
        found["amount"] = money.show(int(columns.amount[row]), int(columns.decimals[row]))
    if columns.given("value_date")[row]:
        found["value_date"] = str(columns.numbers("value_date", np.dtype("M8[D]"))[row])
    if columns.given("expires_at")[row]:
        found["expires_at"] = f"{columns.numbers('expires_at', np.dtype('M8[ms]'))[row]}Z"
    if columns.given("window")[row]:
        found["window"] = Number(str(columns.value("window", row)))
    return {name: value for name, value in found.items() if value is not None}
