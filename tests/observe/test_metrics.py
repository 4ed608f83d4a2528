"""What a sample says stands in the metrics: of many partitions the worst, NaN for the unknown, nothing stale."""

import math

from prometheus_client import REGISTRY

from clearing.core.outputs import Position
from clearing.observe import metrics
from clearing.views.model import LagSample, Outlook, Probe, StageLag, StageStatus


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"clearing_{name}", labels)


def lag(
    stage: str,
    records: int | None,
    seconds: float | None,
    status: StageStatus = "OK",
    used: float | None = None,
) -> StageLag:
    return StageLag(
        stage=stage,
        group="g",
        netting_set="m",
        topic="t",
        partition=0,
        records=records,
        seconds=seconds,
        retention_used=used,
        status=status,
    )


def outlook(asset: str, cutoff_in_s: float | None) -> Outlook:
    return Outlook(
        netting_set="m",
        asset=asset,
        window=1,
        cutoff_ms=None if cutoff_in_s is None else 1,
        cutoff_in_s=cutoff_in_s,
        backlog_records=0,
        drain_s=None,
        verdict="AT_RISK",
        sentence="",
    )


def position(participant: str, amount: str, prefunded: str = "100") -> Position:
    return Position(
        netting_set="m",
        participant=participant,
        asset="HKD",
        prefunded=prefunded,
        net_debit_cap="0",
        position=amount,
        reserved="0",
        headroom="0",
        queued="0",
        queued_payments=0,
        window=1,
        log_offset=1,
        time_ms=1,
    )


def test_a_sample_in_metrics() -> None:
    stages = [
        lag("intake", 3, 1.5, used=0.1),
        lag("intake", 4, 9.0, "STALLED", used=0.3),
        lag("engine", 5, None),
        lag("dispatch", None, 0.0),
        lag("queue", 17, None),
    ]
    probe = Probe(sent_at_ms=1, seen_at_ms=43, round_trip_ms=42.0, lost=2)
    sample = LagSample(
        at_ms=7_000,
        clock_skew_ms=None,
        stages=stages,
        outlooks=[outlook("HKD", 12.5), outlook("CNH", None)],
        probe=probe,
    )
    metrics.tell(sample, [position("A", "-90"), position("B", "60"), position("C", "30")])
    of = {"group": "g", "netting_set": "m"}
    assert value("stage_lag_records", stage="intake", **of) == 7
    assert value("stage_lag_seconds", stage="intake", **of) == 9.0
    assert value("stage_status", stage="intake", status="STALLED", **of) == 1
    assert value("stage_status", stage="engine", status="STALLED", **of) == 0
    assert value("stage_retention_used_ratio", stage="intake", **of) == 0.3
    assert value("stage_retention_used_ratio", stage="engine", **of) is None
    for name, stage in (("stage_lag_seconds", "engine"), ("stage_lag_records", "dispatch")):
        unknown = value(name, stage=stage, **of)
        assert unknown is not None
        assert math.isnan(unknown)
    assert value("queued_payments", netting_set="m") == 17
    hkd, cnh = ({"netting_set": "m", "asset": asset} for asset in ("HKD", "CNH"))
    assert value("outlook_verdict", verdict="AT_RISK", **hkd) == 1
    assert value("outlook_verdict", verdict="WILL_MISS", **hkd) == 0
    assert value("outlook_cutoff_seconds", **hkd) == 12.5
    assert value("outlook_cutoff_seconds", **cnh) is None  # closed by command only
    assert value("position_net", **hkd) == 0
    assert value("position_cap_used_ratio", **hkd) == 0.9
    assert (value("probe_round_trip_seconds"), value("probe_lost")) == (0.042, 2)
    assert value("lag_sampled_timestamp_seconds") == 7
    skew = value("clock_skew_seconds")
    assert skew is not None
    assert math.isnan(skew)
    # What is gone is no longer shown.
    metrics.tell(LagSample(at_ms=8_000, clock_skew_ms=3.0, stages=stages[2:3]), [])
    assert value("stage_lag_records", stage="intake", **of) is None
    assert value("stage_lag_records", stage="engine", **of) == 5
    assert value("outlook_verdict", verdict="AT_RISK", **hkd) is None
    assert value("position_net", **hkd) is None
    assert value("clock_skew_seconds") == 0.003
    metrics.forget()
    assert value("stage_lag_records", stage="engine", **of) is None
    for name in ("clock_skew_seconds", "probe_round_trip_seconds"):
        unknown = value(name)
        assert unknown is not None
        assert math.isnan(unknown)


def test_nothing_to_use_is_all_used() -> None:
    sample = LagSample(at_ms=1, clock_skew_ms=None)
    metrics.tell(sample, [position("A", "-5", prefunded="0"), position("B", "5")])
    assert value("position_cap_used_ratio", netting_set="m", asset="HKD") == 1
    metrics.forget()
