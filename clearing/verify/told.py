"""What a bank is to be told, or was: counts and values by kind, and how its windows ended (R23, R41).

`to_be_told` works it out from log × outcomes × resolutions; clearing.verify.statuses adds up what stands in the
banks' topics.
"""

from dataclasses import dataclass, field

import numpy as np

from clearing.core.inputs import I64, U8, Bool, Kind
from clearing.core.outputs import WindowEvent
from clearing.core.reasons import Code, Status
from clearing.names import owner_of
from clearing.verify.facts import Facts
from clearing.verify.positions import is_scheme_account
from clearing.verify.resolved import How
from clearing.verify.sums import Values, values_by_asset
from clearing.verify.tables import NO_OUTCOME, Bank, Names

Final = tuple[str, int, int, str, str]  # asset, window, version, status, hash of the batch

# Kinds of what is told beside the statuses. REST: what still waits of a payment that was delivered in part.
RECEIVED, WITHDRAWN, ASKED, REST = "received", "withdrawn", "asked", "rest"
# And those that are only counted: their asset may be unknown, or there is none.
REPEAT, ANSWERED = "repeat", "answered"

_STATUS_OF_OUTCOME = {Code.ACCEPTED: Status.ACSP, Code.QUEUED: Status.PDNG}
_COUNTED_OUTCOMES = {Code.DONE: Status.CNCL, Code.REQUESTED: Status.PDCR}


@dataclass(slots=True)
class Told:
    """What one bank was told, or is to be told, about one netting set.

    values: by kind (ACSP, PDNG, CANC, RECEIVED …) and asset; counts: of RJCT, of what is about instructions and of
    repeats. last: log offset of the last thing told.
    """

    values: dict[tuple[str, str], tuple[int, int]] = field(
        default_factory=dict[tuple[str, str], tuple[int, int]]
    )
    counts: dict[str, int] = field(default_factory=dict[str, int])
    finals: set[Final] = field(default_factory=set[Final])
    last: int = -1

    def add(self, kind: str, by_asset: Values) -> None:
        for asset, (count, value) in by_asset.items():
            before = self.values.get((kind, asset), (0, 0))
            self.values[(kind, asset)] = (before[0] + count, before[1] + value)

    def count(self, kind: str, more: int) -> None:
        if more:
            self.counts[kind] = self.counts.get(kind, 0) + more


def to_be_told(facts: Facts, floors: dict[Bank, int] | None = None) -> dict[str, Told]:
    """By participant, everything that a bank must hear about this netting set.

    floors: see clearing.verify.collect.told_from; what was told up to there is left out.
    """
    floor_of = {
        bank: floor for (name, bank), floor in (floors or {}).items() if name == facts.netting_set
    }
    told = _ToBeTold(facts, floor_of)
    told.add_outcomes()
    told.add_resolutions()
    _add_finals(facts.said.windows, told.result, floor_of)
    return {name: bank for name, bank in told.result.items() if bank.last >= 0}


class _ToBeTold:
    """Adds up by participant. owner, debtor, creditor: of each row, as numbers of `names`."""

    def __init__(self, facts: Facts, floor_of: dict[str, int]) -> None:
        self.facts, rows, table = facts, facts.rows, facts.table
        names = Names()
        owners = [""] * len(table.sources)
        for (topic, _), number in table.sources.items():
            owners[number] = owner_of(topic)
        number_of_owner = np.array([names.add(name) for name in owners] or [-1], np.int64)
        number_of = np.array([names.add(n) for n in table.participants.names] or [-1], np.int64)
        self.owner = number_of_owner[rows.source]
        self.debtor, self.creditor = number_of[rows.debtor], number_of[rows.creditor]
        self.names = names
        self.result: dict[str, Told] = {name: Told() for name in names.names}
        self.floor = np.array([floor_of.get(name, -1) for name in names.names] or [-1], np.int64)

    def add_outcomes(self) -> None:
        rows, owner = self.facts.rows, self.owner
        where = np.array(self.facts.table.offsets or [-1], np.int64)[rows.record]
        told = rows.fresh & (rows.code != NO_OUTCOME) & (rows.code != Code.ALREADY_READ)
        told &= where > self.floor[owner]
        first = told & ~rows.repeat
        for code, status in _STATUS_OF_OUTCOME.items():
            self._add_rows(owner, first & (rows.code == code), status)
        for code, status in _COUNTED_OUTCOMES.items():
            self._count(owner[first & (rows.code == code)], status)
        others = first & ~np.isin(rows.code, [*_STATUS_OF_OUTCOME, *_COUNTED_OUTCOMES])
        self._count(owner[others], Status.RJCT)
        self._count(owner[told & rows.repeat], REPEAT)
        self._hear(owner[told], where[told])

        fresh = rows.fresh & ~rows.repeat & (where > self.floor[self.creditor])
        received = fresh & (rows.code == Code.ACCEPTED)
        asked = fresh & (rows.code == Code.REQUESTED)
        answered = fresh & (rows.kind == Kind.ANSWER) & (rows.code == Code.DONE)
        self._add_rows(self.creditor, received, RECEIVED)
        self._add_rows(self.creditor, asked, ASKED)
        self._count(self.creditor[answered], ANSWERED)
        heard = received | asked | answered
        self._hear(self.creditor[heard], where[heard])

    def add_resolutions(self) -> None:
        """A debtor hears what became of it, a creditor what it receives, or loses when a window is recast."""
        resolved = self.facts.resolved
        known = np.flatnonzero(resolved.row >= 0)
        row, at, code = resolved.row[known], resolved.at[known], resolved.code[known]
        debtor, creditor = self.debtor[row], self.creditor[row]
        mine = at > self.floor[debtor]
        released, partial = code == Code.ACCEPTED, resolved.how[known] == How.PARTIAL
        amounts = resolved.amount[known], resolved.decimals[known]
        rests = resolved.remaining[known], resolved.remaining_decimals[known]
        cancelled = code == Code.CANCELLED
        self._add(debtor, row, mine & released, Status.ACSP, *amounts)
        self._add(debtor, row, mine & cancelled, Status.CANC, *amounts)
        self._add(debtor, row, mine & partial, REST, *rests)
        self._count(debtor[mine & ~released & ~cancelled], Status.RJCT)
        self._hear(debtor[mine], at[mine])
        theirs = at > self.floor[creditor]
        recast = code == Code.RECAST
        self._add(creditor, row, theirs & released, RECEIVED, *amounts)
        self._add(creditor, row, theirs & recast, WITHDRAWN, *amounts)
        self._hear(creditor[theirs & (released | recast)], at[theirs & (released | recast)])

    def _add_rows(self, who: I64, mine: Bool, kind: str) -> None:
        rows = self.facts.rows
        self._add(who, np.arange(len(rows)), mine, kind, rows.amount, rows.decimals)

    def _add(self, who: I64, row: I64, mine: Bool, kind: str, amount: I64, decimals: U8) -> None:
        """Values of `kind` by participant and asset. who, amount, decimals: beside row, which names the asset."""
        if not mine.any():
            return
        assets = self.facts.table.assets.names
        keys = who[mine] * len(assets) + self.facts.rows.asset[row[mine]]
        for key, total in values_by_asset(keys, amount[mine], decimals[mine]).items():
            bank, asset = divmod(key, len(assets))
            self.result[self.names.names[bank]].add(kind, {assets[asset]: total})

    def _count(self, who: I64, kind: str) -> None:
        for number, count in enumerate(np.bincount(who).tolist()):
            self.result[self.names.names[number]].count(kind, count)

    def _hear(self, who: I64, at: I64) -> None:
        """Each was told something at these log offsets."""
        last = np.full(max(len(self.names.names), 1), -1, np.int64)
        np.maximum.at(last, who, at)
        for number in np.flatnonzero(last >= 0).tolist():
            bank = self.result[self.names.names[number]]
            bank.last = max(bank.last, int(last[number]))


def _add_finals(events: list[WindowEvent], result: dict[str, Told], floors: dict[str, int]) -> None:
    for event in events:
        status = {"SETTLED": "ACSC", "FAILED": "RJCT"}.get(event.state)
        for entry in event.entries:
            name = entry.participant
            if is_scheme_account(name) or event.log_offset <= floors.get(name, -1):
                continue
            bank = result.setdefault(name, Told())
            if status is not None:
                bank.finals.add((event.asset, event.window, event.version, status, event.hash))
            bank.last = max(bank.last, event.log_offset)
