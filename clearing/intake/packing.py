"""Records of source partitions to records of the clearing log: what goes together, and which offsets it covers.

Pure and deterministic. Rows of one source record never stand in two log records; the spans cover what was
read exactly, in order, without overlap or gap (DESIGN.md §2). Read by the engine, `simulate` and the worker here.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from clearing.core.inputs import I64, SourceSpan
from clearing.intake import control as control_intake
from clearing.intake.decode import Decoded, parts_of
from clearing.intake.decoded import joined
from clearing.intake.plain import Values, values_in
from clearing.log import control, payments
from clearing.log.rows import assemble
from clearing.records import Records

MAX_ROWS = 32_768  # of a log record, unless one bulk has more: a full fetch of single payments is one log record
# Of source bytes in a log record. A readable row is smaller packed than it was as JSON; a reject row takes
# at most 250 bytes more, so that with MAX_ROWS of them a log record stays below 16 MiB. One bulk may pass it.
MAX_SOURCE_BYTES = 8 << 20


# A span of a source partition, and the records that are read of it, in some parts.
Source = tuple[SourceSpan, Sequence[Records]]


class SourceRecord(NamedTuple):
    """A record that no broker gave: Records.of takes it."""

    offset: int
    value: bytes | None
    timestamp: int = 0


class Packed(NamedTuple):
    """One record for the log: key and value, the spans it acknowledges, and what is in it (for metrics)."""

    key: bytes
    value: bytes
    spans: list[SourceSpan]
    records: int
    rows: int
    reject_codes: list[int]


def pack_payments(sources: Sequence[Source]) -> list[bytes]:
    """Values of log records with key payments.KEY, in order."""
    return [packed.value for packed in payment_records(sources)]


def pack_control(sources: Sequence[Source]) -> list[bytes]:
    """Values of log records with key control.KEY, in order."""
    return [packed.value for packed in control_records(sources)]


class _Part(NamedTuple):
    """A span, and which of all records are its own: those of index [begin, end)."""

    span: SourceSpan
    begin: int
    end: int


class _Read(NamedTuple):
    """The records of all sources, one behind the other. offset: (n,) int64, of each in its partition."""

    values: Values
    offset: I64
    parts: list[_Part]


def payment_records(sources: Sequence[Source]) -> Iterator[Packed]:
    """Log records of payments topics, one after the other: a caller may send one while the next is made."""
    read = _joined(sources)
    ones = np.ones(len(read.offset), np.int64)
    for chunk, begin, end in _split(read, 0, _cuts(ones, read.values.sizes())):
        decoded = parts_of(read.values.part(begin, end))
        rows = np.bincount(np.concatenate([part.record for part in decoded]))
        bounds = np.concatenate([[0], np.cumsum(rows)])
        cuts = [begin + cut for cut in _cuts(rows, np.zeros_like(rows))]
        for part, first, last in _split(read._replace(parts=chunk), begin, cuts):
            record = first - begin
            own = _slice(decoded, record, int(bounds[record]), int(bounds[last - begin]))
            yield _payment_record(part, read.offset[first:last], own)


def _payment_record(parts: list[_Part], offset: I64, decoded: Decoded) -> Packed:
    rows = decoded.rows
    counts = [part.end - part.begin for part in parts]
    source = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
    rows.source = source[decoded.record]
    rows.source_offset = offset[decoded.record]
    spans = [part.span for part in parts]
    codes = [reject.code for reject in rows.rejects.values()]
    value = payments.pack(rows, spans)
    return Packed(payments.KEY, value, spans, len(offset), len(rows), codes)


def control_records(sources: Sequence[Source]) -> Iterator[Packed]:
    """Log records of commands and confirmations. Spans without records make a record too, without items."""
    read = _joined(sources)
    ones = np.ones(len(read.offset), np.int64)
    for parts, _, _ in _split(read, 0, _cuts(ones, read.values.sizes())):
        items = [
            control_intake.read(source, int(read.offset[index]), read.values.value(index))
            for source, part in enumerate(parts)
            for index in range(part.begin, part.end)
        ]
        spans = [part.span for part in parts]
        codes = [item.reject.code for item in items if item.reject is not None]
        value = control.pack(items, spans)
        yield Packed(control.KEY, value, spans, len(items), len(items), codes)


def _joined(sources: Sequence[Source]) -> _Read:
    """In one piece of memory."""
    parts: list[_Part] = []
    end = 0
    for span, records in sources:
        begin, end = end, end + sum(map(len, records))
        parts.append(_Part(span, begin, end))
    chunks = [chunk for _, records in sources for chunk in records]
    offsets = [np.zeros(0, np.int64), *(chunk.offset for chunk in chunks)]
    return _Read(values_in(chunks), np.concatenate(offsets), parts)


def _cuts(rows: I64, sizes: I64) -> list[int]:
    """Indexes of records before which a new log record begins. Greedy; no part is empty."""
    if rows.sum() <= MAX_ROWS and sizes.sum() <= MAX_SOURCE_BYTES:
        return []
    cuts: list[int] = []
    row_count = byte_count = 0
    for index, (row, size) in enumerate(zip(rows.tolist(), sizes.tolist(), strict=True)):
        full = row_count + row > MAX_ROWS or byte_count + size > MAX_SOURCE_BYTES
        if full and row_count:
            cuts.append(index)
            row_count = byte_count = 0
        row_count += row
        byte_count += size
    return cuts


def _split(read: _Read, first: int, cuts: list[int]) -> Iterator[tuple[list[_Part], int, int]]:
    """What is read in pieces that begin at record `first` and at those named by `cuts`: (parts, begin, end).

    Where a source is cut, its span ends after the last record before the cut. A span without records goes
    with the record behind it.
    """
    if not read.parts:
        return
    end = read.parts[-1].end
    for begin, stop in pairwise([first, *cuts, end]):
        pieces = [_piece(part, read.offset, begin, stop, final=stop == end) for part in read.parts]
        yield [piece for piece in pieces if piece is not None], begin, stop


def _piece(part: _Part, offset: I64, begin: int, stop: int, final: bool) -> _Part | None:
    """Of a part what is in [begin, stop), and the offsets that stands for."""
    if part.begin == part.end:
        return part if begin <= part.begin < stop or (final and stop == part.begin) else None
    first, last = max(begin, part.begin), min(stop, part.end)
    if first >= last:
        return None
    span = part.span
    start = span.start if first == part.begin else int(offset[first - 1]) + 1
    end = span.end if last == part.end else int(offset[last - 1]) + 1
    return _Part(SourceSpan(span.topic, span.partition, start, end), first, last)


def _slice(parts: list[Decoded], record: int, first: int, stop: int) -> Decoded:
    """Rows [first, stop) of all, which begin with the record of that index, numbered from there. Copied where it
    is not a whole part."""
    found: list[Decoded] = []
    begin = 0
    for part in parts:
        end = begin + len(part.rows)
        start, last = max(first, begin) - begin, min(stop, end) - begin
        if last - start == len(part.rows):
            found.append(part)
        elif start < last:
            rows = assemble([part.rows], [(0, start, last)])
            found.append(Decoded(rows, part.record[start:last]))
        begin = end
    rows, records = joined(found)
    return Decoded(rows, records - np.int32(record))
