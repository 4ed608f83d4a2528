"""Release: one by one, in pairs, all at once; and when nothing is looked for (R13-R15)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clearing.core import release
from clearing.core.commands import (
    Fund,
    SetCalendar,
    SetCap,
    SetReservation,
    SetShortLimit,
    SetStatus,
    SetValuation,
)
from clearing.core.registry import BusinessDay, QueuePolicy
from tests.core.build import NOON_MS, Row
from tests.core.scenes import (
    ACCEPTED,
    BANKS,
    BYPASS,
    FIFO,
    QUEUED,
    URGT,
    A,
    B,
    C,
    D,
    Scene,
    asset,
    released,
    row,
)

CASES = json.loads((Path(__file__).parent / "oracles" / "gridlock.json").read_text())["cases"]


def stuck(*rows: Row, **options: Any) -> Scene:
    """A scene in which all of these wait."""
    scene = Scene(**options)
    assert scene.pay(*rows) == [QUEUED] * len(rows)
    return scene


# --- all at once (R15) -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_one_record", [True, False], ids=["at once", "one by one"])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_cases_of_project_ubin(case: dict[str, Any], in_one_record: bool) -> None:  # R15
    """Whatever leaves before the last one has come: in the end it is the greatest set."""
    scene = Scene(banks=tuple(case["opening"]))
    for bank, amount in case["opening"].items():
        scene.fund(bank, amount)
    rows = [row(number, *payment) for number, payment in enumerate(case["queue"])]
    left: set[int] = set()
    for record in [rows] if in_one_record else [[one] for one in rows]:
        assert scene.pay(*record) == [QUEUED] * len(record)
        left |= {number for number, code, _ in scene.fates if code == ACCEPTED}
    assert left == set(case["released"])
    closing = {bank: scene.account(bank).headroom for bank in case["opening"]}
    assert closing == case["closing"]
    assert scene.close() == [] or left


def test_a_circle_leaves_as_one() -> None:  # R15
    scene = stuck(row(1, A, B, 5), row(2, B, C, 5))
    assert scene.pay(row(3, C, A, 5)) == [QUEUED]
    assert scene.fates == released(1, 2, 3, how="MULTILATERAL")
    assert scene.left() == dict.fromkeys(BANKS, 0)


def test_the_greatest_set_respects_the_queues() -> None:  # R15
    """The last ones of B's queue cannot leave; what stands before them can."""
    rows = [row(1, A, B, 5), row(2, B, C, 5), row(3, B, A, 9), row(4, B, C, 1), row(5, C, A, 5)]
    scene = Scene()
    assert scene.pay(*rows) == [QUEUED] * 5
    assert scene.fates == released(1, 2, 5, how="MULTILATERAL")
    assert scene.queue(B) == [3, 4]


def test_all_of_it_leaves_with_the_same_window_and_counts_in_it() -> None:  # R2, R15
    scene = stuck(row(1, A, B, 7), row(2, B, C, 6), held="1")
    scene.pay(row(3, C, A, 7))
    assert {item.window for item in scene.out.resolutions} == {1}
    (batch,) = scene.close()
    nets = {entry.participant: entry.net for entry in batch.entries}
    assert (batch.payments, batch.gross, nets) == (3, "20", {A: "0", B: "1", C: "-1"})


# --- one by one, then pairs, then all (R14) ----------------------------------------------------------------------


def test_what_one_brings_frees_the_next() -> None:  # R14
    scene = stuck(row(1, A, B, 5), row(2, B, C, 5), row(3, C, D, 5))
    assert scene.fund(A, 5) == released(1, 2, 3, how="SINGLE")


def test_a_credit_frees_in_the_record_that_brings_it() -> None:  # R14
    scene = stuck(row(1, A, B, 5))
    scene.fund(D, 5)
    assert scene.pay(row(2, D, A, 5), row(3, D, A, 5)) == [ACCEPTED, QUEUED]
    assert scene.fates == released(1, how="SINGLE")


def test_two_that_owe_each_other_leave_as_a_pair() -> None:  # R14
    scene = stuck(row(1, A, B, 5), held="1")
    assert scene.pay(row(2, B, A, 4)) == [QUEUED]
    assert scene.fates == released(1, 2, how="BILATERAL")
    assert scene.left() == {A: 0, B: 2, C: 1, D: 1}


def test_a_pair_takes_as_much_of_both_queues_as_fits() -> None:  # R14
    rows = [row(1, A, B, 5), row(2, A, B, 4), row(3, A, B, 9), row(4, A, C, 1), row(5, B, A, 8)]
    scene = Scene(held="1")
    assert scene.pay(*rows) == [QUEUED] * 5
    assert scene.fates == released(1, 2, 5, how="BILATERAL")
    assert scene.queue(A) == [3, 4]


def test_singles_go_before_pairs_and_pairs_before_all() -> None:  # R14
    """D's single leaves; then A and B as a pair, though A, B and C would go together; then what is left."""
    scene = stuck(row(1, A, B, 5), row(2, B, C, 4, priority=0), row(3, D, C, 3))
    scene.fund(D, 3)
    assert scene.fates == released(3, how="SINGLE")
    assert scene.pay(row(4, B, A, 5, priority=URGT), row(5, C, A, 4), row(6, A, B, 4)) == [
        QUEUED,
        QUEUED,
        QUEUED,
    ]
    assert scene.fates == released(4, 1, how="BILATERAL") + released(2, 5, 6, how="MULTILATERAL")


def test_after_a_set_singles_are_tried_again() -> None:  # R14
    """C's payment waits for what A brings it in the pair's wake."""
    rows = [row(1, A, B, 5), row(2, A, C, 1), row(3, C, D, 1), row(4, B, A, 6)]
    scene = Scene()
    scene.fund(B, 1)
    assert scene.pay(*rows) == [QUEUED] * 4
    assert scene.fates == released(1, 4, how="BILATERAL") + released(2, 3, how="SINGLE")


@pytest.mark.parametrize(("policy", "leave"), [(FIFO, []), (BYPASS, [2])])
def test_what_passes_a_blocked_head(policy: QueuePolicy, leave: list[int]) -> None:  # R13
    scene = stuck(row(1, A, B, 5), row(2, A, C, 2), held="1", assets=(asset(queue=policy),))
    assert scene.fund(A, 1) == released(*leave, how="SINGLE")


def test_accounts_in_two_assets_do_not_help_each_other() -> None:  # R3, R15
    scene = Scene(asset(queue=FIFO), asset("CNH", queue=FIFO))
    assert scene.pay(row(1, A, B, 5), row(2, B, A, 5, "CNH")) == [QUEUED] * 2
    assert (scene.fates, scene.queue(A), scene.queue(B, "CNH")) == ([], [1], [2])


# --- what frees (R14) --------------------------------------------------------------------------------------------

HELD_BACK: dict[str, Any] = {"participant": A, "asset": "HKD"}
# What was done before A's payment of 5 came, what is done then, so that it leaves.
FREEING: list[tuple[list[tuple[Any, dict[str, Any]]], Any, dict[str, Any]]] = [
    ([], Fund, HELD_BACK | {"amount": "5"}),
    ([], SetCap, HELD_BACK | {"net_debit_cap": "5"}),
    (
        [(Fund, HELD_BACK | {"amount": "5"}), (SetReservation, HELD_BACK | {"reserved": "1"})],
        SetReservation,
        HELD_BACK | {"reserved": "0"},
    ),
    (
        [
            (SetCap, HELD_BACK | {"net_debit_cap": "9"}),
            (SetValuation, {"asset": "HKD", "price": "1", "haircut_bp": 0}),
            (SetShortLimit, {"participant": A, "limit": "9"}),
        ],
        SetShortLimit,
        {"participant": A, "limit": None},
    ),
]


@pytest.mark.parametrize(("before", "kind", "fields"), FREEING, ids=lambda item: str(item)[:30])
def test_any_liquidity_frees(
    before: list[tuple[Any, dict[str, Any]]], kind: Any, fields: dict[str, Any]
) -> None:  # R8, R14
    scene = Scene()
    for earlier, its_fields in before:
        assert scene.do(earlier, **its_fields) == ""
    assert scene.pay(row(1, A, B, 5)) == [QUEUED]
    assert scene.do(kind, **fields) == ""
    assert scene.fates == released(1, how="SINGLE")


def test_the_suspended_are_held_and_hold_what_is_behind_them() -> None:  # R13, R32
    scene = stuck(row(1, A, B, 5), row(2, A, C, 1))
    assert scene.do(SetStatus, participant=B, status="SUSPENDED") == ""
    assert scene.fund(A, 9) == []
    assert scene.do(SetStatus, participant=B, status="ACTIVE") == ""
    assert scene.fates == released(1, 2, how="SINGLE")


def test_the_suspended_are_passed_without_fifo_and_left_out_of_sets() -> None:  # R13, R15, R32
    rows = [row(1, A, B, 5), row(2, A, C, 5), row(3, C, A, 5)]
    scene = Scene(asset(queue=BYPASS))
    scene.pay(rows[0], rows[1])
    scene.do(SetStatus, participant=B, status="SUSPENDED")
    scene.pay(rows[2])
    # Sets respect the order of the queue: with A's first payment held, nothing of A is in one.
    assert scene.fates == []
    assert scene.fund(A, 5) == released(2, 3, how="SINGLE")


# --- nothing is searched in vain (R14) ---------------------------------------------------------------------------


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many payments each search had before it."""
    found: list[int] = []

    class Counted(release.Columns):
        def __init__(self, state: Any) -> None:
            super().__init__(state)
            found.append(len(self.items))

    monkeypatch.setattr(release, "Columns", Counted)
    return found


def gridlocked() -> Scene:
    """A waits with 5 and lacks 4, B with 9 and lacks 7; A's would bring B 5. C and D have no queue."""
    scene = Scene(held="1")
    scene.fund(B, 1)
    assert scene.pay(row(1, A, B, 5), row(2, B, C, 9)) == [QUEUED] * 2
    return scene


IN_VAIN: list[tuple[str, Callable[[Scene], object]]] = [
    ("time", lambda scene: scene.tick(NOON_MS + 10**6)),
    ("others pay", lambda scene: scene.pay(row(9, C, D, 1))),
    ("others cannot", lambda scene: scene.pay(row(9, C, D, 10**18))),
    ("others' money", lambda scene: scene.fund(D, 99)),
    ("a credit too small", lambda scene: scene.pay(row(9, C, A, 1))),
    ("a credit too small for B", lambda scene: scene.pay(row(9, C, B, 1))),
    ("behind a blocked head", lambda scene: scene.pay(row(9, A, D, 1))),
    ("a calendar", lambda scene: scene.do(SetCalendar, days=[BusinessDay(1, 1)])),
    ("less money", lambda scene: scene.fund(A, -1)),
    ("a repeat", lambda scene: scene.pay(row(1, A, B, 5))),
]


@pytest.mark.parametrize("what", [w[1] for w in IN_VAIN], ids=[w[0] for w in IN_VAIN])
def test_nothing_is_searched_when_nothing_could_be_freed(
    what: Callable[[Scene], object], searches: list[int]
) -> None:  # R14
    scene = gridlocked()
    searches.clear()
    what(scene)
    assert (searches, scene.fates) == ([], [])


def test_a_circle_is_searched_for_when_it_may_have_closed(searches: list[int]) -> None:
    scene = gridlocked()
    scene.fund(B, 2)  # B's could leave with A's now, if that could
    assert (searches, scene.fates) == ([2], [])
    assert scene.pay(row(3, C, A, 8)) == [QUEUED]
    assert scene.fates == released(1, 2, 3, how="MULTILATERAL")
    assert searches == [2, 3]


def crowd() -> Scene:
    """102 wait. B's one could leave if A's did, which nothing helps. C and D have money."""
    scene = Scene()
    scene.fund(C, 405)
    scene.fund(D, 9)
    rows = [row(number, A, B, 5) for number in range(1, 102)]
    assert set(scene.pay(*rows, row(200, B, C, 100))) == {QUEUED}
    return scene


def test_a_search_in_vain_is_repeated_later_the_more_there_is(searches: list[int]) -> None:
    scene = crowd()
    assert searches == [102]
    for number in (301, 302):
        assert scene.pay(row(number, D, B, 1)) == [ACCEPTED]
    assert searches == [102]  # 2 ms of log time lie between two of them
    assert scene.state.next_due_ms() == NOON_MS + 2
    scene.tick(NOON_MS + 1)
    assert searches == [102]
    scene.tick(NOON_MS + 2)
    assert searches == [102, 102]
    scene.tick(NOON_MS + 900)
    assert searches == [102, 102]  # nothing has changed


def test_a_cutoff_waits_for_no_search(searches: list[int]) -> None:  # R17
    scene = crowd()
    assert scene.pay(row(301, D, B, 1), row(302, C, A, 505)) == [ACCEPTED, QUEUED]
    assert searches == [102]
    (batch,) = scene.close()
    assert searches[:2] == [102, 103]
    assert (batch.payments, batch.gross) == (1 + 103, str(1 + 505 + 100 + 505))
