"""Operators' commands: one function per command, guards first, then effects (R4, R24, R32, R33).

A guard returns why the command is refused; below the guards nothing can fail. Called by clearing.core.step.
Those about accounts stand in clearing.core.account_commands.
"""

from collections.abc import Callable
from typing import Any, Literal

from clearing.core.account_commands import (
    asset_of,
    fund,
    open_account,
    set_bilateral_limit,
    set_cap,
    set_collateral,
    set_pool,
    set_reservation,
    set_short_limit,
    set_valuation,
)
from clearing.core.approvals import (
    approved,
    close,
    content_hash,
    needs_approval,
    propose,
    redrive,
)
from clearing.core.batches import again, batch_id, nets, seal
from clearing.core.commands import (
    AbortWindow,
    Approve,
    CloseWindow,
    Command,
    Fund,
    OpenAccount,
    Propose,
    Redrive,
    RegisterAsset,
    RegisterPair,
    RegisterParticipant,
    ReleaseQueued,
    RequireApproval,
    SetBilateralLimit,
    SetCalendar,
    SetCap,
    SetCollateral,
    SetCutoffs,
    SetPool,
    SetReservation,
    SetShortLimit,
    SetStatus,
    SettleWindow,
    SetValuation,
    Withdraw,
)
from clearing.core.ids import id_text
from clearing.core.limits import lacking_of_set
from clearing.core.links import model_fault
from clearing.core.money import MAX_SCALE, parse
from clearing.core.outputs import CommandEvent, Outputs
from clearing.core.reasons import Code
from clearing.core.recalls import end
from clearing.core.registry import (
    AssetSpec,
    Granularity,
    Interchange,
    OnShortfall,
    ParticipantStatus,
    SettlementModel,
)
from clearing.core.release import group_of, is_fifo, is_held, release
from clearing.core.state import NettingSet, Participant, Pending, new_asset
from clearing.core.windows import (
    WindowState,
    batch_event,
    close_windows,
    count_underway,
    open_window,
    reschedule,
    send,
)

COMMANDS_REMEMBERED = (
    100_000  # the last ones of a netting set: 10 MB; an older id may be used again
)


def apply_command(state: NettingSet, command: Command, offset: int, out: Outputs) -> None:
    """Apply a command once; the same id again changes nothing (with another content it is refused)."""
    digest = content_hash(command)[:16]
    known = state.commands.get(command.id)
    if known is None:
        if state.counters.approval_required and needs_approval(command):
            reason = "it needs the approval of a second person: propose it (R33)"
        else:
            reason = _COMMANDS[type(command)](state, command, offset, out)
        _remember(state, command.id, digest)
        _tell(state, command, "REFUSED" if reason else "DONE", reason, offset, out)
    elif known == digest:
        _tell(state, command, "REPEATED", None, offset, out)
    else:
        reason = "this command id was used before with another content"
        _tell(state, command, "REFUSED", reason, offset, out)


def _remember(state: NettingSet, id_: str, digest: str) -> None:
    state.commands[id_] = digest
    if len(state.commands) > COMMANDS_REMEMBERED:
        del state.commands[next(iter(state.commands))]


def _tell(
    state: NettingSet,
    command: Command,
    status: Literal["DONE", "REFUSED", "REPEATED"],
    reason: str | None,
    offset: int,
    out: Outputs,
) -> None:
    out.events.append(
        CommandEvent(
            netting_set=state.name,
            log_offset=offset,
            time_ms=state.counters.time_ms,
            id=command.id,
            by=command.by,
            command=type(command).__struct_config__.tag or "",  # pyright: ignore[reportArgumentType]
            status=status,
            reason=reason or "",
        )
    )


def _approve(state: NettingSet, command: Approve, offset: int, out: Outputs) -> str | None:
    """The second pair of eyes: what was proposed is done, in the proposer's name."""
    inner = approved(state, command)
    if isinstance(inner, str):
        return inner
    close(state, command.proposal, "APPROVED", offset, out)
    if inner.id in state.commands or inner.id == command.id:
        return f"the command's id {inner.id} was used meanwhile"
    _remember(state, inner.id, content_hash(inner)[:16])
    reason = _COMMANDS[type(inner)](state, inner, offset, out)
    _tell(state, inner, "REFUSED" if reason else "DONE", reason, offset, out)
    return None


def _withdraw(state: NettingSet, command: Withdraw, offset: int, out: Outputs) -> str | None:
    if command.proposal not in state.proposals:
        return f"there is no open proposal {command.proposal}"
    close(state, command.proposal, "WITHDRAWN", offset, out)
    return None


def _require_approval(
    state: NettingSet, command: RequireApproval, offset: int, out: Outputs
) -> str | None:
    state.counters.approval_required = command.required
    return None


def _register_asset(
    state: NettingSet, command: RegisterAsset, offset: int, out: Outputs
) -> str | None:
    spec = command.asset
    known = state.asset_index.get(spec.id)
    identity = (spec.code, spec.issuer, spec.ledger)
    if fault := _model_fault(spec):
        return fault
    if not 0 <= spec.scale <= MAX_SCALE:
        return f"scale {spec.scale} is not within 0-{MAX_SCALE}"
    if spec.max_amount and (parse(spec.max_amount, spec.scale) or 0) <= 0:
        return f"max_amount {spec.max_amount} is no positive amount at scale {spec.scale}"
    if spec.every_s < 0 or spec.value_days_ahead < 0:
        return "every_s and value_days_ahead may not be negative"
    for other in state.assets:
        if (
            other.spec.id != spec.id
            and (other.spec.code, other.spec.issuer, other.spec.ledger) == identity
        ):
            return f"asset {other.spec.id} is the same (code, issuer, ledger)"
    if known is None:
        asset = new_asset(spec)
        _remember_for(state, spec)
        state.add_asset(asset)
        open_window(state, asset, offset, out)
        return None
    asset = state.assets[known]
    if (*identity, spec.scale) != (
        asset.spec.code,
        asset.spec.issuer,
        asset.spec.ledger,
        asset.spec.scale,
    ):
        return "code, issuer, ledger and scale of a registered asset cannot change"
    if fault := _change_fault(state, known, spec):
        return fault
    changed = new_asset(spec)
    _remember_for(state, spec)
    asset.spec, asset.max_amount = spec, changed.max_amount
    state.maximum[known], state.days_ahead[known] = asset.max_amount, spec.value_days_ahead
    reschedule(state, asset, offset, out)
    return None


def _model_fault(spec: AssetSpec) -> str | None:
    """What does not go together (R6, R18, R25)."""
    model = spec.model
    if spec.set_off and (model.granularity, model.interchange) != (
        Granularity.NET,
        Interchange.BILATERAL,
    ):
        return "set_off is for NET BILATERAL windows"
    if spec.on_shortfall is not OnShortfall.HOLD and model != SettlementModel():
        return "on_shortfall is for NET MULTILATERAL DEFERRED windows: it has to be HOLD"
    return None


def _change_fault(state: NettingSet, a: int, spec: AssetSpec) -> str | None:
    """Why a registered asset cannot become this one now: an open window is of one kind, a queue has one order."""
    asset = state.assets[a]
    how = (asset.spec.model, asset.spec.on_shortfall)
    if how != (spec.model, spec.on_shortfall) and (
        asset.window.payments or any(a in pair for pair in state.pairs)
    ):
        return "model and on_shortfall change only while the window is empty and no pair needs them"
    if asset.spec.queue != spec.queue and asset.waiting:
        return "the queue policy changes only while nothing waits"
    return None


def _register_pair(
    state: NettingSet, command: RegisterPair, offset: int, out: Outputs
) -> str | None:
    """R21: how two assets are settled against each other."""
    delivery, payment = (
        state.asset_index.get(name) for name in (command.delivery, command.payment)
    )
    if delivery is None or payment is None or delivery == payment:
        return "a pair has two registered assets"
    if (payment, delivery) in state.pairs:
        return f"the pair is declared with {command.payment} as its delivery"
    if fault := model_fault(state, delivery, payment, command.model):
        return fault
    state.pairs[delivery, payment] = command.model
    return None


def _remember_for(state: NettingSet, spec: AssetSpec) -> None:
    """An id is remembered at least as long as its payment's value date can still come (R28): never less again."""
    state.retention_days = max(state.retention_days, spec.value_days_ahead)


def _register_participant(
    state: NettingSet, command: RegisterParticipant, offset: int, out: Outputs
) -> str | None:
    known = state.participant_index.get(command.participant)
    if known is not None:
        state.participants[known].name = command.name
        return None
    state.add_participant(Participant(command.participant, command.name))
    return None


# R32 as data: from → to.
_STATUS_CHANGES = {
    ParticipantStatus.ACTIVE: {
        ParticipantStatus.SUSPENDED,
        ParticipantStatus.DEFAULTED,
        ParticipantStatus.CLOSED,
    },
    ParticipantStatus.SUSPENDED: {
        ParticipantStatus.ACTIVE,
        ParticipantStatus.DEFAULTED,
        ParticipantStatus.CLOSED,
    },
    ParticipantStatus.DEFAULTED: {ParticipantStatus.CLOSED},
}


def _set_status(state: NettingSet, command: SetStatus, offset: int, out: Outputs) -> str | None:
    p = state.participant_index.get(command.participant)
    if p is None:
        return f"participant {command.participant} is not registered"
    old, new = ParticipantStatus(int(state.status[p])), ParticipantStatus[command.status]
    if new not in _STATUS_CHANGES.get(old, set()):
        return f"participant {command.participant} is {old.name} and cannot become {new.name}"
    if new is ParticipantStatus.CLOSED and _unsettled(state, command.participant):
        return f"participant {command.participant} has payments that are not settled"
    state.status[p] = new
    if new is ParticipantStatus.DEFAULTED:
        _cancel_queued(state, p, out)
    elif new is ParticipantStatus.ACTIVE:
        state.stir_all()
    return None


def _cancel_queued(state: NettingSet, p: int, out: Outputs) -> None:
    """R24: what waits from or to a defaulter ends; what was accepted stands."""
    for item in list(state.waiting.values()):
        if item.id in state.waiting and p in (item.debtor, item.creditor):
            code = Code.DEBTOR_DEFAULTED if item.debtor == p else Code.CREDITOR_DEFAULTED
            end(state, item, code, out)


def _unsettled(state: NettingSet, participant: str) -> bool:
    """In an open window, in a queue, or in a batch that is not final."""
    p = state.participant_index[participant]
    accounts = state.accounts
    if accounts.sent[p].any() or accounts.received[p].any():
        return True
    if any(p in (item.debtor, item.creditor) for item in state.waiting.values()):
        return True
    return any(participant in nets(item.batch) for item in state.pending.values())


def _set_calendar(state: NettingSet, command: SetCalendar, offset: int, out: Outputs) -> str | None:
    for before, after in zip(command.days, command.days[1:], strict=False):
        if before.date >= after.date or before.opens_at_ms >= after.opens_at_ms:
            return f"business days are not ascending at day {after.date}"
    state.calendar = list(command.days)
    return None


def _set_cutoffs(state: NettingSet, command: SetCutoffs, offset: int, out: Outputs) -> str | None:
    asset = asset_of(state, command.asset)
    if asset is None:
        return f"asset {command.asset} is not registered"
    if asset.spec.every_s:
        return f"asset {command.asset} closes its windows every {asset.spec.every_s} s"
    if any(a >= b for a, b in zip(command.cutoffs_ms, command.cutoffs_ms[1:], strict=False)):
        return "cut-offs are not ascending"
    asset.cutoffs_ms = list(command.cutoffs_ms)
    reschedule(state, asset, offset, out)
    return None


def _close_window(state: NettingSet, command: CloseWindow, offset: int, out: Outputs) -> str | None:
    if command.asset and command.asset not in state.asset_index:
        return f"asset {command.asset} is not registered"
    named = [a for a, item in enumerate(state.assets) if command.asset in ("", item.spec.id)]
    close_windows(state, named, offset, out)
    return None


def _settle_window(
    state: NettingSet, command: SettleWindow, offset: int, out: Outputs
) -> str | None:
    states = (WindowState.FAILED, WindowState.ABORTED)
    failed = _batches(state, command.asset, command.window, states)
    if not failed:
        return f"window {command.window} of {command.asset} has not failed"
    for old in failed:
        del state.pending[old.batch.id]
        count_underway(state, old.batch, -1)
        version = old.batch.version + 1
        part = old.batch.part if old.batch.parts > 1 else 0
        batch = seal(
            state,
            state.assets[state.asset_index[old.batch.asset]],
            again(old.batch),
            identity=batch_id(state.name, old.batch.asset, old.batch.window, version, part),
            window=old.batch.window,
            version=version,
            opened_at_ms=old.batch.opened_at_ms,
            number=old.batch.part,
            parts=old.batch.parts,
            linked=_linked(state, old),
        )
        send(state, batch, out, old)
        out.events.append(batch_event(state, [batch], offset, WindowState.PENDING_SETTLEMENT))
    return None


def _linked(state: NettingSet, old: Pending) -> list[str]:
    """The batches of other windows that are final together with this one, as they are now."""
    others = [
        item.batch
        for item in state.pending.values()
        if item.group == old.group
        and (item.batch.asset, item.batch.window) != (old.batch.asset, old.batch.window)
        and item.batch.kind != "funding"
    ]
    others.sort(key=lambda batch: (state.asset_index[batch.asset], batch.part))
    return [batch.id for batch in others]


def _batches(
    state: NettingSet, asset: str, window: int, states: tuple[WindowState, ...]
) -> list[Pending]:
    return [
        item
        for item in state.pending.values()
        if item.batch.kind != "funding"
        and (item.batch.asset, item.batch.window) == (asset, window)
        and item.state in states
    ]


def _abort_window(state: NettingSet, command: AbortWindow, offset: int, out: Outputs) -> str | None:
    """Its batches that failed are given up; what they hold stays unsettled until the window is settled again."""
    failed = _batches(state, command.asset, command.window, (WindowState.FAILED,))
    if not failed:
        return f"window {command.window} of {command.asset} has not failed"
    for item in failed:
        item.state = WindowState.ABORTED
        out.events.append(batch_event(state, [item.batch], offset, WindowState.ABORTED))
    return None


def _release_queued(
    state: NettingSet, command: ReleaseQueued, offset: int, out: Outputs
) -> str | None:
    """R15: what an exact solver chose, proved again: it may leave as one, or not at all."""
    names = [name.replace("-", "") for name in command.payments]
    items = [state.waiting[name] for name in dict.fromkeys(names) if name in state.waiting]
    if not items or len(items) < len(names):
        return "not all of these payments wait, each once"
    for item in items:
        if not item.is_queued or is_fifo(state, item) or is_held(state, item):
            return f"payment {id_text(item.id)} may not pass others now"
        if any(leg not in items for leg in group_of(state, item)):
            return f"payment {id_text(item.id)} leaves with its link's other legs only"
    rows = [(item.debtor, item.creditor, item.asset, item.units) for item in items]
    if any(lacking_of_set(state, rows)):
        return "somebody would pass a limit"
    release(state, items, offset, out, "OPERATOR")
    return None


_COMMANDS: dict[type[Command], Callable[[NettingSet, Any, int, Outputs], str | None]] = {
    RegisterAsset: _register_asset,
    RegisterParticipant: _register_participant,
    RegisterPair: _register_pair,
    OpenAccount: open_account,
    SetCap: set_cap,
    Fund: fund,
    SetReservation: set_reservation,
    SetBilateralLimit: set_bilateral_limit,
    SetCollateral: set_collateral,
    SetPool: set_pool,
    SetValuation: set_valuation,
    SetShortLimit: set_short_limit,
    SetStatus: _set_status,
    SetCalendar: _set_calendar,
    SetCutoffs: _set_cutoffs,
    CloseWindow: _close_window,
    SettleWindow: _settle_window,
    AbortWindow: _abort_window,
    ReleaseQueued: _release_queued,
    Redrive: redrive,
    RequireApproval: _require_approval,
    Propose: propose,
    Approve: _approve,
    Withdraw: _withdraw,
}
