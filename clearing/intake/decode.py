"""Records of payments topics to columns: all sound payments at once, everything else one by one, exactly.

Pure: the rows are a function of the records' bytes and order. Which way a message goes never shows in the result:
what the columns take of records that are alike (clearing.intake.alike) or were decoded one by one
(clearing.intake.lines), the exact path (clearing.intake.exact) would have read the same; whatever they doubt is
the exact one's to decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
from msgspec import UNSET, Raw, UnsetType

from clearing.core.inputs import I32, I64, Bool, Kind
from clearing.intake import alike, arrow, exact
from clearing.intake.columns import columns
from clearing.intake.decoded import Decoded, interleave, joined
from clearing.intake.fields import UUID4, VERSION, Row
from clearing.intake.lines import Line, decode_line, fields_of, numbers_of, quotes_of, text_of
from clearing.intake.others import Other, line_of, put_in
from clearing.intake.shapes import ENVELOPE_QUOTES, Envelope
from clearing.intake.strict import Unreadable
from clearing.log.rows import RowBatch

# What is smaller is read sooner one by one.
ALIKE_BYTES = 1 << 14
# Rows read in two ways are put together by the stretch, which costs as much as some payments do.
RECORDS_A_STRETCH = 16


class _Bulk(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: str
    id: str
    count: Raw
    control_sum: str
    items: list[Line]
    version: Raw | UnsetType = UNSET


_QUOTE = ord('"')
_BLOCK = 256  # records

_bulk = msgspec.json.Decoder(_Bulk).decode
_mixed_bulk = msgspec.json.Decoder(Envelope).decode


@dataclass(slots=True)
class _Lines:
    """What the decoders made of some records; nothing in it has been checked but what the exact path has read.

    counts: number of lines of each record. doubtful: records whose rows must come from the exact path;
    found: rows of those that have been there. others: what the exact path has read of a line, by line.
    """

    lines: list[Line]
    counts: I32
    doubtful: Bool
    bulks: dict[int, _Bulk | Envelope] = field(default_factory=dict[int, _Bulk | Envelope])
    others: dict[int, Other] = field(default_factory=dict[int, Other])
    found: dict[int, exact.Rows] = field(default_factory=dict[int, exact.Rows])

    def add_other(self, row: Row, value: bytes) -> None:
        self.others[len(self.lines)] = Other(row, value.count(_QUOTE))
        self.lines.append(line_of(row, self.lines[-1] if self.lines else None))


def decode(records: list[bytes]) -> Decoded:
    """Rows of the records, at least one of each. Some 0.7 µs a payment at 2,000 records and more that are alike."""
    text = alike.text_of(records)
    streams: list[int] = []
    if not text.isascii():
        streams = [index for index, value in enumerate(records) if value.startswith(arrow.MAGIC)]
    if not streams:
        return _decode_texts(records, text)
    of_streams = joined([_decode_stream(records, index) for index in streams])
    if len(streams) == len(records):
        return of_streams
    rest = np.setdiff1d(np.arange(len(records)), streams)
    texts = _chosen(records, rest)
    of_texts = _numbered(_decode_texts(texts, alike.text_of(texts)), rest)
    return interleave(of_texts, np.arange(len(of_texts.rows)), of_streams)


def _decode_stream(records: list[bytes], index: int) -> Decoded:
    rows = arrow.read(records[index])
    return Decoded(rows, np.full(len(rows), index, np.int32))


def _chosen(records: list[bytes], indexes: I64) -> list[bytes]:
    return [records[index] for index in indexes.tolist()]


def _numbered(decoded: Decoded, indexes: I64) -> Decoded:
    """What was decoded by itself, with the indexes its records have among all."""
    return Decoded(decoded.rows, indexes.astype(np.int32)[decoded.record])


def _decode_texts(records: list[bytes], text: bytes) -> Decoded:
    """The rows of what is JSON. text: alike.text_of(records)."""
    if len(text) < ALIKE_BYTES:
        return _decode_one_by_one(records)
    found = alike.read(records, text)
    others = np.flatnonzero(~found.found)
    if not len(others):
        return _decode_alike(records, found)
    if _stretches(found.found) > len(records) // RECORDS_A_STRETCH or len(others) == len(records):
        return _decode_one_by_one(records)
    fast = _decode_alike(records, found)
    slow = _numbered(_decode_one_by_one(_chosen(records, others)), others)
    return interleave(fast, np.arange(len(fast.rows)), slow)


def _stretches(chosen: Bool) -> int:
    """Number of runs of equal values, but one."""
    return int(np.count_nonzero(chosen[1:] != chosen[:-1]))


def _decode_alike(records: list[bytes], found: alike.Alike) -> Decoded:
    """The rows of the records that were found alike to others."""
    rows, sound = columns(found.fields, found.window)
    rows.item = found.item
    doubtful = np.zeros(len(records), np.bool_)
    doubtful[found.record[~sound]] = True
    _doubt_bulks(found.envelopes, rows, found.record, doubtful)
    return _with_exact(records, Decoded(rows, found.record), doubtful, {})


def _decode_one_by_one(records: list[bytes]) -> Decoded:
    read = _decode_lines(records)
    if not read.lines:
        return _exactly(records, read.found, list(range(len(records))))
    record = np.repeat(np.arange(len(records), dtype=np.int32), read.counts)
    fields = fields_of(read.lines)
    in_range = np.ones(len(read.lines), np.bool_)
    rows, sound = columns(fields, numbers_of(read.lines, in_range))
    sound &= in_range
    quotes = quotes_of(read.lines, fields)
    if read.others:
        put_in(read.others, rows, sound, quotes)
    read.doubtful[record[~sound]] = True
    _doubt_bulks(read.bulks, rows, record, read.doubtful)
    _doubt_repeats(records, read, record, quotes)
    return _with_exact(records, Decoded(rows, record), read.doubtful, read.found)


def _with_exact(
    records: list[bytes], decoded: Decoded, doubtful: Bool, found: dict[int, exact.Rows]
) -> Decoded:
    """The rows, but those of doubtful records as the exact path has them."""
    if not doubtful.any():
        return decoded
    kept = np.flatnonzero(~doubtful[decoded.record])
    return interleave(decoded, kept, _exactly(records, found, np.flatnonzero(doubtful).tolist()))


def _exactly(records: list[bytes], known: dict[int, exact.Rows], indexes: list[int]) -> Decoded:
    """The rows of the records named, by the exact path alone. known: what that has found already."""
    found = [(records[i], known.get(i) or exact.read(records[i])) for i in indexes]
    sizes = np.array([len(rows) for _, rows in found], np.int64)
    return Decoded(exact.rows_of(found), np.repeat(np.array(indexes, np.int32), sizes))


def _decode_lines(records: list[bytes]) -> _Lines:
    counts = np.ones(len(records), np.int32)
    read = _Lines([], counts, np.zeros(len(records), np.bool_))
    lines = read.lines
    for index, value in enumerate(records):
        try:
            lines.append(decode_line(value))
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
    """What is no line: the lines of a bulk, another message as one line, or nothing and a doubt."""
    bulk = _decode_bulk(value)
    match bulk:
        case _Bulk():
            read.bulks[index] = bulk
            read.lines += bulk.items
        case Envelope():
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


def _decode_bulk(value: bytes) -> _Bulk | Envelope | None:
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
            read.lines.append(decode_line(item))
        except (ValueError, RecursionError):
            value = bytes(item)
            row = exact.read_item(value)
            if isinstance(row, Unreadable):
                return False
            read.add_other(row, value)
    return True


def _doubt_bulks(
    bulks: Mapping[int, _Bulk | Envelope], rows: RowBatch, record: I32, doubtful: Bool
) -> None:
    """Envelopes that do not hold. Needs the amounts of the items, as columns."""
    for index, bulk in bulks.items():
        if doubtful[index]:
            continue
        items = slice(*np.searchsorted(record, (index, index + 1)).tolist())
        count = items.stop - items.start
        rows.item[items] = np.arange(count)
        amount = np.where(rows.kind[items] <= Kind.RETURN, rows.amount[items], 0)
        doubtful[index] = not (
            bulk.type == "bulk"
            and (bulk.version is UNSET or bytes(bulk.version) == VERSION.encode())
            and UUID4.fullmatch(bulk.id)
            and 0 < count <= exact.MAX_BULK_ITEMS
            and exact.count_holds(text_of(bulk.count), count)
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
        expected[index] += ENVELOPE_QUOTES + (0 if bulk.version is UNSET else 2)
    doubtful = np.flatnonzero(read.doubtful).tolist()
    found = _quotes(records) - sum(records[index].count(_QUOTE) for index in doubtful)
    if found != expected[~read.doubtful].sum():
        read.doubtful |= [value.count(_QUOTE) for value in records] != expected


def _quotes(values: list[bytes]) -> int:
    """Number of `"` in all of them. By blocks: fresh memory for all at once costs more than the counting."""
    blocks = (b"".join(values[i : i + _BLOCK]) for i in range(0, len(values), _BLOCK))
    return sum(int(np.count_nonzero(np.frombuffer(block, np.uint8) == _QUOTE)) for block in blocks)
