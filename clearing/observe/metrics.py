"""Prometheus metrics of lag, outlook and probe, as of the last sample. Labels are bounded: stages, groups, netting
sets, assets, statuses; never a bank, a topic or an id: of many partitions the worst is told.
"""

from collections.abc import Iterable
from decimal import Decimal

from prometheus_client import Gauge

from clearing.core.outputs import Position
from clearing.views.model import LagSample, StageLag, StageStatus, Verdict

_STAGE = ["stage", "group", "netting_set"]
_ASSET = ["netting_set", "asset"]
_STATUSES: tuple[StageStatus, ...] = ("OK", "SLOW", "STALLED", "STOPPED", "REWOUND", "HUNG_TXN")
_VERDICTS: tuple[Verdict, ...] = ("ON_TIME", "AT_RISK", "WILL_MISS", "NO_CUTOFF", "UNKNOWN")

sampled_at = Gauge("clearing_lag_sampled_timestamp_seconds", "When lag was last looked at")
clock_skew = Gauge("clearing_clock_skew_seconds", "This host's clock less the broker's")
stage_records = Gauge("clearing_stage_lag_records", "Records not read yet, all partitions", _STAGE)
stage_seconds = Gauge("clearing_stage_lag_seconds", "Age of the oldest record not read yet", _STAGE)
stage_retention = Gauge(
    "clearing_stage_retention_used_ratio",
    "Share of the retention time that the oldest unread record has used up",
    _STAGE,
)
stage_status = Gauge(
    "clearing_stage_status",
    "1: some partition behaves so (OK, SLOW, STALLED, STOPPED, REWOUND, HUNG_TXN)",
    [*_STAGE, "status"],
)
queued_payments = Gauge(
    "clearing_queued_payments", "Payments that wait for liquidity", ["netting_set"]
)
outlook_verdict = Gauge(
    "clearing_outlook_verdict",
    "1: what is said of the open window (ON_TIME, AT_RISK, WILL_MISS, NO_CUTOFF, UNKNOWN)",
    [*_ASSET, "verdict"],
)
outlook_drain = Gauge(
    "clearing_outlook_drain_seconds", "Until what waits for the open window is netted", _ASSET
)
outlook_cutoff = Gauge(
    "clearing_outlook_cutoff_seconds", "Until the open window closes, below 0: it is due", _ASSET
)
position_net = Gauge(
    "clearing_position_net", "Sum of all positions of an asset, in its units: 0 (R1)", _ASSET
)
cap_used = Gauge(
    "clearing_position_cap_used_ratio",
    "Share of prefunding and cap that the position nearest to its limit has used",
    _ASSET,
)
probe_seconds = Gauge(
    "clearing_probe_round_trip_seconds",
    "Probe sent until its answer was read; NaN: lost, or none yet",
)
probe_lost = Gauge("clearing_probe_lost", "Probes that never came back since this process began")


clock_skew.set(float("nan"))
probe_seconds.set(float("nan"))

_Labels = tuple[str, ...]
_Values = dict[_Labels, float]
_shown: dict[Gauge, set[_Labels]] = {}


def tell(sample: LagSample, positions: Iterable[Position]) -> None:
    """Show a sample, and the positions read with it (Sampler.positions).

    What is not known is NaN, never 0; what is gone is no longer shown.
    """
    clock_skew.set(_or_nan(_seconds(sample.clock_skew_ms)))
    _stages(sample)
    _outlooks(sample)
    _positions(positions)
    if sample.probe is not None:
        probe_seconds.set(_or_nan(_seconds(sample.probe.round_trip_ms)))
        probe_lost.set(sample.probe.lost)
    sampled_at.set(sample.at_ms / 1000)


def forget() -> None:
    """Show nothing any more: whoever samples no longer would go on telling how things were."""
    for gauge in list(_shown):
        _show(gauge, {})
    clock_skew.set(float("nan"))
    probe_seconds.set(float("nan"))
    probe_lost.set(0)


def _show(gauge: Gauge, values: _Values) -> None:
    """Set before anything is removed: whoever scrapes meanwhile misses nothing that is still there."""
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
    for gone in _shown.get(gauge, set()) - values.keys():
        gauge.remove(*gone)
    _shown[gauge] = set(values)


def _stages(sample: LagSample) -> None:
    stages: dict[_Labels, list[StageLag]] = {}
    queues: _Values = {}
    for lag in sample.stages:
        if lag.stage == "queue":
            queues[lag.netting_set,] = _or_nan(lag.records)
        else:
            stages.setdefault((lag.stage, lag.group, lag.netting_set), []).append(lag)
    used = {of: [lag.retention_used for lag in lags] for of, lags in stages.items()}
    kept = {of: [one for one in shares if one is not None] for of, shares in used.items()}
    there = {of: {lag.status for lag in lags} for of, lags in stages.items()}
    _show(queued_payments, queues)
    _show(stage_records, {of: _sum(lag.records for lag in lags) for of, lags in stages.items()})
    _show(stage_seconds, {of: _largest(lag.seconds for lag in lags) for of, lags in stages.items()})
    # What is kept for ever uses up nothing.
    _show(stage_retention, {of: max(shares) for of, shares in kept.items() if shares})
    _show(
        stage_status,
        {(*of, status): float(status in there[of]) for of in stages for status in _STATUSES},
    )


def _outlooks(sample: LagSample) -> None:
    told = {(one.netting_set, one.asset): one for one in sample.outlooks}
    _show(outlook_drain, {of: _or_nan(one.drain_s) for of, one in told.items()})
    _show(
        outlook_cutoff, {of: _or_nan(one.cutoff_in_s) for of, one in told.items() if one.cutoff_ms}
    )
    _show(
        outlook_verdict,
        {
            (*of, verdict): float(one.verdict == verdict)
            for of, one in told.items()
            for verdict in _VERDICTS
        },
    )


def _positions(positions: Iterable[Position]) -> None:
    """All positions of an asset sum to zero, and one of them is the nearest to its limit."""
    net: dict[_Labels, Decimal] = {}
    used: dict[_Labels, Decimal] = {}
    for one in positions:
        of = one.netting_set, one.asset
        net[of] = net.get(of, Decimal(0)) + Decimal(one.position)
        used[of] = max(used.get(of, Decimal(0)), _used(one))
    for gauge, values in ((position_net, net), (cap_used, used)):
        _show(gauge, {of: float(value) for of, value in values.items()})


def _used(position: Position) -> Decimal:
    """Of prefunding and cap less what is reserved: 0 of a net credit, 1 where nothing may be used."""
    limit = (
        Decimal(position.prefunded) + Decimal(position.net_debit_cap) - Decimal(position.reserved)
    )
    debit = -Decimal(position.position)
    if debit <= 0:
        return Decimal(0)
    return debit / limit if limit > 0 else Decimal(1)


def _sum(values: Iterable[int | None]) -> float:
    """NaN where one is not known."""
    total = 0
    for value in values:
        if value is None:
            return float("nan")
        total += value
    return total


def _largest(values: Iterable[float | None]) -> float:
    """NaN where one is not known."""
    largest = 0.0
    for value in values:
        if value is None:
            return float("nan")
        largest = max(largest, value)
    return largest


def _seconds(value_ms: float | None) -> float | None:
    return None if value_ms is None else value_ms / 1000


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
