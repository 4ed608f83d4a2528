"""What there is to be shown at one moment: now, from the board; or then, from the log and what the views remember.

One shape for both, so that every page is the same page as of any time. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from clearing.console.board import Board
from clearing.core.outputs import Position
from clearing.messages import HaltRecord
from clearing.views.model import (
    ActivityView,
    AuditView,
    BatchView,
    Heartbeat,
    LagSample,
    RejectView,
    WindowView,
)

LATE_MS = 6_000  # a service that has said nothing for so long is late


@dataclass(frozen=True)
class Scene:
    """netting_sets: those to be shown, with how far their logs are read where that is known.

    as_of_ms: None is now. statuses: of participants, as far as a state has been looked at. heartbeats: None where
    nobody can know them any more. proposals: open ones, as the audit log tells them. unknown_rejects: netting sets
    whose rejected inputs of then are not kept.
    """

    now_ms: int
    as_of_ms: int | None
    data_ms: int | None
    stale: bool
    notes: list[str]
    netting_sets: dict[str, int | None]
    windows: list[WindowView]
    positions: list[Position]
    batches: list[BatchView]
    activity: list[ActivityView]
    rejects: list[RejectView]
    audit: list[AuditView]
    proposals: list[AuditView]
    decided: dict[tuple[str, str], AuditView]
    lag: list[LagSample]
    heartbeats: list[Heartbeat] | None
    halts: list[HaltRecord] | None
    unknown_rejects: frozenset[str] = frozenset()
    statuses: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    @property
    def at_ms(self) -> int:
        """The moment it is about."""
        return self.now_ms if self.as_of_ms is None else self.as_of_ms


def live_scene(
    board: Board,
    names: Iterable[str],
    now_ms: int,
    *,
    stale: bool,
    missing: Iterable[str],
    statuses: dict[tuple[str, str], str],
) -> Scene:
    """As the topics say now."""
    wanted = set(names)
    positions = [row for row in board.positions.all() if row.netting_set in wanted]
    return Scene(
        now_ms=now_ms,
        as_of_ms=None,
        data_ms=board.data_ms,
        stale=stale,
        notes=_notes(board, now_ms, stale, sorted(missing)),
        netting_sets={name: _read_to(board, name) for name in sorted(wanted)},
        windows=[row for row in board.windows.all() if row.netting_set in wanted],
        positions=positions,
        batches=[row for row in board.batches.all() if row.netting_set in wanted],
        activity=[row for row in board.activity.all() if row.netting_set in wanted],
        rejects=[row for row in board.rejects.all() if row.netting_set in wanted],
        audit=[row for row in board.audit.all() if row.netting_set in wanted],
        proposals=[row for row in board.proposals.values() if row.netting_set in wanted],
        decided=board.decided,
        lag=list(board.lag),
        heartbeats=board.heartbeats.all(),
        halts=board.halts.all(),
        statuses=statuses,
    )


def _read_to(board: Board, name: str) -> int | None:
    """The engine has come at least so far."""
    seen = [row.log_offset for row in board.positions.all() if row.netting_set == name]
    seen += [row.log_offset_last for row in board.activity.all() if row.netting_set == name]
    return max(seen) + 1 if seen else None


def _notes(board: Board, now_ms: int, stale: bool, missing: list[str]) -> list[str]:
    notes: list[str] = []
    if stale:
        notes.append("Kafka cannot be read: this is what was known last")
    if missing:
        notes.append(f"not there yet: {', '.join(missing)}")
    views = [beat for beat in board.heartbeats.all() if beat.service == "views"]
    newest = max((beat.at_ms for beat in views), default=None)
    if newest is None:
        notes.append("the views have never run here: clearing views")
    elif now_ms - newest > LATE_MS:
        notes.append(
            f"the views have said nothing for {(now_ms - newest) // 1000} s: windows, batches, lag, "
            "rejected and audit stand still"
        )
    return [*notes, *board.unreadable]
