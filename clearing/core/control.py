"""Operators' commands: one function per command, guards first, then effects (R9, R32).

A guard returns why the command is refused; below the guards nothing can fail. Called by clearing.core.step.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from clearing.core.batches import batch_id, nets, seal
from clearing.core.commands import (
    CloseWindow,
    Command,
    Fund,
    OpenAccount,
    RegisterAsset,
    RegisterParticipant,
    SetCalendar,
    SetCap,
    SetCutoffs,
    SetStatus,
    SettleWindow,
)
from clearing.core.money import MAX_AMOUNT, MAX_DIGITS, MAX_SCALE, MAX_UNSETTLED, parse, show
from clearing.core.outputs import CommandEvent, Entry, LedgerAccount, Outputs
from clearing.core.registry import AssetSpec, ParticipantStatus, SettlementModel
from clearing.core.state import Asset, NettingSet, Participant, new_asset
from clearing.core.windows import (
    WindowState,
    close_window,
    gross_units,
    open_window,
    reschedule,
    send,
)

FUNDING_ACCOUNT = "$FUNDING"  # the ledger's counter account; no participant can have this name
_MAX_CONDITIONAL = (
    MAX_UNSETTLED // 2
)  # prefunding and caps of an asset together: keeps headroom an int64

_encode = msgspec.json.Encoder().encode


def apply_command(state: NettingSet, command: Command, offset: int, out: Outputs) -> None:
    """Apply a command once; the same id again changes nothing (with another content it is refused)."""
    digest = hashlib.sha256(_encode(command)).hexdigest()[:16]
    known = state.commands.get(command.id)
    if known is None:
        reason = _COMMANDS[type(command)](state, command, offset, out)
        state.commands[command.id] = digest
        status = "REFUSED" if reason else "DONE"
    elif known == digest:
        status, reason = "REPEATED", None
    else:
        status, reason = "REFUSED", "this command id was used before with another content"
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


def _register_asset(
    state: NettingSet, command: RegisterAsset, offset: int, out: Outputs
) -> str | None:
    spec = command.asset
    known = state.asset_index.get(spec.id)
    identity = (spec.code, spec.issuer, spec.ledger)
    if spec.model != SettlementModel():
        return "only NET / MULTILATERAL / DEFERRED is cleared so far"
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
    changed = new_asset(spec)
    _remember_for(state, spec)
    asset.spec, asset.max_amount = spec, changed.max_amount
    state.maximum[known], state.days_ahead[known] = asset.max_amount, spec.value_days_ahead
    reschedule(state, asset, offset, out)
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


def _asset_of(state: NettingSet, asset: str) -> Asset | None:
    a = state.asset_index.get(asset)
    return None if a is None else state.assets[a]


def _limit(text: str, scale: int) -> int | None:
    """Minor units of prefunding, a cap or an overdraft: a ledger keeps them in an int64 too."""
    units = parse(text, scale)
    return units if units is not None and 0 <= units <= MAX_AMOUNT else None


def _a_limit(scale: int) -> str:
    return f"amounts >= 0 with at most {scale} decimals and {MAX_DIGITS} digits"


def _open_account(state: NettingSet, command: OpenAccount, offset: int, out: Outputs) -> str | None:
    asset = _asset_of(state, command.asset)
    if asset is None:
        return f"asset {command.asset} is not registered"
    if command.participant not in state.participant_index:
        return f"participant {command.participant} is not registered"
    if state.flat(command.participant, command.asset) is not None:
        return "the account is open: change it by set_cap and fund"
    scale = asset.spec.scale
    prefunded, cap = _limit(command.prefunded, scale), _limit(command.net_debit_cap, scale)
    overdraft = cap if command.overdraft is None else _limit(command.overdraft, scale)
    if prefunded is None or cap is None or overdraft is None:
        return f"prefunded, net_debit_cap and overdraft are {_a_limit(scale)}"
    if _conditional(state, asset) + prefunded + cap > _MAX_CONDITIONAL:
        return "prefunding and caps of this asset would pass what can be counted"
    p, a = state.participant_index[command.participant], state.asset_index[command.asset]
    state.accounts.open[p, a] = True
    state.accounts.cap[p, a] = cap
    state.dirty[p * state.width + a] = True
    _ledger_account(state, asset, command.participant, overdraft, out)
    if prefunded:
        _fund(state, asset, command.participant, prefunded, command.id, offset, out)
    return None


def _set_cap(state: NettingSet, command: SetCap, offset: int, out: Outputs) -> str | None:
    account, asset = state.flat(command.participant, command.asset), _asset_of(state, command.asset)
    if account is None or asset is None:
        return "there is no such account"
    scale = asset.spec.scale
    cap = _limit(command.net_debit_cap, scale)
    held = int(state.accounts.overdraft.reshape(-1)[account])
    # R9: a lower cap alone does not take from the ledger what payments accepted under the higher one need.
    overdraft = (
        max(cap or 0, held) if command.overdraft is None else _limit(command.overdraft, scale)
    )
    if cap is None or overdraft is None:
        return f"net_debit_cap and overdraft are {_a_limit(scale)}"
    caps = state.accounts.cap.reshape(-1)
    raised = cap - int(caps[account])  # lowering one is always possible
    if raised > 0 and _conditional(state, asset) + raised > _MAX_CONDITIONAL:
        return "prefunding and caps of this asset would pass what can be counted"
    caps[account] = cap  # R9: headroom may become negative; what was accepted stands
    state.dirty[account] = True
    _ledger_account(state, asset, command.participant, overdraft, out)
    return None


def _apply_fund(state: NettingSet, command: Fund, offset: int, out: Outputs) -> str | None:
    account, asset = state.flat(command.participant, command.asset), _asset_of(state, command.asset)
    if account is None or asset is None:
        return "there is no such account"
    amount = parse(command.amount, asset.spec.scale)
    if not amount:
        return f"amount is not zero and has at most {asset.spec.scale} decimals"
    if amount > 0 and _conditional(state, asset) + amount > _MAX_CONDITIONAL:
        return "prefunding and caps of this asset would pass what can be counted"
    if amount < 0 and int(state.accounts.prefunded.reshape(-1)[account]) + amount < 0:
        return "more than is prefunded"
    _fund(state, asset, command.participant, amount, command.id, offset, out)
    return None


def _fund(
    state: NettingSet,
    asset: Asset,
    participant: str,
    units: int,
    command: str,
    offset: int,
    out: Outputs,
) -> None:
    """Prefunding in (units > 0) or out, at once (R9); the ledger posts it against $FUNDING."""
    account = state.flat(participant, asset.spec.id)
    assert account is not None, "guarded by the caller"
    state.accounts.prefunded.reshape(-1)[account] += units
    state.dirty[account] = True
    scale = asset.spec.scale
    into, out_of = show(max(units, 0), scale), show(max(-units, 0), scale)
    batch = seal(
        state,
        asset,
        kind="funding",
        identity=_funding_id(state, command),
        window=0,
        version=1,
        opened_at_ms=state.counters.time_ms,
        payments=1,
        gross=abs(units),
        entries=[
            Entry(participant, show(units, scale), out_of, into, int(units < 0), int(units > 0)),
            Entry(
                FUNDING_ACCOUNT, show(-units, scale), into, out_of, int(units > 0), int(units < 0)
            ),
        ],
        log_first=offset,
        log_last=offset,
        members_root=hashlib.sha256(command.encode()).hexdigest(),
    )
    send(state, batch, offset, out)


def _funding_id(state: NettingSet, command: str) -> str:
    return hashlib.sha256(f"{state.name}|fund|{command}".encode()).hexdigest()[:32]


def _conditional(state: NettingSet, asset: Asset) -> int:
    """Sum of caps and prefunding of an asset, in Python's integers."""
    a = state.asset_index[asset.spec.id]
    caps, held = state.accounts.cap[:, a].tolist(), state.accounts.prefunded[:, a].tolist()
    return sum(caps) + sum(abs(units) for units in held)


def _ledger_account(
    state: NettingSet, asset: Asset, participant: str, overdraft: int, out: Outputs
) -> None:
    account = state.flat(participant, asset.spec.id)
    assert account is not None, "opened by the caller"
    state.accounts.overdraft.reshape(-1)[account] = overdraft
    out.settlements.append(
        LedgerAccount(
            netting_set=state.name,
            asset=asset.spec.id,
            ledger=asset.spec.ledger,
            scale=asset.spec.scale,
            participant=participant,
            overdraft=show(overdraft, asset.spec.scale),
        )
    )


# R32 as data: from → to. DEFAULTED comes with the default procedure (R24).
_STATUS_CHANGES = {
    ParticipantStatus.ACTIVE: {ParticipantStatus.SUSPENDED, ParticipantStatus.CLOSED},
    ParticipantStatus.SUSPENDED: {ParticipantStatus.ACTIVE, ParticipantStatus.CLOSED},
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
    return None


def _unsettled(state: NettingSet, participant: str) -> bool:
    """In an open window, or in a batch that its ledger has not posted."""
    p = state.participant_index[participant]
    accounts = state.accounts
    if accounts.sent[p].any() or accounts.received[p].any():
        return True
    return any(
        name == participant for item in state.pending.values() for name, _ in nets(item.batch)
    )


def _set_calendar(state: NettingSet, command: SetCalendar, offset: int, out: Outputs) -> str | None:
    for before, after in zip(command.days, command.days[1:], strict=False):
        if before.date >= after.date or before.opens_at_ms >= after.opens_at_ms:
            return f"business days are not ascending at day {after.date}"
    state.calendar = list(command.days)
    return None


def _set_cutoffs(state: NettingSet, command: SetCutoffs, offset: int, out: Outputs) -> str | None:
    asset = _asset_of(state, command.asset)
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
    for a, asset in enumerate(state.assets):
        if command.asset in ("", asset.spec.id):
            close_window(state, a, offset, out)
    return None


def _settle_window(
    state: NettingSet, command: SettleWindow, offset: int, out: Outputs
) -> str | None:
    found = [
        item
        for item in state.pending.values()
        if item.batch.kind == "net"
        and (item.batch.asset, item.batch.window) == (command.asset, command.window)
    ]
    if not found or found[0].state != WindowState.FAILED:
        return f"window {command.window} of {command.asset} has not failed"
    old, cutoff_ms = found[0].batch, found[0].cutoff_ms
    del state.pending[old.id]
    version = old.version + 1
    batch = seal(
        state,
        state.assets[state.asset_index[old.asset]],
        kind="net",
        identity=batch_id(state.name, old.asset, old.window, version),
        window=old.window,
        version=version,
        opened_at_ms=old.opened_at_ms,
        payments=old.payments,
        gross=gross_units(old),
        entries=old.entries,
        log_first=old.log_first,
        log_last=old.log_last,
        members_root=old.members_root,
    )
    send(state, batch, offset, out, cutoff_ms)
    return None


_COMMANDS: dict[type[Command], Callable[[NettingSet, Any, int, Outputs], str | None]] = {
    RegisterAsset: _register_asset,
    RegisterParticipant: _register_participant,
    OpenAccount: _open_account,
    SetCap: _set_cap,
    Fund: _apply_fund,
    SetStatus: _set_status,
    SetCalendar: _set_calendar,
    SetCutoffs: _set_cutoffs,
    CloseWindow: _close_window,
    SettleWindow: _settle_window,
}
