"""The operator's first question in one sentence: a table of what waits, and what is said of it."""

from decimal import Decimal

import pytest

from clearing.core.outputs import WindowEvent
from clearing.observe.outlook import Before, outlook, worst
from clearing.views.model import StageStatus

NOW_MS = 1_700_000_000_000
BANKS = {"AURAHKHH": Decimal(700_000_000), "BAMBHKHH": Decimal(296_000_000)}
OTHERS = {"CEDRHKHH": Decimal(104_000_000), "DEODHKHH": Decimal(100_000_000)}


def window(left_s: float | None = 250) -> WindowEvent:
    return WindowEvent(
        netting_set="hk",
        log_offset=1,
        time_ms=NOW_MS,
        asset="HKD",
        window=1412,
        version=1,
        state="OPEN",
        cutoff_ms=0 if left_s is None else NOW_MS + int(left_s * 1000),
    )


def before(
    money: dict[str, Decimal] | None = None,
    drain_s: float | None = 38,
    status: StageStatus = "OK",
    *,
    stage: str = "engine",
    records: int | None = 40,
    unvalued: int = 0,
    estimate: bool = False,
) -> Before:
    return Before(
        stage=stage,
        records=records,
        money={"HKD": money} if money else {},
        is_estimate=estimate,
        unvalued_records=unvalued,
        drain_s=drain_s,
        status=status,
    )


ALL = BANKS | OTHERS
NOTHING = before(drain_s=0, records=0)
CLOSES = "HKD window 1,412 closes in 4 min 10 s; "
BACKLOG = "the backlog (HKD 1.2 bn, 83 % from two banks) "

TABLE = [
    ([before(ALL)], 250, "ON_TIME", CLOSES + BACKLOG + "drains in 38 s: on time."),
    ([NOTHING], 250, "ON_TIME", CLOSES + "nothing waits: on time."),
    ([], 250, "ON_TIME", CLOSES + "nothing waits: on time."),
    ([before(ALL, 200)], 250, "AT_RISK", CLOSES + BACKLOG + "drains in 3 min 20 s: at risk."),
    (
        [before(ALL, 38, "SLOW")],
        250,
        "AT_RISK",
        CLOSES + BACKLOG + "drains in 38 s: at risk.",
    ),
    (
        [before(ALL, 360)],
        250,
        "WILL_MISS",
        CLOSES + BACKLOG + "drains in 6 min: 1 min 50 s too late.",
    ),
    (
        [before(ALL, None, "STALLED")],
        250,
        "WILL_MISS",
        CLOSES + BACKLOG + "does not drain, engine is stalled: it will miss the cut-off.",
    ),
    (
        [before(ALL, None, "HUNG_TXN", stage="intake")],
        250,
        "WILL_MISS",
        CLOSES
        + BACKLOG
        + "does not drain, intake is held up by a transaction that does not end: it will miss the cut-off.",
    ),
    (
        [before(ALL, None)],
        250,
        "UNKNOWN",
        CLOSES + BACKLOG + "drains at a pace that is not known yet.",
    ),
    (
        [before(ALL)],
        None,
        "NO_CUTOFF",
        "HKD window 1,412 is closed by command only; " + BACKLOG + "drains in 38 s.",
    ),
    ([NOTHING], None, "NO_CUTOFF", "HKD window 1,412 is closed by command only; nothing waits."),
    (
        [before(ALL)],
        -2,
        "WILL_MISS",
        "HKD window 1,412 is due; " + BACKLOG + "drains in 38 s: 38 s too late.",
    ),
    ([NOTHING], -2, "ON_TIME", "HKD window 1,412 is due; nothing waits: on time."),
    (
        [before(BANKS, 20, stage="intake", estimate=True), before(OTHERS, 18)],
        250,
        "ON_TIME",
        CLOSES + "the backlog (HKD ≈ 1.2 bn, 83 % from two banks) drains in 38 s: on time.",
    ),
    (  # read, but not committed yet: offsets say so a moment later, and a look is a second old
        [before(ALL, 1.1, "SLOW", stage="intake", estimate=True), before(OTHERS, 1.0)],
        0.2,
        "ON_TIME",
        CLOSES.replace("4 min 10 s", "0.2 s")
        + "the backlog (HKD ≈ 1.4 bn, 86 % from three banks) drains in 2.1 s: on time.",
    ),
    (
        [before(ALL, 1.6)],
        0.2,
        "WILL_MISS",
        "HKD window 1,412 closes in 0.2 s; " + BACKLOG + "drains in 1.6 s: 1.4 s too late.",
    ),
    (
        [before(ALL, 0.4)],
        -0.3,
        "ON_TIME",
        "HKD window 1,412 is due; " + BACKLOG + "drains in 0.4 s: on time.",
    ),
    (
        [before({"AURAHKHH": Decimal("950.00")}, 0.2)],
        250,
        "ON_TIME",
        CLOSES + "the backlog (HKD 950, all from AURAHKHH) drains in 0.2 s: on time.",
    ),
    (
        [before({f"BANK{at}": Decimal(10) for at in range(20)}, 1)],
        250,
        "ON_TIME",
        CLOSES + "the backlog (HKD 200) drains in 1 s: on time.",
    ),
    (
        [before(None, 5, records=1_203, unvalued=1_203)],
        250,
        "ON_TIME",
        CLOSES + "the backlog (1,203 records of unknown value) drains in 5 s: on time.",
    ),
    (
        [before(None, None, records=None)],
        250,
        "UNKNOWN",
        CLOSES + "the backlog (records of unknown value) drains at a pace that is not known yet.",
    ),
]


@pytest.mark.parametrize(("stages", "left_s", "verdict", "sentence"), TABLE)
def test_sentence(stages: list[Before], left_s: float | None, verdict: str, sentence: str) -> None:
    found = outlook(window(left_s), stages, NOW_MS)
    assert found.sentence == sentence
    assert found.verdict == verdict


def test_the_numbers_beside_the_sentence() -> None:
    found = outlook(window(), [before(ALL, 20), before(None, None, records=0)], NOW_MS)
    assert found.backlog == {"HKD": "1200000000"}
    assert found.backlog_records == 40
    assert found.cutoff_in_s == 250
    assert [(one.bank, one.share) for one in found.top_banks] == [
        ("AURAHKHH", 0.5833),
        ("BAMBHKHH", 0.2467),
    ]
    assert found.drain_s == 20  # a stage before which nothing waits takes no time


def test_what_waits_of_another_asset_does_not_concern_this_one() -> None:
    other = Before(stage="engine", records=9, money={"CNH": BANKS}, drain_s=None, status="STALLED")
    found = outlook(window(), [other], NOW_MS)
    assert (found.verdict, found.backlog_records, found.backlog) == ("ON_TIME", 0, {})


def test_the_worst_is_said_first() -> None:
    """What misses before what may miss, then the cut-off that is next; nothing to say of nothing."""
    found = [
        outlook(window(left), [stage], NOW_MS)
        for left, stage in (
            (None, NOTHING),
            (500, NOTHING),
            (100, NOTHING),
            (900, before(ALL, 800)),
            (900, before(ALL, 1_000)),
        )
    ]
    order: list[str] = []
    while found:
        first = worst(found)
        assert first is not None
        order.append(f"{first.verdict} {first.cutoff_in_s}")
        found.remove(first)
    assert order == [
        "WILL_MISS 900.0",
        "AT_RISK 900.0",
        "ON_TIME 100.0",
        "ON_TIME 500.0",
        "NO_CUTOFF None",
    ]
    assert worst([]) is None


def test_of_two_at_the_same_moment_the_one_with_the_larger_backlog_is_said() -> None:
    idle, busy = (
        outlook(window(100), [NOTHING], NOW_MS),
        outlook(window(100), [before(ALL, 1)], NOW_MS),
    )
    assert (idle.verdict, busy.verdict) == ("ON_TIME", "ON_TIME")
    assert (busy.backlog_records or 0) > 0
    assert worst([idle, busy]) == worst([busy, idle]) == busy
