"""Settlement models: what a batch consists of, and when it leaves (R6, R11, R18). Linked windows: test_joint.py."""

import hashlib
from itertools import pairwise
from typing import Any

import pytest

from clearing.core.entries import proved_lines
from clearing.core.outputs import Entry, SettlementBatch, WindowEvent
from clearing.core.reasons import Code
from clearing.core.registry import Delay, Granularity, Interchange, SettlementModel
from tests.core.scenes import (
    ACCEPTED,
    BYPASS,
    FIFO,
    GROSS,
    GROSS_NOW,
    NET,
    NET_NOW,
    PAIRS,
    PAIRS_NOW,
    QUEUED,
    A,
    B,
    C,
    Scene,
    asset,
    number,
    released,
    row,
)

MULTILATERAL, BILATERAL = Interchange.MULTILATERAL, Interchange.BILATERAL
EVERY = [SettlementModel(g, i, d) for g in Granularity for i in Interchange for d in Delay]


def name(model: SettlementModel) -> str:
    return "-".join((model.granularity, model.interchange, model.delay))


def lines(batch: SettlementBatch) -> list[tuple[Any, ...]]:
    """(participant, counterparty, net, debits, credits, sent, received, payment) of each entry."""
    proved_lines(batch)
    return [
        *(
            (e.participant, e.counterparty, e.net, e.debits, e.credits, e.sent, e.received)
            + ((number(e.payment),) if e.payment else ())
            for e in batch.entries
        )
    ]


# What each kind makes of: A to B 5, B to A 2, A to C 1, A to B 1.
MADE: dict[tuple[Granularity, Interchange], list[tuple[Any, ...]]] = {
    (Granularity.NET, MULTILATERAL): [
        (A, "", "-5", "7", "2", 3, 1),
        (B, "", "4", "2", "6", 1, 2),
        (C, "", "1", "0", "1", 0, 1),
    ],
    (Granularity.NET, BILATERAL): [
        (A, B, "-4", "6", "2", 2, 1),
        (B, A, "4", "2", "6", 1, 2),
        (A, C, "-1", "1", "0", 1, 0),
        (C, A, "1", "0", "1", 0, 1),
    ],
}
MADE[Granularity.GROSS, MULTILATERAL] = MADE[Granularity.GROSS, BILATERAL] = [
    *((A, B, "-5", "5", "0", 1, 0, 1), (B, A, "5", "0", "5", 0, 1, 1)),
    *((B, A, "-2", "2", "0", 1, 0, 2), (A, B, "2", "0", "2", 0, 1, 2)),
    *((A, C, "-1", "1", "0", 1, 0, 3), (C, A, "1", "0", "1", 0, 1, 3)),
    *((A, B, "-1", "1", "0", 1, 0, 4), (B, A, "1", "0", "1", 0, 1, 4)),
]


@pytest.mark.parametrize("model", EVERY, ids=name)
def test_every_model_settles_the_same_payments_its_own_way(model: SettlementModel) -> None:  # R6
    scene = Scene(asset(model=model), held="9")
    rows = [row(1, A, B, 5), row(2, B, A, 2), row(3, A, C, 1), row(4, A, B, 1)]
    assert scene.pay(*rows) == [ACCEPTED] * 4
    if model.delay is Delay.DEFERRED:
        assert scene.out.settlements == []
        scene.close()
    (batch,) = (item for item in scene.out.settlements if isinstance(item, SettlementBatch))
    assert lines(batch) == MADE[model.granularity, model.interchange]
    assert (batch.kind, batch.payments, batch.gross) == (model.granularity.lower(), 4, "9")
    assert (batch.part, batch.parts, batch.window, batch.linked) == (1, 1, 1, [])
    before = scene.left()
    scene.answer(batch)
    (told,) = scene.events(WindowEvent)
    multilateral = MADE[Granularity.NET, MULTILATERAL]
    assert told.entries == [Entry(p, *rest) for p, _, *rest in multilateral]
    assert (told.state, told.window, told.batch, told.hash) == ("SETTLED", 1, batch.id, batch.hash)
    assert scene.left() == before == {A: 4, B: 13, C: 10, "DELTHKHH": 9}  # R11
    assert [scene.account(bank).position for bank in (A, B, C)] == [0, 0, 0]
    assert scene.close() == []


# --- immediate (R6) ----------------------------------------------------------------------------------------------

IMMEDIATE = [NET_NOW, GROSS_NOW, PAIRS_NOW]


@pytest.mark.parametrize("model", IMMEDIATE, ids=name)
def test_a_window_for_each_record_that_accepts_something(model: SettlementModel) -> None:  # R6
    scene = Scene(asset(model=model), held="9")
    windows: list[tuple[str, int, int, str]] = []
    for rows in (
        [row(1, A, B, 10)],
        [row(2, A, B, 1), row(3, A, B, 99), row(4, B, C, 1)],
        [row(2, A, B, 1)],
        [row(5, C, A, 1)],
    ):
        scene.pay(*rows)
        windows += scene.windows
    scene.tick(scene.log.time_ms + 10**6)
    assert scene.windows == []
    pending = "PENDING_SETTLEMENT"
    assert windows == [("HKD", 1, 1, pending), ("HKD", 2, 1, pending)]
    assert [item.batch.payments for item in scene.state.pending.values()] == [2, 1]


@pytest.mark.parametrize("policy", [FIFO, BYPASS])
@pytest.mark.parametrize("model", IMMEDIATE, ids=name)
def test_what_a_queue_releases_is_settled_in_the_same_step(
    model: SettlementModel, policy: Any
) -> None:  # R6, R14
    scene = Scene(asset(model=model, queue=policy))
    assert scene.pay(row(1, A, B, 5), row(2, B, C, 5)) == [QUEUED] * 2
    assert scene.windows == []
    scene.fund(A, 5)
    assert scene.fates == released(1, 2, how="SINGLE")
    assert scene.windows == [("HKD", 1, 1, "PENDING_SETTLEMENT")]
    assert {item.window for item in scene.out.resolutions} == {1}


def test_the_records_own_rows_come_before_what_they_release() -> None:  # R2, R29
    scene = Scene(asset(model=GROSS_NOW, queue=FIFO))
    scene.fund(C, 9)
    assert scene.pay(row(1, A, B, 5)) == [QUEUED]
    assert scene.pay(row(2, C, A, 5), row(3, C, B, 1)) == [ACCEPTED] * 2
    (batch,) = (item for item in scene.out.settlements if isinstance(item, SettlementBatch))
    assert [number(entry.payment) for entry in batch.entries[::2]] == [2, 3, 1]


def test_models_mix_in_one_netting_set_and_their_batches_chain() -> None:  # R6, R7
    specs = asset(), asset("RTGS", model=GROSS_NOW), asset("PAIR", model=PAIRS)
    scene = Scene(*specs, held="9")
    first = scene.state.counters.batches
    found: list[SettlementBatch] = []
    scene.pay(*(row(i, A, B, 1, spec.id) for i, spec in enumerate(specs)))
    found += [item for item in scene.out.settlements if isinstance(item, SettlementBatch)]
    found += scene.close()
    assert [(batch.asset, batch.kind) for batch in found] == [
        *(("RTGS", "gross"), ("HKD", "net"), ("PAIR", "net")),
    ]
    assert [batch.sequence for batch in found] == [first + 1, first + 2, first + 3]
    assert [batch.previous for batch in found[1:]] == [batch.hash for batch in found[:-1]]


def test_a_model_changes_while_nothing_needs_it() -> None:  # R6
    scene = Scene(asset(), held="9")
    scene.register(asset(model=GROSS))
    assert scene.pay(row(1, A, B, 2), row(2, B, A, 2)) == [ACCEPTED] * 2
    (batch,) = scene.close()
    assert len(batch.entries) == 4
    scene.register(asset(model=NET))
    assert scene.pay(row(3, A, B, 2)) == [ACCEPTED]
    (batch,) = scene.close()
    assert (batch.kind, len(batch.entries)) == ("net", 2)


# --- parts of a gross window (R6) --------------------------------------------------------------------------------


def crowded(*sizes: int) -> tuple[Scene, list[SettlementBatch]]:
    """A gross window with a record of each size; A pays B 1 each time, and B pays A back."""
    scene, paid = Scene(asset(model=GROSS), held="9999"), 0
    for size in sizes:
        sides = ((A, B), (B, A))
        rows = [row(paid + i, *sides[i % 2], 1 + i % 2) for i in range(size)]
        assert set(scene.pay(*rows)) <= {ACCEPTED}
        paid += size
    return scene, scene.close()


# Payments of each record → of each part. A part is full with 1,000, and ends with the record that fills it.
CUTS = [
    ((600, 600, 600, 600), [1200, 1200]),
    ((999, 1), [1000]),
    ((1000, 1), [1000, 1]),
    ((1, 2500, 1), [2501, 1]),
    ((500, 499, 2, 5), [1001, 5]),
]


@pytest.mark.parametrize(("sizes", "parts"), CUTS)
def test_a_gross_window_is_cut_between_records(sizes: tuple[int, ...], parts: list[int]) -> None:
    _, found = crowded(*sizes)
    assert [batch.payments for batch in found] == parts
    assert [len(proved_lines(batch)) for batch in found] == [2 * n for n in parts]
    assert [(batch.part, batch.parts) for batch in found] == [
        (i, len(parts)) for i in range(1, len(parts) + 1)
    ]
    for batch in found:
        what = "hk|HKD|1|1" + (f"|{batch.part}" if len(parts) > 1 else "")
        assert batch.id == hashlib.sha256(what.encode()).hexdigest()[:32]
    for one, two in pairwise(found):
        assert (one.sequence + 1, one.hash) == (two.sequence, two.previous)  # R7
        assert one.log_last < two.log_first
    assert len({batch.members_root for batch in found}) == 1  # of the whole window
    assert all(batch.linked == [] for batch in found)


def test_a_window_is_final_when_all_its_parts_are() -> None:  # R4, R11
    scene, (one, two) = crowded(1000, 4)
    assert scene.windows == [("HKD", 1, 1, "PENDING_SETTLEMENT")]
    (pending,) = (e for e in scene.events(WindowEvent) if e.state == "PENDING_SETTLEMENT")
    assert (pending.batch, pending.payments, pending.gross) == (one.id, 1004, "1506")
    scene.answer(two)
    assert (scene.windows, scene.account(A).position) == ([], 502)
    scene.answer(one)
    (told,) = scene.events(WindowEvent)
    assert (told.state, told.batch, told.hash) == ("SETTLED", one.id, one.hash)
    assert (told.payments, told.gross) == (1004, "1506")
    assert told.entries == [
        Entry(A, "502", "502", "1004", 502, 502),
        Entry(B, "-502", "1004", "502", 502, 502),
    ]
    assert (scene.account(A).position, scene.account(A).prefunded) == (0, 9999 + 502)
    assert scene.state.assets[0].unsettled == 0


def test_a_part_that_fails_is_sent_again_alone() -> None:  # R4
    scene, (one, two) = crowded(1000, 4)
    scene.answer(one)
    scene.answer(two, "REFUSED", reason="AM04")
    (failed,) = scene.events(WindowEvent)
    assert (failed.state, failed.version, failed.batch, failed.payments) == (
        *("FAILED", 1, two.id, 4),
    )
    assert failed.entries == [Entry(A, "2", "2", "4", 2, 2), Entry(B, "-2", "4", "2", 2, 2)]
    (again,) = scene.settle("HKD", 1)
    assert (again.version, again.part, again.parts, again.entries) == (2, 2, 2, two.entries)
    assert again.id == hashlib.sha256(b"hk|HKD|1|2|2").hexdigest()[:32]
    scene.answer(again)
    (told,) = scene.events(WindowEvent)
    assert (told.state, told.version, told.payments) == ("SETTLED", 2, 1004)


# --- set-off (R18) -----------------------------------------------------------------------------------------------


def set_off(*owed: tuple[str, str, int]) -> dict[tuple[str, str], tuple[str, str]]:
    """(participant, counterparty) → (net, set_off) of a window with these payments."""
    scene = Scene(asset(model=PAIRS, set_off=True), held="99")
    rows = [row(i, *payment) for i, payment in enumerate(owed)]
    assert set(scene.pay(*rows)) == {ACCEPTED}
    (batch,) = scene.close()
    proved_lines(batch)
    plain = Scene(asset(), held="99")
    plain.pay(*rows)
    (multilateral,) = plain.close()
    # Nobody's net changes.
    sums: dict[str, int] = {}
    for entry in batch.entries:
        sums[entry.participant] = sums.get(entry.participant, 0) + int(entry.net)
    assert sums == {entry.participant: int(entry.net) for entry in multilateral.entries}
    scene.answer(batch)
    assert scene.windows == [("HKD", 1, 1, "SETTLED")]
    return {(e.participant, e.counterparty): (e.net, e.set_off) for e in batch.entries}


def test_a_circle_of_obligations_is_set_off() -> None:  # R18
    assert set_off((A, B, 5), (B, C, 7), (C, A, 6)) == {
        (A, B): ("0", "5"),
        (B, A): ("0", "-5"),
        (A, C): ("1", "-5"),
        (C, A): ("-1", "5"),
        (B, C): ("-2", "5"),
        (C, B): ("2", "-5"),
    }


def test_what_two_owe_each_other_is_set_off_in_circles_both_ways() -> None:  # R18
    assert set_off((A, B, 10), (B, A, 4), (B, C, 6), (C, A, 6)) == {
        (A, B): ("0", "6"),
        (B, A): ("0", "-6"),
        (A, C): ("0", "-6"),
        (C, A): ("0", "6"),
        (B, C): ("0", "6"),
        (C, B): ("0", "-6"),
    }


def test_the_longer_circle_clears_more_than_the_pair() -> None:  # R18
    """30 by the circle of three; 4 each way and the rest in the circle would clear 26. B still owes A its 4."""
    assert set_off((A, B, 10), (B, A, 4), (B, C, 10), (C, A, 10)) == {
        (A, B): ("4", "10"),
        (B, A): ("-4", "-10"),
        (A, C): ("0", "-10"),
        (C, A): ("0", "10"),
        (B, C): ("0", "10"),
        (C, B): ("0", "-10"),
    }


def test_where_there_is_no_circle_nothing_is_set_off() -> None:  # R18
    assert set_off((A, B, 5), (B, C, 7)) == {
        (A, B): ("-5", ""),
        (B, A): ("5", ""),
        (B, C): ("-7", ""),
        (C, B): ("7", ""),
    }


def test_headroom_is_by_what_is_owed_before_any_set_off() -> None:  # R8, R18
    """Set-off reduces what is paid at the ledger, not what was accepted."""
    scene = Scene(asset(model=PAIRS, set_off=True), held="5")
    codes = scene.pay(row(1, A, B, 5), row(2, B, C, 5), row(3, C, A, 5), row(4, A, B, 6))
    assert codes == [ACCEPTED, ACCEPTED, ACCEPTED, Code.LIQUIDITY]
