"""Cover-1: who would pay what if one participant failed; nothing is changed by asking (R26)."""

import pytest

from clearing.core.commands import SetCollateral, SetPool
from clearing.core.drill import Failure, fail, largest_net_debtor, underway
from clearing.core.outputs import ShortfallEvent
from clearing.core.registry import SettlementModel
from clearing.core.shortfall import Bearing
from clearing.core.snapshot import dump
from tests.core.scenes import (
    ACCEPTED,
    BANKS,
    GROSS,
    NET,
    PAIRS,
    WATERFALL,
    A,
    B,
    C,
    D,
    Scene,
    asset,
    row,
)


def scene(model: SettlementModel = NET, **changes: object) -> Scene:
    """A owes B 60, C 30 and D 10; it has 20 and 7 of collateral, the pool 13."""
    found = Scene(asset(model=model, **changes), cap="1000")  # pyright: ignore[reportArgumentType]
    found.fund(A, 20)
    found.do(SetCollateral, participant=A, asset="HKD", amount="7")
    found.do(SetPool, asset="HKD", amount="13")
    rows = [row(1, A, B, 60), row(2, A, C, 30), row(3, A, D, 10)]
    assert found.pay(*rows) == [ACCEPTED] * 3
    return found


def ask(found: Scene, bank: str = A) -> Failure | None:
    before = b"".join(dump(found.state))
    failure = fail(found.state, BANKS.index(bank), 0)
    assert b"".join(dump(found.state)) == before
    return failure


def test_the_largest_net_debtor() -> None:  # R26
    found = Scene(asset(), cap="1000")
    assert largest_net_debtor(found.state, 0) is None
    found.pay(row(1, B, A, 5), row(2, C, A, 5), row(3, D, A, 4))
    assert largest_net_debtor(found.state, 0) == BANKS.index(B)  # the lower number among equals
    found.pay(row(4, D, A, 2))
    assert largest_net_debtor(found.state, 0) == BANKS.index(D)
    found.pay(row(5, A, D, 99))
    assert largest_net_debtor(found.state, 0) == BANKS.index(A)


@pytest.mark.parametrize("closed", [False, True], ids=["open", "under way"])
@pytest.mark.parametrize("model", [NET, PAIRS, GROSS], ids=["NET", "PAIRS", "GROSS"])
def test_who_would_pay_what(model: SettlementModel, closed: bool) -> None:  # R25, R26
    """100 are owed: 20 are there, then collateral, pool, and 60 by credits of 60 : 30 : 10."""
    found = scene(model)
    if closed:
        found.close()
    failure = ask(found)
    assert failure is not None
    assert (failure.owed, failure.prefunded, failure.lacking) == (100, 20, 80)
    assert failure.bearing == Bearing(7, 13, {1: 36, 2: 18, 3: 6})
    assert len(underway(found.state, A)) == closed


def test_who_owes_nothing_leaves_nothing_unpaid() -> None:
    found = scene()
    assert ask(found, B) is None
    found.pay(row(4, B, A, 60), row(5, C, A, 40))
    assert ask(found) is None


def test_what_is_final_is_owed_no_more() -> None:
    found = scene()
    (batch,) = found.close()
    found.answer(batch)
    assert ask(found) is None
    assert underway(found.state, A) == []


def test_windows_under_way_and_the_open_one_count_together() -> None:
    found = scene(on_shortfall=WATERFALL)
    found.close()
    found.pay(row(4, A, B, 40))
    failure = ask(found)
    assert failure is not None
    assert (failure.owed, failure.by_credits) == (140, True)
    assert failure.bearing == Bearing(7, 13, {1: 72, 2: 21, 3: 7})  # 71.4, 21.4, 7.1


def test_what_cannot_be_covered_says_so() -> None:
    """B, the only one that A owes, has passed on what it got: D bears nothing of it."""
    found = Scene(asset(on_shortfall=WATERFALL), cap="1000")
    assert found.pay(row(1, A, B, 50), row(2, B, D, 50)) == [ACCEPTED] * 2
    failure = ask(found)
    assert failure is not None
    assert (failure.lacking, failure.bearing) == (50, None)


def test_the_drill_says_what_the_waterfall_does() -> None:  # R25, R26
    found = scene(on_shortfall=WATERFALL)
    (batch,) = found.close()
    failure = ask(found)
    assert failure is not None
    assert failure.bearing is not None
    found.refuse(batch, {A: failure.lacking})
    (told,) = found.events(ShortfallEvent)
    assert (told.shortfall, told.collateral, told.pool) == ("80", "7", "13")
    survivors = {BANKS[q]: str(units) for q, units in failure.bearing.survivors.items()}
    assert told.survivors == survivors
