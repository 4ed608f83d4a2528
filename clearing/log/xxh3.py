"""xxh3-64 of every text of a column at once, from Arrow's buffers: what xxhash.xxh3_64_intdigest gives of each.

Of xxHash's specification, what texts of up to 128 bytes need, with seed 0 and the secret that it has of itself;
longer ones, which are rare, go to the library. A property test holds both equal.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from clearing.core.compiled import compiled
from clearing.core.inputs import I32, U8, U64, read_only
from clearing.log.rows import places_of

U32 = npt.NDArray[np.uint32]

_LONGEST = 128  # that is hashed here
_LEAST = 16  # bytes of a column: an array of one number or none would be of another type than those of more
_SECRET = np.frombuffer(
    bytes.fromhex(
        "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
        "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
        "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
        "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    ),
    "<u8",
)
_NONE = _SECRET[7] ^ _SECRET[8]
_UP_TO_3 = (_SECRET[0] ^ _SECRET[0] >> np.uint64(32)) & np.uint64(0xFFFFFFFF)
_UP_TO_8 = _SECRET[1] ^ _SECRET[2]
_UP_TO_16, _UP_TO_16_TOO = _SECRET[3] ^ _SECRET[4], _SECRET[5] ^ _SECRET[6]
_PRIME_1, _PRIME_2, _PRIME_3, _PRIME_MX1, _PRIME_MX2 = (
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x165667919E3779F9,
        0x9FB21C651E98DF25,
    )
)
_HALF, _BYTES, _PAIRS = (
    np.uint64(mask) for mask in (0xFFFFFFFF, 0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF)
)


def hashes(texts: pa.Array) -> U64:
    """(n,). texts: strings without nulls, as they are in memory."""
    assert texts.null_count == 0
    places, found = places_of(texts), np.empty(len(texts), np.uint64)
    if _hash(places, *_words(texts.buffers()[2]), found):
        _hash_longer(texts, np.diff(places) > _LONGEST, found)
    return found


def _hash_longer(texts: pa.Array, which: npt.NDArray[np.bool_], found: U64) -> None:
    rows = np.flatnonzero(which)
    for row, text in zip(rows.tolist(), texts.take(pa.array(rows)).to_pylist(), strict=True):
        found[row] = xxhash.xxh3_64_intdigest(text.encode())


def _words(data: pa.Buffer | None) -> tuple[U8, U32, U64]:
    """Bytes, and what four and eight of them from each place on say as one number."""
    text = np.frombuffer(data or b"", np.uint8)
    if len(text) < _LEAST:
        text = np.append(text, np.zeros(_LEAST, np.uint8))
    text = read_only(text)
    return (
        text,
        np.ndarray((len(text) - 3,), "<u4", text.data, strides=(1,)),
        np.ndarray((len(text) - 7,), "<u8", text.data, strides=(1,)),
    )


@compiled
def _hash(places: I32, text: U8, fours: U32, eights: U64, found: U64) -> int:
    """How many are longer than LONGEST, which are not hashed. places: (n + 1,), where in the text each begins."""
    longer = 0
    for i in range(len(found)):
        begin, size = int(places[i]), int(places[i + 1]) - int(places[i])
        if size > _LONGEST:
            longer += 1
        elif size > 16:
            found[i] = _of_17_to_128(eights, begin, size)
        elif size > 8:
            first, last = eights[begin] ^ _UP_TO_16, eights[begin + size - 8] ^ _UP_TO_16_TOO
            mixed = np.uint64(size) + _swapped(first) + last + _folded(first, last)
            found[i] = _avalanche(mixed)
        elif size > 3:
            first, last = np.uint64(fours[begin]), np.uint64(fours[begin + size - 4])
            found[i] = _of_4_to_8(last + (first << np.uint64(32)) ^ _UP_TO_8, np.uint64(size))
        elif size > 0:
            found[i] = _avalanche_of_old(_of_1_to_3(text, begin, size) ^ _UP_TO_3)
        else:
            found[i] = _avalanche_of_old(_NONE)
    return longer


@compiled
def _of_1_to_3(text: U8, begin: int, size: int) -> np.uint64:
    first, middle, last = text[begin], text[begin + (size >> 1)], text[begin + size - 1]
    return np.uint64(int(first) << 16 | int(middle) << 24 | int(last) | size << 8)


@compiled
def _of_4_to_8(h: np.uint64, size: np.uint64) -> np.uint64:
    h ^= _rotated(h, np.uint64(49)) ^ _rotated(h, np.uint64(24))
    h *= _PRIME_MX2
    h ^= (h >> np.uint64(35)) + size
    h *= _PRIME_MX2
    return h ^ h >> np.uint64(28)


@compiled
def _of_17_to_128(eights: U64, begin: int, size: int) -> np.uint64:
    """From both ends towards the middle, 16 bytes each, which may overlap there."""
    h = np.uint64(size) * _PRIME_1
    for i in range((size - 1) // 32 + 1):
        for at, word in ((begin + 16 * i, 4 * i), (begin + size - 16 * (i + 1), 4 * i + 2)):
            h += _folded(eights[at] ^ _SECRET[word], eights[at + 8] ^ _SECRET[word + 1])
    return _avalanche(h)


@compiled
def _folded(one: np.uint64, other: np.uint64) -> np.uint64:
    """Both halves of their product of 128 bits, mixed."""
    half = np.uint64(32)
    low = (one & _HALF) * (other & _HALF)
    above = (one >> half) * (other & _HALF)
    across = (low >> half) + (above & _HALF) + (one & _HALF) * (other >> half)
    high = (above >> half) + (across >> half) + (one >> half) * (other >> half)
    return high ^ (across << half | low & _HALF)


@compiled
def _swapped(word: np.uint64) -> np.uint64:
    """Its bytes, the last one first."""
    eight, sixteen, half = np.uint64(8), np.uint64(16), np.uint64(32)
    word = (word & _BYTES) << eight | word >> eight & _BYTES
    word = (word & _PAIRS) << sixteen | word >> sixteen & _PAIRS
    return word << half | word >> half


@compiled
def _rotated(word: np.uint64, bits: np.uint64) -> np.uint64:
    return word << bits | word >> np.uint64(64) - bits


@compiled
def _avalanche(h: np.uint64) -> np.uint64:
    h ^= h >> np.uint64(37)
    h *= _PRIME_MX1
    return h ^ h >> np.uint64(32)


@compiled
def _avalanche_of_old(h: np.uint64) -> np.uint64:
    """As XXH64 ends, which the shortest share."""
    h ^= h >> np.uint64(33)
    h *= _PRIME_2
    h ^= h >> np.uint64(29)
    h *= _PRIME_3
    return h ^ h >> np.uint64(32)
