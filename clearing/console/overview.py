"""The first page: will we make the cut-off? One sentence, and what stands behind it. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from msgspec.structs import replace

from clearing.console.pages import heartbeats, most, total, used, window_row
from clearing.console.rows import NettingSetRow, Overview, ServiceCounts
from clearing.console.scene import Scene
from clearing.messages import HaltRecord
from clearing.observe.staging import slowest
from clearing.views.fold_rejects import REJECTS_KEPT
from clearing.views.model import LagSample, Outlook, StageLag

NEAR_CAP = 0.8
WINDOWS_MOST = 500
_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000
_OVER = ("SETTLED", "ABORTED")
_WORST = ("WILL_MISS", "AT_RISK", "UNKNOWN", "ON_TIME", "NO_CUTOFF")
_STATUS_WORST = ("HUNG_TXN", "REWOUND", "STOPPED", "STALLED", "SLOW", "OK")


def overview(scene: Scene) -> Overview:
    sample = scene.lag[-1] if scene.lag else None
    known = scene.netting_sets.keys()
    found = sample.outlooks if sample else []
    outlooks = sorted((each for each in found if each.netting_set in known), key=_urgency)
    halts = sorted(scene.halts or [], key=lambda each: (each.netting_set, each.service))
    standing = [halt for halt in halts if halt.state == "HALTED" and halt.netting_set in known]
    verdict, sentence = _answer(scene, standing, outlooks)
    open_windows = [row for row in scene.windows if row.state not in _OVER]
    open_windows.sort(key=lambda row: (row.state != "OPEN", row.cutoff_ms or 1 << 60, row.asset))
    return Overview(
        sentence=sentence,
        verdict=verdict,
        outlooks=outlooks,
        probe=sample.probe if sample else None,
        clock_skew_ms=sample.clock_skew_ms if sample else None,
        stages=_stages(sample, known) if sample else [],
        lag_at_ms=sample.at_ms if sample else None,
        windows=[window_row(row, scene.at_ms) for row in open_windows[:WINDOWS_MOST]],
        halts=halts,
        netting_sets=[_netting_set(scene, name) for name in scene.netting_sets],
        services=_services(scene),
    )


def _urgency(outlook: Outlook) -> tuple[int, float]:
    left_s = outlook.cutoff_in_s
    return _WORST.index(outlook.verdict), float("inf") if left_s is None else left_s


def _answer(scene: Scene, standing: list[HaltRecord], outlooks: list[Outlook]) -> tuple[str, str]:
    """Verdict and sentence: what stands still first, then whether the worst of the windows makes it."""
    if standing:
        first = standing[0]
        more = f" ({len(standing)} halts in all)" if len(standing) > 1 else ""
        return "HALTED", f"{first.netting_set} {first.service} stands still{more}: {first.reason}"
    if outlooks:
        return outlooks[0].verdict, outlooks[0].sentence
    if not scene.netting_sets:
        return "UNKNOWN", "There is no netting set yet: clearing scheme load SCHEME."
    return "UNKNOWN", "Whether the cut-offs are made is not known: nothing samples the lag."


def _stages(sample: LagSample, names: Iterable[str]) -> list[StageLag]:
    """One for each stage and netting set: records and money together, of the rest the worst."""
    known = {"", *names}
    parts: defaultdict[tuple[str, str], list[StageLag]] = defaultdict(list)
    for stage in sample.stages:
        if stage.netting_set in known:
            parts[stage.stage, stage.netting_set].append(stage)
    return [_joined(each) for each in parts.values()]


def _joined(parts: list[StageLag]) -> StageLag:
    worst = min(parts, key=lambda each: (_STATUS_WORST.index(each.status), -(each.seconds or 0)))
    if len(parts) == 1:
        return worst
    money: dict[str, Decimal] = {}
    for each in parts:
        for asset, amount in each.money.items():
            money[asset] = money.get(asset, Decimal()) + Decimal(amount)
    return replace(
        worst,
        bank="",
        records=total(each.records for each in parts),
        seconds=most(each.seconds for each in parts),
        money={asset: f"{amount:f}" for asset, amount in sorted(money.items())},
        money_is_estimate=any(each.money_is_estimate for each in parts),
        velocity_per_s=_sum(each.velocity_per_s for each in parts),
        drain_s=slowest([each for each in parts if each.records != 0]),
        retention_used=most(each.retention_used for each in parts),
        culprit=next((each.culprit for each in parts if each.culprit), ""),
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _netting_set(scene: Scene, name: str) -> NettingSetRow:
    positions = [row for row in scene.positions if row.netting_set == name]
    queued: dict[str, Decimal] = {}
    for row in positions:
        if row.queued_payments:
            queued[row.asset] = queued.get(row.asset, Decimal()) + Decimal(row.queued)
    minutes = [row for row in scene.activity if row.netting_set == name]
    latest = max(minutes, key=lambda row: row.minute_ms, default=None)
    if latest is not None and scene.at_ms - latest.minute_ms > 2 * _MINUTE_MS:
        latest = None
    since_ms = scene.at_ms - _HOUR_MS
    rejects = [row for row in scene.rejects if row.netting_set == name]
    of_late = sum(row.rejected.time_ms >= since_ms for row in rejects)
    return NettingSetRow(
        netting_set=name,
        time_ms=max((row.time_ms for row in positions), default=None),
        log_offset=scene.netting_sets[name],
        queued_payments=total(row.queued_payments for row in positions),
        queued={asset: f"{amount:f}" for asset, amount in sorted(queued.items())},
        near_cap=sum((used(row) or 0) >= NEAR_CAP for row in positions) if positions else None,
        proposals=sum(row.netting_set == name for row in scene.proposals),
        rejected_last_hour=None if name in scene.unknown_rejects else of_late,
        rejected_cut=of_late >= REJECTS_KEPT,
        accepted_last_minute=latest.accepted if latest else None,
        refused_last_minute=latest.refused if latest else None,
        queued_last_minute=latest.queued if latest else None,
    )


def _services(scene: Scene) -> ServiceCounts | None:
    rows = heartbeats(scene)
    if not rows:
        return None  # nobody has ever said anything: that is not nobody
    on_time = [row for row in rows if not row.late and not row.ended]
    return ServiceCounts(
        ready=sum(row.state in ("ready", "starting") for row in on_time),
        late=sum(row.late for row in rows),
        halted=sum(row.state == "halted" for row in on_time),
        stopping=sum(row.state == "stopping" for row in on_time),
    )
