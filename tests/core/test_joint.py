"""Windows that share links close together and are final together: nobody ever has one leg only (R20)."""

from itertools import permutations

import pytest

from clearing.core.commands import AbortWindow, SetCutoffs
from clearing.core.outputs import ConfirmationEvent, SettlementBatch
from clearing.core.reasons import Code
from clearing.core.registry import BisModel
from tests.core.build import NOON_MS, Row, linked
from tests.core.scenes import (
    ACCEPTED,
    BYPASS,
    DROP,
    FIFO,
    GROSS,
    GROSS_NOW,
    NET_NOW,
    PAIRS,
    QUEUED,
    A,
    B,
    C,
    Scene,
    asset,
    batches,
    row,
    trade,
)

PENDING, SETTLED = "PENDING_SETTLEMENT", "SETTLED"


def exchange() -> Scene:
    """HKD, BOND (gross) and CNH, each against HKD; EUR apart. Everybody has 99 of all."""
    specs = asset(), asset("BOND", model=GROSS), asset("CNH", model=PAIRS), asset("EUR")
    scene = Scene(*specs, held="99")
    scene.pair("BOND", "HKD", BisModel.GROSS_NET)
    scene.pair("CNH", "HKD", BisModel.NET_NET)
    return scene


def swap(link: int, first: int, one: str, other: str) -> list[Row]:
    return linked(row(first, A, B, 3, one), row(first + 1, B, A, 4, other), link=link)


def closed(scene: Scene, asset: str) -> dict[str, SettlementBatch]:
    return {batch.asset: batch for batch in scene.close(asset)}


# --- together (R20) ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asset_", ["HKD", "BOND"])
def test_closing_one_closes_the_other(asset_: str) -> None:  # R20
    scene = exchange()
    assert scene.pay(*trade(), row(8, A, B, 1, "CNH"), row(9, A, B, 1, "EUR")) == [
        *(QUEUED, ACCEPTED, ACCEPTED, ACCEPTED),
    ]
    found = closed(scene, asset_)
    assert scene.windows == [("HKD", 1, 1, PENDING), ("BOND", 1, 1, PENDING)]
    cash, bonds = found["HKD"], found["BOND"]
    assert (cash.linked, bonds.linked) == ([bonds.id], [cash.id])
    assert [item.window.number for item in scene.state.assets] == [2, 2, 1, 1]


def test_windows_without_common_links_close_alone() -> None:
    scene = exchange()
    assert scene.pay(*swap(1, 1, "HKD", "HKD"), row(8, A, B, 1, "BOND")) == [
        *(QUEUED, ACCEPTED, ACCEPTED),
    ]
    found = closed(scene, "HKD")
    assert found.keys() == {"HKD"}
    assert found["HKD"].linked == []


def test_what_is_bound_to_the_bound_closes_too() -> None:  # R20
    """BOND and CNH share no link, but both share one with HKD."""
    scene = exchange()
    scene.pay(*swap(1, 1, "BOND", "HKD"), *swap(2, 3, "HKD", "CNH"))
    found = closed(scene, "BOND")
    assert list(found) == ["HKD", "BOND", "CNH"]  # by registration
    for batch in found.values():
        assert set(batch.linked) == {other.id for other in found.values()} - {batch.id}
    assert [batch.sequence for batch in found.values()] == sorted(
        batch.sequence for batch in found.values()
    )


def test_a_bond_holds_for_one_window() -> None:
    scene = exchange()
    scene.pay(*trade())
    closed(scene, "BOND")
    scene.pay(row(8, A, B, 1), row(9, A, B, 1, "BOND"))
    assert closed(scene, "HKD").keys() == {"HKD"}


def test_all_that_is_due_closes_once() -> None:  # R4
    scene = exchange()
    for name in ("HKD", "BOND"):
        scene.do(SetCutoffs, asset=name, cutoffs_ms=[NOON_MS + 10])
    scene.pay(*trade(), *swap(2, 3, "HKD", "CNH"))
    scene.tick(NOON_MS + 10)
    assert scene.windows == [(name, 1, 1, PENDING) for name in ("HKD", "BOND", "CNH")]
    scene.pay(*trade(link=3, first=5))
    scene.close()
    assert [window[:2] for window in scene.windows] == [
        *(("HKD", 2), ("BOND", 2), ("CNH", 2), ("EUR", 1)),
    ]


def test_the_cutoff_of_one_is_no_cutoff_of_the_others_queue() -> None:  # R17, R20
    scene = Scene(asset(queue=FIFO, at_cutoff=DROP), asset("BOND", queue=FIFO, at_cutoff=DROP))
    scene.pair("BOND", "HKD")
    scene.fund(A, 7, "BOND")
    scene.fund(B, 5)
    assert scene.pay(*trade(), row(8, C, A, 1), row(9, C, A, 1, "BOND")) == [
        *(QUEUED, ACCEPTED, QUEUED, QUEUED),
    ]
    assert len(scene.close("BOND")) == 2
    assert scene.fates == [(9, Code.CUTOFF, "")]
    assert scene.queue(C) == [8]


def test_parts_of_a_gross_window_are_linked_with_the_other_window() -> None:  # R6, R20
    scene = exchange()
    scene.pay(*(row(100 + i, A, B, 1 + i % 2, "BOND") for i in range(60)))
    scene.pay(*(row(1000 + i, (A, B)[i % 2], (B, A)[i % 2], 1, "BOND") for i in range(1000)))
    scene.pay(*trade())
    found = scene.close("BOND")
    cash, *parts = found
    assert [batch.asset for batch in found] == ["HKD", "BOND", "BOND"]
    assert cash.linked == [part.id for part in parts]
    assert [part.linked for part in parts] == [[cash.id]] * 2
    assert finals(scene, [parts[1], cash, parts[0]]) == [[], [], ["HKD", "BOND"]]


@pytest.mark.parametrize("queue", [FIFO, BYPASS])
def test_what_is_settled_at_once_is_settled_together(queue: object) -> None:  # R6, R20
    scene = Scene(asset(model=NET_NOW, queue=queue), asset("BOND", model=GROSS_NOW, queue=queue))
    scene.pair("BOND", "HKD", BisModel.GROSS_NET)
    scene.fund(A, 7, "BOND")
    assert scene.pay(*trade()) == [QUEUED] * 2
    scene.fund(B, 5)
    cash, bonds = batches(scene.out)[-2:]
    assert (cash.asset, cash.linked, bonds.linked) == ("HKD", [bonds.id], [cash.id])
    assert scene.windows == [("HKD", 1, 1, PENDING), ("BOND", 1, 1, PENDING)]
    assert finals(scene, [bonds, cash]) == [[], ["HKD", "BOND"]]


# --- finality (R20, R23) -----------------------------------------------------------------------------------------


def finals(scene: Scene, answered: list[SettlementBatch]) -> list[list[str]]:
    """Assets whose window each POSTED makes final."""
    told: list[list[str]] = []
    for batch in answered:
        scene.answer(batch)
        told.append([name for name, _, _, state in scene.windows if state == SETTLED])
    return told


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_in_whatever_order_ledgers_answer_all_are_final_in_one_step(
    order: tuple[int, ...],
) -> None:  # R20, R23
    scene = exchange()
    scene.pay(*swap(1, 1, "BOND", "HKD"), *swap(2, 3, "HKD", "CNH"))
    found = list(closed(scene, "BOND").values())
    held = {name: scene.account(A, name).prefunded for name in ("HKD", "BOND", "CNH")}
    for at in order[:2]:
        scene.answer(found[at])
        assert scene.windows == []
        assert {name: scene.account(A, name).prefunded for name in held} == held
    scene.answer(found[order[2]])
    assert scene.windows == [(name, 1, 1, SETTLED) for name in ("HKD", "BOND", "CNH")]
    # R11: 4 and -3 in HKD, -3 bonds, 4 CNH.
    changed = {name: scene.account(A, name).prefunded - held[name] for name in held}
    assert changed == {"HKD": 1, "BOND": -3, "CNH": 4}
    assert scene.state.pending == {}


def half_failed() -> tuple[Scene, SettlementBatch, SettlementBatch]:
    """The cash has been posted, the bonds refused."""
    scene = exchange()
    scene.pay(*trade())
    found = closed(scene, "HKD")
    cash, bonds = found["HKD"], found["BOND"]
    scene.answer(cash)
    scene.answer(bonds, "REFUSED")
    assert scene.windows == [("BOND", 1, 1, "FAILED")]
    return scene, cash, bonds


def test_what_was_posted_waits_for_what_failed() -> None:  # R4, R20
    scene, cash, bonds = half_failed()
    assert (scene.account(B).prefunded, scene.account(B).position) == (99, -5)
    (again,) = scene.settle("BOND", 1)
    assert (again.version, again.linked) == (2, bonds.linked)
    assert finals(scene, [again]) == [["HKD", "BOND"]]
    assert scene.windows == [("HKD", 1, 1, SETTLED), ("BOND", 1, 2, SETTLED)]
    assert (scene.account(B).prefunded, scene.account(B).position) == (94, 0)
    assert cash.id not in scene.state.pending


def test_an_answer_to_what_was_posted_changes_nothing() -> None:
    scene, cash, _ = half_failed()
    for status, told, reason in (
        ("POSTED", "REPEATED", "the ledger has posted the batch before"),
        ("REFUSED", "REFUSED", "the batch is POSTED"),
    ):
        scene.answer(cash, status)
        (event,) = scene.events(ConfirmationEvent)
        assert (event.status, event.reason, scene.windows) == (told, reason, [])


def test_a_window_given_up_holds_the_other_and_may_be_sent_again() -> None:  # R4, R20
    scene, _, _ = half_failed()
    assert scene.do(AbortWindow, asset="HKD", window=1) == "window 1 of HKD has not failed"
    assert scene.do(AbortWindow, asset="BOND", window=1) == ""
    assert scene.windows == [("BOND", 1, 1, "ABORTED")]
    assert scene.do(AbortWindow, asset="BOND", window=1) == "window 1 of BOND has not failed"
    assert scene.account(B).position == -5
    (again,) = scene.settle("BOND", 1)
    assert finals(scene, [again]) == [["HKD", "BOND"]]


def test_groups_of_different_windows_are_apart() -> None:
    scene = exchange()
    scene.pay(*trade())
    first = closed(scene, "HKD")
    scene.pay(*trade(link=2, first=5))
    second = closed(scene, "HKD")
    assert finals(scene, [second["HKD"], first["BOND"], second["BOND"], first["HKD"]]) == [
        *([], [], ["HKD", "BOND"], ["HKD", "BOND"]),
    ]


def test_what_was_for_a_window_that_closes_with_another_ends() -> None:
    """R17, R20: BOND is not due, its window closes with HKD's; who named it will not be in its next one."""
    specs = asset(), asset("BOND", model=GROSS, queue=FIFO)
    scene = Scene(*specs, held="9")
    scene.pair("BOND", "HKD", BisModel.GROSS_NET)
    assert scene.pay(row(5, C, A, 99, "BOND", window=1), row(6, C, A, 98, "BOND")) == [QUEUED] * 2
    scene.pay(*trade())
    closed(scene, "HKD")
    assert scene.fates[-1:] == [(5, Code.CUTOFF, "")]
    assert scene.queue(C, "BOND") == [6]
