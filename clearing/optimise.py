"""The best set that leaves a queue without FIFO (R15's last sentence), by the solver of the extra `optim`.

Outside of the core, for there is a clock in it and a solver that works in doubles: what is chosen is checked in
integers and enters the log as a command, so that a replay never solves again. The problem is NP-hard: the time is
bounded, and the answer is never worse than the set handed in.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from clearing.core.inputs import I64, Bool
from clearing.core.offsetting import NONE, Queue
from clearing.solver import EXACT_TOTAL, Program, Row, maximise, solver

ORDER_BITS = 20  # choices whose order one run decides, by weights 2^19, 2^18 … 1


@dataclass(frozen=True, slots=True)
class Choice:
    """Which items leave as one.

    mask: (n,) rows of the queue. value: the sum of their amounts, minor units. is_baseline: it is the set handed
    in, nothing better was found. seconds: how long the search took.
    proven_optimal: no feasible set has more value, nor as much with more items, nor that with earlier ones, as far
    as a solver in doubles can prove it. Never said of amounts too large for that (solver.EXACT_TOTAL).
    """

    mask: Bool
    value: int
    is_baseline: bool
    proven_optimal: bool
    seconds: float


def choose(room: I64, queue: Queue, baseline: Bool, time_limit_s: float) -> Choice:
    """The feasible set of most value; of those the most items; of those the earliest: of two sets the one that has
    the item of lowest `order` in which they differ.

    Feasible: no constraint that an item of the set uses (as payer or limit) ends below zero, all or none of a
    group leave, nothing that is held does. Nothing blocks what stands behind it.

    room: (constraints,) minor units, may be negative. baseline: (n,) a feasible set, such as the greatest one
    under FIFO. Amounts of all items are added up: hand in assets apart, unless their units are worth the same.
    Raises Failure where the extra is not installed.
    """
    started = time.monotonic()
    highspy = solver()
    assert is_feasible(room, queue, baseline), "the set to improve on is not feasible itself"
    problem = Problem.of(room, queue)
    first = problem.candidate([bool(baseline[rows[0]]) for rows in problem.rows])
    search = _Search(highspy, problem, first, started + time_limit_s)
    proven_optimal = search.run()
    mask = problem.mask(search.best.chosen)
    assert is_feasible(room, queue, mask), "a set was kept that is not feasible"
    return Choice(
        mask=mask,
        value=sum(queue.amount[mask].tolist()),
        is_baseline=bool((mask == baseline).all()),
        proven_optimal=proven_optimal,
        seconds=time.monotonic() - started,
    )


def is_feasible(room: I64, queue: Queue, mask: Bool) -> bool:
    """Whether these items may leave as one: in exact integers, straight from the columns."""
    left: list[int] = room.tolist()
    net, used = _effect(queue, np.flatnonzero(mask).tolist())
    grouped = queue.group != NONE
    torn = np.intersect1d(queue.group[grouped & mask], queue.group[grouped & ~mask])
    return (
        not torn.size
        and not bool((queue.held & mask).any())
        and all(left[constraint] + net[constraint] >= 0 for constraint in used)
    )


def _effect(queue: Queue, rows: Sequence[int]) -> tuple[dict[int, int], list[int]]:
    """What items add to or take from each constraint, and which of them they use."""
    net: dict[int, int] = {}
    used: dict[int, None] = {}
    for row in rows:
        units = int(queue.amount[row])
        for constraint in (int(queue.payer[row]), int(queue.limit[row])):
            if constraint != NONE:
                net[constraint] = net.get(constraint, 0) - units
                used[constraint] = None
        for constraint in (int(queue.payee[row]), int(queue.relief[row])):
            if constraint != NONE:
                net[constraint] = net.get(constraint, 0) + units
    return net, list(used)


class Candidate(NamedTuple):
    """A feasible set; the greater tuple is the better set."""

    value: int
    items: int
    chosen: list[bool]  # per choice, by order


@dataclass(slots=True)
class Problem:
    """What there is to choose: items that stand alone and whole groups, by their lowest order; nothing held."""

    size: int
    room: list[int]
    rows: list[list[int]]  # choice → rows of the queue
    value: list[int]
    net: list[dict[int, int]]  # choice → constraint → what it adds or takes
    uses: list[list[int]]  # choice → constraints that may not end below zero if it is chosen

    @classmethod
    def of(cls, room: I64, queue: Queue) -> "Problem":
        together: dict[int, list[int]] = {}
        for row in np.argsort(queue.order).tolist():
            group = int(queue.group[row])
            together.setdefault(-1 - row if group == NONE else group, []).append(row)
        rows = [group for group in together.values() if not queue.held[group].any()]
        effects = [_effect(queue, group) for group in rows]
        return cls(
            size=len(queue.amount),
            room=room.tolist(),
            rows=rows,
            value=[sum(queue.amount[group].tolist()) for group in rows],
            net=[net for net, _ in effects],
            uses=[used for _, used in effects],
        )

    def mask(self, chosen: list[bool]) -> Bool:
        mask = np.zeros(self.size, np.bool_)
        for rows, leaves in zip(self.rows, chosen, strict=True):
            mask[rows] = leaves
        return mask

    def candidate(self, chosen: list[bool]) -> Candidate:
        taken = [choice for choice, leaves in enumerate(chosen) if leaves]
        value = sum(self.value[choice] for choice in taken)
        return Candidate(value, sum(len(self.rows[choice]) for choice in taken), chosen)

    def mend(self, chosen: list[bool]) -> Candidate:
        """A feasible set nearby: while a constraint is broken its least item goes; then what fits is added."""
        chosen = list(chosen)
        left = list(self.room)
        for choice, leaves in enumerate(chosen):
            if leaves:
                self._move(left, choice, 1)
        while broken := self._broken(left, chosen):
            constraint, users = broken
            cures = [c for c in users if left[constraint] - self.net[c][constraint] >= 0]
            dropped = min(cures or users, key=lambda choice: self.value[choice])
            self._move(left, dropped, -1)
            chosen[dropped] = False
        for choice in sorted(range(len(chosen)), key=lambda choice: -self.value[choice]):
            net = self.net[choice]
            if not chosen[choice] and all(left[c] + net[c] >= 0 for c in self.uses[choice]):
                self._move(left, choice, 1)
                chosen[choice] = True
        return self.candidate(chosen)

    def _broken(self, left: list[int], chosen: list[bool]) -> tuple[int, list[int]] | None:
        """A constraint that ends below zero, and the choices that use it."""
        for choice, leaves in enumerate(chosen):
            for constraint in self.uses[choice] if leaves else ():
                if left[constraint] < 0:
                    users = [c for c, on in enumerate(chosen) if on and constraint in self.uses[c]]
                    return constraint, users
        return None

    def _move(self, left: list[int], choice: int, sign: int) -> None:
        for constraint, units in self.net[choice].items():
            left[constraint] += sign * units

    def program(self, unit: int) -> Program:
        """The 0/1 program in units of `unit` minor units. Columns: the choices, then whether a constraint that has
        less than no room is used at all.
        """
        users: dict[int, list[int]] = {}
        nets: dict[int, dict[int, int]] = {}
        for choice, (net, uses) in enumerate(zip(self.net, self.uses, strict=True)):
            for constraint in uses:
                users.setdefault(constraint, []).append(choice)
            for constraint, units in net.items():
                if units:
                    nets.setdefault(constraint, {})[choice] = units
        program = Program([], [1] * len(self.rows), [0] * len(self.rows))
        for constraint, by in users.items():
            net, room = nets.get(constraint, {}), self.room[constraint]
            if room + sum(units for units in net.values() if units < 0) >= 0:
                continue  # can never be short
            if room + sum(units for units in net.values() if units > 0) < 0:
                for choice in by:
                    program.may[choice] = 0
                continue
            units = {choice: _in_units(n, unit) for choice, n in net.items()}
            if room >= 0:
                program.rows.append(Row(units, -(room // unit)))
            else:
                used = len(program.may)
                program.may.append(1)
                program.must.append(0)
                program.rows += [Row({used: 1, choice: -1}, 0) for choice in by]
                program.rows.append(Row({**units, used: room // unit}, 0))
        return program


@dataclass(slots=True)
class _Search:
    """First the value, then the number of items, then their order, each under what is decided already."""

    highspy: Any
    problem: Problem
    best: Candidate
    ends_at: float  # time.monotonic()

    def run(self) -> bool:
        """Whether `best` is proven to be the optimum."""
        problem = self.problem
        if not problem.rows:
            return True
        total = sum(problem.value)
        unit = gcd(*problem.value, *(units for net in problem.net for units in net.values()))
        is_exact = total <= EXACT_TOTAL * unit
        if not is_exact:
            unit = -(-total // EXACT_TOTAL)
        program = problem.program(unit)
        others = [0] * (len(program.may) - len(problem.rows))
        value = [_in_units(units, unit) for units in problem.value] + others
        items = [len(rows) for rows in problem.rows] + others
        if not self._improve(program, value) or not is_exact:
            return False
        program.rows.append(Row(dict(enumerate(value)), self.best.value // unit))
        if not self._improve(program, items):
            return False
        program.rows.append(Row(dict(enumerate(items)), self.best.items))
        return self._decide_order(program)

    def _improve(self, program: Program, gain: list[int]) -> bool:
        """Whether `best` is now proven to have the most gain."""
        start = [int(leaves) for leaves in self.best.chosen]
        left_s = self.ends_at - time.monotonic()
        taken, proven = maximise(self.highspy, program, gain, start, left_s)
        if taken is None:
            return False
        chosen = [taken[choice] == 1 for choice in range(len(start))]
        found = self.problem.mend(chosen)
        self.best = max(self.best, found)
        # What had to be mended, or is less than what is known, was proven of numbers that are not ours.
        return proven and found.chosen == chosen and _sum(gain, self.best) <= _sum(gain, found)

    def _decide_order(self, program: Program) -> bool:
        """From the first choice on: one that is in stays in, others get in if the rest can be arranged for it."""
        at, end = 0, len(self.best.chosen)
        while at < end:
            part = range(at, at + 1)
            if not self.best.chosen[at] and program.may[at]:
                part = range(at, min(at + ORDER_BITS, end))
                gain = [0] * len(program.may)
                for bit, choice in enumerate(reversed(part)):
                    gain[choice] = 1 << bit
                if not self._improve(program, gain):
                    return False
            for choice in part:
                program.may[choice] = program.must[choice] = int(self.best.chosen[choice])
            at = part.stop
        return True


def _sum(gain: list[int], candidate: Candidate) -> int:
    return sum(g for g, leaves in zip(gain, candidate.chosen, strict=False) if leaves)


def _in_units(units: int, unit: int) -> int:
    """The nearest whole number of `unit`, the same up and down: what one pays another receives."""
    nearest = (abs(units) + unit // 2) // unit
    return nearest if units >= 0 else -nearest
