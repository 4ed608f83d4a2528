"""What a ledger answers: batches become final together, or fail (R4, R11, R20, R23, R25)."""

from typing import Literal

from clearing.core.batches import gross_units, nets, summed
from clearing.core.commands import Confirmation
from clearing.core.outputs import ConfirmationEvent, Outputs, SettlementBatch
from clearing.core.shortfall import resolve_shortfall
from clearing.core.state import NettingSet, Pending
from clearing.core.windows import WindowState, batch_event


def confirm(state: NettingSet, answer: Confirmation, offset: int, out: Outputs) -> None:
    """Apply a ledger's answer (R11, R23). A repeat, or an answer to nothing that waits, changes nothing."""
    pending = state.pending.get(answer.batch)
    status, reason = _judge(pending, answer)
    if status == "DONE" and pending is not None:
        if pending.batch.kind == "funding":
            _funding_answered(state, pending.batch, answer)
        elif answer.status == "POSTED":
            pending.state = WindowState.POSTED
            _finish(state, pending.group, offset, out)
        elif not resolve_shortfall(state, pending, answer, offset, out):
            _fail(state, pending, answer.reason, offset, out)
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
    if pending.state in (WindowState.FAILED, WindowState.ABORTED) and answer.status == "REFUSED":
        return "REPEATED", "the ledger has refused the batch before"
    if pending.state == WindowState.POSTED and answer.status == "POSTED":
        return "REPEATED", "the ledger has posted the batch before"
    if pending.state != WindowState.PENDING_SETTLEMENT:
        return "REFUSED", f"the batch is {pending.state}"
    return "DONE", answer.reason


def _fail(state: NettingSet, pending: Pending, reason: str, offset: int, out: Outputs) -> None:
    pending.state = WindowState.FAILED
    entries = summed(state, [pending.batch])
    out.events.append(
        batch_event(state, [pending.batch], offset, WindowState.FAILED, reason, entries)
    )


def _finish(state: NettingSet, group: int, offset: int, out: Outputs) -> None:
    """When the ledgers have posted all batches of a group, all are final in this one step (R20)."""
    members = [item for item in state.pending.values() if item.group == group]
    if any(item.state != WindowState.POSTED for item in members):
        return
    windows: dict[tuple[str, int], list[SettlementBatch]] = {}
    for item in sorted(members, key=lambda item: item.batch.sequence):
        windows.setdefault((item.batch.asset, item.batch.window), []).append(item.batch)
        del state.pending[item.batch.id]
    for batches in windows.values():
        _settled(state, sorted(batches, key=lambda batch: batch.part), offset, out)


def _settled(state: NettingSet, batches: list[SettlementBatch], offset: int, out: Outputs) -> None:
    """Each net moves from position to prefunded; no headroom changes (R11)."""
    entries = summed(state, batches)
    for batch in batches:
        move_nets(state, batch)
    a = state.asset_index[batches[0].asset]
    state.assets[a].unsettled -= sum(gross_units(batch) for batch in batches)
    state.members.pop((a, batches[0].window), None)
    out.events.append(batch_event(state, batches, offset, WindowState.SETTLED, entries=entries))


def move_nets(state: NettingSet, batch: SettlementBatch) -> None:
    """From position to prefunded, for participants; the scheme's own accounts are the ledger's business."""
    accounts = state.accounts
    a = state.asset_index[batch.asset]
    for participant, net in nets(batch).items():
        p = state.participant_index.get(participant)
        if p is not None:
            accounts.prefunded[p, a] += net
            accounts.position[p, a] -= net
            accounts.underway[p, a] -= net
            state.dirty[p * state.width + a] = True


def _funding_answered(state: NettingSet, batch: SettlementBatch, answer: Confirmation) -> None:
    """Prefunding counts from its command on; a ledger that did not move it takes it back."""
    del state.pending[batch.id]
    if answer.status == "POSTED":
        return
    for participant, net in nets(batch).items():
        account = state.flat(participant, batch.asset)
        if account is not None:
            state.accounts.prefunded.reshape(-1)[account] -= net
            state.dirty[account] = True
            state.lower_floor(account)
    state.forget_value_room()
    state.stir_all()
