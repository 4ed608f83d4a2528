"""Dry runs: what a command, or a bank's inputs, would do now, by the core's own step on a copy of the state.

Pure. Nothing is changed: the copy is thrown away, and only what would differ is told.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

import msgspec
import numpy as np

from clearing.core import snapshot
from clearing.core.approvals import content_hash, needs_approval
from clearing.core.commands import Proposable
from clearing.core.ids import Remembered
from clearing.core.inputs import ControlItem, LogRecord, SourceSpan
from clearing.core.money import parse, show
from clearing.core.outputs import CommandEvent, Outputs, Resolution, SettlementBatch, WindowEvent
from clearing.core.reasons import Code
from clearing.core.registry import ParticipantStatus
from clearing.core.state import NettingSet
from clearing.core.step import step
from clearing.dispatch.wording import wording
from clearing.live import Live

MOST_SHOWN = 200  # of each list
_COLUMNS = ("prefunded", "cap", "position", "reserved", "queued", "queued_payments")


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """Value affected in an asset: released from queues, ended there, settled by a batch, moved by funding."""

    asset: str
    what: Literal["released", "ended", "settled", "funded"]
    amount: str
    payments: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """An account at one moment (R8)."""

    prefunded: str
    net_debit_cap: str
    position: str
    reserved: str
    headroom: str
    queued: str
    queued_payments: int


class AccountChange(msgspec.Struct, frozen=True, kw_only=True):
    participant: str
    asset: str
    before: Standing
    after: Standing


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """An account that would be below its limit: what was accepted stands, new debits wait or are refused (R9)."""

    participant: str
    asset: str
    headroom_before: str
    headroom_after: str
    sentence: str


class StatusChange(msgspec.Struct, frozen=True, kw_only=True):
    participant: str
    before: str
    after: str


class WindowChange(msgspec.Struct, frozen=True, kw_only=True):
    asset: str
    window: int
    state: str
    payments: int
    gross: str


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that would leave its queue: how it is released, or the reason it ends with."""

    payment: str
    debtor: str
    creditor: str
    asset: str
    amount: str
    how: str = ""
    reason: str = ""


class Effects(msgspec.Struct, frozen=True, kw_only=True):
    """What would differ. cut: a list had more than MOST_SHOWN; the sums are of everything."""

    money: list[Money]
    accounts: list[AccountChange]
    breaches: list[Breach]
    participants: list[StatusChange]
    windows: list[WindowChange]
    released: list[Affected]
    ended: list[Affected]
    cut: bool


class Preview(Effects, frozen=True, kw_only=True):
    """A command's dry run. verdict, reason: what the engine would say. hash: what is approved, or sent (R33)."""

    netting_set: str
    read_to: int
    time_ms: int
    command: Proposable
    hash: str
    needs_approval: bool
    verdict: str
    reason: str


def preview(live: Live, command: Proposable) -> Preview:
    """As if the command were the next thing in the log, its approval given."""
    trial = copy_of(live.state)
    trial.counters.approval_required = False
    out = _give(trial, live.machine.next_offset, command)
    verdict = next(
        event for event in out.events if isinstance(event, CommandEvent) and event.id == command.id
    )
    return Preview(
        netting_set=live.state.name,
        read_to=live.machine.next_offset,
        time_ms=live.state.counters.time_ms,
        command=command,
        hash=content_hash(command),
        needs_approval=needs_approval(command),
        verdict=verdict.status,
        reason=verdict.reason,
        **msgspec.structs.asdict(effects(live.state, trial, out)),
    )


def copy_of(state: NettingSet) -> NettingSet:
    """To try things on: all but the ids it remembers of payments that do not wait, which may be gigabytes."""
    bare = dataclasses.replace(state, ids=Remembered(state.seed))
    return snapshot.load(memoryview(b"".join(snapshot.dump(bare))), state.seed)


def _give(trial: NettingSet, offset: int, command: Proposable) -> Outputs:
    """The next log record holds this command alone, at the same engine time."""
    known = next((key for key in trial.sources if key[0].endswith("commands")), ("commands", 0))
    mark = trial.sources.get(known, 0)
    record = LogRecord(
        offset,
        trial.counters.time_ms,
        [SourceSpan(*known, mark, mark + 1)],
        control=[ControlItem(source=0, offset=mark, message=command)],
    )
    return step(trial, record)


def effects(before: NettingSet, after: NettingSet, out: Outputs) -> Effects:
    """What differs between two states, `out` being what led from one to the other."""
    accounts = list(_accounts(before, after))
    left = [each for each in out.resolutions if Code(each.code) is not Code.RECAST]
    released = [_affected(each) for each in left if each.code == Code.ACCEPTED]
    ended = [_affected(each) for each in left if each.code != Code.ACCEPTED]
    windows = [_window(event) for event in out.events if isinstance(event, WindowEvent)]
    lists = (accounts, released, ended, windows)
    return Effects(
        money=[*_money(after, out, released, ended)],
        accounts=accounts[:MOST_SHOWN],
        breaches=[breach for each in accounts if (breach := _breach(each))][:MOST_SHOWN],
        participants=[*_statuses(before, after)],
        windows=windows[:MOST_SHOWN],
        released=released[:MOST_SHOWN],
        ended=ended[:MOST_SHOWN],
        cut=any(len(each) > MOST_SHOWN for each in lists),
    )


def _accounts(before: NettingSet, after: NettingSet) -> Iterator[AccountChange]:
    """Accounts of which anything differs; a new one was nothing before."""
    rows, width = after.accounts.open.shape
    earlier, later = before.accounts.grown(rows, width), after.accounts
    differs = np.zeros((rows, width), np.bool_)
    for name in _COLUMNS:
        differs |= getattr(earlier, name) != getattr(later, name)
    for p, a in np.argwhere(differs & later.open).tolist():
        yield AccountChange(
            participant=after.name_of(p),
            asset=after.assets[a].spec.id,
            before=_standing(before, p, a),
            after=_standing(after, p, a),
        )


def _standing(state: NettingSet, p: int, a: int) -> Standing:
    known = p < len(state.participants) and a < len(state.assets)
    values = [int(getattr(state.accounts, name)[p, a]) if known else 0 for name in _COLUMNS]
    held, cap, position, reserved, queued, queued_payments = values
    scale = state.assets[a].spec.scale if known else 0
    return Standing(
        prefunded=show(held, scale),
        net_debit_cap=show(cap, scale),
        position=show(position, scale),
        reserved=show(reserved, scale),
        headroom=show(held + cap + position - reserved, scale),
        queued=show(queued, scale),
        queued_payments=queued_payments,
    )


def _breach(change: AccountChange) -> Breach | None:
    was, now = change.before.headroom, change.after.headroom
    if not now.startswith("-") or was == now:
        return None
    return Breach(
        participant=change.participant,
        asset=change.asset,
        headroom_before=was,
        headroom_after=now,
        sentence=f"{change.participant} would be {now[1:]} {change.asset} below its limit: what was accepted "
        "stands, new debits wait or are refused (R9)",
    )


def _statuses(before: NettingSet, after: NettingSet) -> Iterator[StatusChange]:
    for p, participant in enumerate(after.participants):
        was = int(before.status[p]) if p < len(before.participants) else ParticipantStatus.ABSENT
        now = int(after.status[p])
        if was != now:
            yield StatusChange(
                participant=participant.id,
                before=ParticipantStatus(was).name,
                after=ParticipantStatus(now).name,
            )


def _window(event: WindowEvent) -> WindowChange:
    return WindowChange(
        asset=event.asset,
        window=event.window,
        state=event.state,
        payments=event.payments,
        gross=event.gross,
    )


def _affected(each: Resolution) -> Affected:
    code = Code(each.code)
    return Affected(
        payment=each.id,
        debtor=each.debtor,
        creditor=each.creditor,
        asset=each.asset,
        amount=each.amount,
        how=each.how,
        reason="" if code is Code.ACCEPTED else wording(code).text,
    )


def _money(
    state: NettingSet, out: Outputs, released: list[Affected], ended: list[Affected]
) -> Iterator[Money]:
    sums: dict[tuple[str, str], tuple[int, int]] = {}

    def add(asset: str, what: str, amount: str, payments: int) -> None:
        units, count = sums.get((asset, what), (0, 0))
        more = parse(amount, state.assets[state.asset_index[asset]].spec.scale)
        assert more is not None, "the core has written this amount"
        sums[asset, what] = units + more, count + payments

    for each in released:
        add(each.asset, "released", each.amount, 1)
    for each in ended:
        add(each.asset, "ended", each.amount, 1)
    for batch in out.settlements:
        if isinstance(batch, SettlementBatch):
            kind = "funded" if batch.kind == "funding" else "settled"
            add(batch.asset, kind, batch.gross, batch.payments)
    for (asset, what), (units, count) in sorted(sums.items()):
        scale = state.assets[state.asset_index[asset]].spec.scale
        yield Money(asset=asset, what=what, amount=show(units, scale), payments=count)  # pyright: ignore[reportArgumentType]
