"""Operators' commands in the oracle (R9, R24, R32, R33). Of the guards only those that the streams can run into."""

import hashlib
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec

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
from clearing.core.reasons import Code
from clearing.core.registry import AssetSpec
from tests.core.oracle_books import (
    Account,
    Books,
    Cleared,
    ClosedWindow,
    OpenWindow,
    Valuation,
    minor,
    takes_part,
    uuid_text,
)
from tests.core.oracle_limits import fits
from tests.core.oracle_waiting import end, is_held, release
from tests.core.oracle_windows import (
    FAILED,
    abort,
    close_at_cutoff,
    fund,
    open_window,
    reschedule,
    send_again,
)

MOST_AMOUNT, MOST_CONDITIONAL = 10**18 - 1, 2**60
SINGLE_HANDED = (CloseWindow, SetCalendar, SetCutoffs, Propose, Approve, Withdraw)


def command(books: Books, asked: Command, *, approved: bool = False) -> None:
    """Once for each id."""
    known = books.commands.get(asked.id)
    if known is not None:
        books.said.answers.append("REPEATED" if known == asked else "REFUSED")
        return
    books.commands[asked.id] = asked
    refused = books.four_eyes and not approved and _needs_a_second_person(asked)
    done = not refused and _DO[type(asked)](books, asked)
    books.said.answers.append("DONE" if done else "REFUSED")


# --- four eyes (R33) ---------------------------------------------------------------------------------------------


def _needs_a_second_person(asked: Command) -> bool:
    if isinstance(asked, SetStatus):
        return asked.status != "SUSPENDED"
    return not isinstance(asked, SINGLE_HANDED)


def _propose(books: Books, asked: Propose) -> bool:
    inner = asked.command
    if inner.id in (asked.id, *books.commands) or inner.by != asked.by:
        return False
    digest = hashlib.sha256(msgspec.json.encode(inner)).hexdigest()
    books.proposals[asked.id] = (digest, asked.by, inner)
    _say_proposal(books, asked.id, "PROPOSED")
    return True


def _approve(books: Books, asked: Approve) -> bool:
    """The command is done, or refused, by itself: it has an answer of its own."""
    digest, by, inner = books.proposals.get(asked.proposal, ("", "", None))
    if inner is None or digest != asked.hash or by == asked.by:
        return False
    _say_proposal(books, asked.proposal, "APPROVED")
    del books.proposals[asked.proposal]
    command(books, inner, approved=True)
    return True


def _withdraw(books: Books, asked: Withdraw) -> bool:
    if asked.proposal not in books.proposals:
        return False
    _say_proposal(books, asked.proposal, "WITHDRAWN")
    del books.proposals[asked.proposal]
    return True


def _say_proposal(books: Books, proposal: str, state: str) -> None:
    digest, by, inner = books.proposals[proposal]
    text = msgspec.json.encode(inner).decode()
    books.said.proposals.append(
        {"proposal": proposal, "hash": digest, "by": by, "state": state, "command": text}
    )


# --- registry ----------------------------------------------------------------------------------------------------


def _register_asset(books: Books, asked: RegisterAsset) -> bool:
    spec = asked.asset
    known = books.assets.get(spec.id)
    if known is not None and not _may_become(books, known, spec):
        return False
    most = minor(spec.max_amount, spec.scale) if spec.max_amount else MOST_AMOUNT
    books.retention = max(books.retention, spec.value_days_ahead)
    if known is None:
        books.assets[spec.id] = Cleared(spec, min(most, MOST_AMOUNT), OpenWindow(0, 0, 0))
        open_window(books, spec.id, 1)
    else:
        known.spec, known.maximum = spec, min(most, MOST_AMOUNT)
        reschedule(books, spec.id)
    return True


def _may_become(books: Books, known: Cleared, spec: AssetSpec) -> bool:
    """How it is settled does not change under payments that are in its window, or that a pair may link."""
    before = (known.spec.model, known.spec.on_shortfall)
    paired = any(spec.id in pair for pair in books.pairs)
    changed = before != (spec.model, spec.on_shortfall)
    return not (changed and (known.window.members or paired))


def _register_participant(books: Books, asked: RegisterParticipant) -> bool:
    books.status.setdefault(asked.participant, "ACTIVE")
    return True


def _register_pair(books: Books, asked: RegisterPair) -> bool:
    books.pairs[asked.delivery, asked.payment] = asked.model
    return True


def _open_account(books: Books, asked: OpenAccount) -> bool:
    scale = books.assets[asked.asset].spec.scale
    account = Account(cap=minor(asked.net_debit_cap, scale))
    books.accounts[asked.participant, asked.asset] = account
    fund(books, asked.participant, asked.asset, minor(asked.prefunded, scale), asked.id)
    return True


# R32 as data.
CHANGES = {
    "ACTIVE": ("SUSPENDED", "DEFAULTED", "CLOSED"),
    "SUSPENDED": ("ACTIVE", "DEFAULTED", "CLOSED"),
    "DEFAULTED": ("CLOSED",),
    "CLOSED": (),
}


def _set_status(books: Books, asked: SetStatus) -> bool:
    name, new = asked.participant, asked.status
    if new not in CHANGES[books.status[name]] or (new == "CLOSED" and _busy(books, name)):
        return False
    books.status[name] = new
    if new == "DEFAULTED":
        _cancel_queued(books, name)
    return True


def _cancel_queued(books: Books, name: str) -> None:
    """R24: what was accepted stands, what waits ends."""
    for payment in list(books.waiting):
        if payment not in books.waiting:
            continue  # ended with another leg of its link
        if payment.debtor == name:
            end(books, payment, Code.DEBTOR_DEFAULTED)
        elif payment.creditor == name:
            end(books, payment, Code.CREDITOR_DEFAULTED)


def _busy(books: Books, name: str) -> bool:
    """Something of it is not final, or waits."""
    windows = [asset.window.members for asset in books.assets.values()]
    pending = [part.members for part in books.pending.values()]
    waits = any(name in (p.debtor, p.creditor) for p in books.waiting)
    return waits or any(takes_part(name, members) for members in (*windows, *pending))


# --- limits ------------------------------------------------------------------------------------------------------


def _set_cap(books: Books, asked: SetCap) -> bool:
    account = books.accounts[asked.participant, asked.asset]
    cap = _units(books, asked.asset, asked.net_debit_cap)
    if _uncountable(books, asked.asset, cap - account.cap):
        return False
    account.cap = cap
    return True


def _fund(books: Books, asked: Fund) -> bool:
    units = _units(books, asked.asset, asked.amount)
    if books.accounts[asked.participant, asked.asset].held + units < 0 > units:
        return False
    if _uncountable(books, asked.asset, units):
        return False
    fund(books, asked.participant, asked.asset, units, asked.id)
    return True


def _uncountable(books: Books, asset: str, more: int) -> bool:
    """Caps and prefunding together are bounded: every headroom is to be an int64."""
    of_asset = [account for (_, name), account in books.accounts.items() if name == asset]
    return more > 0 and sum(a.cap + abs(a.held) for a in of_asset) + more > MOST_CONDITIONAL


def _units(books: Books, asset: str, text: str) -> int:
    return minor(text, books.assets[asset].spec.scale)


def _set_reservation(books: Books, asked: SetReservation) -> bool:
    account = books.accounts[asked.participant, asked.asset]
    account.reserved = _units(books, asked.asset, asked.reserved)
    return True


def _set_bilateral_limit(books: Books, asked: SetBilateralLimit) -> bool:
    """What one paid the other counts from when there is a limit between them, in either direction."""
    there = (asked.participant, asked.counterparty, asked.asset)
    back = (asked.counterparty, asked.participant, asked.asset)
    if asked.limit is None:
        books.bilateral.pop(there, None)
    else:
        books.bilateral[there] = _units(books, asked.asset, asked.limit)
    for direction in (there, back):
        if there in books.bilateral or back in books.bilateral:
            books.usage.setdefault(direction, 0)
        else:
            books.usage.pop(direction, None)
    return True


def _set_collateral(books: Books, asked: SetCollateral) -> bool:
    books.collateral[asked.participant, asked.asset] = _units(books, asked.asset, asked.amount)
    return True


def _set_pool(books: Books, asked: SetPool) -> bool:
    books.pool[asked.asset] = _units(books, asked.asset, asked.amount)
    return True


def _set_valuation(books: Books, asked: SetValuation) -> bool:
    limit = None if asked.short_limit is None else _units(books, asked.asset, asked.short_limit)
    books.valuations[asked.asset] = Valuation(Fraction(asked.price), asked.haircut_bp, limit)
    return True


def _set_short_limit(books: Books, asked: SetShortLimit) -> bool:
    books.short_limits.pop(asked.participant, None)
    if asked.limit is not None:
        books.short_limits[asked.participant] = Fraction(asked.limit)
    return True


# --- schedule, windows, queues -----------------------------------------------------------------------------------


def _set_calendar(books: Books, asked: SetCalendar) -> bool:
    books.calendar = [(day.date, day.opens_at_ms) for day in asked.days]
    return True


def _set_cutoffs(books: Books, asked: SetCutoffs) -> bool:
    books.assets[asked.asset].cutoffs = asked.cutoffs_ms
    reschedule(books, asked.asset)
    return True


def _close_window(books: Books, asked: CloseWindow) -> bool:
    close_at_cutoff(books, [asked.asset] if asked.asset else list(books.assets))
    return True


def _settle_window(books: Books, asked: SettleWindow) -> bool:
    window = _window(books, asked.asset, asked.window, FAILED)
    if window:
        send_again(books, window)
    return window is not None


def _abort_window(books: Books, asked: AbortWindow) -> bool:
    window = _window(books, asked.asset, asked.window, ("FAILED",))
    if window:
        abort(books, window)
    return window is not None


def _window(books: Books, asset: str, number: int, states: tuple[str, ...]) -> ClosedWindow | None:
    for window in books.closed:
        if (window.asset, window.number) == (asset, number):
            return window if any(part.state in states for part in window.parts) else None
    return None


def _release_queued(books: Books, asked: ReleaseQueued) -> bool:
    """R15: what a better search has chosen; links whole, and within all limits."""
    queued = {uuid_text(p.id): p for p in books.waiting if p.queued}
    if not asked.payments or any(id_ not in queued for id_ in asked.payments):
        return False
    chosen = [queued[id_] for id_ in dict.fromkeys(asked.payments)]
    if len(chosen) < len(asked.payments):
        return False
    if any(books.assets[p.asset].spec.queue != "BYPASS_FIFO" or is_held(books, p) for p in chosen):
        return False
    if any(leg not in chosen for p in chosen for leg in p.group) or not fits(books, chosen):
        return False
    release(books, chosen, "OPERATOR")
    return True


def _redrive(books: Books, asked: Redrive) -> bool:
    """R33: decided once for a record: its id says which."""
    known = asked.participant in books.status
    return known and asked.id == f"redrive:{asked.participant}:{asked.offset}"


def _require_approval(books: Books, asked: RequireApproval) -> bool:
    books.four_eyes = asked.required
    return True


_DO: dict[type[Command], Callable[[Books, Any], bool]] = {
    RegisterAsset: _register_asset,
    RegisterParticipant: _register_participant,
    RegisterPair: _register_pair,
    OpenAccount: _open_account,
    SetCap: _set_cap,
    Fund: _fund,
    SetReservation: _set_reservation,
    SetBilateralLimit: _set_bilateral_limit,
    SetCollateral: _set_collateral,
    SetPool: _set_pool,
    SetValuation: _set_valuation,
    SetShortLimit: _set_short_limit,
    SetStatus: _set_status,
    SetCalendar: _set_calendar,
    SetCutoffs: _set_cutoffs,
    CloseWindow: _close_window,
    SettleWindow: _settle_window,
    AbortWindow: _abort_window,
    ReleaseQueued: _release_queued,
    Redrive: _redrive,
    RequireApproval: _require_approval,
    Propose: _propose,
    Approve: _approve,
    Withdraw: _withdraw,
}
