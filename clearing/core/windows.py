"""Windows and their batches: OPEN → PROCESSING → CLOSED → PENDING_SETTLEMENT → SETTLED | FAILED (R4, R11).

Closing one opens the next in the same step; which window a payment is in is decided by its place in the log.
Called by clearing.core.step with the state and the outputs to add to.
"""

from enum import StrEnum
from typing import Literal

from clearing.core.batches import batch_id, nets, seal, window_entries
from clearing.core.commands import Confirmation
from clearing.core.money import parse
from clearing.core.outputs import ConfirmationEvent, Entry, Outputs, SettlementBatch, WindowEvent
from clearing.core.state import Asset, NettingSet, Pending, Window


class WindowState(StrEnum):
    OPEN = "OPEN"
    PROCESSING = "PROCESSING"
    CLOSED = "CLOSED"
    PENDING_SETTLEMENT = "PENDING_SETTLEMENT"
    SETTLED = "SETTLED"
    ABORTED = "ABORTED"
    FAILED = "FAILED"


# R4 as data: an illegal transition is a failed look-up. PROCESSING and CLOSED are passed within one step.
TRANSITIONS: dict[WindowState, frozenset[WindowState]] = {
    WindowState.OPEN: frozenset({WindowState.PROCESSING}),
    WindowState.PROCESSING: frozenset({WindowState.CLOSED}),
    WindowState.CLOSED: frozenset({WindowState.PENDING_SETTLEMENT, WindowState.SETTLED}),
    WindowState.PENDING_SETTLEMENT: frozenset(
        {WindowState.SETTLED, WindowState.ABORTED, WindowState.FAILED}
    ),
    WindowState.FAILED: frozenset({WindowState.PENDING_SETTLEMENT}),
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
    """Close every window whose cut-off the log's time has reached, in order of registration."""
    for a, asset in enumerate(state.assets):
        if asset.window.cutoff_ms and asset.window.cutoff_ms <= state.counters.time_ms:
            close_window(state, a, offset, out)


def close_window(state: NettingSet, a: int, offset: int, out: Outputs) -> None:
    """Close the open window of asset `a`: net it, send its batch, open the next.

    PROCESSING is where what is queued will roll or be dropped (R17); CLOSED: membership is fixed.
    """
    asset, window = state.assets[a], state.assets[a].window
    if window.payments == 0:
        out.events.append(window_event(state, asset, offset, WindowState.SETTLED))
        open_window(state, asset, offset, out)
        return
    batch = seal(
        state,
        asset,
        kind="net",
        identity=batch_id(state.name, asset.spec.id, window.number, 1),
        window=window.number,
        version=1,
        opened_at_ms=window.opened_at_ms,
        payments=window.payments,
        gross=window.gross,
        entries=window_entries(state, a),
        log_first=window.log_first,
        log_last=window.log_last,
        members_root=window.members_root,
    )
    accounts = state.accounts
    state.dirty.reshape(-1, state.width)[:, a] |= (accounts.sent[:, a] != 0) | (
        accounts.received[:, a] != 0
    )
    for column in (accounts.debits, accounts.credits, accounts.sent, accounts.received):
        column[:, a] = 0
    send(state, batch, offset, out, window.cutoff_ms)
    open_window(state, asset, offset, out)


def send(
    state: NettingSet, batch: SettlementBatch, offset: int, out: Outputs, cutoff_ms: int = 0
) -> None:
    """Emit a batch and wait for its ledger."""
    state.pending[batch.id] = Pending(batch, WindowState.PENDING_SETTLEMENT, cutoff_ms)
    out.settlements.append(batch)
    if batch.kind == "net":
        out.events.append(batch_event(state, batch, offset, WindowState.PENDING_SETTLEMENT))


def window_event(state: NettingSet, asset: Asset, offset: int, new: WindowState) -> WindowEvent:
    """Event of a window that has no batch."""
    return WindowEvent(
        netting_set=state.name,
        log_offset=offset,
        time_ms=state.counters.time_ms,
        asset=asset.spec.id,
        window=asset.window.number,
        version=1,
        state=new,
    )


def batch_event(
    state: NettingSet,
    batch: SettlementBatch,
    offset: int,
    new: WindowState,
    reason: str = "",
    entries: list[Entry] | None = None,
) -> WindowEvent:
    """Event of a window that has a batch."""
    return WindowEvent(
        netting_set=state.name,
        log_offset=offset,
        time_ms=state.counters.time_ms,
        asset=batch.asset,
        window=batch.window,
        version=batch.version,
        state=new,
        batch=batch.id,
        hash=batch.hash,
        payments=batch.payments,
        gross=batch.gross,
        reason=reason,
        entries=entries or [],
    )


def confirm(state: NettingSet, answer: Confirmation, offset: int, out: Outputs) -> None:
    """Apply a ledger's answer (R11, R23). A repeat, or an answer to nothing that waits, changes nothing."""
    pending = state.pending.get(answer.batch)
    status, reason = _judge(pending, answer)
    if status == "DONE" and pending is not None:
        batch = pending.batch
        if answer.status == "POSTED":
            _settled(state, batch, offset, out)
        elif batch.kind == "funding":
            _funding_refused(state, batch)
        else:
            pending.state = WindowState.FAILED
            event = batch_event(
                state, batch, offset, WindowState.FAILED, answer.reason, batch.entries
            )
            out.events.append(event)
    out.events.append(
        ConfirmationEvent(
            netting_set=state.name,
            log_offset=offset,
            time_ms=state.counters.time_ms,
            batch=answer.batch,
            status=status,
            reason=reason,
        )
    )


def _judge(
    pending: Pending | None, answer: Confirmation
) -> tuple[Literal["DONE", "REPEATED", "REFUSED"], str]:
    """What is to be done with an answer, and why. Answers come at least once: a repeat is nobody's fault."""
    if pending is None:
        return "REPEATED", "no such batch is waiting"
    if pending.batch.ledger != answer.ledger:
        return "REFUSED", f"the batch belongs to ledger {pending.batch.ledger}"
    if pending.batch.hash != answer.hash:
        return "REFUSED", "the hash is not the batch's"
    if pending.state == WindowState.FAILED and answer.status == "REFUSED":
        return "REPEATED", "the ledger has refused the batch before"
    if pending.state != WindowState.PENDING_SETTLEMENT:
        return "REFUSED", f"the batch is {pending.state}"
    return "DONE", answer.reason


def _settled(state: NettingSet, batch: SettlementBatch, offset: int, out: Outputs) -> None:
    """The ledger has posted: each net moves from position to prefunded; no headroom changes (R11)."""
    del state.pending[batch.id]
    if batch.kind == "funding":
        return  # it counted from the command on
    asset = state.assets[state.asset_index[batch.asset]]
    prefunded, position = state.accounts.prefunded.reshape(-1), state.accounts.position.reshape(-1)
    for participant, net in nets(batch):
        account = (
            state.participant_index[participant] * state.width + state.asset_index[batch.asset]
        )
        prefunded[account] += net
        position[account] -= net
        state.dirty[account] = True
    asset.unsettled -= gross_units(batch)
    out.events.append(batch_event(state, batch, offset, WindowState.SETTLED, entries=batch.entries))


def _funding_refused(state: NettingSet, batch: SettlementBatch) -> None:
    """The ledger did not move the prefunding: take it back."""
    del state.pending[batch.id]
    for participant, net in nets(batch):
        account = state.flat(participant, batch.asset)
        if account is not None:
            state.accounts.prefunded.reshape(-1)[account] -= net
            state.dirty[account] = True


def gross_units(batch: SettlementBatch) -> int:
    """Gross value of a batch in minor units."""
    gross = parse(batch.gross, batch.scale)
    assert gross is not None, f"batch {batch.id} with gross {batch.gross!r}"
    return gross
