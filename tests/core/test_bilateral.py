"""Bilateral limits: what one may pay another one, net, in a business day (R10)."""

from typing import Any

import pytest

from clearing.core.commands import SetBilateralLimit, SetCalendar
from clearing.core.reasons import REASONS, Code
from clearing.core.registry import BusinessDay
from tests.core.build import DAY, NOON_MS, linked, opening
from tests.core.scenes import (
    ACCEPTED,
    BYPASS,
    FIFO,
    QUEUED,
    A,
    B,
    C,
    Scene,
    asset,
    released,
    row,
)

LIMIT = Code.BILATERAL_LIMIT
DAY_MS = 86_400_000


def limited(limit: int | None = 10, **changes: Any) -> Scene:
    """A may pay B 10 more than it gets from it. Everybody has 99."""
    scene = Scene(asset(**changes), held="99")
    if limit is not None:
        allow(scene, limit)
    return scene


def allow(scene: Scene, limit: int | None, debtor: str = A, creditor: str = B) -> None:
    text = None if limit is None else str(limit)
    fields = {"participant": debtor, "counterparty": creditor, "asset": "HKD", "limit": text}
    assert scene.do(SetBilateralLimit, **fields) == ""


def pays(scene: Scene, *payments: tuple[str, str, int]) -> list[Code]:
    """Outcomes of payments of one record, each with an id of its own."""
    first = 1000 * scene.log.offset
    return scene.pay(*(row(first + i, *payment) for i, payment in enumerate(payments)))


def test_the_limit_holds_for_one_pair_one_way_and_one_asset() -> None:  # R10
    scene = Scene(asset(), asset("CNH"), held="99")
    allow(scene, 10)
    assert pays(scene, (A, B, 11), (A, B, 10), (A, B, 1)) == [LIMIT, ACCEPTED, LIMIT]
    assert pays(scene, (A, C, 50), (B, A, 1), (C, B, 50)) == [ACCEPTED] * 3
    assert scene.pay(row(1, A, B, 50, "CNH")) == [ACCEPTED]
    assert REASONS[LIMIT].iso == "AM13"


def test_what_comes_back_may_be_paid_again() -> None:  # R10
    scene = limited()
    assert pays(scene, (A, B, 10), (B, A, 4), (A, B, 5), (A, B, 4)) == [
        *(ACCEPTED, ACCEPTED, LIMIT, ACCEPTED),
    ]
    assert pays(scene, (B, A, 30), (A, B, 31), (A, B, 30)) == [ACCEPTED, LIMIT, ACCEPTED]


def test_it_comes_before_liquidity_and_after_room() -> None:  # R9, R10
    scene = limited()
    assert pays(scene, (A, B, 100), (A, C, 100), (A, B, 10**18 - 1)) == [
        *(LIMIT, Code.LIQUIDITY, LIMIT),
    ]


def test_both_ways_at_once() -> None:  # R10
    scene = limited()
    allow(scene, 3, B, A)
    assert pays(scene, (B, A, 4), (A, B, 10), (B, A, 13), (B, A, 1), (A, B, 13)) == [
        *(LIMIT, ACCEPTED, ACCEPTED, LIMIT, ACCEPTED),
    ]


def test_usage_counts_from_when_there_is_a_limit() -> None:  # R10
    scene = limited(None)
    assert pays(scene, (A, B, 50)) == [ACCEPTED]
    allow(scene, 10)
    assert pays(scene, (A, B, 10), (A, B, 1)) == [ACCEPTED, LIMIT]


def test_usage_of_the_way_back_counts_while_either_has_a_limit() -> None:  # R10
    scene = limited()
    assert pays(scene, (B, A, 5)) == [ACCEPTED]
    allow(scene, 6, B, A)
    assert pays(scene, (B, A, 2), (B, A, 1)) == [LIMIT, ACCEPTED]
    allow(scene, None, A, B)
    assert pays(scene, (A, B, 60), (B, A, 60), (B, A, 1)) == [ACCEPTED, ACCEPTED, LIMIT]
    allow(scene, None, B, A)  # nobody counts any more
    assert pays(scene, (B, A, 20)) == [ACCEPTED]
    allow(scene, 6, B, A)
    assert pays(scene, (B, A, 7), (B, A, 6)) == [LIMIT, ACCEPTED]


def test_a_lower_limit_breaks_nothing_and_holds_what_is_new() -> None:  # R9, R10
    scene = limited()
    assert pays(scene, (A, B, 10)) == [ACCEPTED]
    allow(scene, 4)
    assert pays(scene, (A, B, 1), (B, A, 6), (A, B, 1), (B, A, 1), (A, B, 1)) == [
        *(LIMIT, ACCEPTED, LIMIT, ACCEPTED, ACCEPTED),
    ]


def test_a_new_business_day_begins_with_the_whole_limit() -> None:  # R10
    scene = limited(queue=FIFO)
    assert pays(scene, (A, B, 10), (A, B, 8)) == [ACCEPTED, QUEUED]
    waits = scene.queue(A)
    scene.tick(NOON_MS + DAY_MS // 4)
    assert scene.fates == []
    scene.tick(NOON_MS + DAY_MS // 2)
    assert scene.fates == released(*waits, how="SINGLE")
    late = row(1, A, B, 3, value_date=DAY + 1), row(2, A, B, 2, value_date=DAY + 1)
    assert scene.pay(*late) == [QUEUED, QUEUED]


def test_a_business_day_is_the_calendars() -> None:  # R10
    scene = limited(queue=FIFO)
    days = [BusinessDay(DAY, NOON_MS), BusinessDay(DAY + 3, NOON_MS + 3 * DAY_MS)]
    scene.do(SetCalendar, days=days)
    assert pays(scene, (A, B, 10), (A, B, 8)) == [ACCEPTED, QUEUED]
    scene.tick(NOON_MS + 2 * DAY_MS)
    assert scene.fates == []
    scene.tick(NOON_MS + 3 * DAY_MS)
    assert len(scene.fates) == 1


# --- with queues -------------------------------------------------------------------------------------------------


def test_what_comes_back_frees_the_queue() -> None:  # R10, R14
    scene = limited(queue=FIFO)
    assert scene.pay(row(1, A, B, 11), row(2, A, C, 1)) == [QUEUED, QUEUED]
    assert scene.pay(row(3, B, A, 1)) == [ACCEPTED]
    assert scene.fates == released(1, 2, how="SINGLE")


def test_bypass_passes_what_a_limit_holds() -> None:  # R10, R13
    scene = limited(queue=BYPASS)
    assert scene.pay(row(1, A, B, 11), row(2, A, C, 1)) == [QUEUED, ACCEPTED]


@pytest.mark.parametrize("limit", [11, None])
def test_a_higher_limit_or_none_frees_the_queue(limit: int | None) -> None:  # R10, R14
    scene = limited(queue=FIFO)
    assert scene.pay(row(1, A, B, 11)) == [QUEUED]
    allow(scene, limit)
    assert scene.fates == released(1, how="SINGLE")


def test_two_at_their_limits_leave_as_a_pair() -> None:  # R10, R14
    scene = limited(queue=FIFO)
    allow(scene, 10, B, A)
    assert scene.pay(row(1, A, B, 25), row(2, B, A, 20)) == [QUEUED] * 2
    assert scene.fates == released(1, 2, how="BILATERAL")


def test_sets_respect_limits() -> None:  # R10, R15
    """The circle closes for liquidity, but A may pay B 4 only."""
    scene = Scene()
    allow(scene, 4)
    assert scene.pay(row(1, A, B, 5), row(2, B, C, 5), row(3, C, A, 5)) == [QUEUED] * 3
    assert scene.fates == []
    allow(scene, 5)
    assert scene.fates == released(1, 2, 3, how="MULTILATERAL")
    assert pays(scene, (A, B, 1)) == [QUEUED]


def test_links_respect_limits() -> None:  # R10, R19
    scene = limited()
    legs = linked(row(1, A, B, 25), row(2, B, A, 15), link=1)
    assert scene.pay(*legs) == [QUEUED, ACCEPTED]  # together they use all of it
    legs = linked(row(3, A, B, 7), row(4, B, A, 6), link=2)
    assert scene.pay(*legs) == [QUEUED, Code.LINK_REFUSED]
    assert scene.fates == [(3, LIMIT, "")]


def test_limits_with_amounts_of_18_digits() -> None:
    scene, most = Scene(asset(), cap=str(2**58)), 10**18 - 1
    allow(scene, most)
    codes = pays(scene, (A, B, 2**57), (A, B, 2**57), (B, A, 2**57), (C, B, 2**57))
    assert codes == [ACCEPTED] * 4
    allow(scene, 0)
    assert pays(scene, (A, B, 1)) == [LIMIT]


def test_participants_who_join_later_are_found() -> None:
    """Limits are looked up by numbers that change when the registry grows."""
    scene, late = limited(), tuple(f"LATE{i:02d}" for i in range(20))
    assert pays(scene, (A, B, 9)) == [ACCEPTED]
    scene.control(*opening(late, (asset(),), held="9")[1:])
    assert pays(scene, (late[-1], B, 9), (A, B, 2), (A, B, 1)) == [ACCEPTED, LIMIT, ACCEPTED]
