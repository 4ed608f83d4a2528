"""Release without FIFO: THE best of all subsets, never worse than FIFO's, whatever the solver says (R15)."""

import sys
from itertools import product

import numpy as np
import pytest

from clearing import optimise
from clearing.core.inputs import I64, Bool
from clearing.core.offsetting import NONE, Queue, greatest_set
from clearing.failures import Failure
from clearing.optimise import choose, is_feasible
from clearing.solver import Answer, Program

AMPLE_S = 60.0  # for a few items: their search ends by itself
Item = tuple[int, int, int]  # payer, payee, amount


def queue_of(items: list[Item], **columns: list[int]) -> Queue:
    n = len(items)
    payer, payee, amount = np.array(items, np.int64).reshape(-1, 3).T
    nothing = np.full(n, NONE)
    return Queue(
        payer=payer,
        payee=payee,
        amount=amount,
        order=np.array(columns.get("order", range(n)), np.int64),
        limit=np.array(columns.get("limit", nothing), np.int64),
        relief=np.array(columns.get("relief", nothing), np.int64),
        group=np.array(columns.get("group", nothing), np.int64),
        held=np.array(columns.get("held", [0] * n), np.bool_),
    )


def random_system(
    seed: int, items: int, most: int, features: str, parties: int = 4
) -> tuple[I64, Queue]:
    """features, of: g groups, h held items, l bilateral limits, n accounts below zero."""
    rng = np.random.default_rng(seed)
    payer = rng.integers(0, parties, items)
    payee = (payer + rng.integers(1, parties, items)) % parties
    amount = rng.integers(1, most + 1, items)
    room = rng.integers(-most if "n" in features else 0, most + 1, parties + parties**2)
    limit, relief = parties + payer * parties + payee, parties + payee * parties + payer
    limited = rng.random(parties + parties**2) < (0.5 if "l" in features else 0)
    grouped = rng.random(items) < (0.4 if "g" in features else 0)
    return room, Queue(
        payer=payer,
        payee=payee,
        amount=amount,
        order=rng.permutation(items),
        limit=np.where(limited[limit], limit, NONE),
        relief=np.where(limited[relief], relief, NONE),
        group=np.where(grouped, rng.integers(0, 3, items), NONE),
        held=rng.random(items) < (0.15 if "h" in features else 0),
    )


def may_leave(room: I64, queue: Queue, mask: tuple[bool, ...]) -> bool:
    """The rule in words, item by item."""
    left = [int(units) for units in room]
    used: set[int] = set()
    groups: dict[int, set[bool]] = {}
    for row, leaves in enumerate(mask):
        if queue.group[row] != NONE:
            groups.setdefault(int(queue.group[row]), set()).add(leaves)
        if leaves:
            if queue.held[row]:
                return False
            units = int(queue.amount[row])
            left[queue.payer[row]] -= units
            left[queue.payee[row]] += units
            used.add(int(queue.payer[row]))
            if queue.limit[row] != NONE:
                left[queue.limit[row]] -= units
                used.add(int(queue.limit[row]))
            if queue.relief[row] != NONE:
                left[queue.relief[row]] += units
    together = all(len(parts) == 1 for parts in groups.values())
    return together and all(left[constraint] >= 0 for constraint in used)


def rank(queue: Queue, mask: Bool | tuple[bool, ...]) -> tuple[int, int, list[bool]]:
    """What makes a set the better one: value, items, the earlier items."""
    chosen = [bool(leaves) for leaves in mask]
    value = sum(int(units) for units, leaves in zip(queue.amount, chosen, strict=True) if leaves)
    return value, sum(chosen), [chosen[row] for row in np.argsort(queue.order)]


def best_of_all(room: I64, queue: Queue) -> list[bool]:
    subsets = product((False, True), repeat=len(queue.amount))
    best = max(
        (mask for mask in subsets if may_leave(room, queue, mask)), key=lambda m: rank(queue, m)
    )
    return list(best)


def nobody(queue: Queue) -> Bool:
    return np.zeros(len(queue.amount), np.bool_)


@pytest.mark.parametrize("features", ["", "g", "h", "l", "n", "gn", "ghln"])
@pytest.mark.parametrize("most", [3, 1000])
def test_no_subset_is_better(features: str, most: int) -> None:
    """With amounts up to 3 many sets are alike in value and number; the order decides."""
    improved = 0
    for seed in range(12):
        room, queue = random_system(seed, 8, most, features)
        baseline = greatest_set(room, queue) if "l" not in features else nobody(queue)
        choice = choose(room, queue, baseline, AMPLE_S)
        assert choice.mask.tolist() == best_of_all(room, queue)
        assert choice.proven_optimal
        assert choice.value == rank(queue, choice.mask)[0]
        assert choice.is_baseline == (choice.mask.tolist() == baseline.tolist())
        improved += not choice.is_baseline
    assert improved


@pytest.mark.parametrize("digits", [10, 12, 15, 17])
@pytest.mark.parametrize("features", ["", "gn"])
def test_large_amounts_are_feasible_to_the_unit_and_never_worse(digits: int, features: str) -> None:
    improved = 0
    for seed in range(15):
        room, queue = random_system(seed, 12, 10**digits, features)
        baseline = greatest_set(room, queue)
        choice = choose(room, queue, baseline, AMPLE_S)
        assert may_leave(room, queue, tuple(choice.mask.tolist()))
        assert rank(queue, choice.mask) >= rank(queue, baseline)
        assert not choice.proven_optimal
        improved += not choice.is_baseline
    assert improved


def test_round_amounts_are_small_ones() -> None:
    """What counts is the greatest common divisor: millions, in units of 10^-9."""
    room, queue = random_system(1, 8, 20, "")
    small = choose(room, queue, nobody(queue), AMPLE_S)
    queue.amount *= 10**15
    large = choose(room * 10**15 + 999, queue, nobody(queue), AMPLE_S)
    assert large.mask.tolist() == small.mask.tolist()
    assert large.proven_optimal


# --- by hand -----------------------------------------------------------------------------------------------------

A, B, C = range(3)


def chosen(room: list[int], queue: Queue) -> list[int]:
    choice = choose(np.array(room, np.int64), queue, nobody(queue), AMPLE_S)
    assert choice.proven_optimal
    return np.flatnonzero(choice.mask).tolist()


def test_a_head_that_blocks_stays_and_those_behind_it_leave() -> None:
    queue = queue_of([(A, B, 100), (A, B, 6), (A, C, 5), (A, C, 4)])
    assert not greatest_set(np.array([10, 0, 0]), queue).any()  # FIFO
    assert chosen([10, 0, 0], queue) == [1, 3]


def test_a_ring_without_any_room_leaves() -> None:
    units = 999_999_999_999_999_989  # a prime: no unit but 1 divides it
    queue = queue_of([(A, B, units), (B, C, units), (C, A, units), (C, A, units - 2)])
    choice = choose(np.zeros(3, np.int64), queue, nobody(queue), AMPLE_S)
    assert choice.mask.tolist() == [True, True, True, False]


def test_as_much_value_with_more_items() -> None:
    assert chosen([10, 0], queue_of([(A, B, 10), (A, B, 5), (A, B, 5)])) == [1, 2]


def test_the_earlier_ones_by_order_not_by_row() -> None:
    items = [(A, B, 5), (A, B, 5), (A, B, 5)]
    assert chosen([10, 0], queue_of(items)) == [0, 1]
    assert chosen([10, 0], queue_of(items, order=[9, 4, 7])) == [1, 2]


def test_the_order_of_many_is_decided_part_by_part() -> None:
    """Sixty alike, room for half of them: more than one run can decide."""
    rng = np.random.default_rng(3)
    order = rng.permutation(60)
    queue = queue_of([(A, B, 1)] * 60, order=order.tolist())
    assert chosen([30, 0], queue) == np.flatnonzero(order < 30).tolist()


def test_a_group_leaves_whole_or_stays() -> None:  # R20
    items = [(A, B, 8), (C, A, 5), (A, B, 9)]
    assert chosen([10, 0, 0], queue_of(items, group=[0, 0, NONE])) == [2]
    assert chosen([10, 0, 5], queue_of(items, group=[0, 0, NONE])) == [0, 1]


def test_an_account_below_zero_may_receive_and_pays_only_what_lifts_it_above() -> None:  # R9
    items = [(B, A, 4), (A, B, 1), (B, A, 3)]
    assert chosen([-9, 10, 0], queue_of(items)) == [0, 2]
    assert chosen([-5, 10, 0], queue_of(items)) == [0, 1, 2]


def test_an_account_that_nothing_can_lift_is_no_number_for_the_solver() -> None:
    """Beyond 10^15 HiGHS takes no coefficients."""
    assert chosen([-(10**18), 10**18, 0], queue_of([(A, B, 3), (B, A, 2), (C, A, 1)])) == [1]


def test_nothing_waits() -> None:
    queue = queue_of([])
    choice = choose(np.zeros(2, np.int64), queue, nobody(queue), AMPLE_S)
    assert (choice.value, choice.proven_optimal, choice.is_baseline) == (0, True, True)


# --- deterministic -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", ["", "gln"])
@pytest.mark.parametrize("most", [3, 10**14])
def test_the_order_of_rows_decides_nothing(features: str, most: int) -> None:
    for seed in range(5):
        room, queue = random_system(seed, 14, most, features)
        shuffle = np.random.default_rng(seed).permutation(14)
        shuffled = Queue(
            *(column[shuffle] for column in (queue.payer, queue.payee, queue.amount, queue.order)),
            *(column[shuffle] for column in (queue.limit, queue.relief, queue.group)),
            held=queue.held[shuffle],
        )
        one = choose(room, queue, nobody(queue), AMPLE_S)
        other = choose(room, shuffled, nobody(queue), AMPLE_S)
        assert one.mask[shuffle].tolist() == other.mask.tolist()
        again = choose(room, queue, nobody(queue), AMPLE_S)
        assert again.mask.tolist() == one.mask.tolist()


# --- never worse -------------------------------------------------------------------------------------------------


def test_without_time_it_is_the_baseline() -> None:
    room, queue = random_system(4, 30, 1000, "g", parties=6)
    baseline = greatest_set(room, queue)
    choice = choose(room, queue, baseline, 0.0)
    assert choice.mask.tolist() == baseline.tolist()
    assert choice.is_baseline
    assert not choice.proven_optimal


def test_a_short_time_is_never_worse() -> None:
    for seed in range(3):
        room, queue = random_system(seed, 400, 10**6, "gn", parties=20)
        baseline = greatest_set(room, queue)
        choice = choose(room, queue, baseline, 0.2)
        assert rank(queue, choice.mask) >= rank(queue, baseline)
        assert is_feasible(room, queue, choice.mask)


@pytest.mark.parametrize("features", ["", "ghn", "l"])
def test_a_solver_that_lies_makes_nothing_infeasible_and_nothing_worse(
    monkeypatch: pytest.MonkeyPatch, features: str
) -> None:
    rng = np.random.default_rng(5)

    def lie(_: object, program: Program, *__: object) -> Answer:
        return Answer(rng.integers(0, 2, len(program.may)).tolist(), True)

    monkeypatch.setattr(optimise, "maximise", lie)
    for seed in range(40):
        room, queue = random_system(seed, 10, 50, features)
        baseline = greatest_set(room, queue) if features != "l" else nobody(queue)
        choice = choose(room, queue, baseline, AMPLE_S)
        assert may_leave(room, queue, tuple(choice.mask.tolist()))
        assert rank(queue, choice.mask) >= rank(queue, baseline)


def test_a_proof_of_what_is_not_feasible_or_not_the_most_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = queue_of([(A, B, 10), (A, B, 4)])
    for said in ([1, 1], [0, 1]):
        monkeypatch.setattr(optimise, "maximise", lambda *_, said=said: Answer(said, True))
        choice = choose(np.array([10, 0]), queue, np.array([True, False]), AMPLE_S)
        assert choice.mask.tolist() == [True, False]
        assert not choice.proven_optimal


def test_a_baseline_that_is_not_feasible_is_a_bug() -> None:
    queue = queue_of([(A, B, 5)])
    with pytest.raises(AssertionError, match="set to improve on"):
        choose(np.zeros(2, np.int64), queue, np.array([True]), AMPLE_S)


@pytest.mark.parametrize("features", ["", "g", "h", "l", "n", "ghln"])
def test_the_check_of_a_set_is_the_rule_in_words(features: str) -> None:
    answers: set[bool] = set()
    for seed in range(4):
        room, queue = random_system(seed, 6, 5, features)
        for mask in product((False, True), repeat=6):
            expected = may_leave(room, queue, mask)
            assert is_feasible(room, queue, np.array(mask)) == expected
            answers.add(expected)
    assert answers == {True, False}


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highspy", None)
    queue = queue_of([(A, B, 5)])
    with pytest.raises(Failure) as failed:
        choose(np.zeros(2, np.int64), queue, nobody(queue), AMPLE_S)
    assert failed.value.hint == 'pip install "clearing-engine[optim]"'
