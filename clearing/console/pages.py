"""The pages as pure functions of a scene: windows, positions, batches, activity, lag, proposals, audit.

The overview and the rejected have modules of their own.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec
from msgspec.structs import asdict

from clearing.commanding.published import described
from clearing.console.rows import (
    Activity,
    Audit,
    Batches,
    ChainCheck,
    HeartbeatRow,
    LagHistory,
    LagPoint,
    PositionRow,
    Positions,
    ProposalRow,
    Proposals,
    StageSample,
    WindowRow,
    Windows,
)
from clearing.console.scene import LATE_MS, Scene
from clearing.core.commands import Proposable
from clearing.core.outputs import Position
from clearing.views.fold_audit import broken_link
from clearing.views.model import (
    AUDIT_START,
    AuditView,
    Heartbeat,
    LagSample,
    StageLag,
    WindowView,
)

LIMIT = 200
LIMIT_MOST = 1_000
LEAST_USED = 0.0001  # of a cap: little is not nothing
GONE_MS = 3_600_000
CHAINED_MOST = 1_000  # entries of which the chain is checked when they are shown

_command = msgspec.json.Decoder(Proposable).decode


# --- windows, batches ------------------------------------------------------------------------------------------


def windows(scene: Scene, asset: str = "", state: str = "", limit: int = LIMIT) -> Windows:
    """Newest first; open ones before all others."""
    chosen = [row for row in scene.windows if asset in ("", row.asset) and state in ("", row.state)]
    chosen.sort(key=lambda row: (row.state == "OPEN", row.opened_at_ms or 0), reverse=True)
    return Windows([window_row(row, scene.at_ms) for row in chosen[:limit]])


def window_row(row: WindowView, at_ms: int) -> WindowRow:
    counts = row.state == "OPEN" and row.cutoff_ms is not None
    left_s = (row.cutoff_ms - at_ms) / 1000 if counts and row.cutoff_ms is not None else None
    return WindowRow(**asdict(row), cutoff_in_s=left_s)


def batches(
    scene: Scene, asset: str = "", before: int | None = None, limit: int = LIMIT
) -> Batches:
    chosen = [
        row
        for row in scene.batches
        if row.sequence  # 0: its ledger's answer was read before it, it follows at once
        and asset in ("", row.asset)
        and (before is None or row.sequence < before)
    ]
    chosen.sort(key=lambda row: (row.closed_at_ms, row.sequence), reverse=True)
    return Batches(chosen[:limit], len(chosen) > limit)


# --- positions -------------------------------------------------------------------------------------------------


def positions(scene: Scene, asset: str = "", participant: str = "") -> Positions:
    chosen = [
        row
        for row in scene.positions
        if asset in ("", row.asset) and participant in ("", row.participant)
    ]
    chosen.sort(key=lambda row: (row.netting_set, row.asset, row.participant))
    return Positions([position_row(scene, row) for row in chosen])


def position_row(scene: Scene, row: Position) -> PositionRow:
    status = scene.statuses.get((row.netting_set, row.participant))
    return PositionRow(**asdict(row), used=used(row), status=status)


def used(row: Position) -> float | None:
    """Of prefunded + cap − reserved, the share that the position has used; more than 1 is over it (R9)."""
    usable = Decimal(row.prefunded) + Decimal(row.net_debit_cap) - Decimal(row.reserved)
    position = Decimal(row.position)
    if position >= 0:
        return 0.0
    return max(round(float(-position / usable), 4), LEAST_USED) if usable > 0 else None


# --- what goes on ----------------------------------------------------------------------------------------------


def activity(scene: Scene, minutes: int = 120) -> Activity:
    since_ms = scene.at_ms - minutes * 60_000
    chosen = [row for row in scene.activity if row.minute_ms >= since_ms]
    chosen.sort(key=lambda row: (row.minute_ms, row.netting_set))
    reasons: dict[str, int] = {}
    for row in chosen:
        for reason, count in row.by_reason.items():
            reasons[reason] = reasons.get(reason, 0) + count
    return Activity(chosen, dict(sorted(reasons.items(), key=lambda item: -item[1])))


def lag(scene: Scene, minutes: int = 15) -> LagHistory:
    since_ms = scene.at_ms - minutes * 60_000
    chosen = [sample for sample in scene.lag if sample.at_ms >= since_ms]
    names = scene.netting_sets.keys()
    return LagHistory(
        [_point(sample, names) for sample in chosen], scene.lag[-1] if scene.lag else None
    )


def _point(sample: LagSample, names: Iterable[str]) -> LagPoint:
    known = {"", *names}
    stages: dict[str, list[StageLag]] = {}
    for stage in sample.stages:
        if stage.netting_set in known:
            stages.setdefault(stage.stage, []).append(stage)
    return LagPoint(
        at_ms=sample.at_ms,
        clock_skew_ms=sample.clock_skew_ms,
        round_trip_ms=sample.probe.round_trip_ms if sample.probe else None,
        stages={
            name: StageSample(
                total(each.records for each in parts), most(each.seconds for each in parts)
            )
            for name, parts in stages.items()
        },
    )


def total(values: Iterable[int | None]) -> int | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def heartbeats(scene: Scene) -> list[HeartbeatRow] | None:
    """Who ended by itself is not late; an hour later it is not shown any more, and nor is one that was killed, if
    others of its service do all that it did."""
    if scene.heartbeats is None:
        return None
    rows = [_heartbeat(beat, scene.now_ms) for beat in scene.heartbeats]
    served: dict[str, set[str]] = {}
    for row in rows:
        if not row.late and not row.ended:
            served.setdefault(row.service, set()).update(row.netting_sets)

    def is_gone(row: HeartbeatRow) -> bool:
        others = served.get(row.service)
        replaced = others is not None and others >= row.netting_sets.keys()
        return row.age_ms > GONE_MS and (row.ended or (row.late and replaced))

    kept = [row for row in rows if not is_gone(row)]
    return sorted(kept, key=lambda row: (row.service, row.instance, row.host, row.pid))


def _heartbeat(beat: Heartbeat, now_ms: int) -> HeartbeatRow:
    age_ms = max(0, now_ms - beat.at_ms)
    is_quiet, ended = age_ms > LATE_MS, beat.state == "stopping" and age_ms > LATE_MS
    return HeartbeatRow(**asdict(beat), age_ms=age_ms, late=is_quiet and not ended, ended=ended)


# --- four eyes -------------------------------------------------------------------------------------------------


def proposals(scene: Scene, reader: str) -> Proposals:
    """Open ones, oldest first. reader: who looks."""
    chosen = sorted(scene.proposals, key=lambda row: (row.time_ms, row.log_offset))
    return Proposals([_proposal(row, reader) for row in chosen])


def _proposal(row: AuditView, reader: str) -> ProposalRow:
    return ProposalRow(
        netting_set=row.netting_set,
        proposal=row.id,
        hash=row.content_hash,
        by=row.by,
        time_ms=row.time_ms,
        log_offset=row.log_offset,
        command=msgspec.Raw(row.command.encode()),
        described=described(_command(row.command)),
        mine=row.by == reader,
        cli=f"clearing command approve {row.id} --hash {row.content_hash} "
        f"--netting-set {row.netting_set} --by {reader}",
    )


def audit(
    scene: Scene, before: int | None = None, by: str = "", text: str = "", limit: int = LIMIT
) -> Audit:
    """Newest first; the chain over all that is known."""
    chosen = [
        row
        for row in scene.audit
        if by in ("", row.by)
        and (before is None or row.number < before)
        and (not text or any(text.lower() in said.lower() for said in _said(row)))
    ]
    chosen.sort(key=lambda row: (row.time_ms, row.log_offset, row.number), reverse=True)
    chains = {
        name: chain_check([row for row in scene.audit if row.netting_set == name])
        for name in scene.netting_sets
    }
    return Audit(chosen[:limit], len(chosen) > limit, chains)


def _said(row: AuditView) -> Sequence[str]:
    return row.id, row.command, row.status, row.reason, row.by


def chain_check(rows: list[AuditView]) -> ChainCheck:
    """Whether each of the newest is what its hash says, and follows the one before."""
    entries = sorted(rows, key=lambda row: row.number)
    newest = entries[-CHAINED_MOST:]
    last = entries[-CHAINED_MOST - 1] if len(entries) > CHAINED_MOST else None
    if last is None and newest and newest[0].number > 1:
        last, newest = newest[0], newest[1:]  # older ones are not in memory
    detail = broken_link(newest, last)
    return ChainCheck(
        ok=not detail,
        entries=len(entries),
        last=entries[-1].hash if entries else AUDIT_START,
        detail=detail,
    )


def bounded(limit: int | None) -> int:
    return LIMIT if limit is None else max(1, min(limit, LIMIT_MOST))
