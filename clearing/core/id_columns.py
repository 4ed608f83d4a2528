"""What is remembered of ids, as columns that only grow: entry → id, body hash, code. In blocks that never move.

Nothing is copied when they grow, and a snapshot is written from the blocks themselves while more entries come.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from clearing.core.inputs import I64, U8, U64

_MIN_ROOM = 1 << 9

_Column = TypeVar("_Column", U8, U64)


@dataclass(slots=True)
class _Block:
    """Columns of the entries `first`, `first` + 1, …; those of the last block have room for more."""

    first: int
    ids: U64
    bodies: U64
    codes: U8


class IdColumns:
    """ids (n, 2), body hashes (n,) and codes (n,) of the entries 0 … n - 1; n is `count`.

    Ids and bodies of entries below `count` never change. expected: entries there is to be room for at first.
    """

    def __init__(self, ids: U64, bodies: U64, codes: U8, expected: int = 0) -> None:
        self.count = len(bodies)
        self._expected = expected
        if not codes.flags.writeable:  # as they come from a snapshot, at any place in its bytes
            ids, bodies, codes = ids.copy(), bodies.copy(), codes.copy()
        self._blocks = [_Block(0, ids, bodies, codes)]
        self._firsts = [0]

    def put(self, ids: U64, bodies: U64) -> None:
        """Write n rows behind the last entry. They count when `count` says so, and may be written again before."""
        self._make_room(len(bodies))
        block = self._blocks[-1]
        start = self.count - block.first
        block.ids[start : start + len(bodies)] = ids
        block.bodies[start : start + len(bodies)] = bodies

    def _make_room(self, n: int) -> None:
        """Room for n rows in the last block: they are never in two."""
        last = self._blocks[-1]
        if self.count + n <= last.first + len(last.bodies):
            return
        size = max(n, self.count, self._expected - self.count, _MIN_ROOM)
        block = _Block(
            self.count,
            np.empty((size, 2), np.uint64),
            np.empty(size, np.uint64),
            np.empty(size, np.uint8),
        )
        if last.first == self.count:
            self._blocks.pop()  # nothing is in it
        self._blocks.append(block)
        self._firsts = [block.first for block in self._blocks]

    @property
    def nbytes(self) -> int:
        """Memory that is in use."""
        return (16 + 8 + 1) * self.count

    def ids(self, entry: I64) -> U64:
        """(n, 2) ids of these entries."""
        return self._taken([block.ids for block in self._blocks], entry)

    def bodies(self, entry: I64) -> U64:
        return self._taken([block.bodies for block in self._blocks], entry)

    def codes(self, entry: I64) -> U8:
        return self._taken([block.codes for block in self._blocks], entry)

    def set_codes(self, entry: I64, codes: U8) -> None:
        for block, rows in self._spread(entry):
            self._blocks[block].codes[entry[rows] - self._blocks[block].first] = codes[rows]

    def parts(self) -> tuple[list[U64], list[U64], list[U8]]:
        """Ids, bodies and codes of all entries, each in parts. The codes are copies: they may still change."""
        ends = [*self._firsts[1:], self.count]
        sizes = [end - block.first for block, end in zip(self._blocks, ends, strict=True)]
        sized = list(zip(self._blocks, sizes, strict=True))
        return (
            [block.ids[:n] for block, n in sized],
            [block.bodies[:n] for block, n in sized],
            [block.codes[:n].copy() for block, n in sized],
        )

    def _taken(self, columns: list[_Column], entry: I64) -> _Column:
        """Values of these entries; columns: of each block."""
        spread = self._spread(entry)
        if len(spread) == 1:
            column, first = columns[spread[0][0]], self._blocks[spread[0][0]].first
            return column.take(entry - first if first else entry, axis=0)
        taken = columns[0].take(np.zeros(len(entry), np.int64), axis=0)
        for block, rows in spread:
            taken[rows] = columns[block].take(entry[rows] - self._firsts[block], axis=0)
        return taken

    def _spread(self, entry: I64) -> list[tuple[int, I64 | slice]]:
        """Which of these entries are in which block."""
        last = len(self._blocks) - 1
        if last == 0 or not len(entry):
            return [(last, slice(None))]
        low, high = (bisect_right(self._firsts, int(end)) - 1 for end in (entry.min(), entry.max()))
        if low == high:
            return [(low, slice(None))]
        block = np.searchsorted(np.array(self._firsts), entry, "right") - 1
        return [(b, np.flatnonzero(block == b)) for b in range(low, high + 1)]
