"""Columns to columns of text: the string kernels the status records are put together with. Pure, no business.

Every function takes and gives whole columns of n rows; none looks at a row by itself but where that is rare.
"""

from collections.abc import Callable

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow.compute import call_function

from clearing.core.inputs import I64, U8, U64
from clearing.core.money import show

_POWERS_OF_TEN = np.array([10**i for i in range(19)], np.uint64)
# Four hex digits of each pair of bytes, as one number.
_HEX = np.frombuffer(
    "".join(f"{low:02x}{high:02x}" for high in range(256) for low in range(256)).encode(), "<u4"
)
_UUID = "________-____-____-____-____________"
_UUID_GROUPS = (8, 4, 4, 4, 12)


def join(*texts: pa.Array | str) -> pa.Array:
    """Each row's texts behind one another; a str stands in every row."""
    return call_function("binary_join_element_wise", [*texts, ""])


def optional(before: str, texts: pa.Array, behind: str) -> list[pa.Array]:
    """To be joined: each row's text between the two; nothing at all where it is empty."""
    present = (call_function("binary_length", [texts]).to_numpy() > 0).view(np.uint8)
    return [named(["", before], present), texts, named(["", behind], present)]


def named(names: list[str], index: np.ndarray) -> pa.Array:
    """names[index] of each row."""
    return pa.array(names, pa.string()).take(pa.array(index))


def look_up(keys: np.ndarray, size: int, text: Callable[[int], str]) -> pa.Array:
    """text(key) of each row, computed once per key that occurs (0 <= key < size)."""
    present = np.flatnonzero(np.bincount(keys, minlength=size))
    place = np.zeros(size, np.int32)
    place[present] = np.arange(len(present), dtype=np.int32)
    return named([text(key) for key in present.tolist()], place[keys])


def replace(texts: pa.Array, places: list[int], others: list[bytes]) -> pa.Array:
    """The texts with those at `places`, ascending, replaced by `others`. The rest is copied by the stretch."""
    assert texts.offset == 0
    _, ends, data = texts.buffers()
    at = np.frombuffer(ends, np.int32, len(texts) + 1)
    text = memoryview(data or b"")
    parts: list[bytes | memoryview] = []
    copied = 0
    for start, end, other in zip(at[places], at[np.add(places, 1)], others, strict=True):
        parts += [text[copied:start], other]
        copied = end
    parts.append(text[copied : at[-1]])
    longer = np.zeros(len(texts) + 1, np.int32)
    longer[np.add(places, 1)] = np.fromiter(map(len, others), np.int32) - np.diff(at)[places]
    moved = at + np.cumsum(longer, dtype=np.int32)
    buffers = [None, pa.py_buffer(moved), pa.py_buffer(b"".join(parts))]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


def digits(numbers: np.ndarray) -> pa.Array:
    """Integers as text."""
    return pa.array(numbers).cast(pa.string())


def uuids(ids: U64, before: str) -> pa.Array:
    """`before` and the canonical text of each UUID. ids: (n, 2), the 16 bytes of each."""
    template = np.frombuffer((before + _UUID).encode(), np.uint8)
    n, width = len(ids), len(template)
    hexadecimal = _HEX.take(ids.view("<u2")).view(np.uint8)
    texts = np.empty((n, width), np.uint8)
    texts[:] = template
    at, digit = len(before), 0
    for length in _UUID_GROUPS:
        texts[:, at : at + length] = hexadecimal[:, digit : digit + length]
        at, digit = at + length + 1, digit + length
    ends = np.arange(0, (n + 1) * width, width, dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), n, [None, pa.py_buffer(ends), pa.py_buffer(texts)])


def amounts(amount: I64, decimals: U8) -> pa.Array:
    """Decimal text of amount / 10**decimals, row by row: clearing.core.money.show. amount >= 0, decimals <= 18.

    All digits are written as one number with a 0 where the point belongs, and the point is put over it.
    """
    fractional = decimals > 0
    if not fractional.any():
        return digits(amount)
    power = _POWERS_OF_TEN[decimals]
    whole, fraction = np.divmod(amount.astype(np.uint64), power)
    numbers = np.where(fractional, whole * power * np.uint64(10) + fraction, whole)
    _, ends, data = digits(numbers).buffers()
    points = np.frombuffer(ends, np.int32)[1 : len(amount) + 1] - decimals - 1
    below_one = fractional & (whole == 0)  # the digit for the point is not written there
    text = np.frombuffer(data, np.uint8).copy()
    text[points[fractional & ~below_one]] = ord(".")
    texts = pa.Array.from_buffers(pa.string(), len(amount), [None, ends, pa.py_buffer(text)])
    if not below_one.any():
        return texts
    places = np.flatnonzero(below_one)
    small = zip(amount[places].tolist(), decimals[places].tolist(), strict=True)
    return replace(texts, places.tolist(), [show(units, scale).encode() for units, scale in small])


def escaped(texts: pa.Array) -> pa.Array:
    """Texts as they stand between quotes in JSON. Intake lets nothing in that needs it; one look at all says so."""
    assert texts.null_count == 0
    _, ends, data = texts.buffers()
    used = np.frombuffer(ends, np.int32)[texts.offset + len(texts)]
    text = np.frombuffer(data or b"", np.uint8)[:used]
    if ((text >= 0x20) & (text != ord('"')) & (text != ord("\\"))).all():
        return texts
    quoted = [msgspec.json.encode(text).decode() for text in texts.to_pylist()]
    return pa.array([text[1:-1] for text in quoted], pa.string())
