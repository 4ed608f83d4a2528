"""Payment rows as an Arrow IPC stream: one log record, one record batch. STORED FORMAT payments/1.

Intake fills a RowBatch (from JSON, bulk, Arrow) and packs it; the engine unpacks numeric columns only,
dispatch opens the texts as well. Columns that hold only their default are left out of the batch.
"""

from dataclasses import dataclass, field

import msgspec
import numpy as np
import pyarrow as pa
import xxhash

from clearing.core.inputs import I32, I64, U8, U64, LogRecord, PaymentRows, Reject, SourceSpan

KEY = b"payments/1"  # Kafka record key: kind and version of the value

PAYMENT, TOKEN_TRANSFER = 1, 2  # column `kind`
PRIORITIES = ("NORM", "HIGH", "URGT")  # column `priority` is the index (R12)

_DEFAULTS: dict[str, tuple[type[np.generic], int]] = {
    "decimals": (np.uint8, 0),
    "priority": (np.uint8, 0),
    "kind": (np.uint8, PAYMENT),
    "expires_at_ms": (np.int64, 0),
    "window": (np.int32, 0),
    "item": (np.int32, -1),
    "reject": (np.uint8, 0),
}

_NAMES = pa.dictionary(pa.int32(), pa.string())
_TYPES: dict[str, pa.DataType] = {
    "id": pa.binary(16),
    "debtor": _NAMES,
    "creditor": _NAMES,
    "asset": _NAMES,
    "amount": pa.int64(),
    "value_date": pa.int32(),
    "end_to_end_id": pa.string(),
    "body_hash": pa.uint64(),
    "source": pa.int32(),
    "source_offset": pa.int64(),
    "chain_reference": pa.string(),
    **{name: pa.from_numpy_dtype(dtype) for name, (dtype, _) in _DEFAULTS.items()},
}
_REQUIRED = _TYPES.keys() - _DEFAULTS.keys() - {"chain_reference"}


class _Header(msgspec.Struct, frozen=True):
    sources: list[SourceSpan]
    rejects: list[tuple[int, Reject]] = []


_NO_TEXT = np.uint64(xxhash.xxh3_64_intdigest(b""))

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Header).decode


@dataclass(slots=True)
class RowBatch:
    """n rows as intake has them. Strings are pyarrow string arrays (or lists); on rejected rows "" and 0.

    id: (n, 16) bytes of the UUID. amount/decimals: "12.5" is (125, 1). value_date: days since epoch.
    item: index in a bulk, -1 for a single payment. reject: Code below 40, its text in rejects[row].
    """

    id: U8
    debtor: pa.Array | list[str]
    creditor: pa.Array | list[str]
    asset: pa.Array | list[str]
    amount: I64
    decimals: U8
    value_date: I32
    priority: U8
    kind: U8
    end_to_end_id: pa.Array | list[str]
    chain_reference: pa.Array | list[str] | None
    expires_at_ms: I64
    window: I32
    source: I32
    source_offset: I64
    item: I32
    reject: U8
    rejects: dict[int, Reject] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.amount)


def _strings(values: pa.Array | list[str]) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, pa.string())


def _mix(h: U64, value: np.ndarray) -> U64:
    """One round of a 64-bit mixing function over columns (constants of SplitMix64)."""
    h = (h ^ value.astype(np.uint64, copy=False)) * np.uint64(0xBF58476D1CE4E5B9)
    return h ^ (h >> np.uint64(29))


def _text_hashes(values: pa.Array) -> U64:
    """xxh3-64 of each string."""
    digest = xxhash.xxh3_64_intdigest
    texts = values.cast(pa.binary()).to_pylist()
    return np.fromiter(map(digest, texts), np.uint64, len(texts))


def body_hashes(rows: RowBatch) -> U64:
    """64-bit hash of each row's content without its id: equal content, equal hash, in any wire format (R28)."""
    h = np.full(len(rows), 0x9E3779B97F4A7C15, np.uint64)
    for column in (rows.debtor, rows.creditor, rows.asset):
        encoded = _strings(column).dictionary_encode()
        h = _mix(h, _text_hashes(encoded.dictionary)[encoded.indices.to_numpy()])
    h = _mix(h, _text_hashes(_strings(rows.end_to_end_id)))
    if rows.chain_reference is not None:
        # Only where there is one: a payment's hash must not depend on what else is in its batch.
        references = _text_hashes(_strings(rows.chain_reference))
        h = np.where(references == _NO_TEXT, h, _mix(h, references))
    for numbers in (
        rows.amount,
        rows.decimals,
        rows.value_date,
        rows.priority,
        rows.kind,
        rows.expires_at_ms,
        rows.window,
    ):
        h = _mix(h, numbers)
    return h


def pack(rows: RowBatch, sources: list[SourceSpan]) -> bytes:
    """Value of one log record. Deterministic: the same rows give the same bytes."""
    n = len(rows)
    columns: dict[str, pa.Array] = {
        "id": pa.Array.from_buffers(
            pa.binary(16), n, [None, pa.py_buffer(np.ascontiguousarray(rows.id, np.uint8))]
        ),
        "debtor": _strings(rows.debtor).dictionary_encode(),
        "creditor": _strings(rows.creditor).dictionary_encode(),
        "asset": _strings(rows.asset).dictionary_encode(),
        "amount": pa.array(rows.amount, pa.int64()),
        "value_date": pa.array(rows.value_date, pa.int32()),
        "end_to_end_id": _strings(rows.end_to_end_id),
        "body_hash": pa.array(body_hashes(rows)),
        "source": pa.array(rows.source, pa.int32()),
        "source_offset": pa.array(rows.source_offset, pa.int64()),
    }
    for name, (_, default) in _DEFAULTS.items():
        values = getattr(rows, name)
        if (values != default).any():
            columns[name] = pa.array(values, _TYPES[name])
    if rows.chain_reference is not None:
        columns["chain_reference"] = _strings(rows.chain_reference)
    header = _encode(_Header(sources, sorted(rows.rejects.items())))
    batch = pa.record_batch(columns).replace_schema_metadata({"clearing": header})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


@dataclass(slots=True)
class OpenedBatch:
    """A log record opened for reading: Arrow columns and the header's sources and rejects."""

    batch: pa.RecordBatch
    sources: list[SourceSpan]
    rejects: dict[int, Reject]

    def __len__(self) -> int:
        return self.batch.num_rows

    def numbers(self, name: str) -> np.ndarray:
        """Numeric column, its default where the batch leaves it out."""
        if name in _DEFAULTS and name not in self.batch.schema.names:
            dtype, default = _DEFAULTS[name]
            return np.full(len(self), default, dtype)
        return self.batch.column(name).to_numpy()

    def names(self, name: str) -> tuple[list[str], I32]:
        """Dictionary column: its values and the index of each row."""
        column = self.batch.column(name)
        assert isinstance(column, pa.DictionaryArray)
        return column.dictionary.to_pylist(), column.indices.to_numpy()

    def texts(self, name: str) -> list[str]:
        """String column as Python strings; "" where the batch leaves it out."""
        if name not in self.batch.schema.names:
            return [""] * len(self)
        column = self.batch.column(name)
        return column.to_pylist()

    def ids(self) -> U64:
        """(n, 2) view of the 16-byte ids as two little-endian words."""
        buffer = self.batch.column("id").buffers()[1]
        return np.frombuffer(buffer, "<u8", len(self) * 2).reshape(-1, 2)


def open_batch(value: bytes) -> OpenedBatch:
    """Open a packed log record. Raises ValueError (pa.ArrowInvalid is one) on bytes that are not one."""
    try:
        batch = pa.ipc.open_stream(value).read_next_batch()
    except (OSError, StopIteration) as error:  # cut off within or before the batch
        raise ValueError(f"an Arrow stream that ends early: {error}") from error
    foreign = [f"{f.name}: {f.type}" for f in batch.schema if _TYPES.get(f.name) != f.type]
    foreign += sorted(_REQUIRED - set(batch.schema.names))
    if foreign or any(column.null_count for column in batch.columns):
        raise ValueError(f"not the columns of a log record: {', '.join(foreign) or 'nulls'}")
    metadata = batch.schema.metadata
    if not metadata or b"clearing" not in metadata:
        raise ValueError("an Arrow stream without the clearing header is no log record")
    header = _decode(metadata[b"clearing"])
    return OpenedBatch(batch, header.sources, dict(header.rejects))


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
        **{name: opened.numbers(name) for name in _DEFAULTS},
    )
    return LogRecord(offset, time_ms, opened.sources, payments=rows)
