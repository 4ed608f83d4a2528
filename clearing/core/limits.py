"""Limits: what becomes of payments that passed every other check: accepted, waiting or refused (R8-R10, R13).

Vectorised, and exact. First the worst case: all debits, no credits. Rows whose debtor cannot breach even then are
accepted at once; the rest is decided one by one, in order, because a credit counts from the moment it is accepted.
"""

import numpy as np

from clearing.core.compiled import compiled
from clearing.core.inputs import I64, U8, Bool
from clearing.core.money import MAX_UNSETTLED
from clearing.core.reasons import Code
from clearing.core.registry import QueuePolicy
from clearing.core.state import NettingSet
from clearing.core.transfers import Transfers
from clearing.core.value import passes, renew_room

MAX_QUEUED = 50_000  # payments in the queue of an account; what would be more is refused for want of liquidity
_EXACT_SUM = 1 << 62  # int64 sums below this cannot have wrapped


def admit(state: NettingSet, transfers: Transfers, priority: U8) -> U8:
    """ACCEPTED, QUEUED or a refusal's Code for each of n transfers in order; changes nothing but caches.

    Plain meaning, per row in order: `judge`, and what is accepted counts for the rows after it.
    """
    n = len(transfers)
    result = np.zeros(n, np.uint8)
    if n == 0:
        return result
    if int(transfers.units.max()) * n >= _EXACT_SUM or _without_room(state, transfers):
        rows = np.arange(n)  # sums could wrap: everything goes the exact way, in Python's integers
    else:
        at_risk = _at_risk(state, transfers)
        if not at_risk.any():
            return result
        rows = _touching(state, transfers, at_risk)
    _one_by_one(state, transfers, priority, rows, result)
    return result


def _without_room(state: NettingSet, transfers: Transfers) -> bool:
    sums = np.zeros(len(state.assets), np.int64)
    _add(sums, transfers.asset, transfers.units)
    return any(total > room(state, a) for a, total in enumerate(sums.tolist()) if total)


@compiled
def _add(sums: I64, place: I64, units: I64) -> None:
    """sums[place] += units, row by row. The caller knows that no sum can wrap."""
    for row in range(len(place)):
        sums[place[row]] += units[row]


def room(state: NettingSet, a: int) -> int:
    """Gross value of an asset that may still be accepted, or wait to be."""
    return MAX_UNSETTLED - state.assets[a].unsettled - state.assets[a].waiting


def _at_risk(state: NettingSet, transfers: Transfers) -> Bool:
    """Rows whose debtor could breach something if it got no credits, or has a queue that may block it."""
    n, debit, accounts = len(transfers), transfers.debit, state.accounts
    sums, at_risk = np.empty(n, np.int64), np.empty(n, np.bool_)
    _debited(
        debit,
        transfers.units,
        accounts.prefunded.reshape(-1),
        accounts.cap.reshape(-1),
        accounts.position.reshape(-1),
        accounts.reserved.reshape(-1),
        state.scratch,
        sums,
        at_risk,
    )
    if state.queues:
        at_risk |= accounts.queued_payments.reshape(-1).take(debit) > 0
    if state.short_limits:
        at_risk |= _value_at_risk(state, transfers, sums)
    if state.bilateral:
        at_risk[state.bilateral.at_risk(transfers, len(state.status), state.width)] = True
    return at_risk


@compiled
def _debited(
    debit: I64,
    units: I64,
    prefunded: I64,
    cap: I64,
    position: I64,
    reserved: I64,
    scratch: I64,
    sums: I64,
    at_risk: Bool,
) -> None:
    """sums: of all rows that debit the same account; at_risk: whether it is more than the account's headroom (R8).
    The caller knows that no sum can wrap. scratch: zeros, and so again at the end."""
    _add(scratch, debit, units)
    for row in range(len(debit)):
        account = debit[row]
        sums[row] = scratch[account]
        headroom = prefunded[account] + cap[account] + position[account] - reserved[account]
        at_risk[row] = sums[row] > headroom
    for row in range(len(debit)):
        scratch[debit[row]] = 0


def _value_at_risk(state: NettingSet, transfers: Transfers, sums: I64) -> Bool:
    """Rows whose debtor could fail the value check; what is known of it is renewed where it is not enough."""
    at_risk = sums > state.value_room.take(transfers.debit)
    if at_risk.any():
        for p in np.unique(transfers.debtor[at_risk]).tolist():
            renew_room(state, p)
        at_risk = sums > state.value_room.take(transfers.debit)
    return at_risk


def _touching(state: NettingSet, transfers: Transfers, at_risk: Bool) -> I64:
    """Rows that debit or credit an account at risk; of participants under the value check any account."""
    scratch, debit, credit = state.scratch, transfers.debit, transfers.credit
    marked = debit[at_risk]
    if state.short_limits:
        p = np.unique(transfers.debtor[at_risk])
        p = p[np.isin(p, np.fromiter(state.short_limits, np.int64))]
        whole = (p[:, None] * state.width + np.arange(state.width)).reshape(-1)
        marked = np.concatenate((marked, whole))
    scratch[marked] = 1
    rows = np.flatnonzero((scratch.take(debit) | scratch.take(credit)) != 0)
    scratch[marked] = 0
    return rows


class _Book:
    """What accounts can still pay while a record's rows are judged one by one: a copy, in Python's integers."""

    def __init__(self, state: NettingSet, transfers: Transfers, rows: I64) -> None:
        self.state = state
        accounts = np.unique(np.concatenate((transfers.debit[rows], transfers.credit[rows])))
        left = state.accounts.headroom(accounts).tolist()
        self.left: dict[int, int] = dict(zip(accounts.tolist(), left, strict=True))
        self.room = [room(state, a) for a in range(len(state.assets))]
        self.pair_left = {pair: state.bilateral.left(pair) for pair in state.bilateral.pairs}
        self.changes: dict[int, dict[int, int]] = {p: {} for p in state.short_limits}
        self.heads = {account: queue[0].priority for account, queue in state.queues.items()}
        self.lengths = {account: len(queue) for account, queue in state.queues.items()}

    def judge(self, d: int, c: int, a: int, units: int, priority: int) -> Code:
        asset = self.state.assets[a]
        if self.room[a] < units:
            return Code.POSITION_RANGE
        waits = asset.queues and self.lengths.get((d, a), 0) < MAX_QUEUED
        if asset.spec.queue is QueuePolicy.FIFO and self.heads.get((d, a), -1) >= priority:
            return Code.QUEUED if waits else liquidity_reason(self.state, d, a)
        lacking = self._lacking(d, c, a, units)
        return Code.QUEUED if lacking and waits else lacking

    def _lacking(self, d: int, c: int, a: int, units: int) -> Code:
        if self.pair_left and self.pair_left.get((d, c, a), units) < units:
            return Code.BILATERAL_LIMIT
        if self.left[d * self.state.width + a] < units:
            return liquidity_reason(self.state, d, a)
        if d in self.changes:
            after = self.changes[d] | {a: self.changes[d].get(a, 0) - units}
            if self.state.assets[a].valuation and not passes(self.state, d, after):
                return Code.VALUE_CHECK
        return Code.ACCEPTED

    def accept(self, d: int, c: int, a: int, units: int) -> None:
        width = self.state.width
        self.left[d * width + a] -= units
        self.left[c * width + a] += units
        self.room[a] -= units
        for pair, change in (((d, c, a), -units), ((c, d, a), units)):
            if pair in self.pair_left:
                self.pair_left[pair] += change
        for p, change in ((d, -units), (c, units)):
            if p in self.changes:
                self.changes[p][a] = self.changes[p].get(a, 0) + change

    def queue(self, d: int, a: int, units: int, priority: int) -> None:
        self.room[a] -= units
        self.heads[d, a] = max(self.heads.get((d, a), 0), priority)
        self.lengths[d, a] = self.lengths.get((d, a), 0) + 1


def liquidity_reason(state: NettingSet, p: int, a: int) -> Code:
    """R9: two limits, two reasons."""
    return Code.NET_DEBIT_CAP if state.accounts.cap[p, a] > 0 else Code.LIQUIDITY


def _one_by_one(
    state: NettingSet, transfers: Transfers, priority: U8, rows: I64, result: U8
) -> None:
    """The plain meaning over `rows`; rows left out are accepted and touch none of these accounts' limits."""
    book = _Book(state, transfers, rows)
    columns = (transfers.debtor, transfers.creditor, transfers.asset, transfers.units, priority)
    for row, d, c, a, units, urgency in zip(
        rows.tolist(), *(column[rows].tolist() for column in columns), strict=True
    ):
        code = book.judge(d, c, a, units, urgency)
        if code == Code.ACCEPTED:
            book.accept(d, c, a, units)
        else:
            if code == Code.QUEUED:
                book.queue(d, a, units, urgency)
            result[row] = code


def lacking_of_set(state: NettingSet, transfers: list[tuple[int, int, int, int]]) -> list[Code]:
    """Why each of these transfers (debtor, creditor, asset, units) cannot be part of all of them at once.

    All ACCEPTED: they fit as one, every account that sends ending with headroom >= 0 (R15, R19). `room` is for
    the caller to check.
    """
    accounts: dict[tuple[int, int], int] = {}
    pairs: dict[tuple[int, int, int], int] = {}
    for d, c, a, units in transfers:
        accounts[d, a] = accounts.get((d, a), 0) - units
        accounts[c, a] = accounts.get((c, a), 0) + units
        pairs[d, c, a] = pairs.get((d, c, a), 0) + units
        pairs[c, d, a] = pairs.get((c, d, a), 0) - units
    return [_lacking_in_set(state, d, c, a, accounts, pairs) for d, c, a, _ in transfers]


def _lacking_in_set(
    state: NettingSet,
    d: int,
    c: int,
    a: int,
    accounts: dict[tuple[int, int], int],
    pairs: dict[tuple[int, int, int], int],
) -> Code:
    if state.bilateral.left((d, c, a)) < pairs[d, c, a]:
        return Code.BILATERAL_LIMIT
    if headroom_of(state, d, a) + accounts[d, a] < 0:
        return liquidity_reason(state, d, a)
    if d in state.short_limits and state.assets[a].valuation:
        changes = {asset: units for (p, asset), units in accounts.items() if p == d}
        if not passes(state, d, changes):
            return Code.VALUE_CHECK
    return Code.ACCEPTED


def headroom_of(state: NettingSet, p: int, a: int) -> int:
    """R8 for one account, exactly."""
    accounts = state.accounts
    held, cap = int(accounts.prefunded[p, a]), int(accounts.cap[p, a])
    return held + cap + int(accounts.position[p, a]) - int(accounts.reserved[p, a])
