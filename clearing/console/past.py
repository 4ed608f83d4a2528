"""How it was: a scene of the past, from states that the log gives and from what the views have kept. Pure.

A view tells a window's or batch's whole life with its times: cut off at a moment, it is what was known then.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from clearing.console.board import Board
from clearing.console.scene import Scene
from clearing.core.money import show
from clearing.core.outputs import Position
from clearing.core.registry import ParticipantStatus
from clearing.core.state import NettingSet
from clearing.views.fold_rejects import REJECTS_KEPT
from clearing.views.model import BatchView, LagSample, WindowView


@dataclass(frozen=True)
class Past:
    """A netting set as it stood then, from its log."""

    read_to: int
    positions: list[Position]
    statuses: dict[str, str]
    proposals: frozenset[str]


def past_of(state: NettingSet, read_to: int) -> Past:
    return Past(
        read_to=read_to,
        positions=positions_of(state),
        statuses=statuses_of(state),
        proposals=frozenset(state.proposals),
    )


def past_scene(
    board: Board,
    pasts: dict[str, Past],
    now_ms: int,
    at_ms: int,
    lag: LagSample | None,
) -> Scene:
    """As it was then: positions from the states, the rest from what the views have kept, cut off at that time."""
    notes = ["as it was: services, their groups and owners, and halts are not known of the past"]
    if lag is None:
        notes.append("lag of that time is not kept any more")
    forgotten = Forgotten.at(board, pasts, at_ms)
    if forgotten.what:
        notes.append(f"of that time the views keep no more {', '.join(forgotten.what)}")
    known = [row for row in board.audit.all() if row.netting_set in pasts and row.time_ms <= at_ms]
    opened = {
        (row.netting_set, row.id): row
        for row in known
        if row.kind == "proposal" and row.status == "PROPOSED"
    }
    windows = [_window_at(row, at_ms) for row in board.windows.all() if row.netting_set in pasts]
    batches = [_batch_at(row, at_ms) for row in board.batches.all() if row.netting_set in pasts]
    return Scene(
        now_ms=now_ms,
        as_of_ms=at_ms,
        data_ms=at_ms,
        stale=False,
        notes=notes,
        netting_sets={name: past.read_to for name, past in pasts.items()},
        windows=[row for row in windows if row is not None],
        positions=[row for past in pasts.values() for row in past.positions],
        batches=[row for row in batches if row is not None],
        activity=[
            row
            for row in board.activity.all()
            if row.netting_set in pasts and row.minute_ms + 60_000 <= at_ms
        ],
        rejects=[
            row
            for row in board.rejects.all()
            if row.netting_set in pasts and row.rejected.time_ms <= at_ms
        ],
        audit=known,
        proposals=[
            opened[name, each]
            for name, past in pasts.items()
            for each in sorted(past.proposals)
            if (name, each) in opened
        ],
        decided={key: row for key, row in board.decided.items() if row.time_ms <= at_ms},
        unknown_rejects=forgotten.rejects,
        lag=[lag] if lag is not None else [],
        heartbeats=None,
        halts=None,
        statuses={
            (name, participant): status
            for name, past in pasts.items()
            for participant, status in past.statuses.items()
        },
    )


class Forgotten(NamedTuple):
    """What the views have kept only from later times on: lists that are empty then are not known to be.

    what: for people. rejects: netting sets whose rejected inputs of then are gone.
    """

    what: list[str]
    rejects: frozenset[str]

    @classmethod
    def at(cls, board: Board, names: Iterable[str], at_ms: int) -> "Forgotten":
        what: list[str] = []
        gone: list[str] = []
        for name in sorted(names):
            batches = [row for row in board.batches.all() if row.netting_set == name]
            first = min(batches, key=lambda row: row.sequence, default=None)
            if first is not None and first.sequence > 1 and first.closed_at_ms > at_ms:
                what.append(f"batches of {name}")
            oldest: dict[str, WindowView] = {}
            for row in board.windows.all():
                if row.netting_set == name and row.window <= oldest.get(row.asset, row).window:
                    oldest[row.asset] = row
            what += [
                f"windows of {asset}"
                for asset, row in sorted(oldest.items())
                if row.window > 1 and (row.opened_at_ms or 0) > at_ms
            ]
            rejects = [row for row in board.rejects.all() if row.netting_set == name]
            if (
                len(rejects) >= REJECTS_KEPT
                and min(each.rejected.time_ms for each in rejects) > at_ms
            ):
                what.append(f"rejected inputs of {name}")
                gone.append(name)
        return cls(what, frozenset(gone))


def _window_at(row: WindowView, at_ms: int) -> WindowView | None:
    """A window as it stood then; None: it had not been opened."""
    if row.opened_at_ms is None or row.opened_at_ms > at_ms:
        return None
    if row.settled_at_ms is not None and row.settled_at_ms <= at_ms:
        return row
    finality = {name: each for name, each in row.finality.items() if each.at_ms <= at_ms}
    if row.closed_at_ms is not None and row.closed_at_ms <= at_ms:
        ended = row.settled_at_ms is None and row.state in ("FAILED", "ABORTED")
        state = row.state if ended and len(finality) == len(row.finality) else "PENDING_SETTLEMENT"
        return replace(row, state=state, settled_at_ms=None, finality=finality)
    return replace(
        row,
        state="OPEN",
        closed_at_ms=None,
        settled_at_ms=None,
        payments=None,
        gross=None,
        batch="",
        sequence=None,
        hash="",
        finality={},
        reason="",
    )


def _batch_at(row: BatchView, at_ms: int) -> BatchView | None:
    if row.closed_at_ms > at_ms:
        return None
    if row.answered_ms is not None and row.answered_ms > at_ms:
        return replace(row, state="PENDING", answered_ms=None, reason="")
    return row


def positions_of(state: NettingSet) -> list[Position]:
    """All accounts of a state, as the engine writes them to `positions`."""
    accounts = state.accounts
    found: list[Position] = []
    for p, participant in enumerate(state.participants):
        for a, asset in enumerate(state.assets):
            if not accounts.open[p, a]:
                continue
            scale = asset.spec.scale
            held, cap, position, reserved = (
                int(column[p, a])
                for column in (
                    accounts.prefunded,
                    accounts.cap,
                    accounts.position,
                    accounts.reserved,
                )
            )
            found.append(
                Position(
                    netting_set=state.name,
                    participant=participant.id,
                    asset=asset.spec.id,
                    prefunded=show(held, scale),
                    net_debit_cap=show(cap, scale),
                    position=show(position, scale),
                    reserved=show(reserved, scale),
                    headroom=show(held + cap + position - reserved, scale),
                    queued=show(int(accounts.queued[p, a]), scale),
                    queued_payments=int(accounts.queued_payments[p, a]),
                    window=asset.window.number,
                    log_offset=0,
                    time_ms=state.counters.time_ms,
                )
            )
    return found


def statuses_of(state: NettingSet) -> dict[str, str]:
    return {
        participant.id: ParticipantStatus(int(state.status[p])).name
        for p, participant in enumerate(state.participants)
    }
