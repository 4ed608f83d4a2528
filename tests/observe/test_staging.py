"""From what was seen of readers to what is told: paces that carry over, drains side by side, money at its scale."""

from decimal import Decimal

import pytest
from aiokafka import TopicPartition

from clearing.core.outputs import Position
from clearing.names import PROBE, Topics
from clearing.observe.behaviour import Look
from clearing.observe.gap import Worth
from clearing.observe.probe import NOTHING, Backlog
from clearing.observe.staging import (
    SOURCES_TOLD,
    Track,
    befores,
    place,
    queue_lags,
    scales_of,
    shown,
    slowest,
    stage_lag,
    told_sources,
)
from clearing.observe.standing import Reader
from clearing.views.model import StageLag, StageStatus

TOPICS = Topics("t.")
NAMES = {3: "hk"}
DAY_MS = 86_400_000
LOG = Reader("engine", "clearing-engine", TopicPartition("t.log", 3))


def track(*lags: int, step: int = 10) -> Track:
    """One look a second at a reader that advances by `step` and has so much left each time."""
    one = Track()
    for at, lag in enumerate(lags):
        end = at * step + lag
        one.window.add(Look(at * 1_000, at * step, lag, end, end, 1))
    return one


def told(backlog: Backlog, retention_ms: int | None = None, worth: Worth | None = None) -> StageLag:
    return stage_lag(
        LOG,
        ("hk", ""),
        track(backlog.lag_records, backlog.lag_records),
        backlog,
        worth,
        now_ms=DAY_MS,
        retention_ms=retention_ms,
        scales={"HKD": 2},
        culprit="",
    )


def test_a_pace_is_remembered_when_there_is_nothing_to_do() -> None:
    one = track(20, 20, 20)
    assert one.drain_s() == 2
    for second in range(100, 130):
        one.window.add(Look(second * 1_000, 20, 0, 20, 20, 1))
    assert one.drain_s() == 0
    assert one.pace_per_s == 10


def test_whoever_cleared_all_so_far_takes_no_longer_than_between_looks() -> None:
    assert track(0, 500, step=0).drain_s() == 1
    assert track(7, 500, step=0).drain_s() is None  # it does not move: never, so far


def test_the_pace_of_one_that_keeps_up_is_not_all_it_can() -> None:
    """Each second it has read what was there the second before: it is its sender that is slow."""

    def seen(*looks: tuple[int, int]) -> float | None:
        one = Track()
        for at, (position, lag_records) in enumerate(looks):
            end = position + lag_records
            one.window.add(Look(at * 1_000, position, lag_records, end, end, 1))
        return one.drain_s()

    assert seen((0, 4), (4, 1), (5, 1), (6, 4)) == 1  # its pace: one a second
    assert seen((0, 4), (4, 1), (5, 1), (6, 5)) == 5  # so much it has not yet been seen to read
    assert seen((0, 4), (4, 1), (5, 3), (6, 4)) == 4  # it has not read what was there


def test_where_a_reader_is() -> None:
    source = Reader("intake", "", TopicPartition(TOPICS.payments("hk", "AURAHKHH"), 0))
    assert place(source, TOPICS, NAMES) == ("hk", "AURAHKHH")
    assert place(LOG, TOPICS, NAMES) == ("hk", "")
    assert place(LOG._replace(partition=TopicPartition("t.log", 9)), TOPICS, NAMES) == ("", "")


def test_age_and_retention() -> None:
    assert (told(NOTHING).seconds, told(NOTHING, DAY_MS).retention_used) == (0, 0)
    unknown = told(Backlog(3, None), DAY_MS)
    assert (unknown.records, unknown.seconds, unknown.retention_used) == (3, None, None)
    old = told(Backlog(3, DAY_MS // 4), DAY_MS)
    assert (old.seconds, old.retention_used) == (DAY_MS * 3 / 4 / 1000, 0.75)
    assert told(Backlog(3, DAY_MS // 4)).retention_used is None  # kept for ever
    assert told(Backlog(3, 5 * DAY_MS)).seconds == 0  # F12: the broker's clock is ahead of ours


def test_money_has_its_scale() -> None:
    money = {"HKD": {"A": Decimal("1.005"), "B": Decimal(2)}, "NEW": {"A": Decimal("0.123")}}
    assert shown(money, {"HKD": 2}) == {"HKD": "3.00", "NEW": "0.123"}
    worth = Worth(money, is_estimate=False, unvalued_records=2, learnt=[])
    assert told(Backlog(3, 1), worth=worth).money_is_estimate


def lag(
    stage: str,
    bank: str,
    records: int | None,
    drain_s: float | None,
    pace_per_s: float | None,
    status: StageStatus = "OK",
) -> StageLag:
    return StageLag(
        stage=stage,
        group="",
        netting_set="hk",
        topic=f"{stage}-{bank}",
        partition=0,
        bank=bank,
        records=records,
        seconds=None,
        drain_s=drain_s,
        velocity_per_s=pace_per_s,
        status=status,
    )


def test_before_the_stages() -> None:
    lags = [
        lag("intake", "A", 100, 2.0, 50.0),
        lag("intake", "B", 400, 8.0, 50.0, "SLOW"),
        lag("intake", "C", 0, 0.0, None, "STALLED"),
        lag("intake", PROBE, 9, None, None),
        lag("engine", "", 7, 0.5, 14.0),
        lag("dispatch", "", 70, None, None),
    ]
    worths = {
        ("intake-A", 0): Worth({"HKD": {"A": Decimal(5)}}, True, 0, []),
        ("intake-B", 0): Worth({}, True, 400, []),
        ("engine-", 0): Worth({"HKD": {"A": Decimal(1)}}, False, 0, []),
    }
    intake, engine = befores("hk", lags, worths)
    assert (intake.records, intake.drain_s, intake.status) == (500, 8.0, "SLOW")
    assert (intake.is_estimate, intake.unvalued_records) == (True, 400)
    assert intake.money == {"HKD": {"A": Decimal(5)}}
    assert (engine.records, engine.drain_s, engine.is_estimate) == (7, 0.5, False)
    assert [one.records for one in befores("eu", lags, worths)] == [0, 0]


def test_a_source_without_a_pace_is_read_by_the_same_hands() -> None:
    lags = [lag("intake", "A", 100, 2.0, 50.0), lag("intake", "NEW", 300, None, None)]
    assert befores("hk", lags, {})[0].drain_s == 8
    assert befores("hk", lags[1:], {})[0].drain_s is None


@pytest.mark.parametrize(
    ("lags", "together_s"),
    [
        ([], 0.0),
        ([lag("intake", "A", 100, 2.0, 50.0), lag("intake", "B", 10, 5.0, 2.0)], 5.0),
        ([lag("intake", "A", 100, 2.0, 50.0), lag("intake", "B", 500, None, None)], 12.0),
        ([lag("intake", "A", 100, 2.0, 50.0), lag("intake", "B", 1, None, None)], 2.02),
        ([lag("intake", "A", 100, None, None)], None),
        ([lag("intake", "A", 100, 2.0, 50.0), lag("intake", "B", None, None, None)], None),
    ],
)
def test_partitions_as_one(lags: list[StageLag], together_s: float | None) -> None:
    """Whoever's pace is not known is not left out: it would be said to be on time."""
    assert slowest(lags) == together_s


def position(participant: str, asset: str, queued: str, payments: int) -> Position:
    return Position(
        netting_set="hk",
        participant=participant,
        asset=asset,
        prefunded="0.00",
        net_debit_cap="0.00",
        position="0.00" if asset == "HKD" else "0",
        reserved="0.00",
        headroom="0.00",
        queued=queued,
        queued_payments=payments,
        window=1,
        log_offset=1,
        time_ms=1,
    )


def test_the_queue_is_exact() -> None:
    positions = [
        position("A", "HKD", "10.10", 2),
        position("B", "HKD", "0.20", 1),
        position("A", "GB29", "0", 0),
    ]
    (queue,) = queue_lags("t.positions", NAMES, positions)
    assert (queue.records, queue.money, queue.partition) == (3, {"HKD": "10.30"}, 3)
    assert queue.seconds is None
    assert scales_of(positions) == {"HKD": 2, "GB29": 0}


def test_a_thousand_banks_are_told_of_by_the_worst() -> None:
    lags = [lag("intake", f"B{at}", at, 0.0, None) for at in range(SOURCES_TOLD + 100)]
    lags.append(lag("engine", "", 0, 0.0, None))
    lags.append(lag("intake", "STOPPED", 1, None, None, "STOPPED"))
    shown_lags = told_sources(lags)
    assert len(shown_lags) == SOURCES_TOLD + 1
    assert shown_lags[0].bank == "STOPPED"
    assert shown_lags[1].records == SOURCES_TOLD + 99
    assert told_sources(lags[:3]) == lags[:3]
