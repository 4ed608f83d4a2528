"""What a bank is to be told, or was: counts and values by kind, and how its windows ended (R23, R41).

`to_be_told` works it out from log × outcomes × resolutions; clearing.verify.statuses adds up what stands in the
banks' topics.
"""

from array import array
from dataclasses import dataclass, field

import numpy as np

from clearing.core.inputs import I32, I64, U8, Bool, Kind
from clearing.core.outputs import WindowEvent
from clearing.core.reasons import Code, Status
from clearing.names import owner_of
from clearing.verify.facts import Facts
from clearing.verify.positions import is_scheme_account
from clearing.verify.resolved import How
from clearing.verify.sums import Values, values_by_asset
from clearing.verify.tables import NO_OUTCOME, Bank, Names, Rows

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
    repeats. finals: how windows ended, numbers of what `final_name` makes. last: log offset of the last thing told.
    """

    values: dict[tuple[str, str], tuple[int, int]] = field(
        default_factory=dict[tuple[str, str], tuple[int, int]]
    )
    counts: dict[str, int] = field(default_factory=dict[str, int])
    finals: "array[int]" = field(default_factory=lambda: array("q"))
    last: int = -1

    def add(self, kind: str, by_asset: Values) -> None:
        for asset, (count, value) in by_asset.items():
            before = self.values.get((kind, asset), (0, 0))
            self.values[(kind, asset)] = (before[0] + count, before[1] + value)

    def count(self, kind: str, more: int) -> None:
        if more:
            self.counts[kind] = self.counts.get(kind, 0) + more


def final_name(asset: str, window: int, version: int, status: str, batch_hash: str) -> str:
    """How a window ended, as one text: a bank may hear of very many."""
    return f"{asset}|{window}|{version}|{status}|{batch_hash}"


def to_be_told(
    facts: Facts, floors: dict[Bank, int] | None = None, finals: Names | None = None
) -> dict[str, Told]:
    """By participant, everything that a bank must hear about this netting set.

    floors: see clearing.verify.collect.told_from; what was told up to there is left out. finals: numbers of how
    windows ended, the same for everybody who is to be told and was.
    """
    floor_of = {
        bank: floor for (name, bank), floor in (floors or {}).items() if name == facts.netting_set
    }
    told = _ToBeTold(facts, floor_of)
    told.add_outcomes()
    told.add_resolutions()
    _add_finals(facts.said.windows, told.result, floor_of, Names() if finals is None else finals)
    return {name: bank for name, bank in told.result.items() if bank.last >= 0}


class _ToBeTold:
    """Adds up by participant. owner_of: source → its owner, number_of: a participant's number in the log → here."""

    def __init__(self, facts: Facts, floor_of: dict[str, int]) -> None:
        self.facts, table = facts, facts.table
        names = Names()
        owners = [""] * len(table.sources)
        for (topic, _), number in table.sources.items():
            owners[number] = owner_of(topic)
        self.owner_of = np.array([names.add(name) for name in owners] or [-1], np.int64)
        known = [names.add(name) for name in table.participants.names]
        self.number_of = np.array(known or [-1], np.int64)
        self.offsets = np.array(table.offsets or [-1], np.int64)
        self.names = names
        self.result: dict[str, Told] = {name: Told() for name in names.names}
        self.floor = np.array([floor_of.get(name, -1) for name in names.names] or [-1], np.int64)

    def add_outcomes(self) -> None:
        for _, part in self.facts.rows.parts():
            self._add_part(part)

    def _add_part(self, rows: Rows) -> None:
        owner, creditor = self.owner_of[rows.source], self.number_of[rows.creditor]
        where = self.offsets[rows.record]
        told = rows.fresh & (rows.code != NO_OUTCOME) & (rows.code != Code.ALREADY_READ)
        told &= where > self.floor[owner]
        first = told & ~rows.repeat
        for code, status in _STATUS_OF_OUTCOME.items():
            self._add_rows(rows, owner, first & (rows.code == code), status)
        for code, status in _COUNTED_OUTCOMES.items():
            self._count(owner[first & (rows.code == code)], status)
        others = first & ~np.isin(rows.code, [*_STATUS_OF_OUTCOME, *_COUNTED_OUTCOMES])
        self._count(owner[others], Status.RJCT)
        self._count(owner[told & rows.repeat], REPEAT)
        self._hear(owner[told], where[told])

        fresh = rows.fresh & ~rows.repeat & (where > self.floor[creditor])
        received = fresh & (rows.code == Code.ACCEPTED)
        asked = fresh & (rows.code == Code.REQUESTED)
        answered = fresh & (rows.kind == Kind.ANSWER) & (rows.code == Code.DONE)
        self._add_rows(rows, creditor, received, RECEIVED)
        self._add_rows(rows, creditor, asked, ASKED)
        self._count(creditor[answered], ANSWERED)
        heard = received | asked | answered
        self._hear(creditor[heard], where[heard])

    def add_resolutions(self) -> None:
        """A debtor hears what became of it, a creditor what it receives, or loses when a window is recast."""
        resolved, rows = self.facts.resolved, self.facts.rows
        known = np.flatnonzero(resolved.row >= 0)
        row, at, code = resolved.row[known], resolved.at[known], resolved.code[known]
        debtor, creditor = self.number_of[rows.debtor[row]], self.number_of[rows.creditor[row]]
        asset = rows.asset[row]
        mine = at > self.floor[debtor]
        released, partial = code == Code.ACCEPTED, resolved.how[known] == How.PARTIAL
        amounts = resolved.amount[known], resolved.decimals[known]
        rests = resolved.remaining[known], resolved.remaining_decimals[known]
        cancelled = code == Code.CANCELLED
        self._add(debtor, asset, mine & released, Status.ACSP, *amounts)
        self._add(debtor, asset, mine & cancelled, Status.CANC, *amounts)
        self._add(debtor, asset, mine & partial, REST, *rests)
        self._count(debtor[mine & ~released & ~cancelled], Status.RJCT)
        self._hear(debtor[mine], at[mine])
        theirs = at > self.floor[creditor]
        recast = code == Code.RECAST
        self._add(creditor, asset, theirs & released, RECEIVED, *amounts)
        self._add(creditor, asset, theirs & recast, WITHDRAWN, *amounts)
        self._hear(creditor[theirs & (released | recast)], at[theirs & (released | recast)])

    def _add_rows(self, rows: Rows, who: I64, mine: Bool, kind: str) -> None:
        self._add(who, rows.asset, mine, kind, rows.amount, rows.decimals)

    def _add(self, who: I64, asset: I32, mine: Bool, kind: str, amount: I64, decimals: U8) -> None:
        """Values of `kind` by participant and asset."""
        if not mine.any():
            return
        assets = self.facts.table.assets.names
        keys = who[mine] * len(assets) + asset[mine]
        for key, total in values_by_asset(keys, amount[mine], decimals[mine]).items():
            bank, number = divmod(key, len(assets))
            self.result[self.names.names[bank]].add(kind, {assets[number]: total})

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


def _add_finals(
    events: list[WindowEvent], result: dict[str, Told], floors: dict[str, int], finals: Names
) -> None:
    for event in events:
        status = {"SETTLED": "ACSC", "FAILED": "RJCT"}.get(event.state)
        for entry in event.entries:
            name = entry.participant
            if is_scheme_account(name) or event.log_offset <= floors.get(name, -1):
                continue
            bank = result.setdefault(name, Told())
            if status is not None:
                name = final_name(event.asset, event.window, event.version, status, event.hash)
                bank.finals.append(finals.add(name))
            bank.last = max(bank.last, event.log_offset)
