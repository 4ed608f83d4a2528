"""Offsetting against its plain meaning, on thousands of small systems (R13–R15, R20)."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearing.core.inputs import I64
from clearing.core.offsetting import NONE, bilateral_sets, greatest_set, singles
from tests.core import oracle_offsetting as oracle
from tests.core.oracle_offsetting import (
    SCALES,
    Item,
    System,
    after,
    queue_of,
    random_system,
    systems,
)

CASES = json.loads((Path(__file__).parent / "oracles" / "gridlock.json").read_text())["cases"]


def greatest(room: list[int], items: list[Item]) -> set[int]:
    before = list(room), list(items)
    found = greatest_set(np.array(room, np.int64), queue_of(items))
    assert (found.dtype, found.shape, before) == (np.bool_, (len(items),), (room, items))
    return set(np.flatnonzero(found).tolist())


def one_by_one(system: System, changed: set[int] | None = None) -> list[list[int]]:
    bypass = np.array(system.bypass, np.bool_)
    return singles(np.array(system.room, np.int64), queue_of(system.items), bypass, changed)


def in_pairs(system: System) -> list[list[int]]:
    room, party = np.array(system.room, np.int64), np.array(system.party, np.int64)
    return bilateral_sets(room, queue_of(system.items), party)


# --- the greatest set (R15) --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_cases_of_project_ubin(case: dict) -> None:  # R15
    names = list(case["opening"])
    room = list(case["opening"].values())
    items = [
        Item(names.index(payer), names.index(payee), amount, order)
        for order, (payer, payee, amount) in enumerate(case["queue"])
    ]
    leaves = greatest(room, items)
    assert sorted(leaves) == case["released"]
    closing = oracle.ends(room, items, leaves)[:-1]
    assert dict(zip(names, closing, strict=True)) == case["closing"]


def check_greatest(system: System) -> set[int]:
    feasible = list(oracle.feasible_sets(system.room, system.items))
    found = greatest(system.room, system.items)
    assert found in feasible
    assert all(
        each <= found for each in feasible
    )  # hence unique, and greatest in count and in value
    assert sum(each == found for each in feasible) == 1
    return found


@pytest.mark.parametrize("seed", range(10))
def test_nothing_feasible_is_outside_of_the_greatest_set(seed: int) -> None:  # R15, R20
    sizes: list[int] = []
    for random, system in systems(seed, 500):
        found = check_greatest(system)
        assert all(
            oracle.one_at_a_time(system.room, system.items, random) == found for _ in range(3)
        )
        sizes.append(len(found))
    assert 0 in sizes
    assert max(sizes) >= 4


@given(st.randoms(use_true_random=False), st.sampled_from(SCALES))
@settings(max_examples=200, deadline=None)
def test_nothing_feasible_is_outside_shrinkable(random: Random, scale: int) -> None:  # R15
    check_greatest(random_system(random, accounts=3, most=7, scale=scale))


@pytest.mark.parametrize("seed", range(6))
def test_larger_systems_whatever_is_removed_first(seed: int) -> None:  # R15
    random = Random(seed)
    sizes = []
    for _ in range(5):
        system = random_system(random, accounts=8, most=120, scale=random.choice(SCALES))
        found = greatest(system.room, system.items)
        sizes.append(len(found))
        for _ in range(2):
            assert oracle.one_at_a_time(system.room, system.items, random) == found


def test_rows_may_stand_in_any_order() -> None:
    for random, system in systems(99, 200):
        found = greatest(system.room, system.items)
        mixed = random.sample(range(len(system.items)), len(system.items))
        again = greatest(system.room, [system.items[i] for i in mixed])
        assert {mixed[i] for i in again} == found


def test_what_is_left_after_the_greatest_set_is_a_deadlock() -> None:  # R15, R16
    for _, system in systems(7, 300):
        room, rest = after(system, [sorted(greatest(system.room, system.items))])
        assert greatest(room, rest) == set()


ONE, TWO = 0, 1
SMALL: list[tuple[str, list[int], list[Item], set[int]]] = [
    ("nothing queued", [0], [], set()),
    ("a payee below zero is no obstacle", [5, -9], [Item(0, 1, 5, 0)], {0}),
    ("a payer below zero is, though it receives", [5, -9], [Item(0, 1, 5, 0), Item(1, 0, 1, 1)], {0}),
    ("below zero and lifted above", [9, -4], [Item(0, 1, 5, 0), Item(1, 0, 1, 1)], {0, 1}),
    ("held blocks those behind it", [9, 9], [Item(0, 1, 1, 0, held=True), Item(0, 1, 1, 1)], set()),
    ("held blocks nobody else", [9, 9], [Item(0, 1, 1, 0, held=True), Item(1, 0, 1, 1)], {1}),
    ("a limit counts what comes back", [9, 9, 0, 0], [Item(0, 1, 5, 0, 2, 3), Item(1, 0, 4, 1, 3, 2)], set()),
    ("a limit is met", [9, 9, 1, 0], [Item(0, 1, 5, 0, 2, 3), Item(1, 0, 4, 1, 3, 2)], {0, 1}),
    ("a limit blocks from its user on", [9, 9, 3], [Item(0, 1, 1, 0), Item(0, 1, 4, 1, 2), Item(0, 1, 1, 2)], {0}),
    ("a limit below zero without users is none", [9, 0, -5], [Item(0, 1, 1, 0), Item(0, 1, 1, 1, 2)], {0}),
    ("legs leave together", [1, 0, 0], [Item(0, 1, 1, 0, group=4), Item(1, 2, 1, 1, group=4)], {0, 1}),
    ("or not at all", [9, 0, 0], [Item(0, 2, 1, 0, group=4), Item(1, 2, 1, 1, group=4), Item(0, 2, 1, 2)], set()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("room", "items", "leaves"), [row[1:] for row in SMALL], ids=[row[0] for row in SMALL]
)
def test_by_hand(room: list[int], items: list[Item], leaves: set[int]) -> None:  # R15, R20
    assert greatest(room, items) == leaves


def chain(n: int, short: int) -> tuple[I64, list[Item]]:
    """Account i pays i + 1 what it gets from i - 1: nobody has anything, and the first lacks `short`."""
    room = np.zeros(n + 1, np.int64)
    room[0] = 5 - short
    return room, [Item(i, i + 1, 5, i) for i in range(n)]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_chain_in_which_each_removal_triggers_the_next(reverse: bool) -> None:  # R15
    for short, leaves in ((0, 10_000), (1, 0)):
        room, items = chain(10_000, short)
        assert int(greatest_set(room, queue_of(items[::-1] if reverse else items)).sum()) == leaves


def test_two_queues_that_shorten_each_other_for_thousands_of_rounds() -> None:  # R15
    items = [Item(i % 2, 1 - i % 2, 1, i) for i in range(10_000)]
    assert greatest([0, 0], items) == set(range(10_000))
    assert greatest([-1, 0], items) == set()
    assert greatest([-1, 40], items) == set(range(10_000)) - {9998}
    assert greatest([-41, 40], items) == set(range(1, 80, 2))


def test_groups_that_fall_one_after_the_other() -> None:  # R20
    """Both queues hold every group, in orders that cross: the last to fall takes its neighbours, down to 1."""
    n = 3001
    items = [Item(0, 2, 1, k, group=k) for k in range(n)]
    items += [Item(1, 3, 1, n + 2 * k + (4 if k % 2 else -3) + 3, group=k) for k in range(n)]
    assert greatest([n, n, 0, 0], items) == set(range(2 * n))
    assert greatest([n, n - 1, 0, 0], items) == {0, n}


BAD = [
    ("to itself", [Item(0, 0, 1, 0)]),
    ("an amount of nothing", [Item(0, 1, 0, 0)]),
    ("one limit, two payers", [Item(0, 1, 1, 0, 2), Item(1, 0, 1, 1, 2)]),
    ("an account as limit", [Item(0, 1, 1, 0, 1), Item(1, 0, 1, 1)]),
    ("one order twice", [Item(0, 1, 1, 0), Item(0, 1, 1, 0)]),
    ("a limit that relieves itself", [Item(0, 1, 1, 0, 2, 2)]),
]


@pytest.mark.parametrize("items", [row[1] for row in BAD], ids=[row[0] for row in BAD])
def test_bugs_of_the_caller_are_asserted(items: list[Item]) -> None:
    with pytest.raises(AssertionError):
        greatest([9, 9, 9], items)


# --- one by one (R13, R14) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_singles_are_their_plain_meaning(seed: int) -> None:  # R13, R14, R20
    released = 0
    for _, system in systems(100 + seed, 500):
        found = one_by_one(system)
        assert found == oracle.singles(system)
        released += len(found)
    assert released > 200


@pytest.mark.parametrize("seed", range(4))
def test_singles_of_long_queues(seed: int) -> None:  # R13
    random = Random(seed)
    for _ in range(3):
        system = random_system(random, accounts=5, most=60, scale=random.choice(SCALES))
        assert one_by_one(system) == oracle.singles(system)


def test_singles_look_only_at_what_changed() -> None:  # R14
    """Nothing fits; then some room rises: what leaves is what leaves when everything is looked at."""
    released = 0
    for random, system in systems(5, 600, scales=(1, 10**9)):
        gone = {row for rows in one_by_one(system) for row in rows}
        room, items = after(system, one_by_one(system))
        bypass = [passing for row, passing in enumerate(system.bypass) if row not in gone]
        used = sorted({item.payer for item in items} | {item.limit for item in items} - {NONE})
        changed = set(random.sample(used, min(2, len(used))))
        for c in changed:
            room[c] += random.randint(1, 5) * max([1, *(item.amount for item in items)])
        still = System(room, items, bypass, system.party)
        found = one_by_one(still, changed)
        assert found == oracle.singles(still)
        assert one_by_one(still, set()) == []
        released += len(found)
    assert released > 100


def test_what_leaves_gives_back_another_ones_limit() -> None:  # R10, R14
    items = [Item(2, 1, 3, 0, limit=3), Item(0, 1, 3, 1, relief=3)]
    assert one_by_one(System([3, 0, 3, 0], items, [False] * 2, [0, 1, 2])) == [[1], [0]]


def test_fifo_and_bypass() -> None:  # R13
    items = [Item(0, 1, 5, 0), Item(0, 1, 1, 1), Item(0, 1, 2, 2)]
    party = [0, 1]
    assert one_by_one(System([3, 0], items, [False] * 3, party)) == []
    assert one_by_one(System([3, 0], items, [True] * 3, party)) == [[1], [2]]
    assert one_by_one(System([1, 0], items, [True, False, True], party)) == [[1]]
    assert one_by_one(System([2, 0], items, [True, False, True], party)) == [[1]]
    assert one_by_one(System([7, 0], items, [True, False, True], party)) == [[0], [1]]
    held = [items[0]._replace(held=True), *items[1:]]
    assert one_by_one(System([9, 0], held, [False] * 3, party)) == []
    assert one_by_one(System([9, 0], held, [True] * 3, party)) == [[1], [2]]


def test_under_fifo_singles_and_pairs_take_nothing_from_the_greatest_set() -> None:  # R14, R15
    for _, system in systems(8, 400):
        fifo = system._replace(bypass=[False] * len(system.items))
        whole = greatest(system.room, system.items)
        for released in (one_by_one(fifo), in_pairs(fifo)):
            rows = {row for rows in released for row in rows}
            room, items = after(fifo, released)
            rest = [row for row in range(len(fifo.items)) if row not in rows]
            assert {rest[k] for k in greatest(room, items)} | rows == whole


# --- pairs (R14) -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_pairs_are_their_plain_meaning(seed: int) -> None:  # R14, R20
    released = 0
    for _, system in systems(200 + seed, 500):
        found = in_pairs(system)
        assert found == oracle.bilateral(system)
        released += len(found)
    assert released > 50


def test_a_pair_feeds_the_next_and_a_third_party_blocks() -> None:  # R14
    party = [0, 1, 2]
    two = [Item(0, 1, 5, 0), Item(1, 0, 4, 1)]
    assert in_pairs(System([1, 0, 0], two, [], party)) == [[0, 1]]
    assert in_pairs(System([0, 0, 0], two, [], party)) == []
    then = [*two, Item(1, 2, 7, 2), Item(2, 1, 6, 3)]
    assert in_pairs(System([1, 0, 0], then, [], party)) == [[0, 1], [2, 3]]
    between = [Item(0, 1, 5, 0), Item(1, 2, 1, 1), Item(1, 0, 5, 2)]
    assert in_pairs(System([0, 0, 0], between, [], party)) == []


def test_payment_versus_payment_of_a_pair() -> None:  # R14, R20
    """Accounts 0, 1 of one asset, 2, 3 of another; each bank pays in the asset it has."""
    items = [Item(0, 1, 5, 0, group=0), Item(3, 2, 7, 1, group=0)]
    system = System([5, 0, 0, 7], items, [False] * 2, [0, 1, 0, 1])
    assert in_pairs(system) == one_by_one(system) == [[0, 1]]
    assert in_pairs(system._replace(room=[5, 0, 0, 6])) == []
