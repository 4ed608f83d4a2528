"""Offsetting: which waiting payments can leave now (R13-R16, R20): singles, then pairs, then the greatest set.

Runs once at the end of a log record, and only if an account with a queue got liquidity, or a queue changed.
The search itself is clearing.core.offsetting, over columns; here the state becomes columns and leaves follow.
"""

from collections.abc import Iterable

import numpy as np

from clearing.core.inputs import I64, Bool
from clearing.core.limits import headroom_of
from clearing.core.offsetting import NONE, Queue, bilateral_sets, greatest_set, singles
from clearing.core.outputs import Outputs
from clearing.core.queueing import SINGLE, resolve
from clearing.core.reasons import Code
from clearing.core.registry import ParticipantStatus, QueuePolicy
from clearing.core.state import NettingSet
from clearing.core.transfers import of_rows, post
from clearing.core.value import passes
from clearing.core.waiting import Waiting

SEARCHED_PER_MS = (
    50  # of log time: with 10,000 waiting, a search that found nothing is repeated 200 ms later
)

BILATERAL, MULTILATERAL = "BILATERAL", "MULTILATERAL"


def offset_queues(state: NettingSet, offset: int, out: Outputs, *, now: bool = False) -> None:
    """R14: until nothing can leave any more. Nothing is looked at that could not have become free.

    A search for sets that found nothing is not repeated for a while, longer the more there is (now: it is).
    """
    counters = state.counters
    while True:
        candidates = state.stirred & state.queues.keys()
        state.stirred = set()
        if candidates:
            if any(_may_begin(state, account) for account in candidates):
                _release_singles(state, offset, out)
            stirred = {*candidates, *state.stirred} & state.queues.keys()
            state.stirred = set()
            counters.search_due |= any(_may_lead(state, account) for account in stirred)
        if not state.queues:
            counters.search_due = False
        if not counters.search_due or (counters.time_ms < counters.search_at_ms and not now):
            return
        counters.search_due = False
        waiting = len(state.waiting)
        _release_sets(state, offset, out)
        if len(state.waiting) == waiting:
            counters.search_at_ms = counters.time_ms + waiting // SEARCHED_PER_MS


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
        state.assets[a].window.has_links = True


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


def _release_singles(state: NettingSet, offset: int, out: Outputs) -> None:
    """Again and again the first payment, in the order of the queues, that can leave by itself; links as one."""
    columns = Columns(state)
    bypass = np.array([not is_fifo(state, item) for item in columns.items], np.bool_)
    refuses = _ValueCheck(state, columns).refuses if state.short_limits else None
    sets = singles(columns.room, columns.queue, bypass, refuses=refuses)
    items = [columns.items[row] for rows in sets for row in rows]
    if items:
        release(state, items, offset, out, SINGLE)


class _ValueCheck:
    """R10 while payments leave one after the other: positions as they will be."""

    def __init__(self, state: NettingSet, columns: "Columns") -> None:
        self.state, self.items = state, columns.items
        self.changes: dict[int, dict[int, int]] = {p: {} for p in state.short_limits}

    def refuses(self, rows: list[int]) -> bool:
        """Whether a debtor would fail; if not, the payments leave."""
        items = [self.items[row] for row in rows]
        changes = {p: dict(units) for p, units in self.changes.items()}
        if failing_value_check(self.state, items, changes) is not None:
            return True
        self.changes = changes
        return False


def _may_begin(state: NettingSet, account: tuple[int, int]) -> bool:
    """Whether something in this queue could leave by itself: its head, or what may pass it."""
    headroom = headroom_of(state, *account)
    queue = state.queues[account]
    if is_fifo(state, queue[0]):
        return bool(queue[0].link) or queue[0].units <= headroom
    return any(item.link or item.units <= headroom for item in queue)


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

    keys: what each constraint is: an account (participant, asset), then limits (debtor, creditor, asset).
    assets: only theirs; no link may lead out of them.
    """

    def __init__(self, state: NettingSet, assets: set[int] | None = None) -> None:
        self.state = state
        items: list[Waiting] = [
            item
            for (_, a), queue in state.queues.items()
            if assets is None or a in assets
            for item in queue
        ]
        order = np.lexsort(
            (
                _column([item.leg for item in items]),
                _column([item.arrival for item in items]),
                _column([-item.priority for item in items]),
            )
        )
        self.items: list[Waiting] = [items[i] for i in order.tolist()]
        debtor = _column([item.debtor for item in self.items])
        creditor = _column([item.creditor for item in self.items])
        asset = _column([item.asset for item in self.items])
        n, width = len(items), state.width
        accounts: I64
        place: I64
        accounts, place = np.unique(
            np.concatenate((debtor * width + asset, creditor * width + asset)), return_inverse=True
        )
        self.keys: list[tuple[int, ...]] = [divmod(flat, width) for flat in accounts.tolist()]
        self._room: list[int] = state.accounts.headroom(accounts).tolist()
        self.queue = Queue(
            payer=place[:n],
            payee=place[n:],
            amount=_column([item.units for item in self.items]),
            order=np.arange(n),
            limit=self._limits(debtor, creditor, asset),
            relief=self._limits(creditor, debtor, asset),
            group=self._groups(),
            held=self._held(),
        )
        self.room: I64 = np.array(self._room, np.int64)
        self.party: I64 = _column([key[0] for key in self.keys])

    def _limits(self, debtor: I64, creditor: I64, asset: I64) -> I64:
        """The constraint of each pair's bilateral limit, NONE where there is none."""
        limits = self.state.bilateral
        if not limits:
            return np.full(len(debtor), NONE, np.int64)
        rows, width = len(self.state.status), self.state.width
        place = limits.limited(debtor, creditor, asset, rows, width)
        constraint = np.full(
            len(limits.pairs) + 1, NONE, np.int64
        )  # by place; the last one is that of -1
        known = {key: c for c, key in enumerate(self.keys) if len(key) > 2}
        limited: list[int] = np.unique(place[place >= 0]).tolist()
        for i in limited:
            pair = limits.pairs[i]
            if pair not in known:
                known[pair] = len(self.keys)
                self.keys.append(pair)
                self._room.append(limits.left(pair))
            constraint[i] = known[pair]
        return constraint.take(place, mode="wrap")

    def _groups(self) -> I64:
        if not self.state.links:
            return np.full(len(self.items), NONE, np.int64)
        links: dict[str, int] = {}
        return _column(
            [links.setdefault(i.link, len(links)) if i.link else NONE for i in self.items]
        )

    def _held(self) -> Bool:
        held = np.zeros(len(self.items), np.bool_)
        if (self.state.status == ParticipantStatus.SUSPENDED).any():
            held[:] = [is_held(self.state, item) for item in self.items]
        return held

    def taken(self, mask: Bool) -> list[Waiting]:
        return [self.items[i] for i in np.flatnonzero(mask).tolist()]


def _column(values: list[int]) -> I64:
    return np.array(values, np.int64)


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
        failing = failing_value_check(state, items, {p: {} for p in state.short_limits})
        if failing is None:
            return items
        last = max((item for item in items if item.debtor == failing), key=lambda i: i.place)
        held = queue.held.copy()
        held[columns.items.index(last)] = True
        queue.held = held


def failing_value_check(
    state: NettingSet, items: list[Waiting], changes: dict[int, dict[int, int]]
) -> int | None:
    """The first participant, by registration, that pays here and would fail the value check after it.

    changes: asset → minor units of each that is under the check, so far; moved on by the items.
    """
    payers: set[int] = set()
    for item in items:
        if item.debtor in changes and state.assets[item.asset].valuation:
            payers.add(item.debtor)
        for p, units in ((item.debtor, -item.units), (item.creditor, item.units)):
            if p in changes:
                changes[p][item.asset] = changes[p].get(item.asset, 0) + units
    return next((p for p in sorted(payers) if not passes(state, p, changes[p])), None)
