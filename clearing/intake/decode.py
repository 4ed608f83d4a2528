"""JSON records of payments topics to columns: all sound payments at once, everything else one by one, exactly.

Pure: the rows are a function of the records' bytes and order. Which way a message goes never shows in
the result: what the fast path (clearing.intake.columns) takes, the exact one (clearing.intake.exact)
would have read the same, and whatever the fast path doubts is the exact one's to decide.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, Raw, UnsetType

from clearing.core.inputs import I32, I64, Bool
from clearing.intake import exact
from clearing.intake.columns import Line, columns, text_of
from clearing.intake.fields import UUID4, VERSION
from clearing.intake.strict import Unreadable
from clearing.log.rows import RowBatch, Run, assemble


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
    """What the decoders made of some records; nothing in it has been checked.

    counts: number of lines of each record. doubtful: records whose rows must come from the exact path.
    apart: (item, bytes) of the items of a mixed bulk that are no lines.
    """

    lines: list[Line]
    counts: I32
    doubtful: Bool
    bulks: dict[int, _Bulk | _MixedBulk] = field(default_factory=dict[int, _Bulk | _MixedBulk])
    apart: dict[int, list[tuple[int, bytes]]] = field(
        default_factory=dict[int, list[tuple[int, bytes]]]
    )


def decode(records: list[bytes]) -> Decoded:
    """Rows of the records, at least one of each. Some 1.3 µs a payment at 2,000 records and more."""
    read = _decode_lines(records)
    if not read.lines:
        return _exactly([(index, value, exact.read(value)) for index, value in enumerate(records)])
    record = np.repeat(np.arange(len(records), dtype=np.int32), read.counts)
    rows, sound, quotes = columns(read.lines)
    read.doubtful[record[~sound]] = True
    apart = _read_apart(read)
    _doubt_bulks(read, rows, apart)
    _doubt_repeats(records, read, record, quotes)
    others = [
        (index, records[index], exact.read(records[index]))
        for index in np.flatnonzero(read.doubtful).tolist()
    ]
    others += [(i, records[i], found) for i, found in apart.items() if not read.doubtful[i]]
    if not others:
        return Decoded(rows, record)
    others.sort(key=lambda other: other[0])
    kept = np.flatnonzero(~read.doubtful[record])
    return _interleave(Decoded(rows, record), kept, _exactly(others))


def _exactly(found: list[tuple[int, bytes, exact.Rows]]) -> Decoded:
    """What the exact path has read of some records: (index, record, rows)."""
    rows = exact.rows_of([(value, rows) for _, value, rows in found])
    sizes = np.array([len(rows) for _, _, rows in found], np.int64)
    return Decoded(rows, np.repeat(np.array([index for index, _, _ in found], np.int32), sizes))


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
                continue
            read.bulks[index] = bulk
            if isinstance(bulk, _Bulk):
                counts[index] = len(bulk.items)
                lines += bulk.items
            else:
                counts[index] = _decode_items(bulk.items, read, index)
    if max(map(len, records), default=0) > exact.MAX_SINGLE_BYTES:
        for index, value in enumerate(records):
            limit = exact.MAX_BULK_BYTES if index in read.bulks else exact.MAX_SINGLE_BYTES
            read.doubtful[index] |= len(value) > limit
    return read


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


def _decode_items(items: list[Raw], read: _Lines, index: int) -> int:
    """The items of a mixed bulk, each by itself; how many of them are lines."""
    apart: list[tuple[int, bytes]] = []
    for item, value in enumerate(items):
        try:
            read.lines.append(_line(value))
        except (ValueError, RecursionError):
            apart.append((item, bytes(value)))
    read.apart[index] = apart
    return len(items) - len(apart)


def _read_apart(read: _Lines) -> dict[int, exact.Rows]:
    """Rows of the items that are no lines, by record. What cannot be read makes all of its record doubtful."""
    found: dict[int, exact.Rows] = {}
    for index, items in read.apart.items():
        rows: exact.Rows = []
        for item, value in items:
            row = exact.read_item(value)
            if isinstance(row, Unreadable):
                read.doubtful[index] = True
                break
            rows.append((item, row))
        else:
            found[index] = rows
    return found


def _doubt_bulks(read: _Lines, rows: RowBatch, apart: dict[int, exact.Rows]) -> None:
    """Envelopes that do not hold. Needs the amounts of the items, as columns."""
    ends = np.cumsum(read.counts)
    for index, bulk in read.bulks.items():
        if read.doubtful[index]:
            continue
        items = slice(ends[index] - read.counts[index], ends[index])
        others = apart.get(index, [])
        numbers = np.arange(len(bulk.items))
        rows.item[items] = np.delete(numbers, [i for i, _ in others]) if others else numbers
        total = exact.total_of(rows.amount[items], rows.decimals[items])
        read.doubtful[index] = not (
            bulk.type == "bulk"
            and (bulk.version is UNSET or bytes(bulk.version) == VERSION.encode())
            and UUID4.fullmatch(bulk.id)
            and 0 < len(bulk.items) <= exact.MAX_BULK_ITEMS
            and exact.count_holds(text_of(bulk.count), len(bulk.items))
            and exact.sum_of(bulk.control_sum) == total + exact.sum_of_rows(others)
        )


def _doubt_repeats(records: list[bytes], read: _Lines, record: I32, quotes: I64) -> None:
    """Records in which a key may stand twice, of which the decoder takes the last.

    The fields that were found say how many quotes a record must have at least, two around each text;
    a repeated key can only add to them. So if the sums over all records are equal, each record's are.
    """
    expected = np.bincount(record, quotes, len(records)).astype(np.int64)
    for index, bulk in read.bulks.items():
        expected[index] += _BULK_QUOTES + (0 if bulk.version is UNSET else 2)
    for index, items in read.apart.items():  # the exact path has seen that these have no key twice
        expected[index] += sum(value.count(_QUOTE) for _, value in items)
    doubtful = np.flatnonzero(read.doubtful).tolist()
    found = _quotes(records) - sum(records[index].count(_QUOTE) for index in doubtful)
    if found != expected[~read.doubtful].sum():
        read.doubtful |= [value.count(_QUOTE) for value in records] != expected


def _quotes(values: list[bytes]) -> int:
    """Number of `"` in all of them. By blocks: fresh memory for all at once costs more than the counting."""
    blocks = (b"".join(values[i : i + _BLOCK]) for i in range(0, len(values), _BLOCK))
    return sum(int(np.count_nonzero(np.frombuffer(block, np.uint8) == _QUOTE)) for block in blocks)


def _interleave(fast: Decoded, kept: I64, slow: Decoded) -> Decoded:
    """The kept rows and the slow ones, in order of their records and of the items in those.

    By runs: a batch with a few slow rows costs little more than one without.
    """
    record = np.concatenate([fast.record[kept], slow.record])
    item = np.concatenate([fast.rows.item[kept], slow.rows.item])
    order = np.argsort(record.astype(np.int64) << 32 | (item + 1), kind="stable")
    gap = len(fast.rows) + 1  # between the numbers of the two, so that no run is of both
    place = np.concatenate([kept, gap + np.arange(len(slow.rows))])[order]
    first = np.flatnonzero(np.diff(place, prepend=-2) != 1)
    stop = np.append(first[1:], len(place)) - 1
    runs: list[Run] = [
        (0, start, last + 1) if start < gap else (1, start - gap, last + 1 - gap)
        for start, last in zip(place[first].tolist(), place[stop].tolist(), strict=True)
    ]
    return Decoded(assemble((fast.rows, slow.rows), runs), record[order])
