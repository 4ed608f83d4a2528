"""Offsetting: which waiting payments can leave now (R13-R16, R20): singles, then pairs, then the greatest set.

Runs once at the end of a log record, and only if an account with a queue got liquidity, or a queue changed.
The search itself is clearing.core.offsetting, over columns; here the state becomes columns and leaves follow.
"""

from collections.abc import Iterable

import numpy as np

from clearing.core.inputs import I64, Bool
from clearing.core.limits import headroom_of, lacking_of_set
from clearing.core.offsetting import NONE, Queue, bilateral_sets, greatest_set
from clearing.core.outputs import Outputs
from clearing.core.reasons import Code
from clearing.core.registry import ParticipantStatus, QueuePolicy
from clearing.core.state import NettingSet, Waiting
from clearing.core.transfers import of_rows, post
from clearing.core.value import passes
from clearing.core.waiting import resolve

SINGLE, BILATERAL, MULTILATERAL, LINK = "SINGLE", "BILATERAL", "MULTILATERAL", "LINK"


def offset_queues(state: NettingSet, offset: int, out: Outputs) -> None:
    """R14: until nothing can leave any more. Nothing is looked at that could not have become free."""
    while state.stirred:
        candidates = state.stirred & state.queues.keys()
        state.stirred = set()
        if not candidates:
            return
        _release_singles(state, candidates, offset, out)
        stirred = {*candidates, *state.stirred} & state.queues.keys()
        state.stirred = set()
        if any(_may_lead(state, account) for account in stirred):
            _release_sets(state, offset, out)


def _may_lead(state: NettingSet, account: tuple[int, int]) -> bool:
    """Whether the head of a queue could leave if everything that waits for its payer came in with it."""
    head = state.queues[account][0]
    return headroom_of(state, *account) + int(state.accounts.incoming[account]) >= head.units


def release(state: NettingSet, items: list[Waiting], offset: int, out: Outputs, how: str) -> None:
    """The payments leave as one and are accepted."""
    rows = [(item.debtor, item.creditor, item.asset, item.units) for item in items]
    ids = [item.id for item in items]
    resolve(state, items, Code.ACCEPTED, out, how)
    post(state, of_rows(state, ids, rows), offset, released=True)
    close_links(state, items)


def close_links(state: NettingSet, items: Iterable[Waiting]) -> None:
    """Links that have left: their windows are final together (R20), their ids are not used again."""
    links: dict[str, set[int]] = {}
    for item in items:
        if item.link:
            links.setdefault(item.link, set()).add(item.asset)
    for link, assets in links.items():
        end_link(state, link)
        join_windows(state, assets)


def end_link(state: NettingSet, link: str) -> None:
    state.links.pop(link, None)
    state.ended_links[link] = state.counters.business_date


def join_windows(state: NettingSet, assets: Iterable[int]) -> None:
    """The open windows of these assets hold legs of one link."""
    known = set(assets)
    for a in known:
        state.assets[a].joint |= known - {a}


def group_of(state: NettingSet, item: Waiting) -> list[Waiting]:
    """Everything that leaves with a payment: its link's legs in their order, or itself."""
    if not item.link:
        return [item]
    present = state.links[item.link].present
    return [state.waiting[present[leg]] for leg in sorted(present)]


def is_held(state: NettingSet, item: Waiting) -> bool:
    """A suspended party's payments are kept, not settled (R32)."""
    suspended = ParticipantStatus.SUSPENDED
    return bool(state.status[item.debtor] == suspended or state.status[item.creditor] == suspended)


def is_fifo(state: NettingSet, item: Waiting) -> bool:
    return state.assets[item.asset].spec.queue is QueuePolicy.FIFO


# --- singles -----------------------------------------------------------------------------------------------


def _release_singles(
    state: NettingSet, accounts: set[tuple[int, int]], offset: int, out: Outputs
) -> None:
    """Again and again the first payment, in the order of the queues, that can leave by itself.

    accounts: those whose queues may have changed; every release adds those that it may have freed.
    """
    found = {account: _first_that_fits(state, account) for account in accounts}
    while ready := [item for item in found.values() if item]:
        item = min(ready, key=lambda item: min(leg.place for leg in group_of(state, item)))
        if not _may_leave(state, item):  # what it had when it was found has gone to another one
            found[item.account] = _first_that_fits(state, item.account)
            continue
        stirred, state.stirred = state.stirred, set()
        release(state, group_of(state, item), offset, out, LINK if item.link else SINGLE)
        for account in sorted({*state.stirred, item.account}):
            found[account] = _first_that_fits(state, account)
        state.stirred |= stirred


def _first_that_fits(state: NettingSet, account: tuple[int, int]) -> Waiting | None:
    headroom = headroom_of(state, *account)
    for item in state.queues.get(account, ()):
        if (item.link or item.units <= headroom) and _may_leave(state, item):
            return item
        if is_fifo(state, item):
            return None
    return None


def _may_leave(state: NettingSet, item: Waiting) -> bool:
    """Whether a payment, with its link's other legs, is at its turn and fits."""
    group = group_of(state, item)
    for leg in group:
        if not is_at_turn(state, leg, group):
            return False
    rows = [(leg.debtor, leg.creditor, leg.asset, leg.units) for leg in group]
    return not any(lacking_of_set(state, rows))


def is_at_turn(state: NettingSet, leg: Waiting, group: list[Waiting]) -> bool:
    """Not held, and under FIFO nothing is before it but legs of its own link."""
    if is_held(state, leg):
        return False
    for before in state.queues[leg.account] if is_fifo(state, leg) else ():
        if before is leg:
            return True
        if before not in group:
            return False
    return True


# --- sets --------------------------------------------------------------------------------------------------


class Columns:
    """What waits in queues as columns: `items` in the order of R12, `queue` and `room` for the search.

    Constraints are the accounts that appear, then the bilateral limits between debtors and creditors that do.
    """

    def __init__(self, state: NettingSet) -> None:
        self.state = state
        self.items = sorted(
            (item for queue in state.queues.values() for item in queue), key=lambda i: i.place
        )
        self.constraint: dict[tuple[int, ...], int] = {}
        self.room_list: list[int] = []
        self.party_list: list[int] = []
        n = len(self.items)
        payer = self._column(self._account(item.debtor, item.asset) for item in self.items)
        payee = self._column(self._account(item.creditor, item.asset) for item in self.items)
        limit = relief = np.full(n, NONE, np.int64)
        if state.bilateral:
            limit = self._column(
                self._limit(item.debtor, item.creditor, item.asset) for item in self.items
            )
            relief = self._column(
                self._limit(item.creditor, item.debtor, item.asset) for item in self.items
            )
        links: dict[str, int] = {}
        group = self._column(
            links.setdefault(item.link, len(links)) if item.link else NONE for item in self.items
        )
        self.queue = Queue(
            payer=payer,
            payee=payee,
            amount=self._column(item.units for item in self.items),
            order=np.arange(n),
            limit=limit,
            relief=relief,
            group=group,
            held=self._held(),
        )
        self.room: I64 = np.array(self.room_list, np.int64)
        self.party: I64 = np.array(self.party_list, np.int64)

    def _column(self, values: Iterable[int]) -> I64:
        return np.fromiter(values, np.int64, len(self.items))

    def _account(self, p: int, a: int) -> int:
        found = self.constraint.get((p, a))
        if found is None:
            found = self._add((p, a), headroom_of(self.state, p, a), p)
        return found

    def _limit(self, d: int, c: int, a: int) -> int:
        pair, limits = (d, c, a), self.state.bilateral
        if not limits.is_limited(pair):
            return NONE
        found = self.constraint.get(pair)
        return self._add(pair, limits.left(pair), d) if found is None else found

    def _add(self, key: tuple[int, ...], room: int, p: int) -> int:
        self.constraint[key] = len(self.room_list)
        self.room_list.append(room)
        self.party_list.append(p)
        return len(self.room_list) - 1

    def _held(self) -> Bool:
        held = np.zeros(len(self.items), np.bool_)
        if (self.state.status == ParticipantStatus.SUSPENDED).any():
            held[:] = [is_held(self.state, item) for item in self.items]
        return held

    def taken(self, mask: Bool) -> list[Waiting]:
        return [self.items[i] for i in np.flatnonzero(mask).tolist()]


def _release_sets(state: NettingSet, offset: int, out: Outputs) -> None:
    """Pairs; only if there is none that helps, the greatest set of all."""
    columns = Columns(state)
    if not state.short_limits:
        pairs = bilateral_sets(columns.room, columns.queue, columns.party)
        for rows in pairs:
            release(state, [columns.items[i] for i in rows], offset, out, BILATERAL)
        if pairs:
            return
    items = greatest_releasable(state, columns)
    if items:
        release(state, items, offset, out, MULTILATERAL)


def greatest_releasable(state: NettingSet, columns: Columns) -> list[Waiting]:
    """R15, and under the value check (R10) what is left when nobody fails it: whoever would fail first by
    registration keeps their last payment back, and the set is searched again.
    """
    queue = columns.queue
    while True:
        items = columns.taken(greatest_set(columns.room, queue))
        failing = _fails_value_check(state, items)
        if failing is None:
            return items
        last = max((item for item in items if item.debtor == failing), key=lambda i: i.place)
        held = queue.held.copy()
        held[columns.items.index(last)] = True
        queue.held = held


def _fails_value_check(state: NettingSet, items: list[Waiting]) -> int | None:
    """The first participant, by registration, that pays in this set and would fail the value check after it."""
    changes: dict[int, dict[int, int]] = {p: {} for p in state.short_limits}
    payers: set[int] = set()
    for item in items:
        if item.debtor in changes and state.assets[item.asset].valuation:
            payers.add(item.debtor)
        for p, units in ((item.debtor, -item.units), (item.creditor, item.units)):
            if p in changes:
                changes[p][item.asset] = changes[p].get(item.asset, 0) + units
    return next((p for p in sorted(payers) if not passes(state, p, changes[p])), None)
