"""Records of source partitions to records of the clearing log: what goes together, and which offsets it covers.

Pure and deterministic. Rows of one source record never stand in two log records; the spans cover what was
read exactly, in order, without overlap or gap (DESIGN.md §2). Read by the engine, `simulate` and the worker here.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol

import numpy as np

from clearing.core.inputs import I64, SourceSpan
from clearing.intake import control as control_intake
from clearing.intake.decode import Decoded, decode
from clearing.log import control, payments
from clearing.log.rows import assemble

MAX_ROWS = 8192  # of a log record, unless one bulk has more
# Of source bytes in a log record. A readable row is smaller packed than it was as JSON; a reject row takes
# at most 300 bytes more, so that with MAX_ROWS of them a log record stays below 8 MiB. One bulk may pass it.
MAX_SOURCE_BYTES = 5 << 20


class SourceRecord(NamedTuple):
    offset: int
    value: bytes | None


class Record(Protocol):
    """What is used of a record: a SourceRecord has it, and so has what a Kafka consumer gives."""

    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


Source = tuple[SourceSpan, Sequence[Record]]


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


def payment_records(sources: Sequence[Source]) -> Iterator[Packed]:
    """Log records of payments topics, one after the other: a caller may send one while the next is made."""
    values = _values(sources)
    cuts = _cuts(np.ones(len(values), np.int64), _sizes(values))
    for chunk, begin, end in _split(sources, cuts):
        decoded = decode(values[begin:end])
        rows = np.bincount(decoded.record)
        bounds = np.concatenate([[0], np.cumsum(rows)])
        for part, first, last in _split(chunk, _cuts(rows, np.zeros_like(rows))):
            yield _payment_record(
                part, _slice(decoded, first, int(bounds[first]), int(bounds[last]))
            )


def _payment_record(part: Sequence[Source], decoded: Decoded) -> Packed:
    rows = decoded.rows
    counts = [len(records) for _, records in part]
    offsets = np.concatenate([_offsets(records) for _, records in part])
    source = np.repeat(np.arange(len(part), dtype=np.int32), counts)
    rows.source = source[decoded.record]
    rows.source_offset = offsets[decoded.record]
    spans = [span for span, _ in part]
    codes = [reject.code for reject in rows.rejects.values()]
    value = payments.pack(rows, spans)
    return Packed(payments.KEY, value, spans, len(offsets), len(rows), codes)


def _offsets(records: Sequence[Record]) -> I64:
    """They rise within a partition: as many as there are places hold each of these."""
    if not records:
        return np.zeros(0, np.int64)
    first, last = records[0].offset, records[-1].offset
    if last - first == len(records) - 1:
        return np.arange(first, last + 1)
    return np.fromiter((record.offset for record in records), np.int64, len(records))


def control_records(sources: Sequence[Source]) -> Iterator[Packed]:
    """Log records of commands and confirmations. Spans without records make a record too, without items."""
    values = _values(sources)
    cuts = _cuts(np.ones(len(values), np.int64), _sizes(values))
    for part, _, _ in _split(sources, cuts):
        items = [
            control_intake.read(source, record.offset, record.value or b"")
            for source, (_, records) in enumerate(part)
            for record in records
        ]
        spans = [span for span, _ in part]
        codes = [item.reject.code for item in items if item.reject is not None]
        value = control.pack(items, spans)
        yield Packed(control.KEY, value, spans, len(items), len(items), codes)


def _values(sources: Sequence[Source]) -> list[bytes]:
    return [record.value or b"" for _, records in sources for record in records]


def _sizes(values: list[bytes]) -> I64:
    return np.fromiter(map(len, values), np.int64, len(values))


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


def _split(
    sources: Sequence[Source], cuts: list[int]
) -> Iterator[tuple[Sequence[Source], int, int]]:
    """The sources in parts that begin at the first record and at those named by `cuts`: (part, begin, end).

    Where a source is cut, its span ends after the last record before the cut. A span without records goes
    with the record behind it.
    """
    ends = list(accumulate(len(records) for _, records in sources))
    if not cuts:
        if sources:
            yield sources, 0, ends[-1]
        return
    begins = [end - len(records) for end, (_, records) in zip(ends, sources, strict=True)]
    for first, last in pairwise([0, *cuts, ends[-1]]):
        parts = [
            _part(span, records, first - begin, last - begin, final=last == ends[-1])
            for (span, records), begin in zip(sources, begins, strict=True)
        ]
        yield [part for part in parts if part is not None], first, last


def _part(
    span: SourceSpan, records: Sequence[Record], first: int, last: int, final: bool
) -> Source | None:
    """Records [first, last) of a source, as far as it has them, and the offsets they stand for."""
    if not records:
        return (span, records) if first <= 0 < last or (final and last == 0) else None
    first, last = max(first, 0), min(last, len(records))
    if first >= last:
        return None
    start = span.start if first == 0 else records[first - 1].offset + 1
    end = span.end if last == len(records) else records[last - 1].offset + 1
    return SourceSpan(span.topic, span.partition, start, end), records[first:last]


def _slice(decoded: Decoded, record: int, first: int, stop: int) -> Decoded:
    """Rows [first, stop), which begin with the record of that index, numbered from there."""
    if first == 0 and stop == len(decoded.rows):
        return decoded
    rows = assemble([decoded.rows], [(0, first, stop)])
    return Decoded(rows, decoded.record[first:stop] - np.int32(record))
