"""The queues side by side, and a trial set of their items that is shrunk until every constraint holds (R15).

Built from arrays by clearing.core.offsetting and clearing.core.deadlock; no state, no assets, no time in here.
A *constraint* is whatever may not end below zero: an account's headroom, a bilateral limit; `room` holds what is
left of each, in minor units. Exact whatever the amounts: Python's integers, and int64 only where it cannot wrap.

Why THE greatest set exists, with limits, groups and held items too. S is feasible if (1) it is a beginning of
every queue, without held items, (2) it holds all legs of a group or none, (3) room + in(S) − out(S) ≥ 0 for every
constraint that an item of S uses. Let S and T be feasible. Their union U keeps (1): of each queue it takes the
longer of two beginnings; and (2): a leg brings its group from the set it came from. (3): all users of a constraint
stand in one queue (asserted), so what U takes out of it is what one of the two takes out, say S; S uses it, so it
held in S; and U brings in no less. So feasible sets are closed under union, and the union of all of them is the
greatest one: in count, in value, and as a set.

Why dropping finds it. If S contains every feasible set and constraint c is violated in S, no feasible F holds c's
last user in S: F would hold all users of c before it too, take out as much as S and bring in no more. So that item,
its group and all behind them go, whichever c is taken first, and what stays when all hold is the greatest set.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from clearing.core.inputs import I64, Bool

NONE = -1  # no limit, no relief, no group
UNBOUNDED = 1 << 100  # room of "no constraint": above every sum there can be


@dataclass(slots=True)
class Queue:
    """n waiting items as columns, in any order of rows. All items that use a constraint have the same payer."""

    payer: I64  # (n,) constraint: the account that covers the item, and whose queue it stands in
    payee: I64  # (n,) constraint: the account that gains
    amount: I64  # (n,) 1 … 2^62 − 1, minor units
    order: I64  # (n,) distinct; the items of a payer leave in ascending order (R12)
    limit: I64  # (n,) constraint used besides the payer's account (a bilateral limit), or NONE
    relief: I64  # (n,) constraint that gains besides the payee's account (the opposite), or NONE
    group: I64  # (n,) items of the same group leave together or not at all (R20), NONE: alone
    held: Bool  # (n,) may not leave now, and blocks those behind it


@dataclass(slots=True)
class Lines:
    """The queues side by side. An item is known by its position: 0..n-1 by (payer, order).

    Lists per constraint have one entry more than `room`: the last, also reached as [NONE], is no constraint.
    """

    row: I64  # (n,) position → row of the Queue
    order: list[int]
    payer: list[int]
    payee: list[int]
    amount: list[int]
    limit: list[int]
    relief: list[int]
    group: list[int]
    legs: dict[int, list[int]]  # group → positions
    room: list[int]
    owner: list[int]  # constraint → the payer of those that use it
    first: list[int]  # account → where its queue begins: positions first..last-1
    last: list[int]
    reach: list[int]  # account → the first held position of its queue, or `last`

    @classmethod
    def of(cls, room: I64, queue: Queue) -> "Lines":
        size = len(room) + 1
        row = np.lexsort((queue.order, queue.payer))
        payer, limit, group = queue.payer[row], queue.limit[row], queue.group[row]
        limited, owner = limit != NONE, np.arange(size)
        owner[limit[limited]] = payer[limited]
        _check(queue, row, owner)
        last = np.cumsum(np.bincount(payer, minlength=size))
        held, reach = np.flatnonzero(queue.held[row]), last.copy()
        np.minimum.at(reach, payer[held], held)
        grouped, legs = np.flatnonzero(group != NONE), dict[int, list[int]]()
        for at, g in zip(grouped.tolist(), group[grouped].tolist(), strict=True):
            legs.setdefault(g, []).append(at)
        return cls(
            row=row,
            order=queue.order[row].tolist(),
            payer=payer.tolist(),
            payee=queue.payee[row].tolist(),
            amount=queue.amount[row].tolist(),
            limit=limit.tolist(),
            relief=queue.relief[row].tolist(),
            group=group.tolist(),
            legs=legs,
            room=[*room.tolist(), UNBOUNDED],
            owner=owner.tolist(),
            first=[0, *last[:-1].tolist()],
            last=last.tolist(),
            reach=reach.tolist(),
        )

    def together(self, at: int) -> list[int]:
        """The item's whole group, or the item alone."""
        return self.legs[self.group[at]] if self.group[at] != NONE else [at]

    def needs(self, positions: Sequence[int]) -> dict[int, int]:
        """Room that these, leaving as one, need of each constraint they use: out − in."""
        need = {c: 0 for at in positions for c in (self.payer[at], self.limit[at])}
        for at in positions:
            for sign, sides in ((1, (self.payer, self.limit)), (-1, (self.payee, self.relief))):
                for side in sides:
                    if side[at] in need:
                        need[side[at]] += sign * self.amount[at]
        need.pop(NONE, None)
        return need

    def touched(self, positions: Iterable[int]) -> list[int]:
        """Accounts whose queue has a new head or more room after these have left."""
        touched: dict[int, None] = {}
        for at in positions:
            for c in (self.payer[at], self.payee[at], self.owner[self.relief[at]]):
                touched[c] = None
        return list(touched)

    def rows(self, positions: Iterable[int]) -> list[int]:
        """Rows of the Queue, in its order."""
        return [int(self.row[at]) for at in sorted(positions, key=self.order.__getitem__)]


def _check(queue: Queue, row: I64, owner: I64) -> None:
    """What the proof above and the sums below take for granted; anything else is a bug of the caller."""
    payer, payee, limit = queue.payer, queue.payee, queue.limit
    limited = limit != NONE
    assert bool(((queue.amount > 0) & (queue.amount < 1 << 62)).all()), "an amount out of range"
    assert bool(((payee >= 0) & (payee != payer)).all()), "an item to nobody or to its payer"
    assert bool((owner[payer] == payer).all()), "an account is somebody's limit"
    assert bool((owner[limit] == payer)[limited].all()), "a limit with two payers"
    assert bool(((limit != payer) & (limit != queue.relief))[limited].all()), "a limit counts twice"
    same, order = np.diff(payer[row]) == 0, np.diff(queue.order[row])
    assert bool((order[same] > 0).all()), "two items of a queue with the same order"


@dataclass(slots=True)
class Trial:
    """A set S of items, a beginning of every queue, from which shrink() drops what cannot stay.

    A constraint c holds if S does not use it, out[c] = 0, or out[c] ≤ supply[c]. A work-list in plain Python on
    purpose: every item falls once, so 10,000 cost 4 ms whatever makes them fall. Rounds over columns need 1.5 ms
    if twenty rounds do, and 190 ms where each removal triggers just the next one.
    """

    lines: Lines
    supply: list[int]  # constraint → room + in(S)
    out: list[int]  # constraint → out(S)
    first: list[int]  # account → S holds positions first..end-1 of its queue
    end: list[int]
    cut: list[int]  # account → S may reach no further: what is there is held, or its group fell
    count: int = 0  # items in S

    @classmethod
    def of_nothing(cls, lines: Lines) -> "Trial":
        first = lines.first
        return cls(lines, [*lines.room], [0] * len(first), [*first], [*first], [*first])

    @classmethod
    def of_all(cls, lines: Lines, queue: Queue) -> "Trial":
        """S = everything; what is held falls with the first shrink()."""
        size, last = len(lines.last), lines.last
        gains = _totals(size, (queue.payee, queue.relief), queue.amount)
        supply = [room + gain for room, gain in zip(lines.room, gains, strict=True)]
        out = _totals(size, (queue.payer, queue.limit), queue.amount)
        return cls(lines, supply, out, lines.first, [*last], [*lines.reach], len(queue.amount))

    def copy(self) -> "Trial":
        return Trial(
            self.lines,
            [*self.supply],
            [*self.out],
            self.first,
            [*self.end],
            [*self.cut],
            self.count,
        )

    def suspects(self) -> list[int]:
        """All that shrink() may have to look at first, found in one pass over the constraints."""
        columns = zip(self.out, self.supply, self.end, self.cut, strict=True)
        return [c for c, (out, supply, end, cut) in enumerate(columns) if out > supply or end > cut]

    def shrink(self, suspects: list[int]) -> int:
        """Drops until every constraint holds and nothing reaches past its cut; the number of items dropped.

        suspects: constraints, among them all that do not hold and all accounts to be cut. Emptied.
        """
        payee, relief, amount = self.lines.payee, self.lines.relief, self.lines.amount
        limit, group, owner = self.lines.limit, self.lines.group, self.lines.owner
        supply, out, end, cut = self.supply, self.out, self.end, self.cut
        fallen, dropped = set[int](), 0
        while suspects:
            c = suspects.pop()
            q = owner[c]
            while (out[c] > supply[c] and out[c]) or end[q] > cut[q]:
                end[q] = at = end[q] - 1
                dropped += 1
                units, gainer, relieved = amount[at], payee[at], relief[at]
                out[q] -= units
                out[limit[at]] -= units
                supply[gainer] -= units
                if out[gainer] > supply[gainer]:
                    suspects.append(gainer)
                supply[relieved] -= units
                if out[relieved] > supply[relieved]:
                    suspects.append(relieved)
                if group[at] != NONE and group[at] not in fallen:
                    fallen.add(group[at])
                    suspects += self._cut(self.lines.legs[group[at]])
        self.count -= dropped
        return dropped

    def _cut(self, legs: list[int]) -> list[int]:
        """No leg may stay; the accounts whose queues this shortens."""
        payer = self.lines.payer
        for leg in legs:
            self.cut[payer[leg]] = min(self.cut[payer[leg]], leg)
        return [payer[leg] for leg in legs]

    def extend(self, account: int, end: int) -> list[int]:
        """Adds the queue's items up to position `end`; the constraints they use, to be shrunk by."""
        lines, added = self.lines, range(self.end[account], end)
        for at in added:
            units = lines.amount[at]
            self.out[account] += units
            self.out[lines.limit[at]] += units
            self.supply[lines.payee[at]] += units
            self.supply[lines.relief[at]] += units
        self.count += len(added)
        self.end[account] = self.cut[account] = end
        return [account, *(lines.limit[at] for at in added if lines.limit[at] != NONE)]

    def cut_incomplete(self, accounts: list[int]) -> None:
        """Cuts these queues before the first item whose group has a leg outside of S."""
        lines = self.lines
        groups = {lines.group[at]: at for a in accounts for at in range(self.first[a], self.end[a])}
        groups.pop(NONE, None)
        for g in groups:
            if any(leg >= self.end[lines.payer[leg]] for leg in lines.legs[g]):
                self._cut(lines.legs[g])

    def release(self, accounts: list[int]) -> list[int]:
        """S leaves: its positions. What it used and brought is part of the room from now on."""
        positions = [at for a in accounts for at in range(self.first[a], self.end[a])]
        for at in positions:
            for c in (self.lines.payer[at], self.lines.limit[at]):
                self.supply[c] -= self.lines.amount[at]
                self.out[c] -= self.lines.amount[at]
        for a in accounts:
            self.first[a] = self.end[a]
        self.count = 0
        return positions


def _totals(size: int, sides: tuple[I64, I64], amount: I64) -> list[int]:
    """Exact sums of amount per constraint: in halves, so that neither can wrap for n < 2^30."""
    low, high = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for side in sides:
        np.add.at(low, side, amount & 0xFFFFFFFF)
        np.add.at(high, side, amount >> 32)
    return [(h << 32) + units for h, units in zip(high.tolist(), low.tolist(), strict=True)]
