"""A ledger refuses a window for lack of funds: the payments of the short are taken out of it (R25)."""

from random import Random

import pytest

from clearing.core.batches import extend_members_root
from clearing.core.commands import SetCollateral, SetPool
from clearing.core.inputs import Kind
from clearing.core.outputs import SettlementBatch
from clearing.core.reasons import REASONS, Code
from clearing.core.registry import OnShortfall
from clearing.core.state import NO_HASH
from clearing.core.transfers import of_rows
from tests.core.build import linked
from tests.core.scenes import (
    ACCEPTED,
    BANKS,
    QUEUED,
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
)

PENDING = "PENDING_SETTLEMENT"


def recast() -> tuple[Scene, SettlementBatch, SettlementBatch]:
    """B is short: everything from or to it is taken out. What stays is of two records."""
    scene = Scene(asset(on_shortfall=RECAST), cap="100")
    scene.pay(row(1, A, B, 5), row(2, A, C, 7))
    scene.pay(row(3, B, C, 9), row(4, D, B, 1))
    scene.pay(row(5, C, D, 2, kind=Kind.TOKEN_TRANSFER), row(6, A, C, 1))
    (old,) = scene.close()
    scene.refuse(old, {B: 3})
    (new,) = batches(scene.out)
    return scene, old, new


def test_what_the_short_one_sent_and_got_is_taken_out() -> None:  # R25
    scene, old, new = recast()
    assert scene.windows == [("HKD", 1, 1, "ABORTED"), ("HKD", 1, 2, PENDING)]
    assert nets(new) == {A: -8, C: 6, D: 2}
    assert (new.payments, new.gross, new.version) == (3, "10", 2)
    assert (new.sequence, new.previous) == (old.sequence + 1, old.hash)  # R7
    assert [scene.account(bank).position for bank in (A, B, C, D)] == [-8, 0, 6, 2]
    assert scene.state.assets[0].unsettled == 10
    scene.answer(new)
    assert scene.windows == [("HKD", 1, 2, "SETTLED")]
    assert [scene.account(bank).prefunded for bank in (A, B, C, D)] == [-8, 0, 6, 2]


def test_the_root_is_one_link_over_what_is_left() -> None:  # R2, R25
    scene, _, new = recast()
    members = [(2, 0, 2, 7), (5, 2, 3, 2), (6, 0, 2, 1)]
    ids = [number.to_bytes(16, "little").hex() for number, *_ in members]
    rows = [(debtor, creditor, 0, units) for _, debtor, creditor, units in members]
    left = of_rows(scene.state, ids, rows)
    root = extend_members_root(NO_HASH, left.ids, left.debtor, left.creditor, left.units)
    assert new.members_root == root
    assert new.log_first < new.log_last


def test_those_taken_out_are_told() -> None:  # R25, R28
    scene, _, _ = recast()
    told = scene.out.resolutions
    assert scene.fates == [(1, Code.RECAST, ""), (3, Code.RECAST, ""), (4, Code.RECAST, "")]
    assert [(item.debtor, item.creditor, item.amount, item.window) for item in told] == [
        *((A, B, "5", 1), (B, C, "9", 1), (D, B, "1", 1)),
    ]
    assert REASONS[Code.RECAST].iso == "XREC"
    assert scene.pay(row(1, A, B, 5), row(2, A, C, 7)) == [Code.RECAST, ACCEPTED]


def test_a_window_of_which_nothing_is_left_is_settled() -> None:  # R4, R25
    scene = Scene(asset(on_shortfall=RECAST), cap="100")
    assert scene.pay(row(1, A, B, 5), row(2, B, C, 6)) == [ACCEPTED] * 2
    (old,) = scene.close()
    scene.refuse(old, {B: 1})
    assert scene.windows == [("HKD", 1, 1, "ABORTED"), ("HKD", 1, 2, "SETTLED")]
    assert (batches(scene.out), scene.state.pending) == ([], {})
    assert [scene.account(bank).position for bank in (A, B, C)] == [0, 0, 0]


def test_a_recast_window_may_be_recast_again() -> None:  # R25
    scene, _, second = recast()
    scene.refuse(second, {D: 1})
    (third,) = batches(scene.out)
    assert (third.version, nets(third)) == (3, {A: -8, C: 8})
    assert {item.creditor for item in scene.out.resolutions} == {D}


def test_what_was_spent_of_it_leaves_headroom_negative() -> None:  # R9, R25
    scene = Scene(asset(on_shortfall=RECAST))
    scene.fund(A, 5)
    assert scene.pay(row(1, A, B, 5), row(2, B, C, 5)) == [ACCEPTED] * 2
    (old,) = scene.close()
    assert scene.pay(row(3, C, D, 5)) == [ACCEPTED]
    scene.refuse(old, {B: 1})
    assert scene.left() == {A: 5, B: 0, C: -5, D: 5}
    assert scene.pay(row(4, A, C, 5)) == [ACCEPTED]
    assert len(scene.close()) == 1


def test_a_return_that_was_taken_out_may_be_made_again() -> None:  # R5, R25
    scene, paid = Scene(asset(on_shortfall=RECAST), cap="100"), row(1, A, B, 10)
    assert scene.pay(paid) == [ACCEPTED]
    (first,) = scene.close()
    scene.answer(first)
    assert scene.pay(paid.give_back(2, 10, decimals=0)) == [ACCEPTED]
    (second,) = scene.close()
    scene.refuse(second, {B: 1})
    assert scene.pay(paid.give_back(3, 10, decimals=0)) == [ACCEPTED]


def test_legs_of_one_link_stay_or_go_together() -> None:  # R20, R25
    """A circle in one asset is linked. Without A's payments, B's leg to C would be final alone."""
    scene = Scene(asset(on_shortfall=RECAST), cap="100")
    legs = linked(row(1, A, B, 5), row(2, B, C, 5), row(3, C, A, 5), link=1)
    assert scene.pay(*legs, row(4, A, B, 1), row(5, C, D, 1)) == [
        *(QUEUED, QUEUED, ACCEPTED, ACCEPTED, ACCEPTED),
    ]
    (old,) = scene.close()
    scene.refuse(old, {A: 1})
    assert (scene.fates, scene.windows) == ([], [("HKD", 1, 1, "FAILED")])


def test_another_rule_between_two_versions() -> None:  # R1, R25
    """After a waterfall payments cannot be taken out as if nobody had borne anything: the books must hold."""
    scene = Scene(asset(on_shortfall=WATERFALL), cap="100")
    scene.do(SetPool, asset="HKD", amount="30")
    assert scene.pay(row(1, A, B, 60), row(2, A, C, 40)) == [ACCEPTED] * 2
    (first,) = scene.close()
    scene.refuse(first, {A: 50})
    scene.register(asset(on_shortfall=RECAST))
    (second,) = (item.batch for item in scene.state.pending.values())
    scene.refuse(second, {A: 1})
    assert scene.pay(row(9, C, D, 1)) == [ACCEPTED]
    assert len(scene.close()) == 1


@pytest.mark.parametrize("rule", [WATERFALL, RECAST])
@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_ledger_refuses_the_books_hold(seed: int, rule: OnShortfall) -> None:
    """R1, R2, R25: random windows refused again and again; money is neither made nor lost."""
    rng, scene = Random(seed), Scene(asset(on_shortfall=rule), cap="1000")
    scene.do(SetPool, asset="HKD", amount=str(rng.randint(0, 20)))
    for bank in (A, B):
        scene.do(SetCollateral, participant=bank, asset="HKD", amount=str(rng.randint(0, 9)))
    for number in range(1, 9):
        debtor, creditor = rng.sample((A, B, C, D), 2)
        assert scene.pay(row(number, debtor, creditor, rng.randint(1, 50))) == [ACCEPTED]
    found = scene.close()
    while found and (owing := [bank for bank in BANKS if nets(found[-1]).get(bank, 0) < 0]):
        lacks = {
            bank: rng.randint(1, -nets(found[-1])[bank]) for bank in owing[: rng.randint(1, 2)]
        }
        if found[-1].version > 4:
            scene.answer(found[-1])
            break
        scene.refuse(found[-1], lacks)
        found = batches(scene.out) or scene.settle("HKD", 1) if scene.state.pending else []
    scheme = -sum(nets(found[-1]).get(name, 0) for name in ("$COLLATERAL", "$POOL")) if found else 0
    accounts = [scene.account(bank) for bank in BANKS]
    assert sum(account.prefunded + account.position for account in accounts) == scheme
    assert scene.pay(row(99, A, B, 1)) == [ACCEPTED]
    assert len(scene.close()) == 1  # and what is checked in production finds nothing
