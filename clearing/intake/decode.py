"""JSON records of payments topics to columns: all sound records at once, the others one by one, exactly.

Pure: the rows are a function of the records' bytes and order. Which way a record goes never shows in
the result: what the fast path (clearing.intake.columns) takes, the exact one (clearing.intake.exact)
would have read the same, and whatever the fast path doubts is the exact one's to decide.
"""

from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import UNSET, Raw, UnsetType

from clearing.core.inputs import I32, I64, Bool
from clearing.intake import exact
from clearing.intake.columns import Line, columns
from clearing.intake.fields import UUID4, VERSION
from clearing.log.payments import RowBatch


class Decoded(NamedTuple):
    """rows: n rows in order of their records, source columns 0. record: (n,) int32, index of each row's record."""

    rows: RowBatch
    record: I32


class _Bulk(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: str
    id: str
    count: Raw
    control_sum: str
    items: list[Line]
    version: Raw | UnsetType = UNSET


_BULK_QUOTES = 4 * 3 + 2 * 2  # type, id, control_sum; count, items
_QUOTE = ord('"')
_BLOCK = 256  # records

_line = msgspec.json.Decoder(Line).decode
_bulk = msgspec.json.Decoder(_Bulk).decode


@dataclass(slots=True)
class _Lines:
    """What the decoders made of some records; nothing in it has been checked.

    counts: number of lines of each record. doubtful: records whose rows must come from the exact path.
    """

    lines: list[Line]
    counts: I32
    doubtful: Bool
    bulks: dict[int, _Bulk] = field(default_factory=dict[int, _Bulk])


def decode(records: list[bytes]) -> Decoded:
    """Rows of the records, at least one of each. Some 1.3 µs a payment at 2,000 records and more."""
    read = _decode_lines(records)
    record = np.repeat(np.arange(len(records), dtype=np.int32), read.counts)
    if not read.lines:
        return _exactly(records, range(len(records)))
    rows, sound, quotes = columns(read.lines)
    read.doubtful[record[~sound]] = True
    _doubt_bulks(read, rows)
    _doubt_repeats(records, read, record, quotes)
    if not read.doubtful.any():
        return Decoded(rows, record)
    kept = ~read.doubtful[record]
    doubted = _exactly(records, np.flatnonzero(read.doubtful).tolist())
    return _interleave(Decoded(_take(rows, np.flatnonzero(kept)), record[kept]), doubted)


def _exactly(records: list[bytes], indexes: range | list[int]) -> Decoded:
    """The same by the exact path alone, for the records named."""
    found = [(records[index], exact.read(records[index])) for index in indexes]
    sizes = np.array([len(rows) for _, rows in found], np.int64)
    return Decoded(exact.rows_of(found), np.repeat(np.array(indexes, np.int32), sizes))


def _decode_lines(records: list[bytes]) -> _Lines:
    counts = np.ones(len(records), np.int32)
    read = _Lines([], counts, np.zeros(len(records), np.bool_))
    lines = read.lines
    for index, value in enumerate(records):
        try:
            lines.append(_line(value))
        except (ValueError, RecursionError):
            bulk = _decode_bulk(value)
            if bulk is None:
                read.doubtful[index] = True
                counts[index] = 0
            else:
                read.bulks[index] = bulk
                counts[index] = len(bulk.items)
                lines += bulk.items
    if max(map(len, records), default=0) > exact.MAX_SINGLE_BYTES:
        for index, value in enumerate(records):
            limit = exact.MAX_BULK_BYTES if index in read.bulks else exact.MAX_SINGLE_BYTES
            read.doubtful[index] |= len(value) > limit
    return read


def _decode_bulk(value: bytes) -> _Bulk | None:
    if b'"bulk"' not in value:
        return None
    try:
        return _bulk(value)
    except (ValueError, RecursionError):
        return None


def _doubt_bulks(read: _Lines, rows: RowBatch) -> None:
    """Envelopes that do not hold. Needs the amounts of the items, as columns."""
    ends = np.cumsum(read.counts)
    for index, bulk in read.bulks.items():
        items = slice(ends[index] - read.counts[index], ends[index])
        rows.item[items] = np.arange(read.counts[index])
        read.doubtful[index] |= not (
            bulk.type == "bulk"
            and (bulk.version is UNSET or bytes(bulk.version) == VERSION.encode())
            and UUID4.fullmatch(bulk.id)
            and 0 < len(bulk.items) <= exact.MAX_BULK_ITEMS
            and exact.count_holds(bytes(bulk.count).decode("utf-8"), len(bulk.items))
            and exact.sum_of(bulk.control_sum)
            == exact.total_of(rows.amount[items], rows.decimals[items])
        )


def _doubt_repeats(records: list[bytes], read: _Lines, record: I32, quotes: I64) -> None:
    """Records in which a key may stand twice, of which the decoder takes the last.

    The fields that were found say how many quotes a record must have at least, two around each text;
    a repeated key can only add to them. So if the sums over all records are equal, each record's are.
    """
    considered = np.flatnonzero(~read.doubtful)
    values = (
        records if considered.size == len(records) else [records[i] for i in considered.tolist()]
    )
    expected = np.bincount(record, quotes, len(records)).astype(np.int64)
    for index, bulk in read.bulks.items():
        expected[index] += _BULK_QUOTES + (0 if bulk.version is UNSET else 2)
    expected = expected[considered]
    if _quotes(values) != expected.sum():
        read.doubtful[considered] |= [value.count(_QUOTE) for value in values] != expected


def _quotes(values: list[bytes]) -> int:
    """Number of `"` in all of them. By blocks: fresh memory for all at once costs more than the counting."""
    blocks = (b"".join(values[i : i + _BLOCK]) for i in range(0, len(values), _BLOCK))
    return sum(int(np.count_nonzero(np.frombuffer(block, np.uint8) == _QUOTE)) for block in blocks)


def _take(rows: RowBatch, indexes: I64) -> RowBatch:
    assert not rows.rejects, "rejects are numbered by row"
    taken = pa.array(indexes)
    values = {
        column.name: value[indexes] if isinstance(value, np.ndarray) else value.take(taken)
        for column in fields(rows)
        if isinstance(value := getattr(rows, column.name), np.ndarray | pa.Array)
    }
    return replace(rows, **values)


def _interleave(fast: Decoded, slow: Decoded) -> Decoded:
    """Both in order of their records; no record is in both."""
    n = len(fast.rows)
    record = np.concatenate([fast.record, slow.record])
    order = np.argsort(record, kind="stable")
    joined = replace(
        fast.rows,
        **{
            column.name: np.concatenate([value, getattr(slow.rows, column.name)])
            for column in fields(fast.rows)
            if isinstance(value := getattr(fast.rows, column.name), np.ndarray)
        },
        **{
            name: pa.concat_arrays([getattr(fast.rows, name), getattr(slow.rows, name)])
            for name in ("debtor", "creditor", "asset", "end_to_end_id")
        },
        chain_reference=_join_references(fast.rows, slow.rows),
    )
    rows = _take(joined, order)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    rows.rejects = {int(place[n + row]): reject for row, reject in slow.rows.rejects.items()}
    return Decoded(rows, record[order])


def _join_references(fast: RowBatch, slow: RowBatch) -> pa.Array | None:
    """None where nobody has one: the columns must not tell which way the rows came."""
    columns_ = [
        pa.array([""] * len(rows), pa.string())
        if rows.chain_reference is None
        else rows.chain_reference
        for rows in (fast, slow)
    ]
    joined = pa.concat_arrays(columns_)
    return joined if any(joined.to_pylist()) else None
