"""Records of payments topics to columns: all plain payments at once, everything else one by one, exactly.

Pure: the rows are a function of the records' bytes and order. Which way a message goes never shows in the result:
what the compiled loops read (clearing.intake.plain), the exact path (clearing.intake.exact) would have read the
same; whatever they doubt is the exact one's to decide.
"""

import numpy as np
import pyarrow as pa

from clearing.core.inputs import I64, Bool
from clearing.intake import arrow, exact, plain
from clearing.intake.decoded import Decoded, interleave, joined
from clearing.intake.fields import Row
from clearing.intake.strict import Unreadable
from clearing.log import payments
from clearing.records import warm as warm_records


def decode(records: list[bytes]) -> Decoded:
    """Rows of the records, at least one of each."""
    return joined(parts_of(plain.values_of(records)))


def parts_of(values: plain.Values) -> list[Decoded]:
    """The same in parts, one after the other, as they are there without copying; none has part of a record.

    Some 0.25 µs a plain payment where there are thousands.
    """
    likely = np.flatnonzero(values.text[values.begin] == arrow.MAGIC[0]).tolist()
    streams = {index: value for index in likely if (value := _stream(values, index))}
    if not streams:
        return [_decode_texts(values)]
    of_streams = [_decode_stream(value, index) for index, value in streams.items()]
    rest = np.setdiff1d(np.arange(len(values.begin)), list(streams))
    if not len(rest):
        return of_streams
    of_texts = _decode_texts(plain.Values(values.text, values.begin[rest], values.end[rest]))
    of_texts = Decoded(of_texts.rows, rest.astype(np.int32)[of_texts.record])
    return [interleave(of_texts, np.arange(len(of_texts.rows)), joined(of_streams))]


def _stream(values: plain.Values, index: int) -> bytes:
    """The record if it is one, else nothing."""
    value = values.value(index)
    return value if value.startswith(arrow.MAGIC) else b""


def warm() -> None:
    """Have the loops compiled before there is anything to read: the first time on a machine it takes a while."""
    warm_records()
    arrow.warm()
    rows = decode([b"{}"]).rows
    names = pa.array([""]).dictionary_encode()
    rows.debtor = rows.creditor = rows.asset = names
    rows = joined([Decoded(rows, np.zeros(1, np.int32))] * 2).rows
    payments.pack(rows, [])


def _decode_stream(value: bytes, index: int) -> Decoded:
    rows = arrow.read(value)
    return Decoded(rows, np.full(len(rows), index, np.int32))


def _decode_texts(values: plain.Values) -> Decoded:
    """The rows of what is JSON."""
    found = plain.read(values)
    doubtful = ~found.is_read
    others = _read_others(found, doubtful)
    _doubt_sums(found, others, doubtful)
    slow = [(index, rows) for index, rows in others.items() if not doubtful[index]]
    slow += [
        (index, exact.read(values.value(index))) for index in np.flatnonzero(doubtful).tolist()
    ]
    if not slow:
        return Decoded(found.rows, found.record)
    kept = np.flatnonzero(~doubtful[found.record])
    return interleave(Decoded(found.rows, found.record), kept, _decoded(values, slow))


def _read_others(found: plain.Plain, doubtful: Bool) -> dict[int, exact.Rows]:
    """By record, what in its bulk is no plain payment; doubtful is a record of which one cannot be read alone."""
    others: dict[int, exact.Rows] = {}
    for record, item, text in found.others:
        if not doubtful[record]:
            row = exact.read_item(text)
            doubtful[record] = isinstance(row, Unreadable)
            others.setdefault(record, []).append((item, row))
    return others


def _doubt_sums(found: plain.Plain, others: dict[int, exact.Rows], doubtful: Bool) -> None:
    """Bulks whose control sum is not that of their items."""
    for record, declared in found.sums.items():
        items = slice(*np.searchsorted(found.record, (record, record + 1)).tolist())
        total = exact.total_of(found.rows.amount[items], found.rows.decimals[items])
        total += sum(
            exact.worth_of(row) for _, row in others.get(record, ()) if isinstance(row, Row)
        )
        doubtful[record] |= exact.sum_of(declared) != total


def _decoded(values: plain.Values, found: list[tuple[int, exact.Rows]]) -> Decoded:
    """What the exact path has read, by record."""
    sizes = np.array([len(rows) for _, rows in found], np.int64)
    records: I64 = np.array([index for index, _ in found], np.int64)
    rows = exact.rows_of([(values.value(index), rows) for index, rows in found])
    return Decoded(rows, np.repeat(records.astype(np.int32), sizes))
