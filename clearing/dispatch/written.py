"""The status records of all banks about one log record, written at once into one piece of memory. Pure.

Of two sections each, statuses and receipts: the frequent case. A bank's rows of a section stand behind one another
in the order of the log, its sections where they belong between the texts of clearing.dispatch.frames.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from clearing.core.inputs import I32, I64
from clearing.dispatch import frames, kernel
from clearing.dispatch.frames import BETWEEN, END, Piece, Section
from clearing.dispatch.memory import GAP
from clearing.dispatch.texts import Field, Gathered, Texts, padded


class Lines(NamedTuple):
    """Rows of one section: JSON objects without the brace at the end, which comes with the comma behind it.

    to: the bank of each row, -1 for none. others: whole objects that stand there instead, by row.
    """

    section: Section
    fields: Sequence[Field]
    to: I32
    others: Mapping[int, bytes]


class _Measured:
    """One section: its rows in the form of the kernel, the bytes of each, and of each bank's."""

    def __init__(self, lines: Lines, own: int, gathered: Gathered, banks: int) -> None:
        self.section: Section = lines.section
        self._to, self._gathered = lines.to, gathered
        self._rows = (
            gathered.fields(lines.fields),
            lines.to,
            np.array(sorted(lines.others), np.int64),
            own,
        )
        self._bytes = np.zeros(banks, np.int64)
        self._sizes = np.zeros(len(lines.to), np.int32)
        kernel.measure(gathered.starts, gathered.places, *self._rows, self._sizes, self._bytes)
        self._starts: list[int] = []
        self.bytes = self._bytes.tolist()
        self.told = np.maximum(self._bytes - 1, 0)  # without the last comma

    def write(self, out: np.ndarray, starts: I64) -> None:
        data, starts_of, places, _ = self._gathered
        self._starts = starts.tolist()
        kernel.write(out, data, starts_of, places, *self._rows, starts)

    def pieces(self, out: memoryview, bank: int) -> list[Piece]:
        """In pieces of at most MAX_ROWS_BYTES (a row is never cut)."""
        start, size = self._starts[bank], self.bytes[bank]
        if not size:
            return []
        if size <= frames.MAX_ROWS_BYTES:
            return [Piece(self.section, out[start : start + size - 1])]
        return [Piece(self.section, out[a : b - 1]) for a, b in self._cut(bank)]

    def _cut(self, bank: int) -> Iterator[tuple[int, int]]:
        ends = self._starts[bank] + np.cumsum(self._sizes[self._to == bank], dtype=np.int64)
        start, row = self._starts[bank], 0
        while row < len(ends):
            fitting = int(np.searchsorted(ends, start + frames.MAX_ROWS_BYTES, "right"))
            row = max(fitting, row + 1)
            yield start, int(ends[row - 1])
            start = int(ends[row - 1])


class Written:
    """head: the text before the statuses. Banks are numbered from 0, as in the Lines."""

    def __init__(
        self, head: bytes, texts: Texts, banks: int, statuses: Lines, receipts: Lines
    ) -> None:
        both = [
            (lines, texts.add(lines.others[row][: -len(b"}")] for row in sorted(lines.others)))
            for lines in (statuses, receipts)
        ]
        gathered = texts.gathered()
        first, second = self._both = [_Measured(*each, gathered, banks) for each in both]
        sizes = len(head) + first.told + len(BETWEEN) + second.told + len(END)
        starts = np.cumsum(sizes + GAP) - sizes
        out = np.empty(int(starts[-1] + sizes[-1]) + GAP, np.uint8)
        # From front to back: what is written later covers what was written behind the end of what was before.
        at = starts + len(head)
        kernel.stamp(out, starts, padded(head))
        first.write(out, at.copy())
        at += first.told
        kernel.stamp(out, at, padded(BETWEEN))
        at += len(BETWEEN)
        second.write(out, at.copy())
        at += second.told
        kernel.stamp(out, at, padded(END))
        self._starts, self._ends = starts.tolist(), (starts + sizes).tolist()
        self._out = memoryview(out.data).toreadonly()

    def record(self, bank: int) -> memoryview | None:
        """All that it is told, in one record; None where that is nothing or too much."""
        first, second = self._both
        if 0 < first.bytes[bank] + second.bytes[bank] <= frames.MAX_ROWS_BYTES:
            return self._out[self._starts[bank] : self._ends[bank]]
        return None

    def pieces(self, bank: int) -> list[Piece]:
        """The rows that it is told."""
        return [piece for section in self._both for piece in section.pieces(self._out, bank)]


def warm() -> None:
    """Call every kernel once, with the types that all calls have: seconds, where nothing is compiled yet."""
    texts, none = Texts(1), np.zeros(1, np.int32)
    fields = [
        texts.ids(np.zeros((1, 2), np.uint64), b""),
        texts.amounts([b""], none, none, none),
        texts.places(none, none, b""),
        texts.strings(pa.array([""]), b""),
    ]
    lines = Lines("statuses", fields, none, {})
    Written(b"", texts, 1, lines, lines)
