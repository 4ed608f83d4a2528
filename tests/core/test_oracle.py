"""The oracle is right where a person can see it: cases with their answers, and searches against brute force.

Where a case is told in log records, the engine goes along and has to say the same, byte by byte.
"""

import json
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.commands import (
    CloseWindow,
    ControlMessage,
    Fund,
    SetCollateral,
    SetPool,
    SettleWindow,
)
from clearing.core.reasons import Code
from clearing.core.registry import Granularity, OnShortfall, QueuePolicy, SettlementModel
from clearing.core.state import DAY_MS
from tests.core.build import ALPHA, BETA, GAMMA, NOON_MS, Row, hkd, linked, opening
from tests.core.oracle_books import Account, Books, Payment, Place, Seen, Valuation
from tests.core.oracle_both import Both
from tests.core.oracle_limits import value_lacks
from tests.core.oracle_release import greatest, queued
from tests.core.oracle_setoff import Debts, behind, check, most_cleared
from tests.core.oracle_shortfall import largest_remainder

CASES = json.loads((Path(__file__).parent / "oracles" / "gridlock.json").read_text())["cases"]
FIFO = hkd(queue=QueuePolicy.FIFO, scale=0)
BYPASS = QueuePolicy.BYPASS_FIFO
GROSS = hkd(model=SettlementModel(granularity=Granularity.GROSS), scale=0)


# --- gridlock ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_known_gridlocks_resolve_as_is_known(case: dict[str, Any]) -> None:  # R15
    opened: list[ControlMessage] = []
    for name, held in case["opening"].items():
        commands = opening((name,), (FIFO,), cap="0", held=str(held))
        opened += commands if not opened else commands[1:]
    both = Both(*opened)
    rows = [
        Row(i, payer, payee, amount, decimals=0)
        for i, (payer, payee, amount) in enumerate(case["queue"])
    ]
    assert set(both.pay(*rows)) <= {Code.QUEUED, Code.ACCEPTED}
    left = {payment.id for payment in both.books.waiting}
    assert [i for i in range(len(rows)) if i not in left] == case["released"]
    assert {name: both.held_and_owed(name) for name in case["opening"]} == case["closing"]


def books_of(balances: list[int], owed: list[tuple[int, int, int, int]]) -> Books:
    """owed: (payer, payee, units, priority) in order of arrival."""
    books = Books("hk")
    opened = Both(RegisterHkd)
    books.assets = opened.books.assets
    books.status = {str(i): "ACTIVE" for i in range(len(balances))}
    books.accounts = {(str(i), "HKD"): Account(held) for i, held in enumerate(balances)}
    for i, (payer, payee, units, priority) in enumerate(owed):
        payment = Payment(
            id=i,
            kind=1,
            debtor=str(payer),
            creditor=str(payee),
            asset="HKD",
            units=units,
            priority=priority,
            expires_at_ms=0,
            asked_window=0,
            value_date=0,
            sent=(units, priority),
            place=Place(0, 0, ("", 0, 0, -1), ("", "")),
            seen=Seen(i, 0, 0, 1),
            arrival=i,
            queued=True,
        )
        books.waiting.append(payment)
    return books


RegisterHkd = opening((), (FIFO,))[0]


@given(
    st.lists(st.integers(-2, 6), min_size=3, max_size=4),
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 2), st.integers(1, 9), st.integers(0, 2)),
        max_size=8,
    ),
)
def test_the_greatest_set_is_the_greatest(
    balances: list[int], drawn: list[tuple[int, int, int, int]]
) -> None:
    """R15: of all beginnings of all queues that leave nobody who pays below zero."""
    n = len(balances)
    owed = [(a % n, (a + b) % n, units, priority) for a, b, units, priority in drawn]
    books = books_of(balances, owed)
    queues = [books.queue(name, "HKD") for name in books.status]
    feasible: list[set[int]] = []
    for lengths in product(*(range(len(queue) + 1) for queue in queues)):
        chosen = [p for queue, k in zip(queues, lengths, strict=True) for p in queue[:k]]
        after = list(balances)
        for p in chosen:
            after[int(p.debtor)] -= p.units
            after[int(p.creditor)] += p.units
        if all(after[int(p.debtor)] >= 0 for p in chosen):
            feasible.append({p.id for p in chosen})
    best = {p.id for p in greatest(books, queued(books))}
    assert best in feasible
    assert all(set_ <= best for set_ in feasible)


# --- set-off, shares, value --------------------------------------------------------------------------------------


@given(st.dictionaries(st.tuples(*[st.sampled_from("ABC")] * 2), st.integers(1, 3), max_size=6))
def test_no_set_off_clears_more(drawn: Debts) -> None:  # R18
    owed = {pair: units for pair, units in drawn.items() if pair[0] != pair[1]}
    most = 0
    for units in product(*(range(n + 1) for n in owed.values())):
        cleared = dict(zip(owed, units, strict=True))
        net = dict.fromkeys("ABC", 0)
        for (debtor, creditor), n in cleared.items():
            net[debtor] -= n
            net[creditor] += n
        if not any(net.values()):
            most = max(most, sum(cleared.values()))
    cleared = most_cleared(owed)
    check(owed, dict.fromkeys(owed, 0) | cleared, most)
    shown = {
        (d, c): more
        for d, c in owed
        if (more := cleared.get((d, c), 0) - cleared.get((c, d), 0)) > 0
    }
    assert sum(behind(owed, shown).values()) == most


@given(
    st.integers(0, 10**20),
    st.dictionaries(st.text("abc", min_size=1), st.integers(1, 10**18), min_size=1, max_size=5),
)
def test_shares_are_whole_and_sum_up(total: int, weights: dict[str, int]) -> None:  # R25
    shares = largest_remainder(total, weights)
    assert sum(shares.values()) == total
    whole = sum(weights.values())
    assert all(abs(shares[n] - Fraction(total * w, whole)) < 1 for n, w in weights.items())


def test_ties_of_remainders_go_by_order() -> None:  # R25
    assert largest_remainder(10, {"b": 1, "a": 1, "c": 1}) == {"b": 4, "a": 3, "c": 3}
    assert largest_remainder(5, {"a": 1, "b": 2, "c": 3}) == {"a": 1, "b": 2, "c": 2}


@pytest.mark.parametrize(
    ("balance", "lacks"),
    # 100 whole units at 2.00 with a haircut of 10 % are worth 180 where they are held; a debt weighs 1.05.
    [(0, False), (-171_42, False), (-171_43, True), (50, False)],
)
def test_the_value_of_positions_covers_debts(balance: int, lacks: bool) -> None:  # R10
    books = books_of([], [])
    books.assets = {
        "HKD": books.assets["HKD"],
        "USD": Both(*opening((), (hkd(),))).books.assets["HKD"],
    }
    books.valuations = {
        "HKD": Valuation(Fraction(2), 1_000, None),
        "USD": Valuation(Fraction(1), 500, None),
    }
    books.short_limits = {ALPHA: Fraction(1_000)}
    books.accounts = {(ALPHA, "HKD"): Account(100), (ALPHA, "USD"): Account(balance)}
    assert value_lacks(books, ALPHA, []) is lacks


def test_short_limits_bind_each_asset_and_all_of_them() -> None:  # R10
    books = books_of([], [])
    books.valuations = {"HKD": Valuation(Fraction(2), 0, 5)}
    books.short_limits = {ALPHA: Fraction(8)}
    books.accounts = {(ALPHA, "HKD"): Account(-4)}
    assert value_lacks(books, ALPHA, [])  # a value below zero is never covered
    books.assets["USD"] = books.assets["HKD"]
    books.valuations["USD"] = Valuation(Fraction(1), 0, None)
    books.accounts[ALPHA, "USD"] = Account(100)
    assert not value_lacks(books, ALPHA, [])
    books.accounts[ALPHA, "HKD"] = Account(-5)
    assert value_lacks(books, ALPHA, [])  # worth 10, all shorts together at most 8
    books.short_limits[ALPHA] = Fraction(100)
    assert not value_lacks(books, ALPHA, [])
    books.accounts[ALPHA, "HKD"] = Account(-6)
    assert value_lacks(books, ALPHA, [])  # the asset's own limit


# --- told in log records -----------------------------------------------------------------------------------------


def test_a_gross_window_leaves_in_parts_and_is_settled_as_one() -> None:
    """R6: 1,000 payments fill a part; a log record is not torn. R4, R11: settled when all parts are posted."""
    both = Both(*opening((ALPHA, BETA, GAMMA), (GROSS,), cap="100000"))
    for record in range(5):
        first = 1 + 400 * record
        both.pay(*(Row(first + i, ALPHA, BETA, 1, decimals=0) for i in range(400)))
    said = both.control(CloseWindow(id="close", by="op"))
    assert [batch["payments"] for batch in said.batches] == [1200, 800]
    assert [(batch["part"], batch["parts"]) for batch in map(with_part, said.batches)] == [
        (1, 2),
        (2, 2),
    ]
    first_part, second = said.batches
    assert both.answer(second).windows == []
    assert both.answer(second).answers == ["REPEATED"]
    (failed,) = both.answer(first_part, "REFUSED").windows
    assert (failed["state"], failed["payments"]) == ("FAILED", 1200)
    again = both.control(SettleWindow(id="again", by="op", asset="HKD", window=1))
    (sent,) = map(with_part, again.batches)
    assert (sent["version"], sent["part"], sent["payments"]) == (2, 1, 1200)
    assert both.books.accounts[ALPHA, "HKD"].position == -2000
    (settled,) = both.answer(sent).windows
    assert (settled["state"], settled["payments"], settled["gross"]) == ("SETTLED", 2000, "2000")
    assert both.books.accounts[ALPHA, "HKD"].held == -2000


def with_part(batch: dict[str, Any]) -> dict[str, Any]:
    return {"part": 1, "parts": 1} | batch


def test_an_instruction_knows_the_rows_before_it_and_no_others() -> None:  # R23, R28
    both = Both(*opening((ALPHA, BETA, GAMMA), (FIFO,), cap="10"))
    paid, waits = Row(1, ALPHA, BETA, 4, decimals=0), Row(2, GAMMA, BETA, 99, decimals=0)
    later = Row(3, ALPHA, BETA, 1, decimals=0)
    codes = both.pay(
        later.cancel(10),
        *(paid, paid.cancel(11), paid.cancel(12)),
        *(waits, waits, waits.cancel(13), waits),
        later,
        paid.give_back(14, 5),
        paid.give_back(15, 3),
        paid.give_back(16, 2),
        paid.cancel(11).answer(17),
    )
    assert codes == [
        Code.NO_ORIGINAL,
        *(Code.ACCEPTED, Code.REQUESTED, Code.NOT_WAITING),
        *(Code.QUEUED, Code.QUEUED, Code.DONE, Code.CANCELLED),
        Code.ACCEPTED,
        *(Code.RETURN_EXCEEDS, Code.ACCEPTED, Code.RETURN_EXCEEDS),
        Code.DONE,
    ]


def test_what_was_returned_is_remembered_as_long_as_the_original() -> None:
    """R5: a day from which something still waits is not forgotten, and neither is what was returned of it."""
    both = Both(*opening((ALPHA, BETA, GAMMA), (FIFO,), cap="10"))
    paid = Row(1, ALPHA, BETA, 4, decimals=0)
    assert both.pay(paid, Row(2, GAMMA, BETA, 99, decimals=0), paid.give_back(3, 4)) == [
        Code.ACCEPTED,
        Code.QUEUED,
        Code.ACCEPTED,
    ]
    both.log.time_ms = NOON_MS + 30 * DAY_MS
    assert both.pay(paid.give_back(4, 4, value_date=paid.value_date + 30)) == [Code.RETURN_EXCEEDS]


def test_what_waits_counts_towards_what_can_be_counted() -> None:
    """Unsettled and queued value of an asset stay within 2^61, legs that wait for others included."""
    most = 10**18 - 1
    both = Both(*opening((ALPHA, BETA, GAMMA), (FIFO, hkd(id="TOK", code="TOK", queue=BYPASS))))
    one, other = linked(
        Row(1, ALPHA, BETA, most, decimals=0), Row(2, BETA, ALPHA, most, decimals=0), link=9
    )
    third = Row(3, GAMMA, BETA, 2**61 - 2 * most + 1, decimals=0)
    assert both.pay(one, other, third, replace(third, id=4, amount=third.amount - 1)) == [
        Code.QUEUED,
        Code.ACCEPTED,
        Code.POSITION_RANGE,
        Code.QUEUED,
    ]
    assert both.pay(Row(5, BETA, ALPHA, 1, decimals=0)) == [Code.POSITION_RANGE]
    assert both.pay(Row(6, BETA, ALPHA, most, "TOK")) == [Code.QUEUED]
    both.control(CloseWindow(id="close", by="op", asset="HKD"))
    assert both.pay(Row(7, BETA, ALPHA, 1, decimals=0)) == [Code.POSITION_RANGE]
    (batch,) = (part.batch for part in both.books.pending.values())
    both.answer(batch)
    assert both.pay(Row(8, BETA, ALPHA, 1, decimals=0)) == [Code.ACCEPTED]


def test_a_leg_that_cannot_be_counted_ends_its_link() -> None:  # R20
    most = 10**18 - 1
    both = Both(*opening((ALPHA, BETA, GAMMA), (FIFO,)))
    one, other = linked(
        Row(1, ALPHA, BETA, 5, decimals=0), Row(2, BETA, ALPHA, most, decimals=0), link=9
    )
    big = [Row(3 + i, GAMMA, BETA, most, decimals=0) for i in range(2)]
    assert both.pay(*big, one) == [Code.QUEUED] * 3
    assert both.pay(other) == [Code.POSITION_RANGE]
    assert [payment.id for payment in both.books.waiting] == [3, 4]
    assert both.pay(one) == [Code.LINK_REFUSED]


def test_a_return_that_was_taken_out_may_be_made_again() -> None:  # R5, R25
    spec = hkd(scale=0, on_shortfall=OnShortfall.RECAST)
    both = Both(*opening((ALPHA, BETA, GAMMA), (spec,), cap="10"))
    paid = Row(1, ALPHA, BETA, 4, decimals=0)
    both.pay(paid)
    both.control(CloseWindow(id="first", by="op"))
    assert both.pay(paid.give_back(2, 4), Row(3, GAMMA, ALPHA, 1, decimals=0)) == [
        Code.ACCEPTED,
        Code.ACCEPTED,
    ]
    said = both.control(CloseWindow(id="second", by="op"))
    assert both.pay(paid.give_back(4, 1)) == [Code.RETURN_EXCEEDS]
    both.answer(said.batches[0], "REFUSED", short={BETA: "4"})
    assert both.pay(paid.give_back(2, 4)) == [Code.RECAST]
    assert both.pay(paid.give_back(5, 3), paid.give_back(6, 2)) == [
        Code.ACCEPTED,
        Code.RETURN_EXCEEDS,
    ]


def test_who_was_answered_may_ask_again() -> None:  # R23
    both = Both(*opening((ALPHA, BETA, GAMMA), (FIFO,), cap="10"))
    paid = Row(1, ALPHA, BETA, 4, decimals=0)
    asked = paid.cancel(2)
    assert both.pay(paid, asked, asked.answer(3), asked.answer(4), paid.cancel(5)) == [
        Code.ACCEPTED,
        Code.REQUESTED,
        Code.DONE,
        Code.NO_REQUEST,
        Code.REQUESTED,
    ]


def test_prefunding_that_comes_back_lets_the_queue_go_on() -> None:  # R11, R14
    both = Both(*opening((ALPHA, BETA, GAMMA), (FIFO,), cap="0", held="10"))
    out = Fund(id="out", by="op", participant=ALPHA, asset="HKD", amount="-8")
    (taken,) = both.control(out).batches
    assert both.pay(Row(1, ALPHA, BETA, 9, decimals=0)) == [Code.QUEUED]
    (released,) = both.answer(taken, "REFUSED").resolutions
    assert (released["how"], released["amount"]) == ("SINGLE", "9")


def test_collateral_comes_before_the_pool_and_the_pool_before_survivors() -> None:  # R25
    spec = hkd(scale=0, on_shortfall=OnShortfall.WATERFALL)
    cover: list[ControlMessage] = [
        SetCollateral(id="collateral", by="op", participant=ALPHA, asset="HKD", amount="3"),
        SetPool(id="pool", by="op", asset="HKD", amount="5"),
    ]
    both = Both(*opening((ALPHA, BETA, GAMMA), (spec,), cap="20"), *cover)
    both.pay(Row(1, ALPHA, BETA, 8, decimals=0), Row(2, ALPHA, GAMMA, 4, decimals=0))
    (batch,) = both.control(CloseWindow(id="close", by="op")).batches
    for lack, collateral, pool, survivors in (
        ("4", "3", "1", {}),
        ("7", "0", "4", {BETA: "2", GAMMA: "1"}),
    ):
        said = both.answer(batch, "REFUSED", short={ALPHA: lack})
        (told,) = said.shortfalls
        assert (told["collateral"], told["pool"], told["survivors"]) == (
            collateral,
            pool,
            survivors,
        )
        (batch,) = said.batches
    both.answer(batch)
    assert [both.held_and_owed(name) for name in (ALPHA, BETA, GAMMA)] == [-1, 6, 3]
