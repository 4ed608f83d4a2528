"""Operators' commands about accounts: opening, funding, caps, reservations, limits, collateral (R8-R10, R25).

A guard returns why the command is refused; below the guards nothing can fail. R9: what was accepted stands,
whatever is lowered. What gives somebody liquidity stirs their queue.
"""

import hashlib

from clearing.core.batches import Part, seal
from clearing.core.commands import (
    Fund,
    OpenAccount,
    SetBilateralLimit,
    SetCap,
    SetCollateral,
    SetPool,
    SetReservation,
    SetShortLimit,
    SetValuation,
)
from clearing.core.money import MAX_AMOUNT, MAX_DIGITS, MAX_UNSETTLED, magnitude, parse, show
from clearing.core.outputs import Entry, LedgerAccount, Outputs
from clearing.core.state import Asset, NettingSet, Valuation
from clearing.core.value import MAX_PRICE, UNIT_SCALE, value_units
from clearing.core.windows import send

FUNDING_ACCOUNT = "$FUNDING"  # the ledger's counter account; no participant can have this name
_MAX_CONDITIONAL = (
    MAX_UNSETTLED // 2
)  # prefunding, caps and reservations of an asset together: keeps headroom an int64
_NO_ACCOUNT = "there is no such account"
_UNCOUNTABLE = "prefunding, caps and reservations of this asset would pass what can be counted"


def asset_of(state: NettingSet, asset: str) -> Asset | None:
    a = state.asset_index.get(asset)
    return None if a is None else state.assets[a]


def _limit(text: str, scale: int) -> int | None:
    """Minor units of prefunding, a cap or an overdraft: a ledger keeps them in an int64 too."""
    units = parse(text, scale)
    return units if units is not None and 0 <= units <= MAX_AMOUNT else None


def _a_limit(scale: int) -> str:
    return f"amounts >= 0 with at most {scale} decimals and {MAX_DIGITS} digits"


def open_account(state: NettingSet, command: OpenAccount, offset: int, out: Outputs) -> str | None:
    asset = asset_of(state, command.asset)
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
        return _UNCOUNTABLE
    p, a = state.participant_index[command.participant], state.asset_index[command.asset]
    state.accounts.open[p, a] = True
    state.accounts.cap[p, a] = cap
    state.dirty[p * state.width + a] = True
    _ledger_account(state, asset, command.participant, overdraft, out)
    if prefunded:
        _fund(state, asset, command.participant, prefunded, command.id, offset, out)
    return None


def set_cap(state: NettingSet, command: SetCap, offset: int, out: Outputs) -> str | None:
    account, asset = state.flat(command.participant, command.asset), asset_of(state, command.asset)
    if account is None or asset is None:
        return _NO_ACCOUNT
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
        return _UNCOUNTABLE
    caps[account] = cap  # R9: headroom may become negative; what was accepted stands
    _changed(state, account)
    _ledger_account(state, asset, command.participant, overdraft, out)
    return None


def fund(state: NettingSet, command: Fund, offset: int, out: Outputs) -> str | None:
    account, asset = state.flat(command.participant, command.asset), asset_of(state, command.asset)
    if account is None or asset is None:
        return _NO_ACCOUNT
    amount = parse(command.amount, asset.spec.scale)
    if not amount:
        return f"amount is not zero and has at most {asset.spec.scale} decimals"
    if amount > 0 and _conditional(state, asset) + amount > _MAX_CONDITIONAL:
        return _UNCOUNTABLE
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
    _changed(state, account)
    scale = asset.spec.scale
    into, out_of = show(max(units, 0), scale), show(max(-units, 0), scale)
    entries = [
        Entry(participant, show(units, scale), out_of, into, int(units < 0), int(units > 0)),
        Entry(FUNDING_ACCOUNT, show(-units, scale), into, out_of, int(units > 0), int(units < 0)),
    ]
    root = hashlib.sha256(command.encode()).hexdigest()
    batch = seal(
        state,
        asset,
        Part("funding", entries, 1, abs(units), offset, offset, root),
        identity=_funding_id(state, command),
        window=0,
        version=1,
        opened_at_ms=state.counters.time_ms,
    )
    send(state, batch, out)


def _funding_id(state: NettingSet, command: str) -> str:
    return hashlib.sha256(f"{state.name}|fund|{command}".encode()).hexdigest()[:32]


def _conditional(state: NettingSet, asset: Asset) -> int:
    """Sum of caps, prefunding and reservations of an asset."""
    a, accounts = state.asset_index[asset.spec.id], state.accounts
    return sum(
        magnitude(column[:, a]) for column in (accounts.cap, accounts.prefunded, accounts.reserved)
    )


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


def set_reservation(
    state: NettingSet, command: SetReservation, offset: int, out: Outputs
) -> str | None:
    """R8: liquidity that payments may not use."""
    account, asset = state.flat(command.participant, command.asset), asset_of(state, command.asset)
    if account is None or asset is None:
        return _NO_ACCOUNT
    units = _limit(command.reserved, asset.spec.scale)
    if units is None:
        return f"reserved is one of the {_a_limit(asset.spec.scale)}"
    reserved = state.accounts.reserved.reshape(-1)
    raised = units - int(reserved[account])
    if raised > 0 and _conditional(state, asset) + raised > _MAX_CONDITIONAL:
        return _UNCOUNTABLE
    reserved[account] = units
    _changed(state, account)
    return None


def set_bilateral_limit(
    state: NettingSet, command: SetBilateralLimit, offset: int, out: Outputs
) -> str | None:
    """R10: a limit on what one may pay another one."""
    account, other = (
        state.flat(name, command.asset) for name in (command.participant, command.counterparty)
    )
    if account is None or other is None:
        return _NO_ACCOUNT
    if account == other:
        return "a limit is between two participants"
    a = state.asset_index[command.asset]
    scale = state.assets[a].spec.scale
    units = -1 if command.limit is None else _limit(command.limit, scale)
    if units is None:
        return f"limit is one of the {_a_limit(scale)}"
    p, q = (state.participant_index[n] for n in (command.participant, command.counterparty))
    state.bilateral.set_limit((p, q, a), units)
    state.stirred.add((p, a))
    return None


def set_collateral(
    state: NettingSet, command: SetCollateral, offset: int, out: Outputs
) -> str | None:
    """R25: what the waterfall may take of a participant before it asks others."""
    account, asset = state.flat(command.participant, command.asset), asset_of(state, command.asset)
    if account is None or asset is None:
        return _NO_ACCOUNT
    units = _limit(command.amount, asset.spec.scale)
    if units is None:
        return f"amount is one of the {_a_limit(asset.spec.scale)}"
    state.accounts.collateral.reshape(-1)[account] = units
    return None


def set_pool(state: NettingSet, command: SetPool, offset: int, out: Outputs) -> str | None:
    """R25: the default fund."""
    asset = asset_of(state, command.asset)
    if asset is None:
        return f"asset {command.asset} is not registered"
    units = _limit(command.amount, asset.spec.scale)
    if units is None:
        return f"amount is one of the {_a_limit(asset.spec.scale)}"
    asset.pool = units
    return None


def set_valuation(
    state: NettingSet, command: SetValuation, offset: int, out: Outputs
) -> str | None:
    """R10: what an asset is worth in the value check."""
    asset = asset_of(state, command.asset)
    if asset is None:
        return f"asset {command.asset} is not registered"
    price, scale = value_units(command.price), asset.spec.scale
    if price is None or price > MAX_PRICE or not 0 <= command.haircut_bp <= 10_000:
        return (
            f"price is an amount >= 0 with at most {UNIT_SCALE} decimals, at most "
            f"{show(MAX_PRICE, UNIT_SCALE)}, haircut_bp within 0-10000"
        )
    limit = -1 if command.short_limit is None else _limit(command.short_limit, scale)
    if limit is None:
        return f"short_limit is one of the {_a_limit(scale)}"
    asset.valuation = Valuation(price, command.haircut_bp, limit)
    _values_changed(state)
    return None


def set_short_limit(
    state: NettingSet, command: SetShortLimit, offset: int, out: Outputs
) -> str | None:
    """R10: puts a participant under the value check, or ends it."""
    p = state.participant_index.get(command.participant)
    if p is None:
        return f"participant {command.participant} is not registered"
    if command.limit is None:
        state.short_limits.pop(p, None)
    else:
        units = value_units(command.limit)
        if units is None:
            return f"limit is an amount >= 0 with at most {UNIT_SCALE} decimals"
        state.short_limits[p] = units
    _values_changed(state)
    return None


def _values_changed(state: NettingSet) -> None:
    state.forget_value_room()
    state.stir_all()


def _changed(state: NettingSet, account: int) -> None:
    """An account has more or less liquidity; under the value check that holds for all of its participant's."""
    state.dirty[account] = True
    state.lower_floor(account)
    p, a = divmod(account, state.width)
    if p in state.short_limits:
        _values_changed(state)
    else:
        state.stirred.add((p, a))
