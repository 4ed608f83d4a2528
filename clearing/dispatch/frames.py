"""Status records around rows that are JSON already: sections, sizes, indexes. Pure; knows nothing of payments.

What a log record means to one participant is one StatusRecord, or several in a row when it is large.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from clearing.core.inputs import I64

# Rows of one record take at most so many bytes, so that it passes brokers and readers with default limits (1 MiB).
# STORED FORMAT: where it cuts decides each part's index.
MAX_ROWS_BYTES = 900_000

Section = Literal["statuses", "receipts", "requests", "answers", "withdrawn"]
_OPTIONAL: tuple[Section, ...] = ("requests", "answers", "withdrawn")  # left out where empty


class Piece(NamedTuple):
    """Rows of one section, comma-separated, that stay together."""

    section: Section
    rows: bytes | memoryview


class Frame:
    """The head of every StatusRecord that one log record causes in a netting set."""

    def __init__(self, netting_set_json: str, log_offset: int, time_ms: int) -> None:
        self._head = f'{{"type":"status","netting_set":{netting_set_json},"log_offset":{log_offset}'
        self._time = f',"time_ms":{time_ms},"statuses":['

    def records(self, pieces: Sequence[Piece], index: int) -> list[bytes]:
        """One record with all pieces if they fit, otherwise each in its own; numbered from `index` on."""
        size_bytes = 0
        for _, rows in pieces:
            # With its comma: a section that had to be cut never passes for one that fits.
            size_bytes += len(rows) + 1
        if size_bytes <= MAX_ROWS_BYTES:
            return [self._record(pieces, index)] if pieces else []
        return [self._record([piece], index + i) for i, piece in enumerate(pieces)]

    def _record(self, pieces: Iterable[Piece], index: int) -> bytes:
        rows: dict[Section, bytes | memoryview] = dict(pieces)
        start = f'{self._head},"index":{index}{self._time}'.encode()
        sent, received = rows.pop("statuses", b""), rows.pop("receipts", b"")
        if not rows:
            return b"".join((start, sent, b'],"receipts":[', received, b"]}"))
        parts = [start, sent, b'],"receipts":[', received]
        for section in _OPTIONAL:
            if section in rows:
                parts += [f'],"{section}":['.encode(), rows[section]]
        return b"".join((*parts, b"]}"))


class Groups(NamedTuple):
    """A column of JSON rows, each with a comma behind it, by participant.

    Those of participant i are rows first[i] up to first[i + 1], of which row r is data[at[r] : at[r + 1]].
    starts: at[first].
    """

    data: memoryview
    at: npt.NDArray[np.int32]
    first: list[int]
    starts: list[int]

    def pieces(self, section: Section, i: int) -> list[Piece]:
        """Rows of participant i in pieces of at most MAX_ROWS_BYTES (a row is never cut)."""
        start, end = self.starts[i], self.starts[i + 1]
        if start == end:
            return []
        if end - start <= MAX_ROWS_BYTES:
            return [Piece(section, self.data[start : end - 1])]
        return [Piece(section, rows) for rows in self._cut(self.first[i], self.first[i + 1])]

    def _cut(self, row: int, end: int) -> Iterator[memoryview]:
        while row < end:
            fitting = bisect_right(self.at, self.at[row] + MAX_ROWS_BYTES, row, end + 1) - 1
            stop = max(fitting, row + 1)
            yield self.data[self.at[row] : self.at[stop] - 1]
            row = stop


def grouped(rows: pa.Array, participant: I64, participants: int, chosen: I64) -> Groups:
    """The chosen rows by participant (0 .. participants - 1), within one in log order."""
    of = participant[chosen]
    in_order = not (of[1:] < of[:-1]).any()
    if participants <= np.iinfo(np.uint16).max:
        of = of.astype(np.uint16)  # of which NumPy sorts many by counting
    order = chosen if in_order else chosen[np.argsort(of, kind="stable")]
    untouched = in_order and len(chosen) == len(rows)
    taken = rows if untouched else rows.take(pa.array(order))
    assert taken.null_count == 0
    assert taken.offset == 0
    _, ends, data = taken.buffers()
    at = np.frombuffer(ends, np.int32, len(order) + 1)
    first = np.searchsorted(participant[order], np.arange(participants + 1))
    return Groups(memoryview(data or b""), at, first.tolist(), at[first].tolist())


class Rows:
    """JSON rows of one participant, section by section, in the order in which they are added."""

    def __init__(self) -> None:
        self._sections: dict[Section, list[bytes]] = {}

    def add(self, section: Section, row: bytes) -> None:
        self._sections.setdefault(section, []).append(row)

    def pieces(self) -> list[Piece]:
        """All rows in pieces of at most MAX_ROWS_BYTES (a row is never cut)."""
        return [
            Piece(section, b",".join(rows))
            for section, whole in self._sections.items()
            for rows in _cut(whole)
        ]


def _cut(rows: list[bytes]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size_bytes = 0
    for row in rows:
        if part and size_bytes + len(row) + 1 > MAX_ROWS_BYTES:
            yield part
            part, size_bytes = [], 0
        part.append(row)
        size_bytes += len(row) + 1
    yield part
