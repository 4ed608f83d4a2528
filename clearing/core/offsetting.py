"""Offsetting: which waiting items leave, one by one, between two participants, or all at once (R14, R15).

Arrays in, rows out: nothing of the engine's state, of assets or of time is known here, and nothing is changed.
The caller, on a change of liquidity, hands in the room of each constraint and the Queue, and accepts what comes
back. Why there is one greatest set, and why it is found, is proved in clearing.core.lines.
"""

from collections.abc import Callable, Collection
from heapq import heappop, heappush

import numpy as np

from clearing.core.inputs import I64, Bool
from clearing.core.lines import NONE, Lines, Queue, Trial

__all__ = ["NONE", "Queue", "bilateral_sets", "greatest_set", "singles"]

_NEVER = (1 << 63) - 1  # asks for more than any room


# --- one by one (R14) --------------------------------------------------------------------------------------------


def singles(
    room: I64,
    queue: Queue,
    bypass: Bool,
    changed: Collection[int] | None = None,
    refuses: Callable[[list[int]], bool] | None = None,
) -> list[list[int]]:
    """What fits by itself, as sets of rows in order of release: one row, or all legs of a group (R13, R14, R20).

    Plain meaning: of all that may leave and fits, the one with the lowest order (a group: of its first leg) leaves
    and moves the room; again, until nothing fits. A row may leave when each row before it in its queue has left,
    has `bypass` (n,), or is of its group. changed: the constraints whose room rose, and the accounts whose queue
    is new, since nothing fitted; None: all. What the rest waits for has not changed, so it is not looked at.
    refuses: a limit that is no constraint. Asked of a set that fits and is about to leave; what it refuses is
    passed over until something else has left.
    """
    accounts = _may_begin(room, queue, bypass, changed)
    if not accounts:
        return []
    fitting = _Singles(Lines.of(room, queue), queue, bypass, refuses)
    for account in accounts:
        fitting.look_at(account)
    return fitting.release_all()


def _may_begin(room: I64, queue: Queue, bypass: Bool, changed: Collection[int] | None) -> list[int]:
    """Accounts whose queue may release something first: a cheap look over columns, before anything is sorted."""
    space = np.append(room, _NEVER)
    amount, payer, alone = queue.amount, queue.payer, queue.group == NONE
    fits = (amount <= space[payer]) & (amount <= space[queue.limit])
    first = np.full(len(space), _NEVER)
    np.minimum.at(first, payer, queue.order)
    passing = np.zeros(len(space), np.bool_)
    passing[payer[bypass]] = True
    fits = ~queue.held & (fits | ~alone) & (passing[payer] | (queue.order == first[payer]))
    if changed is not None:
        looked_at = np.zeros(len(space), np.bool_)
        looked_at[list(changed)] = True
        looked_at[payer[looked_at[queue.limit]]] = True
        fits &= looked_at[payer]
    return np.unique(payer[fits]).tolist()


class _Singles:
    """What fits now, by order. A queue is looked at again only when it has a new head or more room."""

    def __init__(
        self,
        lines: Lines,
        queue: Queue,
        bypass: Bool,
        refuses: Callable[[list[int]], bool] | None,
    ) -> None:
        self.lines, self.room, self.refuses = lines, [*lines.room], refuses
        held, grouped = queue.held[lines.row], queue.group[lines.row] != NONE
        self.passing: list[bool] = bypass[lines.row].tolist()
        self.alone: list[bool] = (~held & ~grouped).tolist()
        self.gone = bytearray(len(self.alone))
        self.head, self.stop = [*lines.first], [*lines.first]  # per account, see _window()
        self.ready: list[tuple[int, int]] = []  # (order, position) of what fitted when looked at
        # Columns, to look at a long queue at once: what a row alone asks of its payer and of its limit …
        self.ask = np.where(held | grouped, _NEVER, queue.amount[lines.row])
        self.limit = queue.limit[lines.row]
        self.space = np.array([_within_int64(room) for room in lines.room])
        # … and what a leg's group asks of the leg's payer: known when it was looked at once.
        self.group_ask = np.where(grouped, -_NEVER, _NEVER)
        for at in np.flatnonzero(held & grouped).tolist():
            self.group_ask[lines.together(at)] = _NEVER
        self.needs: dict[int, dict[int, int]] = {}
        self.put_off: list[list[int]] = []  # sets of positions that were refused
        self.off = bytearray(len(self.alone))

    def look_at(self, account: int) -> None:
        """Marks as ready what of this queue fits: the first row that goes alone, and every group."""
        head, end = self._window(account)
        if head == end:
            return
        if self._fits(head):
            heappush(self.ready, (self.lines.order[head], head))
        elif end - head > 1:
            ask = self.ask[head:end]
            fits = (ask <= _within_int64(self.room[account])) & (
                ask <= self.space[self.limit[head:end]]
            )
            first = int(fits.argmax())
            if fits[first]:
                heappush(self.ready, (self.lines.order[head + first], head + first))
        if self.lines.legs:
            asked = self.group_ask[head:end] <= _within_int64(self.room[account])
            for at in (head + np.flatnonzero(asked)).tolist():
                self._look_at_group(at)

    def _look_at_group(self, leg: int) -> None:
        legs = self.lines.together(leg)
        if self.lines.group[leg] not in self.needs:
            self.needs[self.lines.group[leg]] = self.lines.needs(legs)
            self._ask_for(legs)
        if self._group_fits(leg):
            self.group_ask[legs] = _NEVER  # once on the heap is enough
            heappush(self.ready, (min(self.lines.order[at] for at in legs), leg))

    def _ask_for(self, legs: list[int]) -> None:
        need = self.needs[self.lines.group[legs[0]]]
        self.group_ask[legs] = [_within_int64(need[self.lines.payer[at]]) for at in legs]

    def _window(self, account: int) -> tuple[int, int]:
        """Positions that may leave if they fit: from the first still there up to the first that blocks."""
        head, stop, last = self.head[account], self.stop[account], self.lines.last[account]
        while head < last and self.gone[head]:
            head += 1
        while stop < last and (self.gone[stop] or self.passing[stop]):
            stop += 1
        self.head[account], self.stop[account] = head, stop
        return head, min(stop + 1, last)

    def _fits(self, at: int) -> bool:
        """Of a row that goes alone."""
        lines = self.lines
        room = min(self.room[lines.payer[at]], self.room[lines.limit[at]])
        return self.alone[at] and not self.off[at] and lines.amount[at] <= room

    def _group_fits(self, leg: int) -> bool:
        lines, group = self.lines, self.lines.group[leg]
        return all(self.room[c] >= units for c, units in self.needs[group].items()) and all(
            self.gone[before] or self.passing[before] or lines.group[before] == group
            for at in lines.legs[group]
            for before in range(self.stop[lines.payer[at]], at)
        )

    def release_all(self) -> list[list[int]]:
        lines, released = self.lines, list[list[int]]()
        while self.ready:
            _, at = heappop(self.ready)
            if self.gone[at]:
                continue
            # It fitted when it was looked at; something of lower order may have used the room since.
            leaving, grouped = lines.together(at), lines.group[at] != NONE
            if not (self._group_fits(at) if grouped else self._fits(at)):
                if grouped and not self.off[at]:
                    self._ask_for(leaving)
            elif self.refuses and self.refuses(lines.rows(leaving)):
                self._put_off(leaving)
            else:
                self._release(leaving)
                released.append(lines.rows(leaving))
                for account in lines.touched(leaving):
                    self.look_at(account)
                self._bring_back()
        return released

    def _put_off(self, leaving: list[int]) -> None:
        self.put_off.append(leaving)
        for at in leaving:
            self.off[at] = 1
            self.ask[at] = self.group_ask[at] = _NEVER
        for at in leaving:
            self.look_at(self.lines.payer[at])  # for those that may pass

    def _bring_back(self) -> None:
        refused, self.put_off = self.put_off, []
        for leaving in refused:
            for at in leaving:
                self.off[at] = 0
            if self.lines.group[leaving[0]] == NONE:
                self.ask[leaving] = self.lines.amount[leaving[0]]
            else:
                self._ask_for(leaving)
        for leaving in refused:
            for at in leaving:
                self.look_at(self.lines.payer[at])

    def _release(self, leaving: list[int]) -> None:
        lines = self.lines
        for at in leaving:
            units = lines.amount[at]
            self.gone[at] = 1
            self.ask[at] = self.group_ask[at] = _NEVER
            self.room[lines.payer[at]] -= units
            self.room[lines.payee[at]] += units
            for limit, change in ((lines.limit[at], -units), (lines.relief[at], units)):
                if limit != NONE:
                    self.room[limit] += change
                    self.space[limit] = _within_int64(self.room[limit])


def _within_int64(units: int) -> int:
    """A room or a need as a column can hold it, below _NEVER; amounts are further from there."""
    return max(1 - _NEVER, min(units, _NEVER - 1))


# --- all at once (R15) -------------------------------------------------------------------------------------------


def greatest_set(room: I64, queue: Queue) -> Bool:
    """(n,) mask of THE greatest set that may leave as one (R15). room: (constraints,), may be negative.

    Plain meaning: S = all that is not held; while a constraint that S uses would end below zero, drop the last
    item of S that uses it, its group, and everything behind those in their queues.
    """
    lines = Lines.of(room, queue)
    trial = Trial.of_all(lines, queue)
    trial.shrink(trial.suspects())
    leaves = np.zeros(len(queue.amount), np.bool_)
    leaves[lines.row] = np.arange(len(leaves)) < np.array(trial.end)[queue.payer[lines.row]]
    return leaves


# --- bilateral (R14) ---------------------------------------------------------------------------------------------


def bilateral_sets(room: I64, queue: Queue, party: I64) -> list[list[int]]:
    """Sets of rows that leave one after the other, each between two participants (R14).

    party: account → participant. Two participants face each other if queues of both begin with items to the other;
    what they may offset are these beginnings, up to the first item to anybody else, that is held, or whose group
    is not wholly among them. Plain meaning: of all pairs that face each other and whose greatest set is not empty,
    the one with the lowest order among its items releases it; again, until there is none.
    """
    pairs = _Pairs(Lines.of(room, queue), party.tolist())
    pairs.look_at(np.unique(queue.payer).tolist())
    return pairs.release_all()


class _Pairs:
    """Pairs yet to be tried, by the lowest order among their items. Only a release makes a pair due again."""

    def __init__(self, lines: Lines, party: list[int]) -> None:
        self.lines, self.party, self.trial = lines, party, Trial.of_nothing(lines)
        self.accounts: dict[int, list[int]] = {}  # participant → its accounts with a queue
        for account in dict.fromkeys(lines.payer):
            self.accounts.setdefault(party[account], []).append(account)
        self.due: dict[tuple[int, int], int] = {}  # pair → lowest order
        self.heap: list[tuple[int, tuple[int, int]]] = []

    def facing(self, one: int, other: int) -> list[int]:
        """Accounts of `one` whose queue begins with an item to `other`."""
        lines, first = self.lines, self.trial.first
        return [
            a
            for a in self.accounts.get(one, ())
            if first[a] < lines.reach[a] and self.party[lines.payee[first[a]]] == other
        ]

    def look_at(self, accounts: list[int]) -> None:
        """The pairs that the heads of these queues make are due: a head or a room of theirs is new."""
        lines, first = self.lines, self.trial.first
        for a in accounts:
            if first[a] == lines.reach[a]:
                continue
            one, other = sorted((self.party[a], self.party[lines.payee[first[a]]]))
            there, back = self.facing(one, other), self.facing(other, one)
            if one != other and there and back:
                lowest = min(lines.order[first[account]] for account in there + back)
                self.due[one, other] = lowest
                heappush(self.heap, (lowest, (one, other)))

    def release_all(self) -> list[list[int]]:
        released: list[list[int]] = []
        while self.heap:
            lowest, (one, other) = heappop(self.heap)
            if self.due.get((one, other)) != lowest:
                continue
            del self.due[one, other]
            if positions := self._offset(one, other):
                released.append(self.lines.rows(positions))
                self.look_at(self.lines.touched(positions))
        return released

    def _offset(self, one: int, other: int) -> list[int]:
        """Releases the greatest set of what the two owe each other; its positions."""
        suspects: list[int] = []
        there, back = self.facing(one, other), self.facing(other, one)
        for accounts, to in ((there, other), (back, one)):
            for a in accounts:
                end = self.trial.first[a]
                while end < self.lines.reach[a] and self.party[self.lines.payee[end]] == to:
                    end += 1
                suspects += self.trial.extend(a, end)
        self.trial.cut_incomplete(there + back)
        self.trial.shrink(suspects)
        return self.trial.release(there + back)
