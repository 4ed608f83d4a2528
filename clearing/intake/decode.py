"""Records of payments topics to columns: all sound payments at once, everything else one by one, exactly.

Pure: the rows are a function of the records' bytes and order. Which way a message goes never shows in
the result: what the fast path (clearing.intake.columns) takes, the exact one (clearing.intake.exact)
would have read the same, and whatever the fast path doubts is the exact one's to decide.
"""

from dataclasses import dataclass, field

import msgspec
import numpy as np
from msgspec import UNSET, Raw, UnsetType

from clearing.core.inputs import I32, I64, Bool, Kind
from clearing.intake import arrow, exact
from clearing.intake.columns import Line, columns, text_of
from clearing.intake.decoded import Decoded, interleave, joined
from clearing.intake.fields import UUID4, VERSION, Row
from clearing.intake.others import Other, line_of, put_in
from clearing.intake.strict import Unreadable
from clearing.log.rows import RowBatch


class _Bulk(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: str
    id: str
    count: Raw
    control_sum: str
    items: list[Line]
    version: Raw | UnsetType = UNSET


class _MixedBulk(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A bulk of which some items are no plain payments."""

    type: str
    id: str
    count: Raw
    control_sum: str
    items: list[Raw]
    version: Raw | UnsetType = UNSET


_BULK_QUOTES = 4 * 3 + 2 * 2  # type, id, control_sum; count, items
_QUOTE = ord('"')
_BLOCK = 256  # records

_line = msgspec.json.Decoder(Line).decode
_bulk = msgspec.json.Decoder(_Bulk).decode
_mixed_bulk = msgspec.json.Decoder(_MixedBulk).decode


@dataclass(slots=True)
class _Lines:
    """What the decoders made of some records; nothing in it has been checked but what the exact path has read.

    counts: number of lines of each record. doubtful: records whose rows must come from the exact path;
    found: rows of those that have been there. others: what the exact path has read of a line, by line.
    streams: records that are no JSON but bulks in Arrow's format; they have no lines.
    """

    lines: list[Line]
    counts: I32
    doubtful: Bool
    bulks: dict[int, _Bulk | _MixedBulk] = field(default_factory=dict[int, _Bulk | _MixedBulk])
    others: dict[int, Other] = field(default_factory=dict[int, Other])
    found: dict[int, exact.Rows] = field(default_factory=dict[int, exact.Rows])
    streams: dict[int, Decoded] = field(default_factory=dict[int, Decoded])

    def add_other(self, row: Row, value: bytes) -> None:
        self.others[len(self.lines)] = Other(row, value.count(_QUOTE))
        self.lines.append(line_of(row, self.lines[-1] if self.lines else None))


def decode(records: list[bytes]) -> Decoded:
    """Rows of the records, at least one of each. Some 1.3 µs a payment at 2,000 records and more."""
    read = _decode_lines(records)
    if not read.streams:
        return _decoded(records, read)
    streams = joined([read.streams[index] for index in sorted(read.streams)])
    if len(read.streams) == len(records):
        return streams
    texts = [b"" if index in read.streams else value for index, value in enumerate(records)]
    decoded = _decoded(texts, read)
    return interleave(decoded, np.arange(len(decoded.rows)), streams)


def _decoded(records: list[bytes], read: _Lines) -> Decoded:
    """The rows of what is JSON."""
    if not read.lines:
        return _exactly(records, read, [i for i in range(len(records)) if i not in read.streams])
    record = np.repeat(np.arange(len(records), dtype=np.int32), read.counts)
    rows, sound, quotes = columns(read.lines)
    if read.others:
        put_in(read.others, rows, sound, quotes)
    read.doubtful[record[~sound]] = True
    _doubt_bulks(read, rows)
    _doubt_repeats(records, read, record, quotes)
    if not read.doubtful.any():
        return Decoded(rows, record)
    kept = np.flatnonzero(~read.doubtful[record])
    doubted = _exactly(records, read, np.flatnonzero(read.doubtful).tolist())
    return interleave(Decoded(rows, record), kept, doubted)


def _exactly(records: list[bytes], read: _Lines, indexes: list[int]) -> Decoded:
    """The rows of the records named, by the exact path alone."""
    found = [(records[i], read.found.get(i) or exact.read(records[i])) for i in indexes]
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
            before = len(lines)
            _decode_other(read, index, value)
            counts[index] = len(lines) - before
    if max(map(len, records), default=0) > exact.MAX_SINGLE_BYTES:
        for index, value in enumerate(records):
            limit = exact.MAX_BULK_BYTES if index in read.bulks else exact.MAX_SINGLE_BYTES
            read.doubtful[index] |= len(value) > limit
    return read


def _decode_other(read: _Lines, index: int, value: bytes) -> None:
    """What is no line: a stream, the lines of a bulk, another message as one line, or nothing and a doubt."""
    if value.startswith(arrow.MAGIC):
        rows = arrow.read(value)
        read.streams[index] = Decoded(rows, np.full(len(rows), index, np.int32))
        return
    bulk = _decode_bulk(value)
    match bulk:
        case _Bulk():
            read.bulks[index] = bulk
            read.lines += bulk.items
        case _MixedBulk():
            read.bulks[index] = bulk
            read.doubtful[index] = not _decode_items(read, bulk.items)
        case None:
            rows = exact.read(value)
            item, row = rows[0]
            if isinstance(row, Row) and item == exact.RECORD:
                read.add_other(row, value)
            else:
                read.doubtful[index] = True
                read.found[index] = rows


def _decode_bulk(value: bytes) -> _Bulk | _MixedBulk | None:
    if b'"bulk"' not in value:
        return None
    try:
        return _bulk(value)
    except (ValueError, RecursionError):
        pass  # one of its items is no plain payment, or it is no bulk at all
    try:
        mixed = _mixed_bulk(value)
    except (ValueError, RecursionError):
        return None
    return mixed if len(mixed.items) <= exact.MAX_BULK_ITEMS else None


def _decode_items(read: _Lines, items: list[Raw]) -> bool:
    """The items of a mixed bulk, each by itself; can all of them be read?"""
    for item in items:
        try:
            read.lines.append(_line(item))
        except (ValueError, RecursionError):
            value = bytes(item)
            row = exact.read_item(value)
            if isinstance(row, Unreadable):
                return False
            read.add_other(row, value)
    return True


def _doubt_bulks(read: _Lines, rows: RowBatch) -> None:
    """Envelopes that do not hold. Needs the amounts of the items, as columns."""
    ends = np.cumsum(read.counts)
    for index, bulk in read.bulks.items():
        if read.doubtful[index]:
            continue
        items = slice(ends[index] - read.counts[index], ends[index])
        rows.item[items] = np.arange(read.counts[index])
        amount = rows.amount[items]
        if isinstance(bulk, _MixedBulk):
            amount = np.where(rows.kind[items] <= Kind.RETURN, amount, 0)
        read.doubtful[index] = not (
            bulk.type == "bulk"
            and (bulk.version is UNSET or bytes(bulk.version) == VERSION.encode())
            and UUID4.fullmatch(bulk.id)
            and 0 < len(bulk.items) <= exact.MAX_BULK_ITEMS
            and exact.count_holds(text_of(bulk.count), len(bulk.items))
            and exact.sum_of(bulk.control_sum) == exact.total_of(amount, rows.decimals[items])
        )


def _doubt_repeats(records: list[bytes], read: _Lines, record: I32, quotes: I64) -> None:
    """Records in which a key may stand twice, of which the decoder takes the last.

    The fields that were found say how many quotes a record must have at least, two around each text;
    a repeated key can only add to them. (What the exact path has read brings its own.) So if the sums over all
    records are equal, each record's are.
    """
    expected = np.bincount(record, quotes, len(records)).astype(np.int64)
    for index, bulk in read.bulks.items():
        expected[index] += _BULK_QUOTES + (0 if bulk.version is UNSET else 2)
    doubtful = np.flatnonzero(read.doubtful).tolist()
    found = _quotes(records) - sum(records[index].count(_QUOTE) for index in doubtful)
    if found != expected[~read.doubtful].sum():
        read.doubtful |= [value.count(_QUOTE) for value in records] != expected


def _quotes(values: list[bytes]) -> int:
    """Number of `"` in all of them. By blocks: fresh memory for all at once costs more than the counting."""
    blocks = (b"".join(values[i : i + _BLOCK]) for i in range(0, len(values), _BLOCK))
    return sum(int(np.count_nonzero(np.frombuffer(block, np.uint8) == _QUOTE)) for block in blocks)
