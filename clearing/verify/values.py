"""The multi-asset value check, replayed (R10): what participants under it held and owed after each debit.

Plain meaning: over all assets with a price, the balance b = prefunded + position is worth b·price·(1 − haircut) if
it is held and b·price·(1 + haircut) if it is owed. Their sum is not below zero, nothing is owed beyond its asset's
short limit, and all that is owed together is worth no more than the participant's own limit.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

import numpy as np

from clearing.core.commands import Command, SetShortLimit, SetValuation
from clearing.core.inputs import I64
from clearing.core.money import parse
from clearing.verify.changes import Change
from clearing.verify.effects import GIVES, RELEASES, TAKES, offset_of, time_of
from clearing.verify.facts import Facts
from clearing.verify.members import Members
from clearing.verify.report import Findings

_WHOLE_BP = 10_000


@dataclass(frozen=True, slots=True)
class _Worth:
    """Of one minor unit that is held, and of one that is owed. most_owed: minor units, None without a limit."""

    held: Fraction
    owed: Fraction
    most_owed: int | None


class _Event(NamedTuple):
    """At a place in the log a balance changes, or a command changes how balances are judged."""

    time: int
    participant: int = -1
    asset: int = -1
    units: int = 0
    is_debit: bool = False
    command: Command | None = None


@dataclass(slots=True)
class _Book:
    """Balances of participants under the check, and how they are judged.

    unsure: log offset of the last change of that: what was released in the same record may have come before.
    """

    names: list[str]
    assets: dict[str, int]
    scales: dict[str, int]
    balances: defaultdict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    worths: dict[int, _Worth] = field(default_factory=dict[int, _Worth])
    limits: dict[str, Fraction | None] = field(default_factory=dict[str, Fraction | None])
    unsure: int = -1

    def judge_by(self, command: Command, at: int) -> None:
        self.unsure = at
        if isinstance(command, SetShortLimit):
            limit = None if command.limit is None else Fraction(command.limit)
            self.limits[command.participant] = limit
        elif isinstance(command, SetValuation):
            scale = self.scales.get(command.asset, 0)
            unit = Fraction(command.price) / 10**scale / _WHOLE_BP
            limit = None if command.short_limit is None else parse(command.short_limit, scale)
            self.worths[self.assets.get(command.asset, -1)] = _Worth(
                unit * (_WHOLE_BP - command.haircut_bp),
                unit * (_WHOLE_BP + command.haircut_bp),
                limit,
            )

    def passes(self, participant: int, debited: set[int], at: int) -> bool:
        limit = self.limits.get(self.names[participant])
        if limit is None or at == self.unsure or debited.isdisjoint(self.worths):
            return True
        value = owed = Fraction(0)
        for asset, worth in self.worths.items():
            balance = self.balances[participant, asset]
            if balance >= 0:
                value += balance * worth.held
                continue
            if worth.most_owed is not None and -balance > worth.most_owed:
                return False
            owed -= balance * worth.owed
        return value >= owed and owed <= limit


class Values:
    """Follows the balances of participants under the check, and notes each debit that left one not passing it.

    changes: what beside payments moves balances.
    """

    def __init__(self, facts: Facts, changes: list[Change], found: Findings) -> None:
        names = facts.table.participants
        self._found, self._names = found, names.names
        self._under = sorted(
            {
                names.find(one.command.participant)
                for one in facts.commands
                if isinstance(one.command, SetShortLimit) and one.command.limit is not None
            }
            - {-2}
        )
        self._book = _Book(names.names, facts.table.assets.index, facts.scales)
        others = _others(facts, set(self._under), changes) if self._under else []
        self._others = deque(sorted(others, key=lambda event: event.time))

    def add(self, some: Members, time: I64) -> None:
        """Members of the next log records, with their times."""
        if not self._under or not len(some):
            return
        events = _events(some, self._under, time)
        last = int(some.offset[-1])
        while self._others and offset_of(self._others[0].time) <= last:
            events.append(self._others.popleft())
        events.sort(key=lambda event: event.time)
        for at, together in groupby(events, key=lambda event: event.time):
            self._take(at, together)

    def _take(self, at: int, together: Iterable[_Event]) -> None:
        book = self._book
        debited: defaultdict[int, set[int]] = defaultdict(set)
        for event in together:
            if event.command is not None:
                book.judge_by(event.command, offset_of(at))
                continue
            book.balances[event.participant, event.asset] += event.units
            if event.is_debit:
                debited[event.participant].add(event.asset)
        for participant, assets in debited.items():
            if not book.passes(participant, assets, offset_of(at)):
                self._found.add(
                    f"{self._names[participant]} was debited at log offset {offset_of(at)} though its positions "
                    "did not cover its debts"
                )

    def finish(self) -> int:
        """How many participants were under the check."""
        return len(self._under)


def _events(some: Members, under: list[int], time: I64) -> list[_Event]:
    events: list[_Event] = []
    for side, sign in ((some.debtor, -1), (some.creditor, 1)):
        mine = np.flatnonzero(np.isin(side, under))
        columns = (time, side, some.asset, some.units)
        for at, participant, asset, units in zip(
            *(column[mine].tolist() for column in columns), strict=True
        ):
            events.append(_Event(at, participant, asset, sign * units, sign < 0))
    return events


def _others(facts: Facts, under: set[int], changes: list[Change]) -> Iterator[_Event]:
    """What is no member: recasts, changes, and what balances are judged by."""
    table = facts.table
    gone = facts.members.take(facts.members.gone)
    for side, sign, phase in ((gone.debtor, 1, GIVES), (gone.creditor, -1, TAKES)):
        columns = (gone.gone_at, side, gone.asset, gone.units)
        for at, participant, asset, units in zip(*(c.tolist() for c in columns), strict=True):
            if participant in under:
                yield _Event(time_of(at, phase, 0), participant, asset, sign * units)
    for change in changes:
        participant = table.participants.find(change.participant)
        asset = table.assets.find(change.asset)
        if change.is_money and participant in under and asset >= 0:
            phase = GIVES if change.units >= 0 else TAKES
            yield _Event(time_of(change.log_offset, phase, 0), participant, asset, change.units)
    for one in facts.commands:
        if isinstance(one.command, SetShortLimit | SetValuation):
            at = time_of(one.log_offset, RELEASES, 0)  # before anything the record released
            yield _Event(at, command=one.command)
