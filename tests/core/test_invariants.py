"""What is checked in production at each batch: a breach halts and settles nothing (R1, R2, R8, R9)."""

from collections.abc import Callable
from typing import Any

import pytest

from clearing.core.commands import Fund, SetCap, SetReservation
from clearing.core.faults import Halt
from clearing.core.outputs import SettlementBatch
from clearing.core.registry import SettlementModel
from clearing.core.state import NettingSet
from tests.core.scenes import (
    ACCEPTED,
    GROSS,
    GROSS_NOW,
    NET,
    NET_NOW,
    PAIRS,
    PAIRS_NOW,
    WATERFALL,
    A,
    B,
    C,
    Scene,
    asset,
    row,
)

MODELS = {"NET": NET, "PAIRS": PAIRS, "GROSS": GROSS}
MODELS_NOW = {"NET": NET_NOW, "PAIRS": PAIRS_NOW, "GROSS": GROSS_NOW}


def scene(model: SettlementModel = NET, **changes: Any) -> Scene:
    """One window under way, payments in the next: A owes B, B owes C."""
    found = Scene(asset(model=model, **changes), held="10", cap="20")
    assert found.pay(row(1, A, B, 4)) == [ACCEPTED]
    found.close()
    assert found.pay(row(2, A, B, 5), row(3, B, C, 3)) == [ACCEPTED] * 2
    return found


def column(name: str, change: int, p: int = 0) -> Callable[[NettingSet], None]:
    def breach(state: NettingSet) -> None:
        getattr(state.accounts, name)[p, 0] += change

    return breach


def window(name: str, change: int) -> Callable[[NettingSet], None]:
    def breach(state: NettingSet) -> None:
        current = state.assets[0].window
        setattr(current, name, getattr(current, name) + change)

    return breach


ADDS_UP, LIMITS = "its position is not what its payments add up to", "it is beyond its limits"
COUNTS = "has 2 payments of 8, but its participants sent"
# What was damaged → what the halt says. R1: money made or lost in a position; R2: members against entries.
BREACHES: list[tuple[str, Callable[[NettingSet], None], str]] = [
    ("money made", column("position", 1), f"account {A} in HKD, {ADDS_UP}"),
    ("money lost", column("position", -1, p=2), f"account {C} in HKD, {ADDS_UP}"),
    ("a debit lost", column("debits", -1), ADDS_UP),
    ("a credit twice", column("credits", 5, p=1), ADDS_UP),
    ("a batch forgotten", column("underway", 4), ADDS_UP),
    ("one sent too many", column("sent", 1), COUNTS),
    ("one received less", column("received", -1, p=1), COUNTS),
    ("a payment not counted", window("payments", -1), "has 1 payments of 8, but"),
    ("gross value wrong", window("gross", 1), "has 2 payments of 9, but"),
    ("spent without cover", column("prefunded", -22), f"account {A} in HKD, {LIMITS}"),
    ("a cap that nobody set", column("cap", -22), LIMITS),
    ("nobody has money", column("position", 1, p=6), f"participant 6 in HKD, {ADDS_UP}"),
]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize(
    ("breach", "says"), [b[1:] for b in BREACHES], ids=[b[0] for b in BREACHES]
)
def test_a_breach_halts_before_a_batch_leaves(
    model: SettlementModel, breach: Callable[[NettingSet], None], says: str
) -> None:
    found = scene(model)
    sent = found.state.counters.batches
    breach(found.state)
    with pytest.raises(Halt, match=says):
        found.close()
    assert found.state.counters.batches == sent


@pytest.mark.parametrize("model", MODELS_NOW.values(), ids=MODELS_NOW)
def test_a_breach_halts_what_is_settled_at_once(model: SettlementModel) -> None:
    found = Scene(asset(model=model), held="10")
    assert found.pay(row(1, A, B, 4)) == [ACCEPTED]
    found.state.accounts.position[2, 0] += 1
    with pytest.raises(Halt, match=ADDS_UP):
        found.pay(row(2, A, B, 1))


@pytest.mark.parametrize("model", [PAIRS, GROSS], ids=["PAIRS", "GROSS"])
def test_entries_that_are_not_the_members_never_leave(model: SettlementModel) -> None:  # R2
    found = scene(model)
    (members,) = (found.state.members[key] for key in found.state.members)
    members.joined().units[0] += 1
    with pytest.raises(Halt, match="the entries of its window do not add up to its payments"):
        found.close()


def test_what_a_command_lowered_is_no_breach() -> None:  # R9
    found = scene()
    for change in (
        {"kind": SetCap, "net_debit_cap": "0"},
        {"kind": SetReservation, "reserved": "9"},
        {"kind": Fund, "amount": "-9"},
    ):
        assert found.do(participant=A, asset="HKD", **change) == ""
    assert found.account(A).headroom == -17
    assert len(found.close()) == 1
    # From there it may only become better: what is paid now was never covered.
    found.pay(row(4, B, A, 5))
    assert found.account(A).headroom == -12
    found.close()
    found.state.accounts.prefunded[0, 0] -= 1
    found.pay(row(5, C, B, 1))
    with pytest.raises(Halt, match=LIMITS):
        found.close()


def test_prefunding_the_ledger_refused_is_no_breach() -> None:  # R9
    found = Scene(asset())
    assert found.do(Fund, participant=A, asset="HKD", amount="5") == ""
    (batch,) = (item for item in found.out.settlements if isinstance(item, SettlementBatch))
    assert found.pay(row(1, A, B, 5)) == [ACCEPTED]
    found.answer(batch, "REFUSED")
    assert found.account(A).headroom == -5
    assert len(found.close()) == 1


def test_versions_of_a_window_and_a_waterfall_keep_the_books() -> None:  # R4, R25
    """Nothing is found in the books when batches fail, are sent again, bear a loss, and are posted."""
    found = scene(on_shortfall=WATERFALL)
    (first,) = (item.batch for item in found.state.pending.values())
    found.answer(first, "REFUSED", short={A: "3"})
    (second,) = (item.batch for item in found.state.pending.values())
    assert second.version == 2
    assert len(found.close()) == 1
    found.answer(second)
    assert found.close() == []
    assert (found.state.accounts.underway[:, 0].tolist())[:3] == [-5, 2, 3]
