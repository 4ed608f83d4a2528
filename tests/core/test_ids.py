"""Remembered ids equal a dict, whatever the batches, the seed and the collisions (R28)."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.id_slots import IdSlots
from clearing.core.ids import Generation, Remembered, hash_ids
from clearing.core.inputs import I64, U64

Batch = list[tuple[int, int]]  # (id, body)


def columns(batch: Iterable[tuple[int, int]]) -> tuple[U64, U64]:
    rows = list(batch)
    words = [[id_ & (2**64 - 1), id_ >> 64] for id_, _ in rows]
    return (
        np.array(words, np.uint64).reshape(-1, 2),
        np.array([body for _, body in rows], np.uint64),
    )


class Model:
    """The plain meaning: a dict per day, the first row of an id decides."""

    def __init__(self) -> None:
        self.days: dict[int, dict[int, tuple[int, int]]] = {}

    def recall(self, batch: Batch, day: int, code: int) -> list[tuple[bool, bool, int]]:
        """(known, same, code) of each row; new ids get `code`. An earlier day's ids stay with their day."""
        today = self.days.setdefault(max([day, *self.days]), {})
        result = []
        for id_, body in batch:
            old = next((ids[id_] for ids in self.days.values() if id_ in ids), None)
            if old is None:
                today[id_] = (body, code)
            result.append(
                (old is not None, old is not None and old[0] == body, (old or (0, code))[1])
            )
        return result

    def forget_before(self, day: int) -> None:
        self.days = {at: ids for at, ids in self.days.items() if at >= day}

    def __len__(self) -> int:
        return sum(map(len, self.days.values()))


def play(remembered: Remembered, batch: Batch, day: int, code: int) -> list[tuple[bool, bool, int]]:
    ids, bodies = columns(batch)
    recall = remembered.recall(ids, bodies, day)
    new = ~recall.known
    remembered.set_codes(recall.ref[new], np.full(int(new.sum()), code, np.uint8))
    codes = remembered.codes(recall.ref)
    rows = zip(recall.known.tolist(), recall.same.tolist(), codes.tolist(), strict=True)
    return list(rows)


IDS = st.integers(0, 12) | st.integers(0, 2**128 - 1) | st.integers(0, 12).map(lambda i: i << 120)
BATCHES = st.lists(
    st.tuples(
        st.lists(st.tuples(IDS, st.integers(0, 2)), max_size=40),
        st.integers(0, 2),  # days that pass
        st.integers(0, 255),
    ),
    max_size=8,
)


@given(BATCHES, st.integers(0, 3), st.integers(0, 2**64 - 1))
def test_equals_a_dict(batches: list[tuple[Batch, int, int]], retention: int, seed: int) -> None:
    remembered, model, day = Remembered(seed), Model(), 100
    for batch, passed, code in batches:
        day += passed
        remembered.forget_before(day - retention)
        model.forget_before(day - retention)
        assert play(remembered, batch, day, code) == model.recall(batch, day, code)
        assert len(remembered) == len(model)


@pytest.mark.parametrize("space", [200, 30_000, 2**127])
def test_equals_a_dict_over_many_large_batches(space: int) -> None:
    """Several growths of the table, three days, ids that come back within a batch and days later."""
    rng = np.random.default_rng(space % 97)
    remembered, model = Remembered(3), Model()
    for n in range(30):
        size = int(rng.integers(0, 3000))
        ids = [int(high) << 60 | int(low) for high, low in rng.integers(0, 2**60, (size, 2))]
        batch = [
            (id_ % space, int(body))
            for id_, body in zip(ids, rng.integers(0, 2, size), strict=True)
        ]
        day, code = n // 10, n
        remembered.forget_before(day - 1)
        model.forget_before(day - 1)
        assert play(remembered, batch, day, code) == model.recall(batch, day, code)
        assert len(remembered) == len(model)


def colliding(n: int, seed: int, low: int, high: int) -> list[int]:
    """n ids whose hashes lie in [low, high) of 2^64: they want the same few slots."""
    rng = np.random.default_rng(1)
    found: list[int] = []
    while len(found) < n:
        ids = rng.integers(0, 2**64, (200_000, 2), np.uint64)
        hashes = hash_ids(ids, seed)
        hit = (hashes >= np.uint64(low)) & (hashes < np.uint64(high))
        found += [int(w1) << 64 | int(w0) for w0, w1 in ids[hit].tolist()]
    return found[:n]


# The whole table's last slots, its first, and some in the middle: runs that pass the end go on at the start.
@pytest.mark.parametrize("part", [0, 511, 1023])
def test_ids_that_want_the_same_slot(part: int) -> None:
    width = 2**64 // 1024
    ids = colliding(300, 9, part * width, min((part + 1) * width, 2**64 - 1))
    remembered, model = Remembered(9), Model()
    first = [(id_, 1) for id_ in ids[:150]]
    # Every second one new, the others known, two of a kind side by side.
    second = [(id_, 1 + i % 3 // 2) for i, id_ in enumerate(ids[100:300])] * 2
    for batch in (first, second, first):
        assert play(remembered, batch, 1, 7) == model.recall(batch, 1, 7)
    more = [(2**100 + i, 0) for i in range(5000)]  # grows the table with the long run in it
    for batch in (more, second, first, more):
        assert play(remembered, batch, 1, 8) == model.recall(batch, 1, 8)
    for batch in (first, second):  # and finds them from a later day
        assert play(remembered, batch, 2, 9) == model.recall(batch, 2, 9)


@pytest.mark.parametrize("shift", [0, 64])  # ids that differ in one half only
def test_equal_hashes_with_different_ids_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, shift: int
) -> None:
    monkeypatch.setattr(
        "clearing.core.ids.hash_ids", lambda ids, seed: np.zeros(len(ids), np.uint64)
    )
    remembered, model = Remembered(), Model()
    for n in range(4):
        batch = [(i % 60 << shift, i % 2) for i in range(n, 100, 2)] + [((60 + n) << shift, 0)]
        assert play(remembered, batch, n // 2, n) == model.recall(batch, n // 2, n)


def longest_run(remembered: Remembered) -> int:
    taken = np.concatenate(([0], remembered.generations[-1].table != 0, [0]))
    edges = np.flatnonzero(np.diff(taken))
    return int((edges[1::2] - edges[::2]).max())


def counter(shift: int) -> U64:
    """40,000 ids that differ in 16 bits only."""
    return columns((0x1234567890ABCDEF1234567890ABCDEF ^ i << shift, 0) for i in range(40_000))[0]


@pytest.mark.parametrize("shift", range(0, 112, 7))
@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_counters_spread_as_well_as_random_ids(shift: int, seed: int) -> None:
    """Banks number their payments. Ids that differ in their last bytes only must not form one long run."""
    remembered = Remembered(seed)
    ids = counter(shift)
    remembered.recall(ids, np.zeros(len(ids), np.uint64), 1)
    assert longest_run(remembered) < 80  # random ids: about 30 at this load


def test_what_a_table_looks_like_depends_on_the_seed_and_what_it_says_does_not() -> None:
    rng = np.random.default_rng(2)
    ids, bodies = columns((int(i), int(i) % 2) for i in rng.integers(0, 900, 2000))
    tables: list[U64] = []
    refs: list[I64] = []
    for seed in (1, 2):
        remembered = Remembered(seed)
        refs.append(remembered.recall(ids, bodies, 1).ref)
        tables.append(remembered.generations[0].table)
    assert (refs[0] == refs[1]).all()
    assert (tables[0] != tables[1]).any()


def test_a_generation_loaded_from_columns_is_the_one_that_was_dumped() -> None:
    ids, bodies = columns((i, i % 3) for i in range(5000))
    codes = (np.arange(5000) % 256).astype(np.uint8)
    for column in (ids, bodies, codes):
        column.flags.writeable = False  # as they come from a snapshot
    remembered = Remembered(11)
    remembered.add_generation(5, ids, bodies, codes)
    assert len(remembered) == 5000
    recall = remembered.recall(ids, bodies, 5)
    assert recall.known.all()
    assert recall.same.all()
    assert (remembered.codes(recall.ref) == codes).all()
    more, other = columns((i, 9) for i in range(4000, 9000))
    recall = remembered.recall(more, other, 5)
    assert recall.known.tolist() == [True] * 1000 + [False] * 4000
    assert not recall.same.any()


def test_a_new_day_has_room_for_as_many_ids_as_the_day_before() -> None:
    remembered = Remembered()
    ids, bodies = columns((i, 0) for i in range(10_000))
    remembered.recall(ids, bodies, 1)
    slots = len(remembered.generations[0].table)
    remembered.recall(ids[:1], bodies[:1], 2)
    assert len(remembered.generations[1].table) == slots
    assert len(remembered) == 10_000
    assert remembered.generations[1].count == 0


def test_days_are_added_in_order() -> None:
    remembered = Remembered()
    ids, bodies = columns([(1, 1)])
    remembered.add_generation(5, ids, bodies, np.zeros(1, np.uint8))
    with pytest.raises(AssertionError):
        remembered.add_generation(5, ids, bodies, np.zeros(1, np.uint8))
    # An earlier date (a calendar was mended) is remembered under the latest day.
    remembered.recall(*columns([(2, 1)]), 4)
    assert [generation.day for generation in remembered.generations] == [5]


@pytest.mark.parametrize("rows", [1, 2, 513, 4000])
def test_an_id_takes_at_most_64_bytes(rows: int) -> None:
    """DESIGN.md §6, with the table at its emptiest after a growth."""
    remembered = Remembered()
    for start in range(0, 40_000, rows) if rows > 500 else range(600):
        remembered.recall(*columns((start + i, 0) for i in range(rows)), 1)
        generation = remembered.generations[0]
        if generation.count > 512:
            entry = 16 + 8 + 1
            assert entry + 8 * len(generation.table) / generation.count <= 64


class Growing:
    """A day of ids, remembered in batches of 500, and what the model says of them."""

    def __init__(self, seed: int = 4) -> None:
        self.remembered, self.model = Remembered(seed), Model()
        self.next = 0
        self.phases: set[tuple[bool, bool]] = set()  # being made ready, moving

    @property
    def generation(self) -> Generation:
        return self.remembered.generations[0]

    def add(self, day: int = 1) -> None:
        """New ids, old ones with the same and with another content, and repeats within the batch."""
        new = [(self.next + i, 0) for i in range(300)]
        old = [(i % max(self.next, 1), i % 2) for i in range(self.next // 3, self.next // 3 + 100)]
        batch = new + old + new[:100]
        self.next += 300
        code = self.next // 300 % 256
        said = play(self.remembered, batch, day, code)
        assert said == self.model.recall(batch, day, code)
        phase = self.generation
        self.phases.add((phase._next is not None, phase._old is not None))


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables grow in steps from their first size on."""
    monkeypatch.setattr("clearing.core.ids._AT_ONCE", 64)


@pytest.mark.usefixtures("small_steps")
def test_equals_a_dict_at_every_step_of_a_growth() -> None:
    day = Growing()
    for _ in range(60):
        day.add()
    assert day.phases >= {(False, False), (True, False), (False, True)}


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("batches", range(1, 12))
def test_a_day_may_end_in_the_middle_of_a_growth(batches: int) -> None:
    """Its ids are found from the next day, and the growth comes to its end there."""
    day = Growing()
    for _ in range(batches):
        day.add()
    for _ in range(30):
        day.add(day=2)
    assert day.generation._old is None


@pytest.mark.usefixtures("small_steps")
def test_more_ids_at_once_than_a_growth_has_room_for() -> None:
    day = Growing()
    sizes = iter((3, 100, 3_000, 40, 9_000, 1, 20_000))
    for size in sizes:
        batch = [(i, 0) for i in range(day.next // 2, day.next + size)]
        day.next += size
        assert play(day.remembered, batch, 1, 5) == day.model.recall(batch, 1, 5)
    assert len(day.remembered) == len(day.model)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("rows", [50, 500])
def test_an_id_takes_at_most_64_bytes_while_its_table_grows_too(rows: int) -> None:
    """DESIGN.md §6: the table, the one that is made ready, and the one that is being left."""
    remembered, most = Remembered(), 0.0
    for start in range(0, 50_000, rows):
        remembered.recall(*columns((start + i, 0) for i in range(rows)), 1)
        generation = remembered.generations[0]
        if generation.count > 10_000:
            most = max(most, generation.nbytes / generation.count)
    assert 57 < most <= 64


def test_no_batch_pays_for_a_whole_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a batch moves and clears is bounded by its own size, however large the table is."""
    moved: list[int] = []
    take_in = IdSlots.take_in
    monkeypatch.setattr(
        IdSlots, "take_in", lambda self, values: (moved.append(len(values)), take_in(self, values))
    )
    remembered, rng = Remembered(), np.random.default_rng(5)
    ids = rng.integers(0, 1 << 63, (400_000, 2)).astype(np.uint64)
    for start in range(0, len(ids), 2_000):
        part = ids[start : start + 2_000]
        remembered.recall(part, part[:, 0], 1)
    assert len(remembered) == len(ids)
    assert sum(moved) > 250_000, "it has grown"
    assert max(moved) <= 70_000, (
        "the first part of a growth is 65,536 slots, and to the end of a run"
    )


def test_what_is_shared_with_a_snapshot_does_not_change() -> None:
    """More ids, and codes that change, leave the parts that were handed out as they were."""
    day = Growing()
    for _ in range(10):
        day.add()
    parts = day.generation.columns.parts()
    before = [np.concatenate(part).copy() for part in parts]
    for _ in range(30):
        day.add()
        day.remembered.mark([(5).to_bytes(16, "little")], 77)
    after = [np.concatenate(part) for part in parts]
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    assert len(before[0]) == 3_000
