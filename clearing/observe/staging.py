"""From what was seen of each reader to what is told: StageLag per reader, Before per netting set. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise

from clearing.core.outputs import Position
from clearing.names import PROBE, Topics
from clearing.observe.behaviour import Window, classify, drain_s, velocity_per_s
from clearing.observe.gap import Worth
from clearing.observe.outlook import Before
from clearing.observe.probe import Backlog
from clearing.observe.standing import Reader
from clearing.observe.value import Money, added, totals
from clearing.views.model import StageLag, StageStatus

SOURCES_TOLD = 500  # of intake's, those that are furthest behind
_BADNESS: tuple[StageStatus, ...] = ("STOPPED", "STALLED", "HUNG_TXN", "REWOUND", "SLOW", "OK")


class Track:
    """One reader over time. pace_per_s: how fast it was when it last had work, None: it never had any."""

    def __init__(self) -> None:
        self.window = Window()
        self.pace_per_s: float | None = None

    @property
    def status(self) -> StageStatus:
        return classify(self.window.looks)

    def drain_s(self) -> float | None:
        """As of the last look. The pace of one that keeps up is its senders', and says little of what it can.

        One that has read by this look all there was at the one before takes no longer than between the two for as
        much as it has been seen to read so. So does one that had nothing left then, and has no pace yet.
        """
        looks = self.window.looks
        self.pace_per_s = self._pace()
        left = drain_s(looks[-1].lag_records, self.pace_per_s)
        if len(looks) < 2:
            return left
        between_s = (looks[-1].at_ms - looks[-2].at_ms) / 1000
        if left is None and not looks[-2].lag_records:
            return between_s
        kept_up = [
            then.lag_records for then, now in pairwise(looks) if now.position >= then.stable_end
        ]
        keeps_up = looks[-1].position >= looks[-2].stable_end
        if left is not None and keeps_up and looks[-1].lag_records <= max(kept_up):
            return min(left, between_s)
        return left

    def _pace(self) -> float | None:
        now = velocity_per_s(self.window.looks)
        return self.pace_per_s if now is None else now


def place(reader: Reader, topics: Topics, names: Mapping[int, str]) -> tuple[str, str]:
    """(netting set, bank) of what it reads; bank "" of a topic that is no bank's, netting set "" if it has none."""
    parsed = topics.parse_payments(reader.partition.topic)
    return parsed or (names.get(reader.partition.partition, ""), "")


def stage_lag(
    reader: Reader,
    whose: tuple[str, str],
    track: Track,
    backlog: Backlog,
    worth: Worth | None,
    *,
    now_ms: float,
    retention_ms: int | None,
    scales: Mapping[str, int],
    culprit: str,
) -> StageLag:
    """now_ms: by the broker's clock. retention_ms: of the topic, None: for ever. scales: decimals by asset."""
    age_ms = _age_ms(backlog, now_ms)
    used: float | None = None
    if retention_ms and age_ms is not None:
        used = min(1.0, age_ms / retention_ms)
    drain = track.drain_s()
    return StageLag(
        stage=reader.stage,
        group=reader.group,
        netting_set=whose[0],
        topic=reader.partition.topic,
        partition=reader.partition.partition,
        bank=whose[1],
        records=backlog.lag_records,
        seconds=None if age_ms is None else round(age_ms / 1000, 3),
        money=shown(worth.money, scales) if worth else {},
        money_is_estimate=bool(worth and (worth.is_estimate or worth.unvalued_records)),
        velocity_per_s=_rounded(track.pace_per_s),
        drain_s=_rounded(drain),
        retention_used=None if used is None else round(used, 9),
        status=track.status,
        culprit=culprit,
    )


def queue_lags(
    topic: str, names: Mapping[int, str], positions: Iterable[Position]
) -> list[StageLag]:
    """What waits for liquidity: in the engine's state, exact, one per netting set. No reader's fault."""
    waiting: dict[str, dict[str, Decimal]] = {}
    payments: dict[str, int] = {}
    for one in positions:
        payments[one.netting_set] = payments.get(one.netting_set, 0) + one.queued_payments
        money = waiting.setdefault(one.netting_set, {})
        if one.queued_payments:
            money[one.asset] = money.get(one.asset, Decimal(0)) + Decimal(one.queued)
    numbers = {name: number for number, name in names.items()}
    return [
        StageLag(
            stage="queue",
            group="",
            netting_set=name,
            topic=topic,
            partition=numbers.get(name, -1),
            records=payments[name],
            seconds=None,
            money={asset: f"{value:f}" for asset, value in sorted(money.items())},
            status="OK",
        )
        for name, money in sorted(waiting.items())
    ]


def befores(
    netting_set: str, lags: Sequence[StageLag], worths: Mapping[tuple[str, int], Worth]
) -> list[Before]:
    """What waits before intake and before the engine of a netting set. worths: by topic and partition."""
    ours = [lag for lag in lags if lag.netting_set == netting_set and lag.bank != PROBE]
    return [
        _before(stage, [lag for lag in ours if lag.stage == stage], worths)
        for stage in ("intake", "engine")
    ]


def _before(
    stage: str, lags: Sequence[StageLag], worths: Mapping[tuple[str, int], Worth]
) -> Before:
    behind = [lag for lag in lags if lag.records != 0]
    found = [(lag, worths.get((lag.topic, lag.partition))) for lag in behind]
    known = [worth for _, worth in found if worth is not None]
    records = [lag.records for lag in behind if lag.records is not None]
    return Before(
        stage=stage,
        records=sum(records) if len(records) == len(behind) else None,
        money=added(worth.money for worth in known),
        is_estimate=any(worth.is_estimate for worth in known),
        unvalued_records=sum(worth.unvalued_records for worth in known),
        drain_s=slowest(behind),
        status=_worst(behind),
    )


def _worst(behind: Sequence[StageLag]) -> StageStatus:
    there = {lag.status for lag in behind}
    for status in _BADNESS:
        if status in there:
            return status
    return "OK"


def slowest(behind: Sequence[StageLag]) -> float | None:
    """drain_s of partitions as one: they are read side by side, whoever takes longest decides.

    Those whose pace is not known yet are taken to be read by the same hands as the others; None where nothing is
    known of any.
    """
    drains = [lag.drain_s for lag in behind if lag.drain_s is not None]
    if len(drains) == len(behind):
        return max(drains, default=0.0)
    pace_per_s = sum(lag.velocity_per_s or 0.0 for lag in behind)
    if not pace_per_s or any(lag.records is None for lag in behind):
        return None
    return max(*drains, sum(lag.records or 0 for lag in behind) / pace_per_s, 0.0)


def told_sources(lags: Sequence[StageLag]) -> list[StageLag]:
    """All lags, of intake's sources only those that are worst or furthest behind."""
    sources = [lag for lag in lags if lag.stage == "intake"]
    if len(sources) <= SOURCES_TOLD:
        return list(lags)
    sources.sort(key=lambda lag: (_BADNESS.index(lag.status), -(lag.records or 0), lag.topic))
    return sources[:SOURCES_TOLD] + [lag for lag in lags if lag.stage != "intake"]


def shown(money: Money, scales: Mapping[str, int]) -> dict[str, str]:
    """asset → amount at its scale, over all banks. More decimals than that are of rows that will be refused."""
    amounts: dict[str, str] = {}
    for asset, value in sorted(totals(money).items()):
        exact = value if asset not in scales else round(value, scales[asset])
        if exact:
            amounts[asset] = f"{exact:f}"
    return amounts


def scales_of(positions: Iterable[Position]) -> dict[str, int]:
    """Decimals of each asset somebody has an account in."""
    return {one.asset: len(one.position.partition(".")[2]) for one in positions}


def _age_ms(backlog: Backlog, now_ms: float) -> float | None:
    """0 without a record, None where its stamp is not known."""
    if not backlog.lag_records:
        return 0.0
    if backlog.oldest_ms is None or backlog.oldest_ms <= 0:
        return None
    return max(0.0, now_ms - backlog.oldest_ms)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
