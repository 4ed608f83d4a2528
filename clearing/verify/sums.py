"""Exact sums over columns of amounts: NumPy adds in 64 bits, money may need more; nothing here can wrap."""

import re
from functools import lru_cache

import numpy as np
import pyarrow as pa
from pyarrow.compute import MatchSubstringOptions, ReplaceSubstringOptions, call_function

from clearing.core.inputs import I32, I64, U8, Bool
from clearing.core.money import parse, show

VALUE_SCALE = 18  # values of unlike decimals are added at this scale, in Python's integers

Values = dict[str, tuple[int, int]]  # asset -> count, value at VALUE_SCALE; asset "": unknown

_PLAIN = r"[0-9]{1,18}(\.[0-9]{1,18})?"
FEW = 100  # texts: up to so many a loop is quicker than Arrow, which reads the pattern again each time
_LOW = np.int64(0xFFFFFFFF)
_POWERS = np.array([10**i for i in range(19)], np.int64)

units_of = lru_cache(maxsize=1 << 14)(parse)  # the lines of a batch say each amount several times


def group_sums(keys: I64, amounts: I64) -> tuple[I64, list[int], I64]:
    """Distinct keys in order, exact sum of the amounts of each, and how many there are of each.

    Plain meaning: `for key, amount in zip(keys, amounts): sums[key] += amount; counts[key] += 1`.
    """
    distinct, place = np.unique(keys, return_inverse=True)
    # Halves of 32 bits: their sums stay exact for up to 2^31 rows.
    low, high = np.zeros(len(distinct), np.int64), np.zeros(len(distinct), np.int64)
    np.add.at(low, place, amounts & _LOW)
    np.add.at(high, place, amounts >> np.int64(32))
    sums = [(h << 32) + part for h, part in zip(high.tolist(), low.tolist(), strict=True)]
    return distinct, sums, np.bincount(place, minlength=len(distinct))


def values_by_asset(asset: I64 | I32, amounts: I64, decimals: U8) -> dict[int, tuple[int, int]]:
    """Per asset number (count, value at VALUE_SCALE) of amounts with their own decimals each."""
    keys = asset.astype(np.int64) * 32 + decimals
    result: dict[int, tuple[int, int]] = {}
    if not len(keys):
        return result
    distinct, sums, counts = group_sums(keys, amounts)
    for key, total, count in zip(distinct.tolist(), sums, counts.tolist(), strict=True):
        number, places = divmod(key, 32)
        before = result.get(number, (0, 0))
        result[number] = (before[0] + count, before[1] + total * 10 ** (VALUE_SCALE - places))
    return result


def add_values(into: Values, more: Values) -> None:
    """Add counts and values of the same assets."""
    for asset, (count, value) in more.items():
        before = into.get(asset, (0, 0))
        into[asset] = (before[0] + count, before[1] + value)


def show_value(value: int) -> str:
    """Decimal string of a value at VALUE_SCALE without the zeros nobody wrote."""
    return show(value, VALUE_SCALE).rstrip("0").rstrip(".")


def minor_units(amounts: I64, decimals: U8, scale: I64) -> tuple[I64, Bool]:
    """Amounts at their assets' scales, and where that is impossible (those are 0)."""
    missing = scale - decimals.astype(np.int64)
    factor = _POWERS[np.clip(missing, 0, 18)]
    impossible = (missing < 0) | (amounts > np.int64(1 << 62) // factor) | (amounts < 0)
    return np.where(impossible, 0, amounts) * factor, impossible


def decimal_columns(texts: list[str]) -> tuple[I64, U8, Bool]:
    """Digits, decimals and readability of plain decimal strings: "12.50" is (1250, 2, True)."""
    return _few_decimals(texts) if len(texts) <= FEW else _many_decimals(texts)


def _few_decimals(texts: list[str]) -> tuple[I64, U8, Bool]:
    numbers = np.array([_decimal(text) for text in texts], np.int64).reshape(-1, 3)
    digits, decimals, readable = numbers.T
    return digits.copy(), decimals.astype(np.uint8), readable.astype(np.bool_)


_is_plain = re.compile(_PLAIN).fullmatch


@lru_cache(maxsize=1 << 12)
def _decimal(text: str) -> tuple[int, int, bool]:
    """Of one, zeros if it is not readable."""
    if not _is_plain(text):
        return 0, 0, False
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    return (int(digits), len(fraction), True) if len(digits) <= VALUE_SCALE else (0, 0, False)


def _many_decimals(texts: list[str]) -> tuple[I64, U8, Bool]:
    column = pa.array(texts, pa.string())
    digits = call_function("replace_substring", [column], ReplaceSubstringOptions(".", ""))
    lengths = call_function("binary_length", [column]).to_numpy()
    length_of_digits = call_function("binary_length", [digits]).to_numpy()
    plain = call_function("match_substring_regex", [column], MatchSubstringOptions(f"^{_PLAIN}$"))
    readable: Bool = plain.to_numpy(zero_copy_only=False) & (length_of_digits <= VALUE_SCALE)
    usable = call_function("if_else", [pa.array(readable), digits, pa.scalar("0")])
    point = lengths - length_of_digits  # 1 where there is one
    place = call_function("find_substring", [column], MatchSubstringOptions(".")).to_numpy()
    decimals = np.where(readable & (point > 0), lengths - place - 1, 0).astype(np.uint8)
    return usable.cast(pa.int64()).to_numpy(), decimals, readable
