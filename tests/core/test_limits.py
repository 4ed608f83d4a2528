"""Limits: admit() equals its plain meaning for every input; sums stay exact (R8, R9)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.commands import CloseWindow, Fund
from clearing.core.inputs import I64
from clearing.core.limits import FITS, NO_HEADROOM, NO_ROOM, admit
from clearing.core.money import MAX_AMOUNT, MAX_UNSETTLED
from clearing.core.outputs import SettlementBatch
from clearing.core.reasons import Code
from tests.core.build import ALPHA, BETA, GAMMA, Bench, Row, batches, hkd

BANKS, ASSETS = 4, 2
Payment = tuple[int, int, int, int]  # debtor, creditor, asset, amount


def plain(headroom: list[int], room: list[int], payments: list[Payment]) -> list[int]:
    """The rule in words: room first, then headroom; what fits moves both."""
    headroom, room, results = list(headroom), list(room), []
    for debtor, creditor, asset, amount in payments:
        if room[asset] < amount:
            results.append(NO_ROOM)
        elif headroom[debtor] < amount:
            results.append(NO_HEADROOM)
        else:
            results.append(FITS)
            headroom[debtor] -= amount
            headroom[creditor] += amount
            room[asset] -= amount
    return results


def check(headroom: list[int], room: list[int], payments: list[Payment]) -> list[int]:
    columns = np.array(payments, np.int64).reshape(-1, 4).T
    scratch = np.zeros(len(headroom), np.int64)

    def of(accounts: I64) -> I64:
        return np.array(headroom, np.int64)[accounts]

    found = admit(of, room, scratch, *columns).tolist()
    assert found == plain(headroom, room, payments)
    assert not scratch.any()
    return found


def payments(amounts: st.SearchStrategy[int]) -> st.SearchStrategy[list[Payment]]:
    accounts = st.integers(0, BANKS * ASSETS - 1)
    one = st.tuples(accounts, accounts, amounts).filter(
        lambda p: p[0] != p[1] and p[0] % ASSETS == p[1] % ASSETS
    )
    return st.lists(one.map(lambda p: (p[0], p[1], p[0] % ASSETS, p[2])), max_size=30)


SMALL, ANY = st.integers(1, 9), st.integers(1, MAX_AMOUNT)
LIMITS = st.integers(-20, 40)


@given(
    st.lists(LIMITS, min_size=8, max_size=8),
    st.lists(st.integers(0, 150), min_size=2, max_size=2),
    payments(SMALL),
)
def test_admit_is_its_plain_meaning_where_limits_are_tight(
    headroom: list[int], room: list[int], rows: list[Payment]
) -> None:
    check(headroom, room, rows)


@given(
    st.lists(LIMITS | st.integers(0, MAX_UNSETTLED), min_size=8, max_size=8),
    st.lists(st.integers(0, MAX_UNSETTLED), min_size=2, max_size=2),
    payments(SMALL | ANY),
)
def test_admit_is_its_plain_meaning_for_amounts_of_18_digits(
    headroom: list[int], room: list[int], rows: list[Payment]
) -> None:
    check(headroom, room, rows)


@pytest.mark.parametrize("seed", range(6))
def test_admit_is_its_plain_meaning_for_thousands_of_rows(seed: int) -> None:
    """Large enough for the quick path, with one account in four at risk: both paths in one batch."""
    rng = np.random.default_rng(seed)
    n, accounts = 5000, 40
    debtor = rng.integers(0, accounts, n)
    creditor = (debtor + 2 * rng.integers(1, accounts // 2, n)) % accounts
    headroom = np.where(np.arange(accounts) % 4 == seed % 4, 300, 10**9).tolist()
    rows = np.stack((debtor, creditor, debtor % ASSETS, rng.integers(1, 1000, n)), 1)
    found = check(headroom, [MAX_UNSETTLED] * 2, [tuple(row) for row in rows.tolist()])
    assert set(found) == {FITS, NO_HEADROOM}


def test_nothing_to_admit() -> None:
    assert check([1], [1], []) == []


def test_sums_that_would_wrap_to_nothing() -> None:
    """32 times 2^59 is 2^64: an int64 says 0, and that everybody can pay it."""
    rows = [(0, 1, 0, 1 << 59)] * 32
    assert check([1 << 59, 0], [MAX_UNSETTLED], rows) == [FITS] + [NO_HEADROOM] * 31
    assert check([1 << 62, 0], [1 << 59], rows) == [FITS] + [NO_ROOM] * 31


EXACT = [
    # headroom per account, room, payments → result. Where a credit comes first, it may be spent.
    ([0, 0], [9], [(0, 1, 0, 1)], [NO_HEADROOM]),
    ([1, 0], [9], [(0, 1, 0, 1), (1, 0, 0, 1)], [FITS, FITS]),
    ([0, 1], [9], [(0, 1, 0, 1), (1, 0, 0, 1)], [NO_HEADROOM, FITS]),
    ([1, 0], [9], [(1, 0, 0, 1), (0, 1, 0, 1), (1, 0, 0, 1)], [NO_HEADROOM, FITS, FITS]),
    ([5, 0], [9], [(0, 1, 0, 3), (0, 1, 0, 3), (0, 1, 0, 2)], [FITS, NO_HEADROOM, FITS]),
    ([-3, 5], [9], [(1, 0, 0, 3), (0, 1, 0, 1)], [FITS, NO_HEADROOM]),
    ([9, 9], [4], [(0, 1, 0, 3), (1, 0, 0, 2), (1, 0, 0, 1)], [FITS, NO_ROOM, FITS]),
    ([0, 9], [0], [(0, 1, 0, 1)], [NO_ROOM]),
]


@pytest.mark.parametrize(("headroom", "room", "rows", "result"), EXACT)
def test_order_decides(
    headroom: list[int], room: list[int], rows: list[Payment], result: list[int]
) -> None:
    assert check(headroom, room, rows) == result


# --- through the engine ------------------------------------------------------------------------------------------


def test_a_credit_may_be_spent_in_the_same_record_and_not_before() -> None:
    bench = Bench(cap="0", held="0.01")
    codes = bench.pay(
        Row(1, BETA, GAMMA, 2),
        Row(2, ALPHA, BETA, 1),
        Row(3, BETA, GAMMA, 2),
        Row(4, GAMMA, ALPHA, 3),
    )
    assert codes == [Code.LIQUIDITY, Code.ACCEPTED, Code.ACCEPTED, Code.ACCEPTED]  # R8


def test_accounts_of_one_bank_in_two_assets_are_apart() -> None:
    bench = Bench(assets=(hkd(), hkd(id="CNH", code="CNH")), cap="0.01")
    rows = [Row(i, ALPHA, BETA, 1, asset) for i, asset in enumerate(("HKD", "CNH", "HKD", "CNH"))]
    assert bench.pay(*rows) == [Code.ACCEPTED] * 2 + [Code.NET_DEBIT_CAP] * 2  # R3


def settle(bench: Bench, n: int) -> SettlementBatch:
    (batch,) = batches(bench.control(CloseWindow(id=f"close-{n}", by="op")))
    bench.answer(batch)
    return batch


@pytest.mark.parametrize("scale", [0, 2, 9])
def test_thousands_of_amounts_of_18_digits(scale: int) -> None:
    """An int64 wraps after nine of them: only what can be counted is accepted, and the batch is exact."""
    bench = Bench(assets=(hkd(scale=scale),), cap="0")
    bench.state.accounts.cap[:, 0] = (
        MAX_UNSETTLED // 4
    )  # 5.7 * 10^17, more than one payment of half that
    amount = MAX_UNSETTLED // 8 + 1
    sides = (ALPHA, BETA)
    rows = [Row(i, sides[i % 2], sides[1 - i % 2], amount, decimals=scale) for i in range(3000)]
    codes = bench.pay(*rows)
    assert codes == [Code.ACCEPTED] * 7 + [Code.POSITION_RANGE] * 2993
    batch = settle(bench, 1)
    assert batch.payments == 7
    assert int(batch.gross.replace(".", "")) == 7 * amount
    assert [int(e.net.replace(".", "")) for e in batch.entries] == [-amount, amount]  # R1
    assert bench.account(ALPHA).position == 0
    again = [Row(10**4 + i, BETA, ALPHA, amount, decimals=scale) for i in range(2)]
    assert bench.pay(*again) == [Code.ACCEPTED] * 2  # settled value makes room again


def test_gross_value_up_to_the_last_unit() -> None:
    bench = Bench(assets=(hkd(scale=0),), cap=str(MAX_UNSETTLED // 4))
    left, debtor, creditor = MAX_UNSETTLED, ALPHA, BETA
    while left:
        units = min(left, MAX_UNSETTLED // 4 - 7)
        assert bench.pay(Row(left, debtor, creditor, units, decimals=0)) == [Code.ACCEPTED]
        left, debtor, creditor = left - units, creditor, debtor
    assert bench.pay(Row(0, debtor, creditor, 1, decimals=0)) == [Code.POSITION_RANGE]
    batch = settle(bench, 1)
    assert batch.gross == str(MAX_UNSETTLED)  # 19 digits
    assert bench.state.assets[0].unsettled == 0


def test_scale_9_with_its_largest_amount() -> None:
    bench = Bench(assets=(hkd(scale=9),), cap="0")
    most = "999999999.999999999"
    bench.control(Fund(id="f", by="op", participant=ALPHA, asset="HKD", amount=most))
    codes = bench.pay(
        Row(1, ALPHA, BETA, MAX_AMOUNT, decimals=9),
        Row(2, ALPHA, BETA, 1, decimals=9),
        Row(3, BETA, ALPHA, 999_999_999, decimals=0),
        Row(4, BETA, ALPHA, 10**9, decimals=0),
    )
    assert codes == [Code.ACCEPTED, Code.LIQUIDITY, Code.ACCEPTED, Code.OVER_MAXIMUM]
    batch = settle(bench, 1)
    assert [e.net for e in batch.entries] == ["-0.999999999", "0.999999999"]
