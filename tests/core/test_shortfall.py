"""A ledger refuses a window for lack of funds: who bears it (R25). What is taken out: test_recast.py."""

from fractions import Fraction
from random import Random

import pytest

from clearing.core.commands import SetCollateral, SetPool
from clearing.core.outputs import SettlementBatch, ShortfallEvent, WindowEvent
from clearing.core.registry import OnShortfall
from clearing.core.shortfall import proportional, share_loss
from tests.core.scenes import (
    ACCEPTED,
    RECAST,
    WATERFALL,
    A,
    B,
    C,
    D,
    Scene,
    asset,
    batches,
    nets,
    row,
    trade,
)

PENDING = "PENDING_SETTLEMENT"
Owed = list[tuple[str, str, int]]


def short(
    rule: OnShortfall, owed: Owed, lacks: dict[str, int], pool: int = 0, **collateral: int
) -> tuple[Scene, SettlementBatch]:
    """A window with these payments that its ledger has refused. Collateral: by the bank's place, p0, p1 …"""
    scene = Scene(asset(on_shortfall=rule), cap="1000")
    scene.do(SetPool, asset="HKD", amount=str(pool))
    for place, amount in collateral.items():
        bank = (A, B, C, D)[int(place[1:])]
        scene.do(SetCollateral, participant=bank, asset="HKD", amount=str(amount))
    assert set(scene.pay(*(row(i, *one) for i, one in enumerate(owed, 1)))) == {ACCEPTED}
    (batch,) = scene.close()
    scene.refuse(batch, lacks)
    return scene, batch


def bearing(scene: Scene) -> list[tuple[str, str, str, str, dict[str, str]]]:
    return [
        (told.participant, told.shortfall, told.collateral, told.pool, told.survivors)
        for told in scene.events(ShortfallEvent)
    ]


# --- waterfall (R25) ---------------------------------------------------------------------------------------------

# A owes B 60, C 30 and D 10.
THREE: Owed = [(A, B, 60), (A, C, 30), (A, D, 10)]
# What A lacks, its collateral, the pool → collateral and pool taken, losses of B, C and D.
WATERFALLS = [
    (100, 100, 0, (100, 0, 0, 0, 0)),
    (50, 60, 60, (50, 0, 0, 0, 0)),
    (50, 20, 60, (20, 30, 0, 0, 0)),
    (50, 20, 30, (20, 30, 0, 0, 0)),
    (50, 20, 20, (20, 20, 6, 3, 1)),
    (100, 0, 0, (0, 0, 60, 30, 10)),
    (1, 0, 0, (0, 0, 1, 0, 0)),  # 0.6, 0.3, 0.1: the largest remainder has it
    (2, 0, 0, (0, 0, 1, 1, 0)),  # 1.2, 0.6, 0.2
    (5, 0, 0, (0, 0, 3, 2, 0)),  # 3.0, 1.5, 0.5: a tie goes to who was registered first
    (7, 0, 0, (0, 0, 4, 2, 1)),  # 4.2, 2.1, 0.7
]


@pytest.mark.parametrize(("lacks", "collateral", "pool", "borne"), WATERFALLS)
def test_collateral_then_pool_then_survivors_in_proportion(
    lacks: int, collateral: int, pool: int, borne: tuple[int, int, int, int, int]
) -> None:  # R25
    scene, old = short(WATERFALL, THREE, {A: lacks}, pool, p0=collateral)
    secured, pooled, *losses = borne
    survivors = {bank: str(loss) for bank, loss in zip((B, C, D), losses, strict=True) if loss}
    assert bearing(scene) == [(A, str(lacks), str(secured), str(pooled), survivors)]
    assert sum(borne) == lacks
    assert scene.windows == [("HKD", 1, 1, "ABORTED"), ("HKD", 1, 2, PENDING)]
    (new,) = batches(scene.out)
    scheme = {"$COLLATERAL": -secured, "$POOL": -pooled}
    assert nets(new) == {
        A: lacks - 100,
        B: 60 - losses[0],
        C: 30 - losses[1],
        D: 10 - losses[2],
        **{name: units for name, units in scheme.items() if units},
    }
    assert (new.version, new.sequence, new.previous) == (2, old.sequence + 1, old.hash)  # R7
    same = ("payments", "gross", "members_root", "log_first", "log_last", "window")
    assert all(getattr(new, field) == getattr(old, field) for field in same)
    assert int(scene.state.accounts.collateral[0, 0]) == collateral - secured
    assert scene.state.assets[0].pool == pool - pooled
    positions = [scene.account(bank).position for bank in (A, B, C, D)]
    assert positions == [nets(new)[bank] for bank in (A, B, C, D)]
    scene.answer(new)
    assert scene.windows == [("HKD", 1, 2, "SETTLED")]
    (settled,) = scene.events(WindowEvent)
    assert [entry.participant for entry in settled.entries] == list(nets(new))  # the scheme's last
    assert [scene.account(bank).prefunded for bank in (A, B, C, D)] == positions
    assert scene.state.assets[0].unsettled == 0


def test_survivors_are_those_that_the_short_one_owed_and_bear_no_more_than_they_get() -> None:
    """B owes D more than A owes B, and bears nothing. C is to get 5 only; D, whom A owes nothing, bears nothing."""
    owed = [(A, B, 50), (B, D, 60), (A, C, 30), (C, D, 25)]
    scene, _ = short(WATERFALL, owed, {A: 5})
    assert bearing(scene) == [(A, "5", "0", "0", {C: "5"})]
    scene, old = short(WATERFALL, owed, {A: 6})
    assert (bearing(scene), scene.windows) == ([], [("HKD", 1, 1, "FAILED")])
    assert old.id in scene.state.pending


def test_who_can_bear_no_more_leaves_the_rest_to_the_others() -> None:  # R25
    """60 : 30 of 45 would be 30 and 15, but B gets 20 in all: C bears 25."""
    owed = [(A, B, 60), (A, C, 30), (B, D, 40)]
    scene, _ = short(WATERFALL, owed, {A: 45})
    assert bearing(scene) == [(A, "45", "0", "0", {B: "20", C: "25"})]


def test_when_it_cannot_be_borne_nothing_is_taken() -> None:  # R25
    scene, old = short(WATERFALL, [(A, B, 60), (B, C, 50)], {A: 30}, pool=9, p0=9)
    assert scene.windows == [("HKD", 1, 1, "FAILED")]
    assert (int(scene.state.accounts.collateral[0, 0]), scene.state.assets[0].pool) == (9, 9)
    assert [scene.account(bank).position for bank in (A, B, C)] == [-60, 10, 50]
    (again,) = scene.settle("HKD", 1)
    assert again.entries == old.entries


def test_two_that_are_short_are_served_by_registration() -> None:  # R25
    """The pool is A's first. C pays for both, in each case by what it was owed by that one."""
    owed = [(A, C, 20), (B, C, 20), (B, D, 20)]
    scene, _ = short(WATERFALL, owed, {B: 12, A: 10}, pool=7, p1=2)
    assert bearing(scene) == [
        (A, "10", "0", "7", {C: "3"}),
        (B, "12", "2", "0", {C: "5", D: "5"}),
    ]
    (new,) = batches(scene.out)
    assert nets(new) == {A: -10, B: -28, C: 32, D: 15, "$COLLATERAL": -2, "$POOL": -7}


def test_what_one_has_borne_for_the_first_it_does_not_bear_again() -> None:  # R25
    """C is to get 20, and bears 15 for A: of B's 10 it bears 5, not 8, and D the rest."""
    owed = [(A, C, 20), (B, C, 20), (B, D, 5), (C, D, 20)]
    scene, _ = short(WATERFALL, owed, {A: 15, B: 10})
    assert bearing(scene) == [(A, "15", "0", "0", {C: "15"}), (B, "10", "0", "0", {C: "5", D: "5"})]
    scene, _ = short(WATERFALL, [*owed[:2], owed[3]], {A: 15, B: 10})
    assert scene.windows == [("HKD", 1, 1, "FAILED")]


def test_a_second_refusal_goes_on_where_the_first_ended() -> None:  # R25
    scene, _ = short(WATERFALL, THREE, {A: 50}, pool=30, p0=10)
    (second,) = batches(scene.out)
    scene.refuse(second, {A: 20})
    assert bearing(scene) == [(A, "20", "0", "0", {B: "12", C: "6", D: "2"})]
    (third,) = batches(scene.out)
    assert third.version == 3
    assert nets(third) == {A: -30, B: 42, C: 21, D: 7, "$COLLATERAL": -10, "$POOL": -30}
    scene.answer(third)
    assert scene.windows == [("HKD", 1, 3, "SETTLED")]


# What a ledger says → nothing is done but telling that the window has failed.
UNFIT: list[tuple[str, OnShortfall, dict[str, str]]] = [
    ("no rule", OnShortfall.HOLD, {A: "5"}),
    ("nobody", WATERFALL, {}),
    ("nobody to take out", RECAST, {}),
    ("nothing", WATERFALL, {A: "0"}),
    ("less than nothing", RECAST, {A: "-1"}),
    ("no amount", WATERFALL, {A: "five"}),
    ("a stranger", RECAST, {"NOBODY": "5"}),
    ("more than it owes", WATERFALL, {A: "101"}),
    ("one that is to receive", WATERFALL, {B: "1"}),
]


@pytest.mark.parametrize(("rule", "lacks"), [u[1:] for u in UNFIT], ids=[u[0] for u in UNFIT])
def test_what_a_ledger_says_is_not_believed_blindly(
    rule: OnShortfall, lacks: dict[str, str]
) -> None:  # R25
    scene, old = short(rule, THREE, {}, pool=50)
    if lacks:
        (again,) = scene.settle("HKD", 1)
        scene.answer(again, "REFUSED", short=lacks)
    assert [window[3] for window in scene.windows] == ["FAILED"]
    assert (scene.out.settlements, scene.out.resolutions, bearing(scene)) == ([], [], [])
    assert scene.state.assets[0].pool == 50
    assert scene.account(A).position == -100
    assert old.window == 1


@pytest.mark.parametrize("rule", [WATERFALL, RECAST])
def test_linked_windows_are_held(rule: OnShortfall) -> None:  # R20, R25
    scene = Scene(asset(on_shortfall=rule), asset("BOND", on_shortfall=rule), cap="99")
    scene.pair("BOND", "HKD")
    scene.pay(*trade())
    cash, _ = scene.close()
    scene.refuse(cash, {B: 5})
    assert scene.windows == [("HKD", 1, 1, "FAILED")]


@pytest.mark.parametrize("seed", range(20))
def test_shares_sum_exactly_by_largest_remainder(seed: int) -> None:  # R25
    rng = Random(seed)
    for _ in range(100):
        weights = {
            key: rng.randint(1, rng.choice((3, 50, 10**17))) for key in range(rng.randint(1, 6))
        }
        total = rng.randint(1, rng.choice((5, 1000, 10**18)))
        shares = proportional(total, weights)
        exact = {k: Fraction(total * w, sum(weights.values())) for k, w in weights.items()}
        assert sum(shares.values()) == total
        assert all(0 <= shares[k] - int(exact[k]) <= 1 for k in weights)
        more = {k for k in weights if shares[k] > int(exact[k])}
        rest = {k: (exact[k] - int(exact[k]), -k) for k in weights}
        assert all(rest[k] > rest[other] for k in more for other in weights.keys() - more)


@pytest.mark.parametrize("seed", range(20))
def test_nobody_bears_more_than_it_can_and_all_is_borne_if_it_can_be(seed: int) -> None:  # R25
    rng = Random(seed)
    for _ in range(100):
        weights = {key: rng.randint(1, 20) for key in range(rng.randint(0, 5))}
        most = {key: rng.randint(1, 20) for key in weights}
        loss = rng.randint(0, 60)
        shares = share_loss(loss, weights, most)
        if loss > sum(most.values()):
            assert shares is None
        else:
            assert shares is not None
            assert sum(shares.values()) == loss
            assert all(0 < units <= most[key] for key, units in shares.items())
