"""Many payments at once: decoded lines to columns, and which of them are sound. The fast path.

Pure. A line is sound only if every check of clearing.intake.fields passes on it; an unsound one says nothing
about why, its record goes to clearing.intake.exact. The plain meaning of each column function stands
beside it as the scalar function it equals; a property test holds both equal.
"""

import binascii
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow.compute import MatchSubstringOptions, call_function

from clearing import names
from clearing.core import money
from clearing.core.inputs import I32, I64, U8, Bool, Kind
from clearing.intake import fields
from clearing.log.rows import RowBatch

_BLANK, _POINT, _ZERO = b" .0"
_DIGITS = b"0123456789"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# What the patterns of clearing.intake.fields let stand somewhere.
_END_TO_END = _LETTERS + _DIGITS + b"/?:().,'+- "
_CHAIN_REFERENCE = _LETTERS + _DIGITS + b":/._-"
KINDS: dict[str, int] = {"payment": Kind.PAYMENT, "token_transfer": Kind.TOKEN_TRANSFER}


class Given(NamedTuple):
    """A field that not all of m messages have. present: (m,); texts: "" where there is none."""

    texts: pa.StringArray
    present: Bool


class Fields(NamedTuple):
    """The texts of m messages by field, in any spelling; of an optional one None where no message has it."""

    type: pa.StringArray
    id: pa.StringArray
    debtor: pa.StringArray
    creditor: pa.StringArray
    asset: pa.StringArray
    amount: pa.StringArray
    value_date: pa.StringArray
    end_to_end_id: pa.StringArray
    chain_reference: Given | None = None
    priority: Given | None = None
    expires_at: Given | None = None


def columns(given: Fields, window: I32) -> tuple[RowBatch, Bool]:
    """(rows, sound) of m payments without a link, each of m rows. Unsound rows hold values that mean nothing."""
    m = len(given.id)
    sound = np.ones(m, np.bool_)
    kind = choices(given.type, KINDS, sound)
    amount, decimals = _amounts(given.amount, sound)
    nowhere = Given(given.id[:0], np.zeros(m, np.bool_))
    rows = RowBatch(
        id=_ids(given.id, sound),
        debtor=participants(given.debtor, sound),
        creditor=participants(given.creditor, sound),
        asset=assets(given.asset, sound),
        amount=amount,
        decimals=decimals,
        value_date=_dates(given.value_date, sound),
        priority=_priorities(given.priority, m, sound),
        kind=kind,
        end_to_end_id=end_to_end_ids(given.end_to_end_id, sound),
        chain_reference=chain_references(*(given.chain_reference or nowhere), kind, sound),
        expires_at_ms=_instants(given.expires_at, m, sound),
        window=window,
        source=np.zeros(m, np.int32),
        source_offset=np.zeros(m, np.int64),
        item=np.full(m, -1, np.int32),
        reject=np.zeros(m, np.uint8),
    )
    return rows, sound


def _fully_match(texts: pa.StringArray, pattern: str) -> Bool:
    """re.fullmatch(pattern, text) for the patterns of clearing.intake.fields."""
    options = MatchSubstringOptions(rf"\A(?:{pattern})\z")
    return call_function("match_substring_regex", [texts], options).to_numpy(zero_copy_only=False)


def _byte_lengths(texts: pa.StringArray) -> I32:
    return call_function("binary_length", [texts]).to_numpy()


def mend(texts: pa.StringArray, good: Bool, instead: str) -> pa.StringArray:
    """The texts, with another one in place of those that are not good."""
    return call_function("if_else", [pa.array(good), texts, pa.scalar(instead)])


def _bytes(texts: pa.StringArray) -> tuple[U8, I32]:
    """All bytes of the texts one after the other, and where each begins (and the last ends)."""
    _, offsets, data = texts.buffers()
    starts = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)
    return np.frombuffer(data or b"", np.uint8)[starts[0] : starts[-1]], starts - starts[0]


def _consist_of(data: U8, alphabet: bytes) -> bool:
    return not data.tobytes().translate(None, alphabet)


def _are_between(least: int, numbers: I32, most: int) -> bool:
    return bool(numbers.min() >= least and numbers.max() <= most)


def _is_participant(text: str) -> bool:
    return names.PARTICIPANT.fullmatch(text) is not None


def _is_asset(text: str) -> bool:
    return names.ASSET.fullmatch(text) is not None


def participants(texts: pa.StringArray, sound: Bool) -> pa.DictionaryArray:
    return _names(texts, _is_participant, sound)


def assets(texts: pa.StringArray, sound: Bool) -> pa.DictionaryArray:
    return _names(texts, _is_asset, sound)


def _names(texts: pa.StringArray, valid: Callable[[str], bool], sound: Bool) -> pa.DictionaryArray:
    """valid(text), asked once for each distinct text."""
    names_ = texts.dictionary_encode()
    good = [valid(text) for text in names_.dictionary.to_pylist()]
    if not all(good):
        sound &= np.array(good)[names_.indices.to_numpy()]
    return names_


def end_to_end_ids(texts: pa.StringArray, sound: Bool) -> pa.StringArray:
    """re.fullmatch(fields.END_TO_END, text) and len(text) <= fields.END_TO_END_MAX."""
    data, starts = _bytes(texts)
    if (
        not len(texts)
        or not _consist_of(data, _END_TO_END)
        or not _are_between(1, np.diff(starts), fields.END_TO_END_MAX)
        or (data[starts[:-1]] == _BLANK).any()
        or (data[starts[1:] - 1] == _BLANK).any()
    ):
        sound &= _fully_match(texts, fields.END_TO_END)
        sound &= _byte_lengths(texts) <= fields.END_TO_END_MAX
    return texts


def _dates(texts: pa.StringArray, sound: Bool) -> I32:
    """fields.days_of(text), asked once for each distinct text."""
    distinct = texts.dictionary_encode()
    index = distinct.indices.to_numpy()
    days = [fields.days_of(text) for text in distinct.dictionary.to_pylist()]
    if None in days:
        sound &= np.array([day is not None for day in days])[index]
    return np.array([day or 0 for day in days], np.int32)[index]


_LOWER_HEX = b"0123456789abcdef"
_GROUPS = (slice(0, 8), slice(9, 13), slice(14, 18), slice(19, 23), slice(24, 36))
_SOME_ID = "00000000-0000-4000-8000-000000000000"


def _ids(texts: pa.StringArray, sound: Bool) -> U8:
    """bytes.fromhex(text.replace("-", "")) where fields.UUID4.fullmatch(text); (m, 16) uint8."""
    ids = _ids_if_all_valid(texts)
    if ids is None:
        valid = np.array([fields.UUID4.fullmatch(text) is not None for text in texts.to_pylist()])
        sound &= valid
        ids = _ids_if_all_valid(mend(texts, valid, _SOME_ID))
        assert ids is not None
    return ids


def _ids_if_all_valid(texts: pa.StringArray) -> U8 | None:
    data, starts = _bytes(texts)
    if (np.diff(starts) != len(_SOME_ID)).any():
        return None
    characters = data.reshape(-1, len(_SOME_ID))
    digits = np.concatenate([characters[:, group] for group in _GROUPS], axis=1)
    if (
        (characters[:, [8, 13, 18, 23]] != ord("-")).any()
        or (digits[:, 12] != ord("4")).any()
        or not _consist_of(digits[:, 16], b"89ab")
        or not _consist_of(digits, _LOWER_HEX)
    ):
        return None
    return np.frombuffer(binascii.unhexlify(digits.tobytes()), np.uint8).reshape(-1, 16)


def _amounts(texts: pa.StringArray, sound: Bool) -> tuple[I64, U8]:
    """fields.amount_of(text) where it is no fault and not zero; leading zeros are left to the exact path."""
    found = _amounts_if_all_plain(texts)
    if found is None:
        lengths = _byte_lengths(texts)
        point = call_function("find_substring", [texts], MatchSubstringOptions(".")).to_numpy()
        plain = _fully_match(texts, fields.AMOUNT)
        plain = plain & (lengths - (point >= 0) <= money.MAX_DIGITS)
        sound &= plain
        found = _amounts_if_all_plain(mend(texts, plain, "1"))
        assert found is not None, "what is not plain was taken out"
    sound &= found[0] != 0
    return found


def _amounts_if_all_plain(texts: pa.StringArray) -> tuple[I64, U8] | None:
    """Of texts that are digits, perhaps with one point between them, and no zero before others; at most 18."""
    data, starts = _bytes(texts)
    points = np.flatnonzero(data == _POINT)
    row = np.searchsorted(starts, points, side="right") - 1
    before, behind = points - starts[row], starts[row + 1] - points - 1
    if not (before.all() and behind.all()) or (row[1:] == row[:-1]).any():
        return None
    decimals, digits = np.zeros(len(texts), np.int64), np.diff(starts)
    decimals[row] = behind
    digits[row] -= 1
    first = data[starts[:-1]] if digits.all() else data[:0]
    if (
        len(first) < len(texts)
        or (digits > money.MAX_DIGITS).any()
        or ((first == _ZERO) & (digits - decimals > 1)).any()
        or not _consist_of(data, _DIGITS + b".")
    ):
        return None
    bounds = (starts - np.searchsorted(points, starts)).astype(np.int32)
    numbers = pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(bounds), pa.py_buffer(data.tobytes().translate(None, b"."))
    )
    return numbers.cast(pa.int64()).to_numpy(), decimals.astype(np.uint8)


def choices(texts: pa.StringArray, index: dict[str, int], sound: Bool) -> U8:
    """index[text], asked once for each distinct text; 0 and unsound where there is none."""
    distinct = texts.dictionary_encode()
    found = [index.get(text) for text in distinct.dictionary.to_pylist()]
    place = distinct.indices.to_numpy()
    if None in found:
        sound &= np.array([number is not None for number in found])[place]
    return np.array([number or 0 for number in found], np.uint8)[place]


def is_one_of(texts: pa.StringArray, values: Collection[str]) -> Bool:
    distinct = texts.dictionary_encode()
    found = [text in values for text in distinct.dictionary.to_pylist()]
    return np.array(found, np.bool_)[distinct.indices.to_numpy()]


def chain_references(
    texts: pa.StringArray, present: Bool, kind: U8, sound: Bool
) -> pa.StringArray | None:
    """Present on token transfers and on nothing else; None where no row has one.

    There re.fullmatch(fields.CHAIN_REFERENCE, text) and len(text) <= fields.CHAIN_REFERENCE_MAX.
    """
    sound &= present == (kind == Kind.TOKEN_TRANSFER)
    if not present.any():
        return None
    data, starts = _bytes(texts)
    lengths = np.diff(starts)
    sound &= (lengths > 0) == present
    sound &= lengths <= fields.CHAIN_REFERENCE_MAX
    if not _consist_of(data, _CHAIN_REFERENCE):
        sound &= ~present | _fully_match(texts, fields.CHAIN_REFERENCE)
    return texts


def _priorities(priority: Given | None, m: int, sound: Bool) -> U8:
    """fields.PRIORITY_INDEX[text]; the first where there is none."""
    if priority is None:
        return np.zeros(m, np.uint8)
    texts, present = priority
    if not present.all():
        texts = mend(texts, present, fields.NORMAL)
    return choices(texts, fields.PRIORITY_INDEX, sound)


def _instants(expires_at: Given | None, m: int, sound: Bool) -> I64:
    """fields.instant_ms_of(text); 0 where there is none."""
    if expires_at is None:
        return np.zeros(m, np.int64)
    texts, present = expires_at
    distinct = texts.dictionary_encode()
    index = distinct.indices.to_numpy()
    found = [fields.instant_ms_of(text) for text in distinct.dictionary.to_pylist()]
    sound &= ~present | np.array([instant is not None for instant in found])[index]
    return np.where(present, np.array([instant or 0 for instant in found], np.int64)[index], 0)
