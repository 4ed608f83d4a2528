"""Money as integers of minor units: exact parsing and formatting of decimal strings (DESIGN.md §3).

No floats and no Decimal contexts: a wire amount either is representable at the asset's scale or is refused.
"""

import re

import numpy as np
import numpy.typing as npt

MAX_DIGITS = 18
MAX_AMOUNT = (
    10**MAX_DIGITS - 1
)  # fits int64 with room for one sum; ISO 20022 allows 18 digits (R39)
MAX_UNSETTLED = (
    1 << 61
)  # gross value of an asset that may be unsettled at once: keeps every int64 sum exact
MAX_SCALE = 9
_MAX_WHOLE_DIGITS = 19  # of an int64: sums such as a window's gross value are longer than an amount

_AMOUNT = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)


def parse(text: str, scale: int) -> int | None:
    """Minor units of a plain decimal string at `scale` decimals, or None if it is not exactly that."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if len(fraction) > scale or len(whole) > _MAX_WHOLE_DIGITS:
        return None
    units = int(whole + fraction.ljust(scale, "0"))
    return -units if sign else units


def show(units: int, scale: int) -> str:
    """Decimal string of minor units: show(-1250, 2) == "-12.50"."""
    sign = "-" if units < 0 else ""
    digits = str(abs(units)).rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else f"{sign}{digits}"


def magnitude(units: npt.NDArray[np.int64]) -> int:
    """Sum of absolute values, which may be more than 64 bits hold: of both halves by themselves.

    One by one they are dear where thousands of accounts are opened, each of which asks for this.
    """
    absolute = np.abs(units).view(np.uint64)  # of -2**63 too
    high, low = absolute >> np.uint64(32), absolute & np.uint64(0xFFFF_FFFF)
    return (int(high.sum()) << 32) + int(low.sum())
