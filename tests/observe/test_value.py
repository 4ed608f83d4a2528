"""Money in log records is added up as a loop over the rows would; unread records are worth what came last."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.inputs import Kind, SourceSpan
from clearing.core.money import MAX_AMOUNT
from clearing.log import control, payments
from clearing.log.rows import RowBatch
from clearing.observe.value import NOTHING, Means, Money, Value, added, totals, value_of

BANKS = ("ALPHA", "BRAVO")
ASSETS = ("HKD", "COIN")


def packed(rows: list[tuple[int, str, int, int, Kind, int, int]]) -> bytes:
    """A log record. A row: source, asset, amount, decimals, kind, reject, source offset."""
    n = len(rows)
    column = list(zip(*rows, strict=True)) if rows else [()] * 7
    batch = RowBatch(
        id=np.arange(16 * n, dtype=np.uint8).reshape(n, 16),
        debtor=[BANKS[source] for source in column[0]],
        creditor=["CHARLIE"] * n,
        asset=list(column[1]),
        amount=np.array(column[2], np.int64),
        decimals=np.array(column[3], np.uint8),
        value_date=np.zeros(n, np.int32),
        priority=np.zeros(n, np.uint8),
        kind=np.array(column[4], np.uint8),
        end_to_end_id=[""] * n,
        chain_reference=None,
        expires_at_ms=np.zeros(n, np.int64),
        window=np.zeros(n, np.int32),
        source=np.array(column[0], np.int32),
        source_offset=np.array(column[6], np.int64),
        item=np.full(n, -1, np.int32),
        reject=np.array(column[5], np.uint8),
    )
    spans = [SourceSpan(f"payments.hk.{bank}", 0, 0, 1_000) for bank in BANKS]
    return payments.pack(batch, spans)


ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(ASSETS),
        st.integers(1, MAX_AMOUNT),
        st.integers(0, 9),
        st.sampled_from(list(Kind)),
        st.sampled_from([0, 0, 0, 20]),
        st.integers(0, 3),
    ),
    max_size=40,
).map(lambda rows: sorted(rows, key=lambda row: (row[0], row[6])))


@given(ROWS)
def test_as_a_loop_would(rows: list[tuple[int, str, int, int, Kind, int, int]]) -> None:
    expected: Money = {}
    for source, asset, amount, decimals, kind, reject, _ in rows:
        if not reject and kind <= Kind.RETURN:
            by_bank = expected.setdefault(asset, {})
            units = Decimal(amount).scaleb(-decimals)
            by_bank[BANKS[source]] = by_bank.get(BANKS[source], Decimal(0)) + units
    records = {bank: len({row[6] for row in rows if row[0] == at}) for at, bank in enumerate(BANKS)}
    found = value_of(payments.KEY, packed(rows))
    assert found.money == expected
    assert found.records == {bank: number for bank, number in records.items() if number}


def test_what_is_no_payment_has_no_value() -> None:
    assert value_of(control.KEY, b"whatever") == NOTHING
    assert value_of(None, b"") == NOTHING
    with pytest.raises(ValueError, match=r"Arrow|Expected|Invalid|ends early"):
        value_of(payments.KEY, b"no log record")


def test_sums() -> None:
    one: Money = {"HKD": {"ALPHA": Decimal(3), "BRAVO": Decimal(4)}}
    both = added([one, {"HKD": {"ALPHA": Decimal(1)}, "COIN": {"ALPHA": Decimal("0.5")}}])
    assert both == {
        "HKD": {"ALPHA": Decimal(4), "BRAVO": Decimal(4)},
        "COIN": {"ALPHA": Decimal("0.5")},
    }
    assert totals(both) == {"HKD": Decimal(8), "COIN": Decimal("0.5")}
    assert one == {"HKD": {"ALPHA": Decimal(3), "BRAVO": Decimal(4)}}  # untouched


def test_unread_records_are_worth_what_came_last() -> None:
    means = Means()
    assert means.estimate("ALPHA", 10) is None  # nothing known is not zero
    means.learn(Value({"HKD": {"ALPHA": Decimal(500)}}, {"ALPHA": 10, "BRAVO": 3}), 0.0)
    assert means.estimate("ALPHA", 4) == {"HKD": {"ALPHA": Decimal(200)}}
    assert means.estimate("BRAVO", 4) == {}  # it sent, but no money
    assert means.estimate("CHARLIE", 4) is None
    for _ in range(40):  # what was is forgotten
        means.learn(Value({"HKD": {"ALPHA": Decimal(10_000)}}, {"ALPHA": 1_000}), 0.0)
    assert means.estimate("ALPHA", 100) == {"HKD": {"ALPHA": Decimal(1_000)}}


def test_one_huge_payment_does_not_stay_in_the_estimate_for_minutes() -> None:
    """A billion among a thousand payments of 100; then some ten payments a second, as before it."""
    means = Means()
    means.learn(Value({"HKD": {"ALPHA": Decimal(1_000_100_000)}}, {"ALPHA": 1_000}), 0.0)
    for second in range(1, 301):
        means.learn(Value({"HKD": {"ALPHA": Decimal(1_000)}}, {"ALPHA": 10}), float(second))
    found = means.estimate("ALPHA", 10)
    assert found is not None
    assert Decimal(1_000) <= found["HKD"]["ALPHA"] <= Decimal(1_100)


def test_a_bank_that_is_silent_is_worth_what_it_was() -> None:
    means = Means()
    means.learn(Value({"HKD": {"ALPHA": Decimal(500)}}, {"ALPHA": 10}), 0.0)
    means.learn(Value({"HKD": {"BRAVO": Decimal(500)}}, {"BRAVO": 10}), 100_000.0)
    assert means.estimate("ALPHA", 4) == {"HKD": {"ALPHA": Decimal(200)}}
