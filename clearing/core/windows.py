"""Windows: OPEN → PROCESSING → CLOSED → PENDING_SETTLEMENT → SETTLED | FAILED | ABORTED (R4).

Closing one opens the next in the same step; which window a payment is in is decided by its place in the log.
What a ledger answers is clearing.core.settlement's.
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from clearing.core.batches import Part, batch_id, gross_units, nets, parts_of, seal
from clearing.core.cutoff import end_bound, process_queue
from clearing.core.invariants import check_asset, check_parts
from clearing.core.members import joined
from clearing.core.money import show
from clearing.core.outputs import Entry, Outputs, SettlementBatch, WindowEvent
from clearing.core.state import Asset, NettingSet, Pending, Window
from clearing.core.transfers import take_in_members


class WindowState(StrEnum):
    OPEN = "OPEN"
    PROCESSING = "PROCESSING"
    CLOSED = "CLOSED"
    PENDING_SETTLEMENT = "PENDING_SETTLEMENT"
    POSTED = (
        "POSTED"  # of a batch: its ledger has it; not final before the others of its group (R20)
    )
    SETTLED = "SETTLED"
    ABORTED = "ABORTED"
    FAILED = "FAILED"


# R4 as data: an illegal transition is a failed look-up. PROCESSING and CLOSED are passed within one step.
TRANSITIONS: dict[WindowState, frozenset[WindowState]] = {
    WindowState.OPEN: frozenset({WindowState.PROCESSING}),
    WindowState.PROCESSING: frozenset({WindowState.CLOSED}),
    WindowState.CLOSED: frozenset({WindowState.PENDING_SETTLEMENT, WindowState.SETTLED}),
    WindowState.PENDING_SETTLEMENT: frozenset(
        {WindowState.POSTED, WindowState.SETTLED, WindowState.ABORTED, WindowState.FAILED}
    ),
    WindowState.POSTED: frozenset({WindowState.SETTLED}),
    WindowState.FAILED: frozenset({WindowState.PENDING_SETTLEMENT, WindowState.ABORTED}),
    WindowState.ABORTED: frozenset({WindowState.PENDING_SETTLEMENT}),
    WindowState.SETTLED: frozenset(),
}


def open_window(state: NettingSet, asset: Asset, offset: int, out: Outputs) -> None:
    """Open the window after the current one."""
    now = state.counters.time_ms
    asset.window = Window(asset.window.number + 1, now, state.next_cutoff_ms(asset, now))
    out.events.append(_open_event(state, asset, offset))


def reschedule(state: NettingSet, asset: Asset, offset: int, out: Outputs) -> None:
    """Give the open window the cut-off of a changed schedule."""
    cutoff_ms = state.next_cutoff_ms(asset, state.counters.time_ms)
    if cutoff_ms != asset.window.cutoff_ms:
        asset.window.cutoff_ms = cutoff_ms
        out.events.append(_open_event(state, asset, offset))


def _open_event(state: NettingSet, asset: Asset, offset: int) -> WindowEvent:
    return WindowEvent(
        netting_set=state.name,
        log_offset=offset,
        time_ms=state.counters.time_ms,
        asset=asset.spec.id,
        window=asset.window.number,
        version=1,
        state=WindowState.OPEN,
        opened_at_ms=asset.window.opened_at_ms,
        cutoff_ms=asset.window.cutoff_ms,
    )


def close_due_windows(state: NettingSet, offset: int, out: Outputs) -> None:
    """Close every window whose cut-off the log's time has reached."""
    now = state.counters.time_ms
    due = [a for a, asset in enumerate(state.assets) if 0 < asset.window.cutoff_ms <= now]
    close_windows(state, due, offset, out)


def close_windows(state: NettingSet, assets: list[int], offset: int, out: Outputs) -> None:
    """The cut-off of these assets, by registration: what waits leaves, rolls or is dropped (R17), then the windows
    are settled, each together with those it shares links with (R20).
    """
    for a in assets:
        process_queue(state, a, offset, out)
    numbers = {a: state.assets[a].window.number for a in assets}
    for a, number in numbers.items():
        if state.assets[a].window.number == number:  # else it has closed with one before
            _close_together(state, _joint(state, a), offset, out)


def close_immediate_windows(state: NettingSet, offset: int, out: Outputs) -> bool:
    """R6: what is settled at once is settled with the log record that accepted it: no cut-off for the queue.

    True if a payment ended that was for one of these windows alone, which may have kept others from leaving.
    """
    ended = False
    for a, asset in enumerate(state.assets):
        if asset.is_immediate and asset.window.payments:
            ended |= _close_together(state, _joint(state, a), offset, out)
    return ended


def _joint(state: NettingSet, a: int) -> list[int]:
    """The assets whose open windows are bound to that of `a` by links, itself included, by registration."""
    found, more = {a}, [a]
    while more:
        joint = state.assets[more.pop()].joint - found
        found |= joint
        more += joint
    return sorted(found)


def _close_together(state: NettingSet, assets: Iterable[int], offset: int, out: Outputs) -> bool:
    """Net the windows, send their batches as one group, open the next ones. CLOSED: membership is fixed. Whether
    payments ended that waited for these windows alone."""
    ended = [end_bound(state, a, out) for a in assets]
    take_in_members(state, assets)
    planned = [(a, _take_parts(state, a)) for a in assets]
    linked = [identity for a, parts in planned for identity in _identities(state, a, 1, len(parts))]
    state.counters.groups += 1
    for a, parts in planned:
        asset = state.assets[a]
        asset.joint = set()
        if parts:
            others = linked if len(planned) > 1 else []
            send_window(state, asset, parts, others, offset, out)
        else:
            out.events.append(window_event(state, asset, offset, WindowState.SETTLED))
        open_window(state, asset, offset, out)
    return any(ended)


def _identities(state: NettingSet, a: int, version: int, parts: int) -> list[str]:
    asset = state.assets[a]
    return [
        batch_id(state.name, asset.spec.id, asset.window.number, version, part if parts > 1 else 0)
        for part in range(1, parts + 1)
    ]


def _take_parts(state: NettingSet, a: int) -> list[Part]:
    """What the open window of `a` settles; its columns are empty afterwards."""
    asset, window = state.assets[a], state.assets[a].window
    if not window.payments:
        return []
    members = state.members.get((a, window.number))
    parts = parts_of(state, a, members.joined() if members else joined([]))
    check_asset(state, a)
    check_parts(state, a, parts)
    if members and not asset.is_multilateral:
        del state.members[a, window.number]  # only a shortfall asks for them again
    accounts = state.accounts
    active = (accounts.sent[:, a] != 0) | (accounts.received[:, a] != 0)
    state.dirty.reshape(-1, state.width)[:, a] |= active
    for column in (accounts.debits, accounts.credits, accounts.sent, accounts.received):
        column[:, a] = 0
    return parts


def send_window(
    state: NettingSet,
    asset: Asset,
    parts: list[Part],
    linked: list[str],
    offset: int,
    out: Outputs,
) -> None:
    """Seal and send the batches of the open window, as the current group; the window's event names the first."""
    window = asset.window
    identities = _identities(state, state.asset_index[asset.spec.id], 1, len(parts))
    batches = [
        seal(
            state,
            asset,
            part,
            identity=identity,
            window=window.number,
            version=1,
            opened_at_ms=window.opened_at_ms,
            number=number,
            parts=len(parts),
            linked=[other for other in linked if other not in identities],
        )
        for number, (identity, part) in enumerate(zip(identities, parts, strict=True), 1)
    ]
    for batch in batches:
        first = Pending(
            batch,
            WindowState.PENDING_SETTLEMENT,
            cutoff_ms=window.cutoff_ms,
            group=state.counters.groups,
            on_shortfall=asset.spec.on_shortfall,
            has_links=window.has_links,
        )
        send(state, batch, out, first)
    pending = WindowState.PENDING_SETTLEMENT
    out.events.append(batch_event(state, batches, offset, pending))


def send(
    state: NettingSet, batch: SettlementBatch, out: Outputs, like: Pending | None = None
) -> None:
    """Emit a batch and wait for its ledger; like: the version before, or none for prefunding."""
    pending = Pending(batch, WindowState.PENDING_SETTLEMENT)
    if like is not None:
        pending = msgspec.structs.replace(like, batch=batch, state=pending.state)
    state.pending[batch.id] = pending
    if batch.kind != "funding":
        count_underway(state, batch, 1)
    out.settlements.append(batch)


def count_underway(state: NettingSet, batch: SettlementBatch, sign: int) -> None:
    """The nets of a batch that is sent (1), or that will not be settled after all (-1)."""
    a = state.asset_index[batch.asset]
    for participant, net in nets(batch).items():
        p = state.participant_index.get(participant)
        if p is not None:
            state.accounts.underway[p, a] += sign * net


def window_event(
    state: NettingSet,
    asset: Asset,
    offset: int,
    new: WindowState,
    window: int = 0,
    version: int = 1,
) -> WindowEvent:
    """Event of a window that has no batch: the open one unless another is named."""
    return WindowEvent(
        netting_set=state.name,
        log_offset=offset,
        time_ms=state.counters.time_ms,
        asset=asset.spec.id,
        window=window or asset.window.number,
        version=version,
        state=new,
    )


def batch_event(
    state: NettingSet,
    batches: list[SettlementBatch],
    offset: int,
    new: WindowState,
    reason: str = "",
    entries: list[Entry] | None = None,
) -> WindowEvent:
    """Event of a window that has these batches; it names the first."""
    batch = batches[0]
    return WindowEvent(
        netting_set=state.name,
        log_offset=offset,
        time_ms=state.counters.time_ms,
        asset=batch.asset,
        window=batch.window,
        version=max(part.version for part in batches),
        state=new,
        batch=batch.id,
        hash=batch.hash,
        payments=sum(part.payments for part in batches),
        gross=show(sum(gross_units(part) for part in batches), batch.scale),
        reason=reason,
        entries=entries or [],
    )
