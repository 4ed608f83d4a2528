"""Decimal strings and minor units: exact both ways, or refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.money import MAX_SCALE, magnitude, parse, show

UNITS = st.integers(-(2**63), 2**63 - 1)
SCALES = st.integers(0, MAX_SCALE)

# text, scale → minor units; None: refused.
CASES = [
    ("0", 0, 0),
    ("0", 2, 0),
    ("12.5", 2, 1250),
    ("12.50", 2, 1250),
    ("-12.5", 2, -1250),
    ("0.000000001", 9, 1),
    ("999999999999999999", 0, 10**18 - 1),
    ("2305843009213693952", 0, 2**61),
    ("12.505", 2, None),
    ("1.0", 0, None),
    ("1.", 2, None),
    (".5", 2, None),
    ("01.00", 2, None),
    ("00", 2, None),
    ("+1", 2, None),
    ("--1", 2, None),
    ("1e2", 2, None),
    ("1_000", 2, None),
    (" 1", 2, None),
    ("1 ", 2, None),
    ("1\n", 2, None),
    ("1,5", 2, None),
    ("", 2, None),
    ("NaN", 2, None),
    ("Infinity", 2, None),
    ("٣", 2, None),
    ("1.٣", 2, None),
    ("9" * 20, 0, None),
]


@pytest.mark.parametrize(("text", "scale", "units"), CASES)
def test_parse(text: str, scale: int, units: int | None) -> None:
    assert parse(text, scale) == units


@given(UNITS, SCALES)
def test_what_is_shown_is_read_back(units: int, scale: int) -> None:
    text = show(units, scale)
    assert parse(text, scale) == units
    whole, _, fraction = text.removeprefix("-").partition(".")
    assert len(fraction) == scale
    assert whole == str(abs(units) // 10**scale)


@given(st.text(max_size=12) | st.from_regex(r"\A-?[0-9.]{0,12}\Z"), SCALES)
def test_what_is_read_is_shown_as_the_same_number(text: str, scale: int) -> None:
    units = parse(text, scale)
    if units is not None:
        assert Fraction(text) == Fraction(units, 10**scale)


@given(st.lists(UNITS, max_size=20))
def test_magnitudes_are_summed_beyond_64_bits(units: list[int]) -> None:
    assert magnitude(np.array(units, np.int64)) == sum(map(abs, units))
