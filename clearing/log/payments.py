"""Payment rows as an Arrow IPC stream: one log record, one record batch. STORED FORMAT payments/1.

Intake packs a RowBatch; the engine unpacks numeric columns only, dispatch opens the texts as well. Columns that
hold only their default are left out of the batch.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow.compute import call_function

from clearing.core.inputs import (
    I32,
    U8,
    U64,
    Kind,
    Links,
    LogRecord,
    PaymentRows,
    References,
    Reject,
    SourceSpan,
)
from clearing.log.content import body_hashes
from clearing.log.rows import RowBatch, encoded, strings

KEY = b"payments/1"  # Kafka record key: kind and version of the value

PRIORITIES = ("NORM", "HIGH", "URGT")  # column `priority` is the index (R12)

# What an absent column holds. Those of Links and References are absent where no row is linked or refers to one.
_DEFAULTS: dict[str, tuple[type[np.generic], int]] = {
    "decimals": (np.uint8, 0),
    "priority": (np.uint8, 0),
    "kind": (np.uint8, Kind.PAYMENT),
    "expires_at_ms": (np.int64, 0),
    "window": (np.int32, 0),
    "item": (np.int32, -1),
    "reject": (np.uint8, 0),
}
_LINKS: dict[str, tuple[type[np.generic], int]] = {
    "leg": (np.uint8, 0),
    "legs": (np.uint8, 0),
    "partial": (np.uint8, 0),
}
_REFERENCES: dict[str, tuple[type[np.generic], int]] = {
    "reference_hash": (np.uint64, 0),
    "reference_amount": (np.int64, 0),
    "reference_decimals": (np.uint8, 0),
    "decision": (np.uint8, 0),
}
_NUMBERS = _DEFAULTS | _LINKS | _REFERENCES
_OPTIONAL_IDS = ("link", "terms", "reference")
_OPTIONAL_TEXTS = ("chain_reference", "reason")

_NAMES, _ID = pa.dictionary(pa.int32(), pa.string()), pa.binary(16)
_TYPES: dict[str, pa.DataType] = {
    "id": _ID,
    "debtor": _NAMES,
    "creditor": _NAMES,
    "asset": _NAMES,
    "amount": pa.int64(),
    "value_date": pa.int32(),
    "end_to_end_id": pa.string(),
    "body_hash": pa.uint64(),
    "source": pa.int32(),
    "source_offset": pa.int64(),
    **{name: pa.from_numpy_dtype(dtype) for name, (dtype, _) in _NUMBERS.items()},
    **dict.fromkeys(_OPTIONAL_IDS, _ID),
    **dict.fromkeys(_OPTIONAL_TEXTS, pa.string()),
}
# What else must be there where a column is.
_NEEDED = {
    "legs": {"link", "terms"},
    **{name: {"legs"} for name in ("link", "terms", "leg", "partial")},
    **{name: {"reference"} for name in _REFERENCES},
}
_REQUIRED = _TYPES.keys() - {*_NUMBERS, *_OPTIONAL_IDS, *_OPTIONAL_TEXTS}


# Schemas that were looked at: some, as few columns are optional, and most records leave out the same.
_known: deque[pa.Schema] = deque(maxlen=16)


class _Header(msgspec.Struct, frozen=True):
    sources: list[SourceSpan]
    rejects: list[tuple[int, Reject]] = []


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Header).decode


def pack(rows: RowBatch, sources: list[SourceSpan]) -> bytes:
    """Value of one log record. Deterministic: the same rows give the same bytes."""
    names = {name: encoded(getattr(rows, name)) for name in ("debtor", "creditor", "asset")}
    rows = replace(rows, **names)
    columns: dict[str, pa.Array] = {
        "id": _binary(rows.id),
        **names,
        "amount": pa.array(rows.amount, pa.int64()),
        "value_date": pa.array(rows.value_date, pa.int32()),
        "end_to_end_id": strings(rows.end_to_end_id),
        "body_hash": pa.array(body_hashes(rows)),
        "source": pa.array(rows.source, pa.int32()),
        "source_offset": pa.array(rows.source_offset, pa.int64()),
        **dict(_optional_columns(rows)),
    }
    header = _encode(_Header(sources, sorted(rows.rejects.items())))
    batch = pa.record_batch(columns).replace_schema_metadata({"clearing": header})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _optional_columns(rows: RowBatch) -> Iterator[tuple[str, pa.Array]]:
    """Those in which some row has more than the default."""
    numbers = {name: getattr(rows, name) for name in _DEFAULTS}
    if rows.links is not None and rows.links.legs.any():
        links = rows.links
        yield "link", _binary(links.link)
        yield "terms", _binary(links.terms)
        numbers |= {name: getattr(links, name) for name in _LINKS}
    if rows.references is not None and rows.references.id.any():
        references = rows.references
        yield "reference", _binary(references.id)
        numbers["reference_hash"] = references.body_hash
        numbers["reference_amount"] = references.amount
        numbers["reference_decimals"] = references.decimals
        numbers["decision"] = references.decision
    for name, values in numbers.items():
        if (values != _NUMBERS[name][1]).any():
            yield name, pa.array(values, _TYPES[name])
    for name, texts in (("chain_reference", rows.chain_reference), ("reason", rows.reason)):
        if texts is not None and call_function("binary_length", [strings(texts)]).to_numpy().any():
            yield name, strings(texts)


def _binary(ids: U8 | U64) -> pa.Array:
    """Of 16 bytes each: (n, 16) uint8 or (n, 2) little-endian words."""
    return pa.Array.from_buffers(_ID, len(ids), [None, pa.py_buffer(np.ascontiguousarray(ids))])


@dataclass(slots=True)
class OpenedBatch:
    """A log record opened for reading: Arrow columns and the header's sources and rejects."""

    batch: pa.RecordBatch
    columns: dict[str, pa.Array]  # of the batch
    sources: list[SourceSpan]
    rejects: dict[int, Reject]

    def take(self, rows: list[int]) -> "OpenedBatch":
        """Some of its rows, without the rejects, which go by row."""
        columns = {name: column.take(pa.array(rows)) for name, column in self.columns.items()}
        return OpenedBatch(pa.record_batch(columns), columns, self.sources, {})

    def __len__(self) -> int:
        return self.batch.num_rows

    def has(self, name: str) -> bool:
        """Is there such a column? Otherwise every row has its default."""
        return name in self.columns

    def numbers(self, name: str) -> np.ndarray:
        """Numeric column."""
        if name in _NUMBERS and not self.has(name):
            dtype, default = _NUMBERS[name]
            return np.full(len(self), default, dtype)
        return self.columns[name].to_numpy()

    def names(self, name: str) -> tuple[list[str], I32]:
        """Dictionary column: its values and the index of each row."""
        column = self.columns[name]
        assert isinstance(column, pa.DictionaryArray)
        return column.dictionary.to_pylist(), column.indices.to_numpy()

    def texts(self, name: str) -> list[str]:
        """String column as Python strings; "" where the batch leaves it out."""
        return self.columns[name].to_pylist() if self.has(name) else [""] * len(self)

    def text(self, name: str, row: int) -> str:
        """One string of a column."""
        return self.columns[name][row].as_py() if self.has(name) else ""

    def row_texts(self, row: int) -> tuple[str, str]:
        """PaymentRows.texts: end-to-end id and chain reference, read when they are asked for."""
        return self.text("end_to_end_id", row), self.text("chain_reference", row)

    def ids(self, name: str = "id") -> U64:
        """(n, 2) view of a column of 16-byte ids as two little-endian words; 0 where the batch leaves it out."""
        if not self.has(name):
            return np.zeros((len(self), 2), np.uint64)
        buffer = self.columns[name].buffers()[1]
        return np.frombuffer(buffer, "<u8", len(self) * 2).reshape(-1, 2)

    def links(self) -> Links | None:
        """None where no row is a linked leg."""
        if not self.has("legs"):
            return None
        return Links(
            link=self.ids("link"),
            terms=self.ids("terms"),
            **{name: self.numbers(name) for name in _LINKS},
        )

    def references(self) -> References | None:
        """None where no row is about another one."""
        if not self.has("reference"):
            return None
        return References(
            id=self.ids("reference"),
            body_hash=self.numbers("reference_hash"),
            amount=self.numbers("reference_amount"),
            decimals=self.numbers("reference_decimals"),
            decision=self.numbers("decision"),
        )


def open_batch(value: bytes) -> OpenedBatch:
    """Open a packed log record. Raises ValueError (pa.ArrowInvalid is one) on bytes that are not one."""
    try:
        batch = pa.ipc.open_stream(value).read_next_batch()
    except (OSError, StopIteration) as error:  # cut off within or before the batch
        raise ValueError(f"an Arrow stream that ends early: {error}") from error
    schema = batch.schema
    if not any(schema.equals(known) for known in _known):
        _look_at(schema)
    columns = dict(zip(schema.names, batch.columns, strict=True))
    if any(column.null_count for column in columns.values()):
        raise ValueError("not the columns of a log record: nulls")
    metadata = schema.metadata
    if not metadata or b"clearing" not in metadata:
        raise ValueError("an Arrow stream without the clearing header is no log record")
    header = _decode(metadata[b"clearing"])
    return OpenedBatch(batch, columns, header.sources, dict(header.rejects))


def _look_at(schema: pa.Schema) -> None:
    """Raises ValueError where these are not the columns of a log record. Those that are, are known from then on."""
    foreign = [f"{f.name}: {f.type}" for f in schema if _TYPES.get(f.name) != f.type]
    names = set(schema.names)
    foreign += sorted(_REQUIRED - names)
    foreign += [name for name in schema.names if _NEEDED.get(name, set()) - names]
    if len(names) < len(schema.names):
        foreign.append("a name twice")
    if foreign:
        raise ValueError(f"not the columns of a log record: {', '.join(foreign)}")
    _known.append(schema.remove_metadata())


def unpack(value: bytes, offset: int, time_ms: int) -> LogRecord:
    """What the engine reads of a packed log record."""
    opened = open_batch(value)
    names, debtor = opened.names("debtor")
    creditor_names, creditor = opened.names("creditor")
    assets, asset = opened.names("asset")
    rows = PaymentRows(
        participants=names + creditor_names,
        assets=assets,
        id=opened.ids(),
        debtor=debtor,
        creditor=creditor + np.int32(len(names)),
        asset=asset,
        body_hash=opened.numbers("body_hash"),
        source=opened.numbers("source"),
        source_offset=opened.numbers("source_offset"),
        amount=opened.numbers("amount"),
        value_date=opened.numbers("value_date"),
        rejects=opened.rejects,
        links=opened.links(),
        references=opened.references(),
        texts=opened.row_texts,
        **{name: opened.numbers(name) for name in _DEFAULTS},
    )
    return LogRecord(offset, time_ms, opened.sources, payments=rows)
