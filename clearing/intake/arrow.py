"""A bulk as an Arrow IPC stream: payments checked by columns, refused row by row as their JSON would be.

Pure: bytes in, rows out. What the columns mean stands in topics/README.md (bulk/arrow). A row that the columns'
checks doubt becomes the JSON object it stands for, and clearing.intake.instructions has the last word on that.
"""

import struct
from collections import deque
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from clearing.core import money
from clearing.core.inputs import I64, U8, Bool, Kind, fixed, read_only
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
_KINDS = by_columns.Codes.of(
    by_columns.KINDS | dict.fromkeys(instructions.WITHOUT_AMOUNT, by_columns.NO_AMOUNT),
    unknown=by_columns.NO_KIND,
    missing=Kind.PAYMENT,
)
_PRIORITIES = by_columns.Codes.of(
    fields.PRIORITY_INDEX,
    unknown=by_columns.NO_PRIORITY,
    missing=fields.PRIORITY_INDEX[fields.NORMAL],
)
# As which numbers they are stored.
_NUMBERS: dict[str, type[np.generic]] = {
    "amount": np.int64,
    "decimals": np.uint8,
    "value_date": np.int32,
    "expires_at": np.int64,
    "window": np.int32,
}
# Schemas that were looked at and have no fault: banks write the same again and again.
_known: deque[pa.Schema] = deque(maxlen=16)
_NOT_A_STREAM = Unreadable(
    Code.SYNTAX, "not exactly one Arrow IPC stream of one record batch, its buffers uncompressed"
)


def read(value: bytes) -> RowBatch:
    """Rows of one record, as clearing.intake.exact.read has those of a JSON bulk; some 0.15 µs a row."""
    opened = _open(value)
    if isinstance(opened, Unreadable):
        return exact.rows_of([(value, exact.whole(opened))])
    rows, sound = opened.rows()
    if sound.all():
        return rows
    doubted = [
        (i, instructions.check(_document(opened, i))) for i in np.flatnonzero(~sound).tolist()
    ]
    slow = exact.rows_of([(value, doubted)])
    record = np.zeros(len(rows), np.int32)
    kept = np.flatnonzero(sound)
    return interleave(Decoded(rows, record), kept, Decoded(slow, record[: len(slow)])).rows


def warm() -> None:
    """Have the loops compiled."""
    names = pa.array(["WARM", "WARM"]).dictionary_encode()
    columns = {
        "id": pa.array([bytes(16)] * 2, _REQUIRED["id"]),
        **dict.fromkeys(("debtor", "creditor", "asset", "priority"), names),
        "amount": pa.array([1, 1], pa.int64()),
        "decimals": pa.array([0, 0], pa.uint8()),
        "value_date": pa.array([0, 0], pa.int32()).cast(pa.date32()),
        **dict.fromkeys(("type", "end_to_end_id", "chain_reference"), pa.array(["x", None])),
    }
    _Columns(pa.record_batch(columns)).rows()


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
    if any(schema.equals(known) for known in _known):
        return None
    fault = _columns_fault(schema)
    if fault is None:
        # Without what else it says, which may be long.
        _known.append(pa.schema([pa.field(f.name, f.type, f.nullable) for f in schema]))
    return fault


def _columns_fault(schema: pa.Schema) -> Unreadable | None:
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
    """The columns of a batch whose schema is right; n > 0 rows, any of them may be null."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        n = self._n = batch.num_rows
        self._columns: dict[str, pa.Array] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if isinstance(column, pa.DictionaryArray) and column.dictionary.null_count:
                column = column.dictionary_decode()  # else not only the rows say which have none
            if column.null_count < n or name in _REQUIRED:
                self._columns[name] = column
        self._all, self._none = np.ones(n, np.bool_), np.zeros(n, np.bool_)
        self._given: dict[str, Bool] = {}
        self._numbers: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return self._n

    def given(self, name: str) -> Bool:
        """Which rows have a value there; not to be written to."""
        column = self._columns.get(name)
        if column is None:
            return self._none
        if not column.null_count:
            return self._all
        if name not in self._given:
            bits = np.frombuffer(column.buffers()[0], np.uint8)
            found = np.unpackbits(bits, count=self._n, bitorder="little")
            self._given[name] = found.view(np.bool_)
        return self._given[name]

    def numbers(self, name: str) -> np.ndarray:
        """Values as the number they are stored as; 0 where there is none."""
        if name not in self._numbers:
            column, dtype = self._columns.get(name), _NUMBERS[name]
            found = np.zeros(self._n, dtype)
            if column is not None:
                stored = np.frombuffer(column.buffers()[1], dtype, self._n)
                found = np.where(self.given(name), stored, found) if column.null_count else stored
            self._numbers[name] = fixed(found, dtype)
        return self._numbers[name]

    def ids(self) -> U8:
        """(n, 16); they mean nothing where there is none."""
        stored = np.frombuffer(self._columns["id"].buffers()[1], np.uint8, 16 * self._n)
        return read_only(stored.reshape(-1, 16))

    def codes(self, name: str, known: by_columns.Codes) -> U8:
        column = self._columns.get(name)
        if column is None:
            return np.full(self._n, known.missing, np.uint8)
        return by_columns.codes(column, self.given(name), known)

    def value(self, name: str, row: int) -> Any:
        """One value as Python has it, None where there is none."""
        return self._columns[name][row].as_py() if name in self._columns else None

    @cached_property
    def kind(self) -> U8:
        """Also such as columns cannot have."""
        return self.codes("type", _KINDS)

    @cached_property
    def amounts(self) -> tuple[Bool, int, I64]:
        """Which rows have one that a JSON text could say, and what by_columns.add_up finds."""
        readable, sums = np.empty(self._n, np.bool_), np.zeros((by_columns.SCALES, 2), np.int64)
        given = self.given("amount") & self.given("decimals")
        units, decimals = self.numbers("amount"), self.numbers("decimals")
        unreadable = by_columns.add_up(units, decimals, given, self.kind, readable, sums)
        return readable, unreadable, sums

    def sum(self) -> int | Unreadable:
        """What the items add to the control sum, in units of 10^-18."""
        _, unreadable, sums = self.amounts
        return by_columns.total_of(sums) if unreadable < 0 else exact.no_sum(unreadable)

    def rows(self) -> tuple[RowBatch, Bool]:
        """(rows, which of them are sound); the others hold values that mean nothing."""
        n, numbers, kind = self._n, self.numbers, self.kind
        sound = self.amounts[0].copy()
        for name in _REQUIRED:
            if self._columns[name].null_count:
                sound &= self.given(name)
        rows = RowBatch(
            id=self.ids(),
            debtor=by_columns.participants(self._columns["debtor"], sound),
            creditor=by_columns.participants(self._columns["creditor"], sound),
            asset=by_columns.assets(self._columns["asset"], sound),
            amount=numbers("amount"),
            decimals=numbers("decimals"),
            value_date=numbers("value_date"),
            priority=self.codes("priority", _PRIORITIES),
            kind=kind,
            end_to_end_id=by_columns.end_to_end_ids(self._columns["end_to_end_id"], sound),
            chain_reference=None,
            expires_at_ms=numbers("expires_at"),
            window=numbers("window"),
            source=np.zeros(n, np.int32),
            source_offset=np.zeros(n, np.int64),
            item=np.arange(n, dtype=np.int32),
            reject=np.zeros(n, np.uint8),
        )
        rows.chain_reference = self._chain_references(sound)
        by_columns.check_numbers(
            rows.id,
            rows.amount,
            rows.value_date,
            rows.expires_at_ms,
            self.given("expires_at"),
            rows.window,
            self.given("window"),
            kind,
            rows.priority,
            sound,
        )
        return rows, sound

    def _chain_references(self, sound: Bool) -> pa.StringArray | None:
        column = self._columns.get("chain_reference")
        if column is None:
            sound &= self.kind != Kind.TOKEN_TRANSFER
            return None
        given = self.given("chain_reference")
        return by_columns.chain_references(column, given, self.kind, sound)


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
        amount, decimals = (int(columns.numbers(name)[row]) for name in ("amount", "decimals"))
        found["amount"] = money.show(amount, decimals)
    if columns.given("value_date")[row]:
        found["value_date"] = str(np.datetime64(int(columns.numbers("value_date")[row]), "D"))
    if columns.given("expires_at")[row]:
        found["expires_at"] = f"{np.datetime64(int(columns.numbers('expires_at')[row]), 'ms')}Z"
    if columns.given("window")[row]:
        found["window"] = Number(str(columns.value("window", row)))
    return {name: value for name, value in found.items() if value is not None}
