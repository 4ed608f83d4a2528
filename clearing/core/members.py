"""The payments of a window one by one, where its model or a shortfall asks for them (R6, R25)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from clearing.core.inputs import I64, U64


class Members:
    """The payments of a window one by one, in canonical order: columns in pieces, one per log record."""

    def __init__(self, pieces: "list[Piece] | None" = None) -> None:
        self.pieces = pieces or []

    def take_in(self, fresh: "list[Fresh]") -> None:
        """What a log record brought, in a piece of its own: other windows have the rest of the same columns."""
        parts = [piece.part(begin, end) for piece, _, begin, end in fresh]
        columns = zip(*(part.columns() for part in parts), strict=True)
        self.pieces.append(Piece(*(np.concatenate(parts) for parts in columns)))

    def joined(self) -> "Piece":
        """All of them as one piece."""
        if len(self.pieces) != 1:
            self.pieces = [joined(self.pieces)]
        return self.pieces[0]

    def parts(self) -> "list[list[U64 | I64]]":
        """The columns, each in its pieces' parts; what was taken in never changes."""
        pieces = self.pieces or [joined([])]
        return [list(parts) for parts in zip(*(p.columns() for p in pieces), strict=True)]


@dataclass(slots=True)
class Piece:
    """n payments: ids (n, 2); debtor, creditor: participants; units; offset: log record that accepted them."""

    ids: U64
    debtor: I64
    creditor: I64
    units: I64
    offset: I64

    def __len__(self) -> int:
        return len(self.units)

    def taken(self, rows: I64) -> "Piece":
        return Piece(*(getattr(self, name).take(rows, axis=0) for name in self.__slots__))

    def part(self, begin: int, end: int) -> "Piece":
        """Rows [begin, end), in the same memory."""
        rows = slice(begin, end)
        return Piece(
            self.ids[rows],
            self.debtor[rows],
            self.creditor[rows],
            self.units[rows],
            self.offset[rows],
        )

    def columns(self) -> list[U64 | I64]:
        return [getattr(self, name) for name in self.__slots__]


class Fresh(NamedTuple):
    """Members of one window: rows [begin, end) of what a log record brought all of them.

    hashed: the same rows, as the chain of a window's members is made over them.
    """

    piece: Piece
    hashed: memoryview
    begin: int
    end: int


def joined(pieces: list[Piece]) -> Piece:
    """The pieces one after the other; of none, an empty one."""
    if not pieces:
        empty = np.empty(0, np.int64)
        return Piece(np.empty((0, 2), np.uint64), empty, empty, empty, empty)
    if len(pieces) == 1:
        return pieces[0]
    columns = zip(*(piece.columns() for piece in pieces), strict=True)
    return Piece(*(np.concatenate(parts) for parts in columns))
