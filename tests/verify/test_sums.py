"""Columns of money add up exactly, whatever their size, as Python's integers would (R30)."""

from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.money import MAX_AMOUNT
from clearing.verify.sums import (
    VALUE_SCALE,
    _few_decimals,
    _many_decimals,
    decimal_columns,
    group_sums,
    minor_units,
    show_value,
    values_by_asset,
)

rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, MAX_AMOUNT), st.integers(0, 18)), max_size=60
)


@given(rows)
def test_group_sums_are_those_of_a_loop(given_rows: list[tuple[int, int, int]]) -> None:
    """Sums past 2^63 included: 60 amounts of 18 digits are 6 * 10^19."""
    naive: dict[int, list[int]] = {}
    for key, amount, _ in given_rows:
        naive.setdefault(key, []).append(amount)
    keys, sums, counts = group_sums(
        np.array([row[0] for row in given_rows], np.int64),
        np.array([row[1] for row in given_rows], np.int64),
    )
    assert keys.tolist() == sorted(naive)
    assert sums == [sum(naive[key]) for key in sorted(naive)]
    assert counts.tolist() == [len(naive[key]) for key in sorted(naive)]


@given(rows)
def test_values_of_unlike_decimals_are_added_exactly(
    given_rows: list[tuple[int, int, int]],
) -> None:
    naive: dict[int, tuple[int, int]] = {}
    for asset, amount, decimals in given_rows:
        count, value = naive.get(asset, (0, 0))
        naive[asset] = (count + 1, value + amount * 10 ** (VALUE_SCALE - decimals))
    found = values_by_asset(
        np.array([row[0] for row in given_rows], np.int64),
        np.array([row[1] for row in given_rows], np.int64),
        np.array([row[2] for row in given_rows], np.uint8),
    )
    assert found == naive


@given(st.lists(st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,9})?", fullmatch=True), max_size=20))
def test_decimal_texts_become_digits_and_decimals(texts: list[str]) -> None:
    amount, decimals, readable = decimal_columns(texts)
    assert readable.all()
    for text, units, places in zip(texts, amount.tolist(), decimals.tolist(), strict=True):
        assert Decimal(units).scaleb(-places) == Decimal(text)
        assert places == len(text.partition(".")[2])


NO_PLAIN_DECIMALS = ["", "1e2", "-1", "1.", ".5", "1.2.3", " 1", "1\n", "1_0", "٣", "1" * 19]


@given(
    st.lists(st.sampled_from(NO_PLAIN_DECIMALS) | st.from_regex(r"[0-9.]{0,21}", fullmatch=True))
)
def test_few_decimal_texts_are_read_like_many(texts: list[str]) -> None:
    few, many = _few_decimals(texts), _many_decimals(texts)
    for some, same in zip(few, many, strict=True):
        assert some.dtype == same.dtype
        assert some.tolist() == same.tolist()


def test_what_is_no_plain_decimal_is_told() -> None:
    texts = ["1", *NO_PLAIN_DECIMALS, "0.12"]
    amount, decimals, readable = decimal_columns(texts)
    assert readable.tolist() == [True, *[False] * len(NO_PLAIN_DECIMALS), True]
    assert amount[[0, -1]].tolist() == [1, 12]
    assert decimals[[0, -1]].tolist() == [0, 2]


def test_minor_units_and_what_an_asset_cannot_hold() -> None:
    units, impossible = minor_units(
        np.array([125, 125, 10**17, 5, -1], np.int64),
        np.array([1, 3, 0, 0, 0], np.uint8),
        np.array([2, 2, 9, -1, 2], np.int64),
    )
    assert impossible.tolist() == [False, True, True, True, True]
    assert units[0] == 1250


def test_values_are_shown_without_zeros_nobody_wrote() -> None:
    assert show_value(0) == "0"
    assert show_value(1_500 * 10**15) == "1.5"
    assert show_value(10**18) == "1"
    assert show_value(1) == "0.000000000000000001"
