"""A hash table from ids to entries of their columns: open addressing, probed a whole batch at a time.

slot = high half of the hash << 32 | (entry + 1), 0 is empty; the hash's highest bits are the home slot, the next
free one behind it is taken. What is in a table stays in its slot.
"""

import numpy as np

from clearing.core.id_columns import IdColumns
from clearing.core.inputs import I64, U64, Bool

_CHUNK = 1 << 20
_LOOK = 1 << 10
_ENTRY = np.uint64(0xFFFFFFFF)
PRINT = np.uint64(0xFFFFFFFF00000000)


class IdSlots:
    """size: a power of two. values: of slots, as above. is_clear: else it is to be cleared before it is used."""

    def __init__(self, size: int, *, is_clear: bool = True) -> None:
        self.slots = np.zeros(size, np.uint64) if is_clear else np.empty(size, np.uint64)
        self._clear = size if is_clear else 0
        self._shift = np.uint64(65 - size.bit_length())

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def nbytes(self) -> int:
        """Memory that is in use; what was not cleared yet has none."""
        return 8 * min(self._clear, len(self.slots))

    def clear(self, slots: int) -> bool:
        """So many more of them; whether all are clear now."""
        self.slots[self._clear : self._clear + slots] = 0
        self._clear += slots
        return self._clear >= len(self.slots)

    def home(self, value: U64) -> I64:
        return (value >> self._shift).astype(np.int64)

    def end_of_run(self, slot: int) -> int:
        """The first free slot from this one on, or the table's end: no id has its home before it and is behind."""
        while slot < len(self.slots):
            free = np.flatnonzero(self.slots[slot : slot + _LOOK] == 0)
            if len(free):
                return slot + int(free[0])
            slot += _LOOK
        return len(self.slots)

    def fill(self, values: U64) -> None:
        """Put the values of distinct entries into the empty table; sorts them.

        In ascending order they go to their home or to the slot after the one before: linear probing without a
        probe. What passes the end goes on in the first free slots.
        """
        values.sort()
        size, before = len(self.slots), -1
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            steps = np.arange(len(chunk))
            slot = np.maximum(self.home(chunk), before + 1) - steps
            slot = np.maximum.accumulate(slot) + steps
            before = int(slot[-1])
            inside = int(np.searchsorted(slot, size))
            self.slots[slot[:inside]] = chunk[:inside]
            if inside < len(chunk):
                free = np.flatnonzero(self.slots == 0)
                self.slots[free[: len(chunk) - inside]] = chunk[inside:]

    def take_in(self, values: U64) -> None:
        """Put the values of distinct entries in that are not here yet."""
        mask = np.int64(len(self.slots) - 1)
        slot = self.home(values)
        while len(values):
            free = np.flatnonzero(self.slots[slot] == 0)
            self.slots[slot[free]] = values[free]
            on = np.flatnonzero(self.slots[slot] != values)  # the others are in
            values, slot = values[on], (slot[on] + 1) & mask

    def find(self, hashes: U64, ids: U64, columns: IdColumns) -> I64:
        """Entry of each id, -1 where it is not here."""
        mask = np.int64(len(self.slots) - 1)
        entry = np.full(len(ids), -1, np.int64)
        row = np.arange(len(ids))
        slot = self.home(hashes)
        while len(row):
            found = self.slots[slot]
            taken = np.flatnonzero(found)
            row, slot, found = row[taken], slot[taken], found[taken]
            alike = np.flatnonzero((found ^ hashes[row]) <= _ENTRY)
            if len(alike):
                candidate = (found[alike] & _ENTRY).astype(np.int64) - 1
                equal = _equal(columns.ids(candidate), ids.take(row[alike], axis=0))
                entry[row[alike[equal]]] = candidate[equal]
                on = _without(len(row), alike[equal])
                row, slot = row[on], slot[on]
            slot = (slot + 1) & mask
        return entry

    def enter(self, hashes: U64, ids: U64, base: int, columns: IdColumns) -> tuple[I64, I64]:
        """Entry and slot of each id where a new id takes the entry base + row. The columns hold them already."""
        mask = np.int64(len(self.slots) - 1)
        entry = np.arange(base, base + len(ids))
        place = np.empty(len(ids), np.int64)
        row, slot = np.arange(len(ids)), self.home(hashes)
        value = (hashes & PRINT) | (entry + 1).astype(np.uint64)
        while len(row):
            found = self.slots[slot]
            free = np.flatnonzero(found == 0)
            # Backwards: of rows that meet in one slot the last assignment, that is the first row, stays.
            back = free[::-1]
            self.slots[slot[back]] = value[back]
            found[free] = self.slots[slot[free]]
            place[row] = slot
            on = np.flatnonzero(found != value)  # the other rows are in
            row, slot, found, value = row[on], slot[on], found[on], value[on]
            alike = np.flatnonzero((found ^ value) <= _ENTRY)
            if len(alike):
                candidate = (found[alike] & _ENTRY).astype(np.int64) - 1
                equal = _equal(columns.ids(candidate), ids.take(row[alike], axis=0))
                entry[row[alike[equal]]] = candidate[equal]
                on = _without(len(row), alike[equal])
                row, slot, value = row[on], slot[on], value[on]
            slot = (slot + 1) & mask
        return entry, place

    def renumber(self, slot: I64, entry: I64) -> None:
        """Other entries for what is in these slots."""
        self.slots[slot] = (self.slots[slot] & PRINT) | (entry + 1).astype(np.uint64)


def _equal(a: U64, b: U64) -> Bool:
    return (a[:, 0] == b[:, 0]) & (a[:, 1] == b[:, 1])


def _without(n: int, done: I64) -> I64:
    """Indexes below n that are not in `done`."""
    on = np.ones(n, np.bool_)
    on[done] = False
    return np.flatnonzero(on)
