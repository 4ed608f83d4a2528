"""Why a payment waits, from a copy of the state: what binds, who waits for whom, what would free it (R8-R16, R20).

By the core's own functions, so that what is told is what the engine would do. Nothing is changed; what has to be
tried is tried on a copy of the copy.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

from clearing.core.account_commands import fund
from clearing.core.commands import Fund
from clearing.core.deadlock import Deadlock, Edge, explain
from clearing.core.ids import id_text
from clearing.core.limits import headroom_of, lacking_of_set
from clearing.core.money import show
from clearing.core.offsetting import greatest_set
from clearing.core.outputs import Outputs
from clearing.core.reasons import Code
from clearing.core.registry import ParticipantStatus
from clearing.core.release import (
    Columns,
    greatest_releasable,
    group_of,
    is_fifo,
    is_held,
    offset_queues,
)
from clearing.core.state import NettingSet
from clearing.core.value import passes
from clearing.core.waiting import Waiting
from clearing.explain.story import Binding, WaitingNow, WaitsOn
from clearing.live import without_ids

_MOST = 1 << 61  # more than any account can be given

Account = tuple[int, int]  # participant, asset


class Queues:
    """Everything that waits in a state, seen once: as columns, and the deadlock it is in, if it is in one."""

    def __init__(self, state: NettingSet) -> None:
        self.state = state
        self.columns = Columns(state)
        self.deadlock: Deadlock | None = (
            explain(self.columns.room, self.columns.queue) if self.columns.items else None
        )

    @cached_property
    def can_leave(self) -> bool:
        """Whether a set can (R15), under the value check too: the engine's next search releases it."""
        return bool(greatest_releasable(self.state, Columns(self.state)))

    def names(self, constraint: int) -> tuple[str, str]:
        """Participant and asset of an account, or of the debtor of a bilateral limit."""
        key = self.columns.keys[constraint]
        return self.state.name_of(key[0]), self.state.assets[key[-1]].spec.id

    def waits_on(self, account: Account | None = None) -> list[WaitsOn]:
        """Who waits for whom: of one account, or all."""
        edges = self.deadlock.edges if self.deadlock else []
        keys = self.columns.keys
        return [self._edge(one) for one in edges if account in (None, keys[one.account])]

    def _edge(self, edge: Edge) -> WaitsOn:
        (participant, asset), (other, its_asset) = map(self.names, (edge.account, edge.waits_for))
        # What comes in is of the account's own asset; legs of a link are of the other one's.
        of = its_asset if edge.why == "group" else asset
        return WaitsOn(
            participant=participant,
            asset=asset,
            waits_for=other,
            in_asset=its_asset,
            amount=show(edge.amount, self.state.assets[self.state.asset_index[of]].spec.scale),
            why=edge.why,
        )

    def circles(self) -> list[list[tuple[str, str]]]:
        """Accounts (participant, asset) that wait for one another."""
        cycles = self.deadlock.cycles if self.deadlock else []
        return [[self.names(account) for account in cycle] for cycle in cycles]


def waiting_now(queues: Queues, item: Waiting) -> WaitingNow:
    """All that can be said of a payment that waits."""
    state = queues.state
    spec = state.assets[item.asset].spec
    queue = state.queues.get(item.account, []) if item.is_queued else []
    place = _place_of(queue, item)
    frees = freed_by(queues, item) if item.is_queued else None
    names = (state.name_of(item.debtor), spec.id)
    circle = next((circle for circle in queues.circles() if names in circle), [])
    return WaitingNow(
        position=place,
        queued=len(queue),
        remaining=show(item.units, spec.scale),
        policy=spec.queue,
        headroom=show(headroom_of(state, *item.account), spec.scale),
        ahead=[id_text(before.id) for before in queue[: max(place - 1, 0)]],
        missing_legs=missing_legs(state, item),
        binds=bindings(state, item),
        frees="" if frees is None else show(frees, spec.scale),
        waits_for=queues.waits_on(item.account) if item.is_queued else [],
        circle=list(dict.fromkeys(participant for participant, _ in circle)),
    )


def _place_of(queue: Sequence[Waiting], item: Waiting) -> int:
    """1 is the first; 0: not in the queue."""
    return next((i for i, each in enumerate(queue, start=1) if each is item), 0)


def missing_legs(state: NettingSet, item: Waiting) -> list[int]:
    """Numbers of the legs that have not arrived."""
    link = state.links.get(item.link)
    if link is None:
        return []
    return [leg for leg in range(link.legs) if leg not in link.present]


# --- what binds ----------------------------------------------------------------------------------------------


def bindings(state: NettingSet, item: Waiting) -> list[Binding]:
    """What keeps a payment from leaving alone or with its link: in the order in which the engine meets it."""
    if not item.is_queued:
        return [Binding(limit="LINK", payment=id_text(item.id))]
    group = group_of(state, item)
    found = [
        each for leg in group for each in (*_suspended(state, leg), *_ahead(state, leg, group))
    ]
    rows = [(leg.debtor, leg.creditor, leg.asset, leg.units) for leg in group]
    for leg, code in zip(group, lacking_of_set(state, rows), strict=True):
        if code:
            found.append(_limit(state, leg, code, group))
    return found


def _suspended(state: NettingSet, leg: Waiting) -> list[Binding]:
    """R32: what is from or to a suspended participant is kept."""
    return [
        Binding(limit="SUSPENDED", participant=state.name_of(p), payment=id_text(leg.id))
        for p in (leg.debtor, leg.creditor)
        if state.status[p] == ParticipantStatus.SUSPENDED
    ]


def _ahead(state: NettingSet, leg: Waiting, group: list[Waiting]) -> list[Binding]:
    """R13: under FIFO what is before it comes first, and what the first of these waits for."""
    if not is_fifo(state, leg):
        return []
    queue = state.queues[leg.account]
    before = [each for each in queue[: _place_of(queue, leg) - 1] if each not in group]
    if not before:
        return []
    spec = state.assets[leg.asset].spec
    behind = Binding(
        limit="FIFO",
        participant=state.name_of(leg.debtor),
        asset=spec.id,
        payment=id_text(before[-1].id),
        lacks=show(sum(each.units for each in before), spec.scale),
    )
    return [behind, *(each for each in bindings(state, before[0]) if each.limit != "FIFO")]


def _limit(state: NettingSet, leg: Waiting, code: Code, group: list[Waiting]) -> Binding:
    """The limit that a leg would pass, all of its group leaving together, and by how much."""
    spec = state.assets[leg.asset].spec
    lacks = _lacks(state, leg, code, group)
    return Binding(
        limit=code.name,
        participant=state.name_of(leg.debtor),
        counterparty=state.name_of(leg.creditor) if code == Code.BILATERAL_LIMIT else "",
        asset=spec.id,
        payment=id_text(leg.id),
        lacks="" if lacks is None else show(lacks, spec.scale),
    )


def _lacks(state: NettingSet, leg: Waiting, code: Code, group: list[Waiting]) -> int | None:
    """None: no amount of this asset would do."""
    a, d = leg.asset, leg.debtor
    if code == Code.BILATERAL_LIMIT:
        pair = (d, leg.creditor)
        used = sum(
            one.units for one in group if one.asset == a and (one.debtor, one.creditor) == pair
        )
        used -= sum(
            one.units for one in group if one.asset == a and (one.creditor, one.debtor) == pair
        )
        return used - state.bilateral.left((*pair, a))
    changes: dict[int, int] = {}
    for one in group:
        for p, units in ((one.debtor, -one.units), (one.creditor, one.units)):
            if p == d:
                changes[one.asset] = changes.get(one.asset, 0) + units
    if code == Code.VALUE_CHECK:
        return _least(lambda extra: passes(state, d, changes | {a: changes[a] + extra}), _MOST)
    return -(headroom_of(state, d, a) + changes[a])


def _least(is_enough: Callable[[int], bool], at_most: int) -> int | None:
    """The least n in 1..at_most that is enough, where more is always enough too; None if none is."""
    if not is_enough(at_most):
        return None
    low, high = 1, at_most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return low


# --- what would free it --------------------------------------------------------------------------------------


def freed_by(queues: Queues, item: Waiting) -> int | None:
    """How much more the payment's account needs for it to leave at once, alone or with others; 0: nothing more.

    Under FIFO the least there is: with more room the greatest set (R15) only grows. Under BYPASS_FIFO or the value
    check (R10) the least of what was tried. None where no liquidity of this one account frees it: it or one before
    it is held, or another limit or account binds. Whatever is told has been tried on a copy.
    """
    if is_held(queues.state, item):
        return None
    candidates = {*_with_others(queues, item), *_alone(queues.state, item)}
    return next((n for n in sorted(candidates) if _would_leave(queues.state, item, n)), None)


def _with_others(queues: Queues, item: Waiting) -> list[int]:
    """With how much more it is in the greatest set (R15)."""
    columns = queues.columns
    row = next(i for i, each in enumerate(columns.items) if each is item)
    account = int(columns.queue.payer[row])

    def leaves(extra: int) -> bool:
        room = columns.room.copy()
        room[account] += extra
        return bool(greatest_set(room, columns.queue)[row])

    if leaves(0):
        return [0]
    least = _least(leaves, max(_for_all_before(queues.state, item), 1))
    return [] if least is None else [least]


def _alone(state: NettingSet, item: Waiting) -> list[int]:
    """With how much more it might leave by itself: behind all before it, past them, or by its value."""
    found = [_for_all_before(state, item)]
    if not is_fifo(state, item):
        found.append(max(item.units - headroom_of(state, *item.account), 0))
    if item.debtor in state.short_limits and state.assets[item.asset].valuation:
        by_value = _least(
            lambda extra: passes(state, item.debtor, {item.asset: extra - item.units}), _MOST
        )
        found += [] if by_value is None else [by_value]
    return found


def _for_all_before(state: NettingSet, item: Waiting) -> int:
    """What its account lacks for everything up to it."""
    queue = state.queues[item.account]
    before = sum(each.units for each in queue[: _place_of(queue, item)])
    return max(before - headroom_of(state, *item.account), 0)


def _would_leave(state: NettingSet, item: Waiting, extra: int) -> bool:
    """Whether the engine would release it if its account were funded with so much more."""
    trial, out = without_ids(state), Outputs()
    spec = state.assets[item.asset].spec
    trial.stir_all()
    trial.counters.search_due = True
    if extra:
        command = Fund(
            id="trial",
            by="trial",
            participant=state.name_of(item.debtor),
            asset=spec.id,
            amount=show(extra, spec.scale),
        )
        if fund(trial, command, 0, out):
            return False  # more than can be counted
    offset_queues(trial, 0, out, now=True)
    return any(one.id == id_text(item.id) for one in out.resolutions)
