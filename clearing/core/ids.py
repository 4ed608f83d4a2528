"""Remembered payment ids: has this id been seen, with which content, and what became of it (R28).

Hash tables (clearing.core.id_slots) over columns (clearing.core.id_columns). One generation per business day;
whole generations are forgotten when they are older than the retention period (older payments are refused
by their value date, so there is no hole). 25 bytes an id, and 16 to 38 for its slots.

Plain meaning, which the property test holds it to: `seen = {}`; per row in order:
`first = seen.setdefault(id, row); known = first is not row; same = first.body == row.body`.
"""

from dataclasses import dataclass

import numpy as np

from clearing.core.compiled import compiled
from clearing.core.id_columns import IdColumns
from clearing.core.id_slots import PRINT, IdSlots
from clearing.core.inputs import I64, U8, U64, Bool, read_only

_MIN_SLOTS = 1 << 10
_MAX_EXPECTED = 1 << 20  # slots that a new day begins with at most: to clear more would be felt
# Slots that are cleared and moved when a table is to grow: some at once, so that a small one grows at once, and
# some with each row, so that the next table is clear when this one is five eighths full, and this one has moved
# long before the next is half full.
_AT_ONCE = 1 << 16
_CLEARED_PER_ROW, _MOVED_PER_ROW = 16, 4
_GENERATION_SHIFT = np.int64(40)


def hash_ids(ids: U64, seed: int) -> U64:
    """64-bit hash of each id. The seed is the process's own: it shapes the tables, never a result, and keeps a
    sender from choosing ids that collide. Ids that differ in few bits (counters) must spread as well as random
    ones, over the high bits above all: they are the home slot."""
    hashes = np.empty(len(ids), np.uint64)
    _hash(read_only(ids), np.uint64(seed), hashes)
    return hashes


@compiled
def _hash(ids: U64, seed: np.uint64, hashes: U64) -> None:
    for row in range(len(ids)):
        h = seed
        for word in range(2):
            h ^= ids[row, word]
            h ^= h >> np.uint64(32)
            h *= np.uint64(0xBF58476D1CE4E5B9)
            h ^= h >> np.uint64(29)
            h *= np.uint64(0x94D049BB133111EB)
        hashes[row] = h


def id_text(id_: str) -> str:
    """32 hex digits as the UUID they are."""
    return f"{id_[:8]}-{id_[8:12]}-{id_[12:16]}-{id_[16:20]}-{id_[20:]}"


def id_hex(words: U64) -> str:
    """The 32 hex digits of an id in two words."""
    return words.astype("<u8").tobytes().hex()


def id_of(id_: str) -> bytes:
    """The 16 bytes of 32 hex digits."""
    return bytes.fromhex(id_)


@dataclass(slots=True)
class Recall:
    """Per row: `ref` of the remembered entry; `known`: remembered before this row; `same`: same content."""

    ref: I64
    known: Bool
    same: Bool


class Generation:
    """Ids first seen on one business day. expected: how many there is to be room for at first.

    The table doubles without a stop: rows pay for it, each a little. From half full on the next one is cleared;
    then that one takes the new ids, and what the old one holds moves over, step by step, while both are asked.
    """

    def __init__(
        self, day: int, hashes: U64, ids: U64, bodies: U64, codes: U8, expected: int = 0
    ) -> None:
        self.day = day
        self.columns = IdColumns(ids, bodies, codes, expected)
        entries = np.arange(1, self.count + 1, dtype=np.uint64)
        size = min(_size_for(expected, _MIN_SLOTS), _MAX_EXPECTED)
        self._slots = IdSlots(_size_for(self.count, size))
        self._slots.fill((hashes & PRINT) | entries)
        self._next: IdSlots | None = None
        self._old: IdSlots | None = None
        self._moved = 0  # slots of the old table, from the first on, whose ids are in the new one

    @property
    def count(self) -> int:
        return self.columns.count

    @property
    def table(self) -> U64:
        """The slots, see clearing.core.id_slots."""
        return self._slots.slots

    def find(self, hashes: U64, ids: U64) -> I64:
        """Entry of each id, -1 where it is not here."""
        entry = self._slots.find(hashes, ids, self.columns)
        self._find_unmoved(hashes, ids, entry)
        return entry

    def _find_unmoved(self, hashes: U64, ids: U64, entry: I64) -> None:
        """Put the entries in that are in the old table alone."""
        if self._old is None:
            return
        rows = np.flatnonzero((entry < 0) & (self._old.home(hashes) >= self._moved))
        entry[rows] = self._old.find(hashes[rows], ids.take(rows, axis=0), self.columns)

    @property
    def nbytes(self) -> int:
        """Memory that is in use: of columns, and of the tables there are at the moment."""
        tables = self._slots.nbytes
        tables += self._old.nbytes if self._old else 0
        return self.columns.nbytes + tables + (self._next.nbytes if self._next else 0)

    def insert(self, hashes: U64, ids: U64, bodies: U64) -> tuple[I64, Bool]:
        """Entry of each id, and whether its row is the one that brought it. The first of equal rows wins."""
        self.move_on(len(ids))
        self._make_room(len(ids))
        if self._old is None:
            return self._insert(hashes, ids, bodies)
        # What is not in the old table is in the new one or nowhere: the old one takes nothing in any more.
        entry = np.full(len(ids), -1, np.int64)
        self._find_unmoved(hashes, ids, entry)
        new = np.zeros(len(ids), np.bool_)
        rows = np.flatnonzero(entry < 0)
        entry[rows], new[rows] = self._insert(hashes[rows], ids.take(rows, axis=0), bodies[rows])
        return entry, new

    def _insert(self, hashes: U64, ids: U64, bodies: U64) -> tuple[I64, Bool]:
        n, base = len(ids), self.count
        # Tentatively every row gets the entry base + row, so that rows of one batch can be compared.
        self.columns.put(ids, bodies)
        entry, slot = self._slots.enter(hashes, ids, base, self.columns)
        new = entry == np.arange(base, base + n)
        if not new.all():
            self._close_holes(ids, bodies, entry, slot, new)
        self.columns.count = base + int(new.sum())
        return entry, new

    def _close_holes(self, ids: U64, bodies: U64, entry: I64, slot: I64, new: Bool) -> None:
        """Rows with a known id have left holes among the tentative entries."""
        base, rows = self.count, np.flatnonzero(new)
        final = np.empty(len(new), np.int64)
        final[rows] = np.arange(base, base + len(rows))
        self.columns.put(ids.take(rows, axis=0), bodies[rows])
        self._slots.renumber(slot[rows], final[rows])
        tentative = entry >= base
        entry[tentative] = final[entry[tentative] - base]

    def _make_room(self, n: int) -> None:
        """For n rows more. At most five eighths of the slots are ever taken, mostly less than half."""
        rows, size = self.count + n, len(self._slots)
        if 2 * rows <= size:
            return
        if self._next is None or 2 * rows > len(self._next):
            self._next = IdSlots(_size_for(rows, 2 * size), is_clear=False)
        is_clear = self._next.clear(max(_CLEARED_PER_ROW * n, _AT_ONCE))
        if not is_clear and 8 * rows <= 5 * size:
            return
        self._next.clear(len(self._next))
        self._move(size)  # so many rows at once as the table had room for: its own growth ends here
        self._old, self._slots, self._next, self._moved = self._slots, self._next, None, 0
        self._move(_AT_ONCE)

    def move_on(self, rows: int) -> None:
        """Go on with a growth that is under way, as far as so many rows pay for."""
        self._move(_MOVED_PER_ROW * rows)

    def close(self) -> None:
        """Its day is over: nothing more comes in."""
        self._next = None

    @property
    def is_growing(self) -> bool:
        return self._next is not None or self._old is not None

    def _move(self, slots: int) -> None:
        """Take what is in so many slots of the old table over; it is done with when nothing is left."""
        old = self._old
        if old is None:
            return
        end = old.end_of_run(self._moved + slots)
        part = old.slots[self._moved : end]
        self._slots.take_in(part[np.flatnonzero(part)])
        self._moved = end
        if end == len(old):
            self._old = None


def _size_for(entries: int, size: int) -> int:
    while size < 2 * entries:
        size *= 2
    return size


class Remembered:
    """All generations, oldest first. A ref is generation << 40 | entry and holds for the current batch only."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.generations: list[Generation] = []

    def __len__(self) -> int:
        return sum(generation.count for generation in self.generations)

    def add_generation(self, day: int, ids: U64, bodies: U64, codes: U8) -> None:
        """Append a generation with what it remembers (empty columns for a new one)."""
        assert not self.generations or self.generations[-1].day < day
        hashes = hash_ids(ids, self.seed)
        expected = 0
        if self.generations:
            expected = self.generations[-1].count
            self.generations[-1].close()
        self.generations.append(Generation(day, hashes, ids, bodies, codes, expected))

    def recall(self, ids: U64, bodies: U64, day: int) -> Recall:
        """Look every row up and remember the new ones under business day `day`."""
        if not self.generations or self.generations[-1].day < day:
            empty = np.empty(0, np.uint64)
            self.add_generation(day, empty.reshape(0, 2), empty, np.empty(0, np.uint8))
        hashes = hash_ids(ids, self.seed)
        ref = np.full(len(ids), -1, np.int64)
        same = np.zeros(len(ids), np.bool_)
        for number, generation in enumerate(self.generations[:-1]):
            generation.move_on(len(ids))
            entry = generation.find(hashes, ids)
            hit = np.flatnonzero(entry >= 0)
            ref[hit] = entry[hit] | (np.int64(number) << _GENERATION_SHIFT)
            same[hit] = generation.columns.bodies(entry[hit]) == bodies[hit]
        known = ref >= 0
        rows = np.flatnonzero(~known)
        if len(rows) < len(ids):
            hashes, ids, bodies = hashes[rows], ids.take(rows, axis=0), bodies[rows]
        current = self.generations[-1]
        entry, new = current.insert(hashes, ids, bodies)
        ref[rows] = entry | (np.int64(len(self.generations) - 1) << _GENERATION_SHIFT)
        known[rows] = ~new
        again = np.flatnonzero(~new)
        same[rows[again]] = current.columns.bodies(entry[again]) == bodies[again]
        return Recall(ref, known, same)

    def set_codes(self, ref: I64, codes: U8) -> None:
        """Write what became of rows that are new (all in the current generation)."""
        entry = ref & ((np.int64(1) << _GENERATION_SHIFT) - np.int64(1))
        self.generations[-1].columns.set_codes(entry, codes)

    def codes(self, ref: I64) -> U8:
        """What became of remembered rows."""
        codes = np.empty(len(ref), np.uint8)
        number = ref >> _GENERATION_SHIFT
        entry = ref & ((np.int64(1) << _GENERATION_SHIFT) - np.int64(1))
        for i, generation in enumerate(self.generations):
            of = np.flatnonzero(number == i)
            codes[of] = generation.columns.codes(entry[of])
        return codes

    def look_up(self, id_: bytes) -> tuple[int, int] | None:
        """(body hash, code) of one remembered id of 16 bytes, None if there is none."""
        place = self._find([id_])
        if not place:
            return None
        generation, entry = place[0]
        at = np.array([entry])
        return int(generation.columns.bodies(at)[0]), int(generation.columns.codes(at)[0])

    def mark(self, ids: list[bytes], code: int) -> None:
        """From now on `code` is what became of these ids; those forgotten already are passed over."""
        for generation, entry in self._find(ids):
            generation.columns.set_codes(np.array([entry]), np.array([code], np.uint8))

    def _find(self, ids: list[bytes]) -> list[tuple[Generation, int]]:
        """(generation, entry) of those that are remembered."""
        words = np.frombuffer(b"".join(ids), "<u8").reshape(-1, 2).astype(np.uint64)
        hashes = hash_ids(words, self.seed)
        found: list[tuple[Generation, int]] = []
        for generation in self.generations:
            entries = generation.find(hashes, words)
            found += [(generation, entry) for entry in entries[entries >= 0].tolist()]
        return found

    def forget_before(self, day: int) -> None:
        """Drop whole generations of business days before `day`."""
        while self.generations and self.generations[0].day < day:
            self.generations.pop(0)
