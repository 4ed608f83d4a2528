"""Remembered payment ids: has this id been seen, with which content, and what became of it (R28).

Open-addressing hash tables over columns, probed a whole batch at a time. One generation per business day;
whole generations are forgotten when they are older than the retention period (older payments are refused
by their value date, so there is no hole). 25 bytes an id and 16-32 for its slot.

Plain meaning, which the property test holds it to: `seen = {}`; per row in order:
`first = seen.setdefault(id, row); known = first is not row; same = first.body == row.body`.
"""

from dataclasses import dataclass

import numpy as np

from clearing.core.inputs import I64, U8, U64, Bool

_MIN_SLOTS = 1 << 10
_REBUILD_CHUNK = 1 << 20
_GENERATION_SHIFT = np.int64(40)


@dataclass(slots=True)
class Recall:
    """Per row: `ref` of the remembered entry; `known`: remembered before this row; `same`: same content."""

    ref: I64
    known: Bool
    same: Bool


class Generation:
    """Ids first seen on one business day. slot = fingerprint << 32 | (entry + 1); 0 is empty."""

    def __init__(self, day: int, seed: int, ids: U64, bodies: U64, codes: U8) -> None:
        self.day = day
        self.seed = np.uint64(seed)
        self.count = len(bodies)
        self.ids, self.bodies, self.codes = ids, bodies, codes
        slots = _MIN_SLOTS
        while slots < 2 * self.count:
            slots *= 2
        self._rebuild(slots)

    def _hash(self, ids: U64) -> U64:
        # The seed is the process's own: it shapes the table, never a result, and keeps a sender from choosing
        # ids that collide.
        h = (ids[:, 0] ^ self.seed) * np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(32)
        h = (h ^ ids[:, 1]) * np.uint64(0x94D049BB133111EB)
        return h ^ (h >> np.uint64(29))

    def _rebuild(self, slots: int) -> None:
        """A table of `slots`, and room in the columns for half as many entries."""
        room = slots // 2
        if len(self.bodies) < room or not self.bodies.flags.writeable:
            kept = self.count
            ids = np.empty((room, 2), np.uint64)
            bodies = np.empty(room, np.uint64)
            codes = np.empty(room, np.uint8)
            ids[:kept], bodies[:kept], codes[:kept] = (
                self.ids[:kept],
                self.bodies[:kept],
                self.codes[:kept],
            )
            self.ids, self.bodies, self.codes = ids, bodies, codes
        self.table = np.zeros(slots, np.uint64)
        for start in range(0, self.count, _REBUILD_CHUNK):
            entries = np.arange(start, min(start + _REBUILD_CHUNK, self.count), dtype=np.uint64)
            self._claim(self._hash(self.ids[start : start + len(entries)]), entries)

    def _claim(self, h: U64, entries: U64) -> None:
        """Put distinct entries into free slots."""
        mask = np.uint64(len(self.table) - 1)
        value = (h >> np.uint64(32) << np.uint64(32)) | (entries + np.uint64(1))
        slot = (h & mask).astype(np.int64)
        while len(slot):
            free = self.table[slot] == 0
            self.table[slot[free]] = value[free]
            lost = self.table[slot] != value
            slot, value = (slot[lost] + 1) & np.int64(mask), value[lost]

    def find(self, ids: U64) -> I64:
        """Entry of each id, -1 where it is not here."""
        h = self._hash(ids)
        mask = np.int64(len(self.table) - 1)
        entry = np.full(len(ids), -1, np.int64)
        row = np.arange(len(ids))
        slot = (h & np.uint64(mask)).astype(np.int64)
        print_ = h >> np.uint64(32)
        while len(row):
            found = self.table[slot]
            taken = found != 0
            if not taken.any():
                break
            row, slot, found = row[taken], slot[taken], found[taken]
            match = np.flatnonzero(found >> np.uint64(32) == print_[row])
            if len(match):
                candidate = (found[match] & np.uint64(0xFFFFFFFF)).astype(np.int64) - 1
                equal = (self.ids[candidate] == ids[row[match]]).all(axis=1)
                entry[row[match[equal]]] = candidate[equal]
                going_on = np.ones(len(row), np.bool_)
                going_on[match[equal]] = False
                row, slot = row[going_on], slot[going_on]
            slot = (slot + 1) & mask
        return entry

    def insert(self, ids: U64, bodies: U64) -> tuple[I64, Bool]:
        """Entry of each id, and whether its row is the one that brought it. The first of equal rows wins."""
        n = len(ids)
        if 2 * (self.count + n) > len(self.table):
            slots = len(self.table)
            while slots < 2 * (self.count + n):
                slots *= 2
            self._rebuild(slots)
        base = self.count
        # Tentatively every row gets the entry base + row, so that rows of one batch can be compared.
        self.ids[base : base + n], self.bodies[base : base + n] = ids, bodies
        entry, home = self._insert_tentative(ids, base)
        new = entry == np.arange(base, base + n)
        if not new.all():
            self._compact(ids, bodies, entry, home, new)
        self.count = base + int(new.sum())
        return entry, new

    def _insert_tentative(self, ids: U64, base: int) -> tuple[I64, I64]:
        """Entry and slot of each id where a new id takes the entry base + row."""
        n = len(ids)
        h = self._hash(ids)
        mask = np.int64(len(self.table) - 1)
        own = (h >> np.uint64(32) << np.uint64(32)) | np.arange(
            base + 1, base + n + 1, dtype=np.uint64
        )
        entry = np.empty(n, np.int64)
        home = np.empty(n, np.int64)
        row = np.arange(n)
        slot = (h & np.uint64(mask)).astype(np.int64)
        while len(row):
            free = self.table[slot] == 0
            # Backwards: of rows that meet in one slot the last assignment, that is the first row, stays.
            self.table[slot[free][::-1]] = own[row[free]][::-1]
            found = self.table[slot]
            match = np.flatnonzero(found >> np.uint64(32) == own[row] >> np.uint64(32))
            candidate = (found[match] & np.uint64(0xFFFFFFFF)).astype(np.int64) - 1
            equal = (candidate == row[match] + base) | (self.ids[candidate] == ids[row[match]]).all(
                axis=1
            )
            done = match[equal]
            entry[row[done]], home[row[done]] = candidate[equal], slot[done]
            going_on = np.ones(len(row), np.bool_)
            going_on[done] = False
            row, slot = row[going_on], (slot[going_on] + 1) & mask
        return entry, home

    def _compact(self, ids: U64, bodies: U64, entry: I64, home: I64, new: Bool) -> None:
        """Close the holes that rows with a known id left among the tentative entries."""
        base = self.count
        rows = np.flatnonzero(new)
        final = np.empty(len(new), np.int64)
        final[rows] = np.arange(base, base + len(rows))
        self.ids[base : base + len(rows)] = ids[rows]
        self.bodies[base : base + len(rows)] = bodies[rows]
        prints = self.table[home[rows]] >> np.uint64(32) << np.uint64(32)
        self.table[home[rows]] = prints | (final[rows].astype(np.uint64) + np.uint64(1))
        tentative = entry >= base
        entry[tentative] = final[entry[tentative] - base]


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
        self.generations.append(Generation(day, self.seed, ids, bodies, codes))

    def recall(self, ids: U64, bodies: U64, day: int) -> Recall:
        """Look every row up and remember the new ones under business day `day`."""
        if not self.generations or self.generations[-1].day < day:
            empty = np.empty(0, np.uint64)
            self.add_generation(day, empty.reshape(0, 2), empty, np.empty(0, np.uint8))
        n = len(ids)
        ref = np.full(n, -1, np.int64)
        old = np.empty(n, np.uint64)
        for number, generation in enumerate(self.generations[:-1]):
            entry = generation.find(ids)
            hit = entry >= 0
            if hit.any():
                ref[hit] = entry[hit] | (np.int64(number) << _GENERATION_SHIFT)
                old[hit] = generation.bodies[entry[hit]]
        known = ref >= 0
        rows = np.flatnonzero(~known)
        current = self.generations[-1]
        entry, new = current.insert(ids[rows], bodies[rows])
        ref[rows] = entry | (np.int64(len(self.generations) - 1) << _GENERATION_SHIFT)
        old[rows] = current.bodies[entry]
        known[rows] = ~new
        return Recall(ref, known, known & (old == bodies))

    def set_codes(self, ref: I64, codes: U8) -> None:
        """Write what became of rows that are new (all in the current generation)."""
        entry = ref & ((np.int64(1) << _GENERATION_SHIFT) - np.int64(1))
        self.generations[-1].codes[entry] = codes

    def codes(self, ref: I64) -> U8:
        """What became of remembered rows."""
        codes = np.empty(len(ref), np.uint8)
        number = ref >> _GENERATION_SHIFT
        entry = ref & ((np.int64(1) << _GENERATION_SHIFT) - np.int64(1))
        for i, generation in enumerate(self.generations):
            of = number == i
            codes[of] = generation.codes[entry[of]]
        return codes

    def forget_before(self, day: int) -> None:
        """Drop whole generations of business days before `day`; the current one stays."""
        while len(self.generations) > 1 and self.generations[0].day < day:
            self.generations.pop(0)
