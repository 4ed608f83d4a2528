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
_ENTRY = np.uint64(0xFFFFFFFF)
_PRINT = np.uint64(0xFFFFFFFF00000000)


def hash_ids(ids: U64, seed: int) -> U64:
    """64-bit hash of each id. The seed is the process's own: it shapes the tables, never a result, and keeps a
    sender from choosing ids that collide. Ids that differ in few bits (counters) must spread as well as random
    ones, over the high bits above all: they are the home slot."""
    h = np.full(len(ids), seed, np.uint64)
    for word in (ids[:, 0], ids[:, 1]):
        h ^= word
        h ^= h >> np.uint64(32)
        h *= np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(29)
        h *= np.uint64(0x94D049BB133111EB)
    return h


def id_text(id_: str) -> str:
    """32 hex digits as the UUID they are."""
    return f"{id_[:8]}-{id_[8:12]}-{id_[12:16]}-{id_[16:20]}-{id_[20:]}"


def id_hex(words: U64) -> str:
    """The 32 hex digits of an id in two words."""
    return words.astype("<u8").tobytes().hex()


def id_of(id_: str) -> bytes:
    """The 16 bytes of 32 hex digits."""
    return bytes.fromhex(id_)


def _without(n: int, done: I64) -> I64:
    """Indexes below n that are not in `done`."""
    on = np.ones(n, np.bool_)
    on[done] = False
    return np.flatnonzero(on)


@dataclass(slots=True)
class Recall:
    """Per row: `ref` of the remembered entry; `known`: remembered before this row; `same`: same content."""

    ref: I64
    known: Bool
    same: Bool


class Generation:
    """Ids first seen on one business day.

    table: slot = high half of the hash << 32 | (entry + 1), 0 is empty; the hash's highest bits are the home.
    expected: ids there is to be room for, so that a table as large as the day before's need not grow.
    """

    def __init__(
        self, day: int, hashes: U64, ids: U64, bodies: U64, codes: U8, expected: int = 0
    ) -> None:
        self.day = day
        self.count = len(bodies)
        self.ids, self.bodies, self.codes = ids, bodies, codes
        entries = np.arange(1, self.count + 1, dtype=np.uint64)
        slots = self._slots_for(max(self.count, expected), _MIN_SLOTS)
        self._build((hashes & _PRINT) | entries, slots)

    @staticmethod
    def _slots_for(entries: int, slots: int) -> int:
        while slots < 2 * entries:
            slots *= 2
        return slots

    def _home(self, value: U64) -> I64:
        return (value >> self._shift).astype(np.int64)

    def _build(self, values: U64, slots: int) -> None:
        """A table of `slots` with the values of distinct entries, and room in the columns for half as many.

        Values in ascending order go to their home or to the slot after the one before: linear probing without
        a probe. What passes the end goes on in the first free slots.
        """
        self._make_room(slots // 2)
        self.table = np.zeros(slots, np.uint64)
        self._shift = np.uint64(65 - slots.bit_length())
        values.sort()
        before = -1
        for start in range(0, len(values), _REBUILD_CHUNK):
            chunk = values[start : start + _REBUILD_CHUNK]
            steps = np.arange(len(chunk))
            slot = np.maximum(self._home(chunk), before + 1) - steps
            slot = np.maximum.accumulate(slot) + steps
            before = int(slot[-1])
            inside = int(np.searchsorted(slot, slots))
            self.table[slot[:inside]] = chunk[:inside]
            if inside < len(chunk):
                free = np.flatnonzero(self.table == 0)
                self.table[free[: len(chunk) - inside]] = chunk[inside:]

    def _make_room(self, room: int) -> None:
        if len(self.bodies) >= room and self.bodies.flags.writeable:
            return
        kept = self.count
        ids, bodies = np.empty((room, 2), np.uint64), np.empty(room, np.uint64)
        codes = np.empty(room, np.uint8)
        ids[:kept], bodies[:kept] = self.ids[:kept], self.bodies[:kept]
        codes[:kept] = self.codes[:kept]
        self.ids, self.bodies, self.codes = ids, bodies, codes

    def _is(self, entry: I64, ids: U64) -> Bool:
        mine = self.ids.take(entry, axis=0)
        return (mine[:, 0] == ids[:, 0]) & (mine[:, 1] == ids[:, 1])

    def find(self, hashes: U64, ids: U64) -> I64:
        """Entry of each id, -1 where it is not here."""
        mask = np.int64(len(self.table) - 1)
        entry = np.full(len(ids), -1, np.int64)
        row = np.arange(len(ids))
        slot = self._home(hashes)
        while len(row):
            found = self.table[slot]
            taken = np.flatnonzero(found)
            row, slot, found = row[taken], slot[taken], found[taken]
            alike = np.flatnonzero((found ^ hashes[row]) <= _ENTRY)
            if len(alike):
                candidate = (found[alike] & _ENTRY).astype(np.int64) - 1
                equal = self._is(candidate, ids.take(row[alike], axis=0))
                entry[row[alike[equal]]] = candidate[equal]
                on = _without(len(row), alike[equal])
                row, slot = row[on], slot[on]
            slot = (slot + 1) & mask
        return entry

    def insert(self, hashes: U64, ids: U64, bodies: U64) -> tuple[I64, Bool]:
        """Entry of each id, and whether its row is the one that brought it. The first of equal rows wins."""
        n, base = len(ids), self.count
        if 2 * (base + n) > len(self.table):
            slots = self._slots_for(base + n, len(self.table))
            self._build(self.table[np.flatnonzero(self.table)], slots)
        # Tentatively every row gets the entry base + row, so that rows of one batch can be compared.
        self.ids[base : base + n], self.bodies[base : base + n] = ids, bodies
        entry, slot = self._insert_tentative(hashes, ids, base)
        new = entry == np.arange(base, base + n)
        if not new.all():
            self._compact(ids, bodies, entry, slot, new)
        self.count = base + int(new.sum())
        return entry, new

    def _insert_tentative(self, hashes: U64, ids: U64, base: int) -> tuple[I64, I64]:
        """Entry and slot of each id where a new id takes the entry base + row."""
        mask = np.int64(len(self.table) - 1)
        entry = np.arange(base, base + len(ids))
        place = np.empty(len(ids), np.int64)
        row, slot = np.arange(len(ids)), self._home(hashes)
        value = (hashes & _PRINT) | (entry + 1).astype(np.uint64)
        while len(row):
            found = self.table[slot]
            free = np.flatnonzero(found == 0)
            # Backwards: of rows that meet in one slot the last assignment, that is the first row, stays.
            back = free[::-1]
            self.table[slot[back]] = value[back]
            found[free] = self.table[slot[free]]
            place[row] = slot
            on = np.flatnonzero(found != value)  # the other rows are in
            row, slot, found, value = row[on], slot[on], found[on], value[on]
            alike = np.flatnonzero((found ^ value) <= _ENTRY)
            if len(alike):
                candidate = (found[alike] & _ENTRY).astype(np.int64) - 1
                equal = self._is(candidate, ids.take(row[alike], axis=0))
                entry[row[alike[equal]]] = candidate[equal]
                on = _without(len(row), alike[equal])
                row, slot, value = row[on], slot[on], value[on]
            slot = (slot + 1) & mask
        return entry, place

    def _compact(self, ids: U64, bodies: U64, entry: I64, slot: I64, new: Bool) -> None:
        """Close the holes that rows with a known id left among the tentative entries."""
        base = self.count
        rows = np.flatnonzero(new)
        final = np.empty(len(new), np.int64)
        final[rows] = np.arange(base, base + len(rows))
        self.ids[base : base + len(rows)] = ids.take(rows, axis=0)
        self.bodies[base : base + len(rows)] = bodies[rows]
        prints = self.table[slot[rows]] & _PRINT
        self.table[slot[rows]] = prints | (final[rows] + 1).astype(np.uint64)
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
        hashes = hash_ids(ids, self.seed)
        expected = self.generations[-1].count if self.generations else 0
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
            entry = generation.find(hashes, ids)
            hit = np.flatnonzero(entry >= 0)
            ref[hit] = entry[hit] | (np.int64(number) << _GENERATION_SHIFT)
            same[hit] = generation.bodies[entry[hit]] == bodies[hit]
        known = ref >= 0
        rows = np.flatnonzero(~known)
        if len(rows) < len(ids):
            hashes, ids, bodies = hashes[rows], ids.take(rows, axis=0), bodies[rows]
        current = self.generations[-1]
        entry, new = current.insert(hashes, ids, bodies)
        ref[rows] = entry | (np.int64(len(self.generations) - 1) << _GENERATION_SHIFT)
        same[rows] = ~new & (current.bodies[entry] == bodies)
        known[rows] = ~new
        return Recall(ref, known, same)

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

    def look_up(self, id_: bytes) -> tuple[int, int] | None:
        """(body hash, code) of one remembered id of 16 bytes, None if there is none."""
        place = self._find([id_])
        if not place:
            return None
        generation, entry = place[0]
        return int(generation.bodies[entry]), int(generation.codes[entry])

    def mark(self, ids: list[bytes], code: int) -> None:
        """From now on `code` is what became of these ids; those forgotten already are passed over."""
        for generation, entry in self._find(ids):
            generation.codes[entry] = code

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
