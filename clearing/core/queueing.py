"""Payments that wait: into a queue, out of it, and how each one ends (R12, R17, R20). No decision is made here."""

from bisect import bisect_left, insort

from clearing.core.ids import id_of, id_text
from clearing.core.money import show
from clearing.core.outputs import LinkedLeg, Outputs, Resolution
from clearing.core.reasons import Code
from clearing.core.state import NettingSet
from clearing.core.waiting import Waiting

SINGLE, LINK = "SINGLE", "LINK"  # how a payment, or a link, left by itself


def enqueue(state: NettingSet, item: Waiting) -> None:
    """Into the queue of its debtor's account."""
    item.is_queued = True
    insort(state.queues.setdefault(item.account, []), item, key=_place)
    _count(state, item, item.units, 1)
    state.stirred.add(item.account)  # its payee can leave only in a set with it: that begins here


def dequeue(state: NettingSet, item: Waiting) -> None:
    """Out of its queue; those behind it move up."""
    queue = state.queues[item.account]
    del queue[bisect_left(queue, item.place, key=_place)]
    if not queue:
        del state.queues[item.account]
    _count(state, item, -item.units, -1)
    item.is_queued = False
    state.stirred.add(item.account)
    if (
        state.short_limits
    ):  # what this one had kept back for the value check may leave now, wherever it is
        state.counters.search_due = True


def _place(item: Waiting) -> tuple[int, int, int]:
    return item.place


def _count(state: NettingSet, item: Waiting, units: int, payments: int) -> None:
    accounts = state.accounts
    accounts.queued[item.account] += units
    accounts.queued_payments[item.account] += payments
    accounts.incoming[item.creditor, item.asset] += units
    state.dirty[item.debtor * state.width + item.asset] = True


def hold(state: NettingSet, item: Waiting) -> None:
    """Remember a payment that is to wait; its value counts against what the asset can hold."""
    assert item.id not in state.waiting, f"payment {item.id} waits already"
    state.waiting[item.id] = item
    asset = state.assets[item.asset]
    asset.waiting += item.units
    if item.window:
        asset.window.bound.append(item.id)
    expires, next_ms = item.expires_at_ms, state.counters.next_expiry_ms
    if expires and (not next_ms or expires < next_ms):
        state.counters.next_expiry_ms = expires


def forget(state: NettingSet, item: Waiting) -> None:
    """It waits no more."""
    if item.is_queued:
        dequeue(state, item)
    del state.waiting[item.id]
    state.assets[item.asset].waiting -= item.units


def deliver_part(state: NettingSet, item: Waiting, units: int) -> None:
    """A part of it has left (R22); the rest waits on as a fail."""
    assert 0 < units < item.units
    state.assets[item.asset].waiting -= units
    if item.is_queued:
        _count(state, item, -units, 0)
    item.units -= units
    item.is_fail = True


def resolve(
    state: NettingSet, items: list[Waiting], code: Code, out: Outputs, how: str = ""
) -> None:
    """Each of the payments has ended with `code`: it waits no more and its id answers so from now on."""
    for item in items:
        forget(state, item)
        if code != Code.ACCEPTED and item.original:
            untake_return(state, item.id, item.original)
        by = LINK if item.link and how == SINGLE else how
        out.resolutions.append(resolution(state, item, code, item.units, by))
    state.ids.mark([id_of(item.id) for item in items], code)


def resolution(
    state: NettingSet, item: Waiting, code: Code, units: int, how: str = "", remaining: int = 0
) -> Resolution:
    """What became of `units` of a payment that waits."""
    asset = state.assets[item.asset]
    scale = asset.spec.scale
    return Resolution(
        id=id_text(item.id),
        code=code,
        kind=item.kind,
        debtor=state.name_of(item.debtor),
        creditor=state.name_of(item.creditor),
        asset=asset.spec.id,
        amount=show(units, scale),
        log_offset=item.log_offset,
        row=item.row,
        source=item.source,
        end_to_end_id=item.end_to_end_id,
        chain_reference=item.chain_reference,
        how=how,
        window=asset.window.number if code == Code.ACCEPTED else 0,
        remaining=show(remaining, scale) if remaining else "",
        return_of=id_text(item.original) if item.original else "",
        value_date=item.value_date,
        priority=item.priority_sent,
        expires_at_ms=item.expires_at_ms,
        window_asked=item.window,
        amount_sent=show(item.units_sent, scale) if units != item.units_sent else "",
        link=_leg(state, item) if item.link else None,
    )


def _leg(state: NettingSet, item: Waiting) -> LinkedLeg:
    """Of a payment that waits, or is just being resolved: its link is there until its last leg is."""
    link = state.links[item.link]
    return LinkedLeg(
        id=id_text(link.id), terms=link.terms, leg=item.leg, legs=link.legs, partial=link.partial
    )


def untake_return(state: NettingSet, id_: str, original: str) -> None:
    """R5: a return that did not happen may be made again."""
    if original in state.returned:
        state.returned[original].returns.pop(id_, None)
