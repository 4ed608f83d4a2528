"""Texts that rows are put together from, gathered in the form clearing.dispatch.kernel reads. Pure, no business.

Texts that vary by few values are tables, of which each row has one, found by an index; what is each row's own is
written for all rows at once. Every method gives the Field to name them by: a row is a list of Fields.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from clearing.core.inputs import I32, I64, U8, fixed
from clearing.dispatch import kernel
from clearing.dispatch.kernel import OWN, SAME
from clearing.dispatch.memory import GAP

_ENDLESS = 1 << 31
_SPAN = 4_096  # of numbers that are looked up in a table of all between them


class Field(NamedTuple):
    """Texts of a table, from the first on, by a column of indexes; or the first-th column of OWN texts."""

    first: int
    column: int


class _Own(NamedTuple):
    """Texts of each row's own, at most so many bytes. fill(at, data, starts): as kernel.write_amounts does."""

    max_bytes: int
    fill: Callable[[int, U8, I32], bool]


class Gathered(NamedTuple):
    """What kernel.measure and kernel.write read. places: (columns, rows), indexes. own: the first of OWN texts."""

    data: U8
    starts: I32
    places: I32
    own: int

    def fields(self, fields: Iterable[Field]) -> I64:
        """(fields, 2), as the kernel has them."""
        texts = self.places.shape[1] + 1
        found = [
            (self.own + f.first * texts if f.column == OWN else f.first, f.column) for f in fields
        ]
        return np.array(found, np.int64).reshape(-1, 2)


class Texts:
    """Gathers the texts of a number of rows."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._tables: list[bytes] = []
        self._columns: list[np.ndarray] = [np.arange(rows), np.zeros(rows)]  # OWN, SAME
        self._least = [rows, 1]  # texts of any table that goes by a column
        self._own: list[_Own] = []

    def index(self, places: np.ndarray) -> int:
        """A column with the place of each row's text in tables."""
        self._columns.append(places)
        self._least.append(_ENDLESS)
        return len(self._columns) - 1

    def same(self, text: bytes) -> Field:
        """The same in every row."""
        return Field(self.add([text]), SAME)

    def table(self, texts: Sequence[bytes], by: int) -> Field:
        """Each row's by an index."""
        self._least[by] = min(self._least[by], len(texts))
        return Field(self.add(texts), by)

    def add(self, texts: Iterable[bytes]) -> int:
        """Texts behind one another; the number of the first."""
        first = len(self._tables)
        self._tables.extend(texts)
        return first

    def by_value(self, numbers: np.ndarray, text: Callable[[int], bytes]) -> Field:
        """text(number) of each row, asked for once per number that occurs."""
        present, places = distinct(numbers)
        return self.table([text(number) for number in present.tolist()], self.index(places))

    def ids(self, ids: np.ndarray, before: bytes) -> Field:
        """`before` and the canonical text of each UUID. ids: (n, 2), the 16 bytes of each."""
        said, words = padded(before), fixed(ids, np.uint64)
        return self._add_own(
            self._rows * (len(before) + kernel.ID_BYTES),
            lambda at, data, starts: kernel.write_ids(words, said, at, data, starts),
        )

    def amounts(
        self, names: Sequence[bytes], by: np.ndarray, amount: np.ndarray, decimals: np.ndarray
    ) -> Field:
        """names[by] and the decimal text of amount / 10**decimals: clearing.core.money.show."""
        said, ends = padded(b"".join(names)), np.cumsum([0, *map(len, names)])
        name, units = fixed(by, np.int32), fixed(amount, np.int64)
        scale = fixed(decimals, np.uint8)
        return self._add_own(
            self._rows * (kernel.MAX_AMOUNT_BYTES + max(map(len, names), default=0)),
            lambda at, data, starts: kernel.write_amounts(
                said, ends, name, units, scale, at, data, starts
            ),
        )

    def places(self, offset: np.ndarray, item: np.ndarray, behind: bytes) -> Field:
        """offset, comma, item and `behind`."""
        said, alone = padded(behind), padded(b",-1" + behind)
        offsets, items = fixed(offset, np.int64), fixed(item, np.int32)
        return self._add_own(
            self._rows * (kernel.MAX_PLACE_BYTES + len(behind)),
            lambda at, data, starts: kernel.write_places(
                offsets, items, alone, said, at, data, starts
            ),
        )

    def strings(
        self, texts: pa.Array, before: bytes, behind: bytes = b"", *, keep: bool = True
    ) -> Field:
        """Each row's as it stands between quotes in JSON, between the two; keep: also where it is empty."""
        ends, characters = escaped(texts)
        first, last = padded(before), padded(behind)
        return self._add_own(
            self._rows * (len(before) + len(behind)) + len(characters),
            lambda at, data, starts: kernel.write_strings(
                ends, characters, first, last, keep, at, data, starts
            ),
        )

    def gathered(self) -> Gathered:
        """All of them. Raises IndexError and ValueError: nothing looks at them any more."""
        tables, rows = b"".join(self._tables), self._rows
        own = len(self._tables) + 1
        starts = np.empty(own + len(self._own) * (rows + 1), np.int32)
        starts[0] = 0
        np.cumsum(list(map(len, self._tables)), out=starts[1:own])
        data = np.empty(len(tables) + sum(each.max_bytes for each in self._own) + GAP, np.uint8)
        at = len(tables)
        data[:at] = np.frombuffer(tables, np.uint8)
        for k, each in enumerate(self._own):
            its = starts[own + k * (rows + 1) : own + (k + 1) * (rows + 1)]
            if not each.fill(at, data, its):
                raise ValueError("amounts, decimals, source offsets or items that are none")
            at = int(its[-1])
        places = np.empty((len(self._columns), rows), np.int32)
        for column, values in zip(places, self._columns, strict=True):
            column[:] = values
        if not kernel.are_below(places, np.array(self._least)):
            raise IndexError("a row has none of the texts in a table")
        return Gathered(data, starts, places, own)

    def _add_own(self, max_bytes: int, fill: Callable[[int, U8, I32], bool]) -> Field:
        self._own.append(_Own(max_bytes, fill))
        return Field(len(self._own) - 1, OWN)


@lru_cache(1_024)
def padded(text: bytes) -> U8:
    """As the kernel takes texts by themselves."""
    return np.frombuffer(text + bytes(GAP), np.uint8)


def escaped(texts: pa.Array) -> tuple[I32, U8]:
    """Texts as they stand between quotes in JSON, as kernel.write_strings takes them.

    Intake lets nothing in that needs to be escaped; one look at all says so.
    """
    ends, characters = _characters(texts)
    if kernel.is_plain(characters[:-GAP]):
        return ends, characters
    quoted = [msgspec.json.encode(text).decode() for text in texts.to_pylist()]
    return _characters(pa.array([text[1:-1] for text in quoted], pa.string()))


def _characters(texts: pa.Array) -> tuple[I32, U8]:
    assert texts.null_count == 0
    _, buffer, data = texts.buffers()
    ends = np.frombuffer(buffer, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    first, end = int(ends[0]), int(ends[-1])
    characters = np.empty(end - first + GAP, np.uint8)
    characters[:-GAP] = np.frombuffer(data or b"", np.uint8)[first:end]
    return fixed(ends, np.int32), characters


def distinct(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each number once, ascending, and the place of each row's there. Without sorting where they are close."""
    low = int(numbers.min())
    span = int(numbers.max()) - low + 1
    if span > _SPAN:
        return np.unique(numbers, return_inverse=True)
    above = np.subtract(numbers, low, dtype=np.int64)
    present = np.flatnonzero(np.bincount(above, minlength=span))
    place = np.zeros(span, np.int32)
    place[present] = np.arange(len(present))
    return present + low, place[above]
