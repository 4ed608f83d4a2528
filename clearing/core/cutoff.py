"""The queue at a cut-off (R16, R17, R22): parts are delivered, what may not roll is dropped, a deadlock is told."""

import msgspec

from clearing.core.deadlock import Deadlock, Wait, explain
from clearing.core.ids import id_text
from clearing.core.limits import lacking_of_set, liquidity_reason
from clearing.core.links import deliver_parts, drops_at_cutoff
from clearing.core.money import show
from clearing.core.outputs import DeadlockEvent, Outputs, WaitsFor
from clearing.core.reasons import Code
from clearing.core.recalls import end
from clearing.core.registry import AtCutoff
from clearing.core.release import Columns, group_of, offset_queues
from clearing.core.state import NettingSet
from clearing.core.waiting import Waiting

EFFORT_ITEMS = (
    20_000  # what an explanation may cost while payments wait for the cut-off: about 10 ms
)


def process_queue(state: NettingSet, a: int, offset: int, out: Outputs) -> None:
    """What becomes of the payments that wait in asset `a`: what can leave does so now."""
    if not state.assets[a].waiting:
        return
    offset_queues(state, offset, out, now=True)
    deliver_parts(state, a, offset, out)
    drops = state.assets[a].spec.at_cutoff is AtCutoff.DROP
    for item in [item for item in state.waiting.values() if item.asset == a]:
        if item.id not in state.waiting:
            continue  # it ended with another leg of its link
        if is_bound(state, item) or (drops and drops_at_cutoff(state, item)):
            end(state, item, Code.CUTOFF, out)
    queued = [item for queue in state.queues.values() for item in queue if item.asset == a]
    if queued:
        out.events.append(deadlock(state, a, queued, offset))


def is_bound(state: NettingSet, item: Waiting) -> bool:
    """Whether a payment is for the window that is open now, and for no later one."""
    return item.window == state.assets[item.asset].window.number


def end_bound(state: NettingSet, a: int, out: Outputs) -> bool:
    """R17: the window of `a` closes, by whatever cause, and what waits for no other ends; whether anything did."""
    found = False
    for payment in state.assets[a].window.bound:
        item = state.waiting.get(payment)
        if item is not None and is_bound(state, item):
            end(state, item, Code.CUTOFF, out)
            found = True
    return found


def deadlock(state: NettingSet, a: int, queued: list[Waiting], offset: int) -> DeadlockEvent:
    """Who waits for whom in asset `a`, and what would free something (R16)."""
    asset = state.assets[a]
    columns = Columns(state, linked_assets(state, a))
    found = explain(columns.room, columns.queue, EFFORT_ITEMS)
    keys = columns.keys
    event = DeadlockEvent(
        netting_set=state.name,
        log_offset=offset,
        time_ms=state.counters.time_ms,
        asset=asset.spec.id,
        payments=len(queued),
        value=show(sum(item.units for item in queued), asset.spec.scale),
        waits=_waits(columns, found, a) if found else _waits_for_value(state, a),
        all_extra={
            state.name_of(keys[c][0]): show(units, asset.spec.scale)
            for c, units in (found.to_free_all if found else [])
            if len(keys[c]) == 2 and keys[c][1] == a
        },
    )
    if found is None or found.to_free_any is None:
        return event
    cheapest, units = found.to_free_any
    p, other = keys[cheapest][0], state.assets[keys[cheapest][-1]].spec
    return msgspec.structs.replace(
        event,
        extra_participant=state.name_of(p),
        extra_asset=other.id,
        extra=show(units, other.scale),
    )


def linked_assets(state: NettingSet, a: int) -> set[int]:
    """The assets whose queues are bound to that of `a` by links that wait, itself included."""
    links = [
        {state.waiting[payment].asset for payment in link.present.values()}
        for link in state.links.values()
        if link.is_complete
    ]
    found = {a}
    while more := [assets for assets in links if found & assets and not assets <= found]:
        found = found.union(*more)
    return found


def _waits(columns: Columns, found: Deadlock, a: int) -> list[WaitsFor]:
    """The blocked queues of asset `a`, by registration of their participants."""
    state, keys = columns.state, columns.keys
    names = [state.name_of(key[0]) for key in keys]
    scale = state.assets[a].spec.scale
    waits: list[WaitsFor] = []
    waits_for: dict[int, list[str]] = {}
    for edge in found.edges:
        waits_for.setdefault(edge.account, []).append(names[edge.waits_for])
    for wait in sorted(found.waits, key=lambda wait: keys[wait.account]):
        if keys[wait.account][-1] != a:
            continue
        item = columns.items[wait.row]
        waits.append(
            WaitsFor(
                participant=names[wait.account],
                asset=state.assets[a].spec.id,
                payment=id_text(item.id),
                lacks=show(wait.lacks or wait.limit_lacks, scale),
                limit=binding_limit(state, item, wait),
                waits_for=list(dict.fromkeys(waits_for.get(wait.account, []))),
            )
        )
    return waits


def _waits_for_value(state: NettingSet, a: int) -> list[WaitsFor]:
    """Liquidity would do for some, but not the value check (R10): what keeps the head of each queue."""
    waits: list[WaitsFor] = []
    for p, asset in sorted(state.queues):
        if asset != a:
            continue
        head = state.queues[p, a][0]
        legs = [(leg.debtor, leg.creditor, leg.asset, leg.units) for leg in group_of(state, head)]
        code = next((code for code in lacking_of_set(state, legs) if code), None)
        waits.append(
            WaitsFor(
                participant=state.name_of(p),
                asset=state.assets[a].spec.id,
                payment=id_text(head.id),
                lacks=show(0, state.assets[a].spec.scale),
                limit=code.name if code else Code.VALUE_CHECK.name,
            )
        )
    return waits


def binding_limit(state: NettingSet, item: Waiting, wait: Wait) -> str:
    """What keeps the head of a queue from leaving."""
    if wait.held:
        return "SUSPENDED"
    if wait.lacks:
        return liquidity_reason(state, item.debtor, item.asset).name
    if wait.limit_lacks:
        return Code.BILATERAL_LIMIT.name
    return "LINK" if item.link else Code.VALUE_CHECK.name
