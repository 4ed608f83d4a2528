"""A hash table from ids to entries of their columns: open addressing, probed by compiled loops.

slot = high half of the hash << 32 | (entry + 1), 0 is empty; the hash's highest bits are the home slot, the next
free one behind it is taken. What is in a table stays in its slot.
"""

import numpy as np

from clearing.core.compiled import compiled
from clearing.core.id_columns import IdColumns
from clearing.core.inputs import I64, U64, Bool, read_only

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
        _take_in(self.slots, self._shift, values)

    def find(self, hashes: U64, ids: U64, columns: IdColumns) -> I64:
        """Entry of each id, -1 where it is not here."""
        entry = np.full(len(ids), -1, np.int64)
        row, slot = np.arange(len(ids)), self.home(hashes)
        while len(row):
            found = self.slots.take(slot)
            _alike(self.slots, hashes[row], slot, found)
            alike = np.flatnonzero(found)
            row, slot = row[alike], slot[alike]
            candidate = (found[alike] & _ENTRY).astype(np.int64) - 1
            equal = _equal(columns.ids(candidate), ids.take(row, axis=0))
            entry[row[equal]] = candidate[equal]
            row, slot = row[~equal], self._behind(slot[~equal])
        return entry

    def enter(self, hashes: U64, ids: U64, base: int, columns: IdColumns) -> tuple[I64, I64]:
        """Entry and slot of each id where a new id takes the entry base + row, the first of equal ones.

        An entry from before is taken for the id's own if their hashes are alike; then it is compared, and the row
        goes on behind it if it is another's. Rows of one id do so together, in their order.
        """
        entry, place = np.empty(len(ids), np.int64), self.home(hashes)
        row = np.arange(len(ids))
        ids = read_only(ids)
        while len(row):
            # Looked up at once beforehand: many cache misses at a time.
            found = self.slots.take(place.take(row))
            _enter(self.slots, hashes, ids, base, row, found, entry, place)
            row = row[entry[row] < base]
            row = row[~_equal(columns.ids(entry[row]), ids.take(row, axis=0))]
            place[row] = self._behind(place[row])
        return entry, place

    def _behind(self, slot: I64) -> I64:
        return (slot + 1) & np.int64(len(self.slots) - 1)

    def renumber(self, slot: I64, entry: I64) -> None:
        """Other entries for what is in these slots."""
        self.slots[slot] = (self.slots[slot] & PRINT) | (entry + 1).astype(np.uint64)


def _equal(a: U64, b: U64) -> Bool:
    return (a[:, 0] == b[:, 0]) & (a[:, 1] == b[:, 1])


@compiled
def _take_in(slots: U64, shift: np.uint64, values: U64) -> None:
    """Each value into the first free slot from its home on."""
    for i in range(len(values)):
        value = values[i]
        slot = np.int64(value >> shift)
        while slots[slot] != 0:
            slot = slot + 1 if slot + 1 < len(slots) else 0
        slots[slot] = value


@compiled
def _alike(slots: U64, hashes: U64, slot: I64, found: U64) -> None:
    """Each row goes on from its slot, and what it has found there, to the first that is free or has the print of
    its hash."""
    for row in range(len(hashes)):
        while found[row] != 0 and (found[row] ^ hashes[row]) > _ENTRY:
            slot[row] = slot[row] + 1 if slot[row] + 1 < len(slots) else 0
            found[row] = slots[slot[row]]


@compiled
def _enter(
    slots: U64, hashes: U64, ids: U64, base: int, rows: I64, found: U64, entry: I64, place: I64
) -> None:
    """Each of these rows, in their order, goes on from its `place` to the first slot that is free, or has the print
    of its hash and is from before or of the same id. A free one it takes. entry: base + row, or whose the slot is.

    found: what was in their places before the first of them took one.
    """
    for i in range(len(rows)):
        row, seen = rows[i], found[i]
        at = place[row]
        while True:
            if seen == 0:
                seen = slots[at]  # maybe not free any more
            if seen == 0:
                slots[at] = (hashes[row] & PRINT) | np.uint64(base + row + 1)
                entry[row] = base + row
                break
            if (seen ^ hashes[row]) <= _ENTRY:
                entry[row] = np.int64(seen & _ENTRY) - 1
                earlier = entry[row] - base
                if earlier < 0:
                    break
                if ids[earlier, 0] == ids[row, 0] and ids[earlier, 1] == ids[row, 1]:
                    break
            at = at + 1 if at + 1 < len(slots) else 0
            seen = slots[at]
        place[row] = at
