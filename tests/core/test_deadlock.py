"""Deadlocks at a cut-off: who waits for whom, for which limit, and what would free something (R16)."""

from collections.abc import Iterator
from copy import deepcopy
from random import Random

import pytest

from clearing.core.commands import (
    SetBilateralLimit,
    SetCap,
    SetShortLimit,
    SetStatus,
    SetValuation,
)
from clearing.core.outputs import DeadlockEvent, WaitsFor
from tests.core.build import linked
from tests.core.scenes import (
    BANKS,
    BYPASS,
    DROP,
    FIFO,
    QUEUED,
    A,
    B,
    C,
    D,
    Scene,
    asset,
    number,
    row,
)


def deadlock(scene: Scene, asset: str = "HKD") -> DeadlockEvent:
    scene.close(asset)
    (event,) = scene.events(DeadlockEvent)
    return event


def told(event: DeadlockEvent) -> list[tuple[str, int, str, str, list[str]]]:
    """(who waits, with which payment, lacks what, of which limit, for whom)."""
    return [
        (item.participant, number(item.payment), item.lacks, item.limit, item.waits_for)
        for item in event.waits
    ]


def test_a_chain_says_who_waits_for_whom_and_the_least_that_helps() -> None:  # R16
    scene = Scene(held="1")
    rows = [row(1, A, B, 5), row(2, B, C, 8), row(3, C, D, 9), row(4, B, A, 1)]
    assert scene.pay(*rows) == [QUEUED] * 4
    event = deadlock(scene)
    assert told(event) == [
        (A, 1, "4", "LIQUIDITY", [B]),
        (B, 2, "7", "LIQUIDITY", [A]),
        (C, 3, "8", "LIQUIDITY", [B]),
    ]
    assert (event.asset, event.payments, event.value) == ("HKD", 4, "23")
    assert (event.extra_participant, event.extra) == (A, "4")
    assert event.all_extra == {A: "3", B: "3"}


def test_two_that_wait_for_each_other() -> None:  # R16
    scene = Scene()
    assert scene.pay(row(1, A, B, 9), row(2, B, A, 6)) == [QUEUED] * 2
    event = deadlock(scene)
    assert told(event) == [(A, 1, "9", "LIQUIDITY", [B]), (B, 2, "6", "LIQUIDITY", [A])]
    assert (event.extra_participant, event.extra, event.all_extra) == (A, "3", {A: "3"})
    scene.fund(A, 2)
    assert scene.fates == []
    scene.fund(A, 1)
    assert [fate[0] for fate in scene.fates] == [1, 2]


def waits_of(scene: Scene, participant: str) -> WaitsFor:
    return next(item for item in deadlock(scene).waits if item.participant == participant)


def test_a_net_debit_cap_that_binds() -> None:  # R9, R16
    scene = Scene()
    scene.do(SetCap, participant=A, asset="HKD", net_debit_cap="2")
    scene.pay(row(1, A, B, 5))
    item = waits_of(scene, A)
    assert (item.limit, item.lacks, item.waits_for) == ("NET_DEBIT_CAP", "3", [])


def test_a_bilateral_limit_that_binds() -> None:  # R10, R16
    scene = Scene(held="9")
    scene.do(SetBilateralLimit, participant=A, counterparty=B, asset="HKD", limit="2")
    scene.pay(row(1, A, B, 5), row(2, B, C, 99), row(3, B, A, 9))
    item = waits_of(scene, A)
    assert (item.limit, item.lacks, item.waits_for) == ("BILATERAL_LIMIT", "3", [B])


def test_a_suspended_party() -> None:  # R16, R32
    scene = Scene()
    scene.pay(row(1, A, B, 5), row(2, A, C, 1))
    scene.do(SetStatus, participant=B, status="SUSPENDED")
    scene.fund(A, 9)
    event = deadlock(scene)
    assert told(event) == [(A, 1, "0", "SUSPENDED", [])]
    assert (event.extra_participant, event.extra, event.all_extra) == ("", "", {})


def test_a_leg_that_waits_for_another() -> None:  # R16, R20
    scene = Scene(asset(queue=FIFO), asset("BOND", queue=FIFO))
    scene.pair("BOND", "HKD")
    scene.fund(B, 5)
    trade = linked(row(1, A, B, 7, "BOND"), row(2, B, A, 5), link=1)
    assert scene.pay(*trade) == [QUEUED] * 2
    cash, bonds = deadlock(scene), deadlock(scene, "BOND")
    assert told(cash) == [(B, 2, "0", "LINK", [A])]
    assert told(bonds) == [(A, 1, "7", "LIQUIDITY", [])]
    for event in (cash, bonds):
        assert (event.extra_participant, event.extra_asset, event.extra) == (A, "BOND", "7")


def test_a_leg_of_an_incomplete_link_is_no_part_of_a_deadlock() -> None:  # R19
    scene = Scene()
    first, _ = linked(row(1, A, B, 7), row(2, B, A, 5), link=1)
    assert scene.pay(first) == [QUEUED]
    scene.close()
    assert scene.events(DeadlockEvent) == []


def test_a_value_check_that_binds() -> None:  # R10, R16
    scene = Scene(cap="9")
    scene.do(SetValuation, asset="HKD", price="1", haircut_bp=0)
    scene.do(SetShortLimit, participant=A, limit="0")
    assert scene.pay(row(1, A, B, 5)) == [QUEUED]
    event = deadlock(scene)
    # Liquidity is not what binds: nobody is waited for, and no amount would help.
    assert (event.payments, event.value, event.extra) == (1, "5", "")
    assert told(event) == [(A, 1, "0", "VALUE_CHECK", [])]


def test_each_asset_tells_of_itself() -> None:
    scene = Scene(asset(queue=FIFO), asset("CNH", queue=BYPASS), asset("EUR", queue=FIFO))
    scene.pay(row(1, A, B, 5), row(2, A, B, 3, "CNH"))
    scene.close()
    assert [(item.asset, item.value) for item in scene.events(DeadlockEvent)] == [
        ("HKD", "5"),
        ("CNH", "3"),
    ]


def test_what_is_dropped_is_no_deadlock() -> None:  # R17
    scene = Scene(asset(queue=FIFO, at_cutoff=DROP))
    scene.pay(row(1, A, B, 5))
    scene.close()
    assert scene.events(DeadlockEvent) == []


def random_deadlock(rng: Random) -> Scene:
    """Two to four banks that owe each other at random, with little money."""
    scene, banks = Scene(), BANKS[: rng.randint(2, 4)]
    for bank in banks:
        if units := rng.randint(0, 6):
            scene.fund(bank, units)
    for payment in range(1, rng.randint(2, 12)):
        debtor, creditor = rng.sample(banks, 2)
        scene.pay(row(payment, debtor, creditor, rng.randint(1, 20), priority=rng.randrange(3)))
    scene.close()
    return scene


def deadlocks(seed: int) -> Iterator[tuple[Scene, DeadlockEvent]]:
    """Several scenes, most of them end in a deadlock."""
    found = 0
    for number_ in range(10):
        scene = random_deadlock(Random(f"{seed} {number_}"))
        for event in scene.events(DeadlockEvent):
            found += 1
            yield scene, event
    assert found > 3


@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_extra_is_enough_and_no_less_is_for_anybody(seed: int) -> None:  # R16
    for scene, event in deadlocks(seed):
        extra = int(event.extra)
        for bank in BANKS:
            less = deepcopy(scene)
            if extra > 1:
                less.fund(bank, extra - 1)
                assert less.fates == [], bank
        enough = deepcopy(scene)
        enough.fund(event.extra_participant, extra)
        assert enough.fates != []


@pytest.mark.parametrize("seed", range(5, 10))
def test_with_all_extra_everything_leaves(seed: int) -> None:  # R16
    for scene, event in deadlocks(seed):
        for bank, amount in event.all_extra.items():
            scene.fund(bank, int(amount))
        assert scene.state.waiting == {}
