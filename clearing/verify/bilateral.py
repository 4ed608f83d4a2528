"""Bilateral limits, replayed in the order of the log (R10): what one may pay another, net, in a business day."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from clearing.core.commands import SetBilateralLimit
from clearing.core.inputs import I64, Bool
from clearing.core.money import parse, show
from clearing.verify.days import business_dates
from clearing.verify.effects import Effects
from clearing.verify.facts import Facts
from clearing.verify.members import Members, columns_of
from clearing.verify.report import Findings
from clearing.verify.resolved import How

ANY_AMOUNT = 1 << 62  # where there is no limit

Number = TypeVar("Number", int, I64)

_Pair = tuple[int, int, int]  # debtor, creditor, asset, by their numbers in the log


@dataclass(slots=True)
class _Direction:
    """changes: (log offset, limit from then on) of one paying another one, in order."""

    changes: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def before(self, log_offset: int) -> int:
        """The limit that the log record begins with."""
        return next((limit for at, limit in reversed(self.changes) if at < log_offset), ANY_AMOUNT)

    @property
    def is_limited(self) -> bool:
        return any(limit != ANY_AMOUNT for _, limit in self.changes)


@dataclass(slots=True)
class _Limits:
    """tracked_at: log offsets from which on what two participants pay each other is counted, by the lower pair."""

    directions: defaultdict[_Pair, _Direction]
    tracked_at: defaultdict[_Pair, list[int]]

    @classmethod
    def of(cls, facts: Facts) -> "_Limits":
        limits = cls(defaultdict(_Direction), defaultdict(list))
        names, assets = facts.table.participants, facts.table.assets
        for one in facts.commands:
            command = one.command
            if not isinstance(command, SetBilateralLimit):
                continue
            debtor, creditor = names.find(command.participant), names.find(command.counterparty)
            asset = assets.find(command.asset)
            if min(debtor, creditor, asset) < 0:
                continue  # nobody has paid with it: the log does not even name it
            units = ANY_AMOUNT
            if command.limit is not None:
                units = parse(command.limit, facts.scales.get(command.asset, 0)) or 0
            limits._set((debtor, creditor, asset), one.log_offset, units)
        return limits

    def _set(self, pair: _Pair, at: int, units: int) -> None:
        there, back = self.directions[pair], self.directions[_opposite(pair)]
        begins = all(one.before(1 << 62) == ANY_AMOUNT for one in (there, back))
        there.changes.append((at, units))
        if begins and units != ANY_AMOUNT:
            self.tracked_at[min(pair, _opposite(pair))].append(at)


def _opposite(pair: _Pair) -> _Pair:
    return pair[1], pair[0], pair[2]


class Bilateral:
    """Keeps what was paid in directions that have had a limit, and what the other way round."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._limits = _Limits.of(facts)
        pairs = {*self._limits.directions, *map(_opposite, self._limits.directions)}
        self._wanted = np.array([self._number(*pair) for pair in pairs], np.int64)
        self._members: list[Members] = []
        self._times: list[I64] = []

    def _number(self, debtor: Number, creditor: Number, asset: Number) -> Number:
        table = self._facts.table
        return (debtor * len(table.participants.names) + creditor) * len(table.assets.names) + asset

    def add(self, some: Members, time: I64) -> None:
        """Members of the next log records, with their times."""
        if len(self._wanted):
            mine = np.isin(self._number(some.debtor, some.creditor, some.asset), self._wanted)
            self._members.append(some.only(mine))
            self._times.append(time[mine])

    def finish(self, found: Findings) -> int:
        """Paid - received stays within the limit, from when a limit between the two was set or the day began (R10).

        Each such stretch of a direction is an account of its own, that begins with the limit. Returns how many
        directions have had a limit.
        """
        facts, limits = self._facts, self._limits
        limited = sum(direction.is_limited for direction in limits.directions.values())
        if not self._members or not limited:
            return limited
        members, time = columns_of(self._members), np.concatenate(self._times)
        days = business_dates(facts.table, facts.commands).starts()
        directions = self._by_direction(members)
        effects, keys = Effects(), list[tuple[_Pair, int]]()
        for pair, direction in limits.directions.items():
            if direction.is_limited:
                tracked = np.array(limits.tracked_at[min(pair, _opposite(pair))], np.int64)
                begins = np.unique(np.concatenate((tracked, days[days > tracked.min()])))
                paid, got = (directions.get(way, _NONE) for way in (pair, _opposite(pair)))
                sides = _Side(members.only(paid), time[paid]), _Side(members.only(got), time[got])
                _add(effects, len(keys), facts, sides, direction, begins, tracked)
                keys += [(pair, int(at)) for at in (-1, *begins.tolist())]
        table = facts.table
        for key, at, below in zip(*(c.tolist() for c in effects.breaches()), strict=True):
            debtor, creditor, asset = keys[key][0]
            names, name = table.participants.names, table.assets.names[asset]
            found.add(
                f"{names[debtor]} paid {names[creditor]} {show(below, facts.scales.get(name, 0))} {name} more at "
                f"log offset {at} than its bilateral limit allows"
            )
        return limited

    def _by_direction(self, members: Members) -> dict[_Pair, I64]:
        """Members by who paid whom in what."""
        direction = self._number(members.debtor, members.creditor, members.asset)
        order = np.argsort(direction, kind="stable")
        starts = np.flatnonzero(np.diff(direction[order], prepend=-1))
        found: dict[_Pair, I64] = {}
        for at in np.split(order, starts[1:]) if len(order) else ():
            first = at[0]
            pair = members.debtor[first], members.creditor[first], members.asset[first]
            found[int(pair[0]), int(pair[1]), int(pair[2])] = at
        return found


class _Side(NamedTuple):
    """What was paid one way, with its times."""

    members: Members
    time: I64

    def at(self, which: Bool) -> "_Side":
        return _Side(self.members.only(which), self.time[which])


_NONE = np.empty(0, np.int64)


def _add(
    effects: Effects,
    first_key: int,
    facts: Facts,
    sides: tuple[_Side, _Side],
    direction: _Direction,
    begins: I64,
    tracked: I64,
) -> None:
    """Effects on one direction; stretch i has the key first_key + i, and before the first begins nothing counts."""

    def stretch(at: I64) -> I64:
        return first_key + np.searchsorted(begins, at, side="right")

    paid, got = (side.at(side.members.offset >= begins[0]) for side in sides)
    paid = paid.at(~_uncertain(facts, paid.members, tracked))
    effects.add(stretch(paid.members.offset), paid.time, -paid.members.units, is_debit=True)
    effects.add(stretch(got.members.offset), got.time, got.members.units)
    changes = [(first_key + i, at, direction.before(at)) for i, at in enumerate(begins.tolist(), 1)]
    limit = ANY_AMOUNT
    for at, new in direction.changes:
        changes.append((int(stretch(np.array([at]))[0]), at, new - limit))
        limit = new
    effects.add_changes(changes)


def _uncertain(facts: Facts, paid: Members, tracked: I64) -> Bool:
    """What a command released in the log record that began to count: nobody says whether it came before."""
    if not len(facts.resolved):
        return np.zeros(len(paid), np.bool_)
    how = np.where(paid.resolution >= 0, facts.resolved.how[paid.resolution], How.NONE)
    released = np.isin(how, (How.PARTIAL, How.OPERATOR))
    return released & np.isin(paid.offset, tracked)
