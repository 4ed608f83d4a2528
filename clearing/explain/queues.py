"""What waits in a netting set, account by account in the order in which it may leave, and why it does not (R16)."""

from collections.abc import Iterable, Mapping

import msgspec

from clearing.core.ids import id_text
from clearing.core.limits import headroom_of
from clearing.core.money import show
from clearing.core.release import is_fifo
from clearing.core.state import NettingSet
from clearing.core.waiting import Waiting
from clearing.explain.story import Binding, WaitsOn
from clearing.explain.waiting import Account, Queues, bindings, missing_legs
from clearing.live import Live
from clearing.log.payments import PRIORITIES


class QueuedPayment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A payment that waits. since_ms: when it entered, 0 where that is not known. bound: what keeps it.

    missing_legs: it stands in no queue yet, for these legs of its link have not arrived (R19). is_fail: the rest of
    a partial delivery (R22).
    """

    payment: str
    creditor: str
    amount: str
    priority: str
    log_offset: int
    since_ms: int = 0
    expires_at_ms: int = 0
    link: str = ""
    missing_legs: list[int] = []
    is_fail: bool = False
    bound: Binding | None = None


class AccountQueue(msgspec.Struct, frozen=True, kw_only=True):
    """The queue of an account, first to leave first. headroom: what it may still pay (R8)."""

    participant: str
    asset: str
    policy: str
    headroom: str
    value: str
    payments: list[QueuedPayment]


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """More liquidity for an account."""

    participant: str
    asset: str
    amount: str


class DeadlockNow(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing can leave (R16). waits_for: who waits for whom. circles: accounts that wait for one another.

    free_any: the least for one account with which something leaves; None where no liquidity frees anything.
    free_all: what each lacks for everything that is not held to leave at once. is_least: the search for free_any
    was not cut short.
    """

    waits_for: list[WaitsOn]
    circles: list[list[str]]
    free_any: Extra | None
    free_all: list[Extra]
    is_least: bool


class QueueReport(msgspec.Struct, frozen=True, kw_only=True):
    """queues: by asset and participant in their order of registration. incomplete: legs that wait for others.

    value: of all that waits, by asset. read_to: log offset (excluded). can_leave: something can, the engine's next
    search releases it. deadlock: why nothing can; None where nothing is short of liquidity, but fails the value
    check (R10), or nothing waits.
    """

    netting_set: str
    read_to: int
    time_ms: int
    payments: int
    value: dict[str, str]
    queues: list[AccountQueue]
    incomplete: list[AccountQueue]
    can_leave: bool
    deadlock: DeadlockNow | None


def queue_report(live: Live, asset: str = "") -> QueueReport:
    """As it stands now. asset: only what waits in it; the deadlock is still that of the whole netting set."""
    state = live.state
    queues = Queues(state)
    waiting = [item for item in state.waiting.values() if asset in ("", _asset(state, item))]
    incomplete: dict[Account, list[Waiting]] = {}
    for item in waiting:
        if not item.is_queued:
            incomplete.setdefault(item.account, []).append(item)
    values: dict[str, int] = {}
    for item in waiting:
        values[_asset(state, item)] = values.get(_asset(state, item), 0) + item.units
    return QueueReport(
        netting_set=state.name,
        read_to=live.machine.next_offset,
        time_ms=state.counters.time_ms,
        payments=len(waiting),
        value={
            name: show(units, state.assets[state.asset_index[name]].spec.scale)
            for name, units in sorted(values.items())
        },
        queues=_accounts(live, state.queues, asset),
        incomplete=_accounts(live, incomplete, asset),
        can_leave=queues.can_leave,
        deadlock=_deadlock(queues),
    )


def _asset(state: NettingSet, item: Waiting) -> str:
    return state.assets[item.asset].spec.id


def _accounts(
    live: Live, queues: Mapping[Account, Iterable[Waiting]], asset: str
) -> list[AccountQueue]:
    state = live.state
    found: list[AccountQueue] = []
    for account in sorted(queues, key=lambda account: account[::-1]):
        spec, items = state.assets[account[1]].spec, list(queues[account])
        if asset not in ("", spec.id):
            continue
        found.append(
            AccountQueue(
                participant=state.name_of(account[0]),
                asset=spec.id,
                policy=spec.queue,
                headroom=show(headroom_of(state, *account), spec.scale),
                value=show(sum(item.units for item in items), spec.scale),
                payments=[_payment(live, items, place) for place in range(len(items))],
            )
        )
    return found


def _payment(live: Live, items: list[Waiting], place: int) -> QueuedPayment:
    state, item = live.state, items[place]
    return QueuedPayment(
        payment=id_text(item.id),
        creditor=state.name_of(item.creditor),
        amount=show(item.units, state.assets[item.asset].spec.scale),
        priority=PRIORITIES[item.priority],
        log_offset=item.log_offset,
        since_ms=live.entered_ms.get(item.log_offset, 0),
        expires_at_ms=item.expires_at_ms,
        link=id_text(item.link) if item.link else "",
        missing_legs=missing_legs(state, item),
        is_fail=item.is_fail,
        bound=_first_bound(state, items, place),
    )


def _first_bound(state: NettingSet, items: list[Waiting], place: int) -> Binding | None:
    """What keeps it first of all; under FIFO, behind others, only that: the rest is the first one's affair."""
    item = items[place]
    if place and item.is_queued and is_fifo(state, item) and not item.link:
        before = items[place - 1]
        return Binding(limit="FIFO", payment=id_text(before.id))
    return next(iter(bindings(state, item)), None)


def _deadlock(queues: Queues) -> DeadlockNow | None:
    found = queues.deadlock
    if found is None:
        return None
    return DeadlockNow(
        waits_for=queues.waits_on(),
        circles=[_participants(circle) for circle in queues.circles()],
        free_any=_extra(queues, *found.to_free_any) if found.to_free_any else None,
        free_all=[
            _extra(queues, constraint, units)
            for constraint, units in found.to_free_all
            if len(queues.columns.keys[constraint]) == 2  # a limit is no liquidity
        ],
        is_least=found.searched,
    )


def _participants(circle: list[tuple[str, str]]) -> list[str]:
    """With the asset where several are in it."""
    if len({asset for _, asset in circle}) == 1:
        return [participant for participant, _ in circle]
    return [f"{participant} in {asset}" for participant, asset in circle]


def _extra(queues: Queues, constraint: int, units: int) -> Extra:
    participant, asset = queues.names(constraint)
    scale = queues.state.assets[queues.state.asset_index[asset]].spec.scale
    return Extra(participant=participant, asset=asset, amount=show(units, scale))
