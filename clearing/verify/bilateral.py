"""Bilateral limits, replayed in the order of the log (R10): what one may pay another, net, in a business day."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from clearing.core.commands import SetBilateralLimit
from clearing.core.inputs import I64, Bool
from clearing.core.money import parse, show
from clearing.verify.days import business_dates
from clearing.verify.effects import Effects
from clearing.verify.facts import Facts
from clearing.verify.report import Findings
from clearing.verify.resolved import How

ANY_AMOUNT = 1 << 62  # where there is no limit

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


def check_bilateral(facts: Facts, time: I64, found: Findings) -> int:
    """Paid - received stays within the limit, from when a limit between the two was set or the day began (R10).

    Each such stretch of a direction is an account of its own, that begins with the limit. Returns how many
    directions have had a limit.
    """
    limits = _Limits.of(facts)
    if not limits.directions:
        return 0
    days = business_dates(facts.table, facts.commands).starts()
    members = _by_direction(facts)
    effects, keys = Effects(), list[tuple[_Pair, int]]()
    for pair, direction in limits.directions.items():
        if direction.is_limited:
            tracked = np.array(limits.tracked_at[min(pair, _opposite(pair))], np.int64)
            begins = np.unique(np.concatenate((tracked, days[days > tracked.min()])))
            _add(effects, len(keys), facts, time, members, pair, direction, begins, tracked)
            keys += [(pair, int(at)) for at in (-1, *begins.tolist())]
    table = facts.table
    for key, at, below in zip(*(column.tolist() for column in effects.breaches()), strict=True):
        debtor, creditor, asset = keys[key][0]
        names, name = table.participants.names, table.assets.names[asset]
        found.add(
            f"{names[debtor]} paid {names[creditor]} {show(below, facts.scales.get(name, 0))} {name} more at "
            f"log offset {at} than its bilateral limit allows"
        )
    return sum(direction.is_limited for direction in limits.directions.values())


def _by_direction(facts: Facts) -> dict[_Pair, I64]:
    """Members by who paid whom in what."""
    members = facts.members
    rows, width = len(facts.table.participants.names), len(facts.table.assets.names)
    direction = (members.debtor * rows + members.creditor) * width + members.asset
    order = np.argsort(direction, kind="stable")
    starts = np.flatnonzero(np.diff(direction[order], prepend=-1))
    found: dict[_Pair, I64] = {}
    for at in np.split(order, starts[1:]) if len(order) else ():
        first = at[0]
        pair = members.debtor[first], members.creditor[first], members.asset[first]
        found[int(pair[0]), int(pair[1]), int(pair[2])] = at
    return found


_NONE = np.empty(0, np.int64)


def _add(
    effects: Effects,
    first_key: int,
    facts: Facts,
    time: I64,
    members: dict[_Pair, I64],
    pair: _Pair,
    direction: _Direction,
    begins: I64,
    tracked: I64,
) -> None:
    """Effects on one direction; stretch i has the key first_key + i, and before the first begins nothing counts."""
    offset, units = facts.members.offset, facts.members.units

    def stretch(at: I64) -> I64:
        return first_key + np.searchsorted(begins, at, side="right")

    paid, got = members.get(pair, _NONE), members.get(_opposite(pair), _NONE)
    paid = paid[(offset[paid] >= begins[0]) & ~_uncertain(facts, paid, tracked)]
    got = got[offset[got] >= begins[0]]
    effects.add(stretch(offset[paid]), time[paid], -units[paid], is_debit=True)
    effects.add(stretch(offset[got]), time[got], units[got])
    changes = [(first_key + i, at, direction.before(at)) for i, at in enumerate(begins.tolist(), 1)]
    limit = ANY_AMOUNT
    for at, new in direction.changes:
        changes.append((int(stretch(np.array([at]))[0]), at, new - limit))
        limit = new
    effects.add_changes(changes)


def _uncertain(facts: Facts, paid: I64, tracked: I64) -> Bool:
    """What a command released in the log record that began to count: nobody says whether it came before."""
    resolution = facts.members.resolution[paid]
    if not len(facts.resolved):
        return np.zeros(len(paid), np.bool_)
    how = np.where(resolution >= 0, facts.resolved.how[resolution], How.NONE)
    released = np.isin(how, (How.PARTIAL, How.OPERATOR))
    return released & np.isin(facts.members.offset[paid], tracked)
