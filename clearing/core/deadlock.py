"""Why nothing leaves: who waits for whom, and the smallest extra liquidity that would free something (R16).

Reads the same arrays as clearing.core.offsetting and changes nothing; the caller turns indexes into names.
Amounts are minor units; a search that takes too long says that it was cut short.
"""

from dataclasses import dataclass
from typing import Literal

from clearing.core.inputs import I64
from clearing.core.lines import NONE, UNBOUNDED, Lines, Queue, Trial

Why = Literal["money", "limit", "group"]
Extra = tuple[int, int]  # constraint, amount


@dataclass(frozen=True, slots=True)
class Wait:
    """A blocked queue: its head, and what the head lacks, with its group. Nothing: another leg cannot leave."""

    account: int
    row: int
    held: bool  # may not leave now, whatever the liquidity
    lacks: int  # in the account
    limit: int  # the limit it uses, or NONE
    limit_lacks: int


@dataclass(frozen=True, slots=True)
class Edge:
    """`account` cannot pay before `waits_for` does.

    money: items queued there would bring the account `amount`. limit: they would give its head's limit back as
    much. group: legs of its head's group over `amount` stand there and cannot leave either (R20).
    """

    account: int
    waits_for: int
    amount: int
    why: Why


@dataclass(frozen=True, slots=True)
class Deadlock:
    """What waits, with no feasible subset (R16). Ascending by account and constraint throughout."""

    waits: list[Wait]
    edges: list[Edge]
    cycles: list[list[int]]  # accounts that wait for each other in a circle, directly or not
    to_free_all: list[Extra]  # each constraint's shortfall if all that is not held left at once
    to_free_any: (
        Extra | None
    )  # least amount to ONE account with which something leaves, if any does
    searched: bool  # False: the search was cut short, and less, or another account, might do


def explain(room: I64, queue: Queue, effort_items: int = 1_000_000) -> Deadlock | None:
    """The deadlock these items are in, or None if some of them can leave (R16). room: (constraints,).

    effort_items bounds the search for `to_free_any`, in items looked at: a million are about half a second.
    """
    lines = Lines.of(room, queue)
    everything = _not_held(lines, queue)
    stuck = everything.copy()
    stuck.shrink(stuck.suspects())
    if stuck.count:
        return None
    waits = [_wait(lines, a) for a in _accounts(lines.first, lines.last)]
    edges = _edges(everything, waits)
    to_free_any, searched = _Cheapest(everything, effort_items).search()
    return Deadlock(
        waits=waits,
        edges=edges,
        cycles=_cycles(edges),
        to_free_all=[
            (c, out - supply)
            for c, (out, supply) in enumerate(zip(everything.out, everything.supply, strict=True))
            if out > supply and out
        ],
        to_free_any=to_free_any,
        searched=searched,
    )


def _accounts(first: list[int], end: list[int]) -> list[int]:
    return [a for a, (begin, stop) in enumerate(zip(first, end, strict=True)) if begin < stop]


def _not_held(lines: Lines, queue: Queue) -> Trial:
    """The largest set with neither a held item nor half a group, whatever it lacks."""
    trial = Trial.of_all(lines, queue)
    trial.supply = [units + UNBOUNDED for units in trial.supply]
    trial.shrink(trial.suspects())
    trial.supply = [units - UNBOUNDED for units in trial.supply]
    return trial


# --- who waits for whom ------------------------------------------------------------------------------------------


def _wait(lines: Lines, account: int) -> Wait:
    head = lines.first[account]
    held, limit = lines.reach[account] == head, lines.limit[head]
    need = {} if held else lines.needs(lines.together(head))
    short = {c: max(0, units - lines.room[c]) for c, units in need.items()}
    return Wait(
        account=account,
        row=int(lines.row[head]),
        held=held,
        lacks=short.get(account, 0),
        limit=limit,
        limit_lacks=short.get(limit, 0),
    )


def _edges(everything: Trial, waits: list[Wait]) -> list[Edge]:
    lines, brings = everything.lines, dict[tuple[int, int, Why], int]()

    def bring(account: int, waits_for: int, why: Why, amount: int) -> None:
        if account != waits_for:
            key = (account, waits_for, why)
            brings[key] = brings.get(key, 0) + amount

    lacking = {wait.account for wait in waits if wait.lacks}
    limited = {wait.limit: wait.account for wait in waits if wait.limit_lacks}
    for payer in _accounts(everything.first, everything.end):
        for at in range(everything.first[payer], everything.end[payer]):
            if lines.payee[at] in lacking:
                bring(lines.payee[at], payer, "money", lines.amount[at])
            if lines.relief[at] in limited:
                bring(limited[lines.relief[at]], payer, "limit", lines.amount[at])
    for wait in waits:
        if not wait.held:
            for leg in _blocked_legs(lines, lines.first[wait.account]):
                bring(wait.account, lines.payer[leg], "group", lines.amount[leg])
    return [Edge(*key[:2], amount, key[2]) for key, amount in sorted(brings.items())]


def _blocked_legs(lines: Lines, head: int) -> list[int]:
    """Legs of the head's group that could not leave even if all others did."""
    legs = lines.together(head)
    need = lines.needs(legs)
    short = {c for c, units in need.items() if units > lines.room[c]}

    def ready(leg: int) -> bool:
        q = lines.payer[leg]
        before = range(lines.first[q], leg)
        in_front = all(lines.group[at] == lines.group[leg] for at in before)
        return in_front and leg < lines.reach[q] and not short & {q, lines.limit[leg]}

    return [] if lines.group[head] == NONE else [leg for leg in legs if not ready(leg)]


def _cycles(edges: list[Edge]) -> list[list[int]]:
    """Strongly connected components of two and more accounts (Tarjan, with a stack of its own)."""
    after: dict[int, list[int]] = {}
    for edge in edges:
        after.setdefault(edge.account, []).append(edge.waits_for)
    index, low, path, cycles = dict[int, int](), dict[int, int](), list[int](), list[list[int]]()
    on_path = set[int]()
    for root in after:
        walk = [] if root in index else [(root, iter(after[root]))]
        while walk:
            account, rest = walk[-1]
            if account not in index:
                index[account] = low[account] = len(index)
                path.append(account)
                on_path.add(account)
            for following in rest:
                if following not in index:
                    walk.append((following, iter(after.get(following, ()))))
                    break
                if following in on_path:
                    low[account] = min(low[account], index[following])
            else:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[account])
                if low[account] == index[account]:
                    component = list[int]()
                    while not component or component[-1] != account:
                        component.append(path.pop())
                    on_path.difference_update(component)
                    if len(component) > 1:
                        cycles.append(sorted(component))
    return sorted(cycles)


# --- the smallest extra liquidity --------------------------------------------------------------------------------


class _Cheapest:
    """The least amount to one account with which the greatest set is not empty.

    With less extra the greatest set only shrinks. So for one account: give it much, take the set that leaves, see
    what the account really lacks, give it one unit less than that, and so on until nothing leaves: the last amount
    is its least. Each step drops an item, so this is one search. Over the accounts, by halves: what frees nothing
    when a whole half has it frees nothing when one of them has it, and what leaves when they have it holds
    whatever leaves when one has. No account is given more than would make it the best so far.
    """

    def __init__(self, everything: Trial, effort_items: int) -> None:
        self.lines, self.everything = everything.lines, everything
        self.best: tuple[int, int] = (UNBOUNDED, len(everything.first))  # (amount, account)
        self.floor: dict[int, int] = {}
        self.effort_items, self.searched = effort_items, True

    def search(self) -> tuple[Extra | None, bool]:
        accounts = _accounts(self.everything.first, self.everything.end)
        self._head_alone(accounts)
        trial, extra = self.everything.copy(), dict.fromkeys(accounts, self.best[0])
        for account, units in extra.items():
            trial.supply[account] += units
        self.effort_items -= trial.shrink(trial.suspects())
        for account in accounts:  # needs no less: its head alone, with all that could come in
            head = self.lines.first[account]
            self.floor[account] = self.lines.amount[head] - trial.supply[account] + extra[account]
        accounts.sort(key=self.floor.__getitem__)
        self._divide(trial, {account: extra[account] for account in accounts})
        amount, account = self.best
        return (None if amount == UNBOUNDED else (account, amount)), self.searched

    def _head_alone(self, accounts: list[int]) -> None:
        """A first bound: the cheapest head that would leave with nothing else."""
        lines = self.lines
        for a in accounts:
            head = lines.first[a]
            if lines.group[head] == NONE and lines.amount[head] <= lines.room[lines.limit[head]]:
                self.best = min(self.best, (lines.amount[head] - lines.room[a], a))

    def _divide(self, trial: Trial, extra: dict[int, int]) -> None:
        """Searches among the accounts of `extra`; `trial` is what leaves when all of them have that."""
        self.effort_items -= len(extra)
        if trial.count and len(extra) == 1:
            self._descend(trial, *extra.popitem())
        if not trial.count or not extra:
            return
        accounts = [a for a in extra if trial.end[a] > trial.first[a] and self._worth(a)]
        middle = (len(accounts) + 1) // 2
        for half in (accounts[:middle], accounts[middle:]):
            if self.effort_items <= 0:
                self.searched = False
                return
            allowed = {a: self._allowed(a) for a in half}
            part = trial.copy()
            for a, units in extra.items():
                part.supply[a] -= units - allowed.get(a, 0)
            self.effort_items -= part.shrink(list(extra))
            self._divide(part, allowed)

    def _allowed(self, account: int) -> int:
        """The most this account may need to be the best: of equals, the lowest account."""
        amount, rival = self.best
        return amount if account <= rival else amount - 1

    def _worth(self, account: int) -> bool:
        return self._allowed(account) >= max(1, self.floor[account])

    def _descend(self, trial: Trial, account: int, given: int) -> None:
        while trial.count:
            lacks = trial.out[account] - (trial.supply[account] - given)
            assert 0 < lacks <= given, "something leaves without the extra"
            self.best = (lacks, account)
            trial.supply[account] -= given - (lacks - 1)
            given = lacks - 1
            self.effort_items -= trial.shrink([account])
