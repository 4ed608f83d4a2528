"""Many payments at once: decoded lines to columns, and which of them are sound. The fast path.

Pure. A line is sound only if every check of clearing.intake.fields passes on it; an unsound one says nothing
about why, its record goes to clearing.intake.exact. The plain meaning of each column function stands
beside it as the scalar function it equals; a property test holds both equal.
"""

import binascii
from collections.abc import Callable, Collection
from itertools import repeat

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import UNSET, Raw, UnsetType
from pyarrow.compute import MatchSubstringOptions, ReplaceSubstringOptions, call_function

from clearing import names
from clearing.core import money
from clearing.core.inputs import I32, I64, U8, Bool, Kind
from clearing.intake import fields
from clearing.log.rows import RowBatch

KINDS: dict[str, int] = {"payment": Kind.PAYMENT, "token_transfer": Kind.TOKEN_TRANSFER}
_QUOTES_REQUIRED = 4 * 8  # four to a field whose value is a string


class Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A payment or token transfer without a link, as decoded: nothing but the shape is checked.

    Numbers stay Raw: a decoder for int would take 1.0 for 1.
    """

    type: str
    id: str
    debtor: str
    creditor: str
    asset: str
    amount: str
    value_date: str
    end_to_end_id: str
    chain_reference: str | UnsetType = UNSET
    priority: str | UnsetType = UNSET
    expires_at: str | UnsetType = UNSET
    window: Raw | UnsetType = UNSET
    version: Raw | UnsetType = UNSET


def columns(lines: list[Line]) -> tuple[RowBatch, Bool, I64]:
    """(rows, sound, quotes) of m lines, each of m rows. Unsound rows hold values that mean nothing.

    quotes: how many `"` a sound line has at least; more, only if a key stands in it twice.
    """
    m = len(lines)
    sound = np.ones(m, np.bool_)
    quotes = np.full(m, _QUOTES_REQUIRED, np.int64)
    kind = _kinds([line.type for line in lines], sound)
    chain_reference = _chain_references(
        [line.chain_reference for line in lines], kind, sound, quotes
    )
    amount, decimals = _amounts(_texts([line.amount for line in lines]), sound)
    priority = _priorities([line.priority for line in lines], sound, quotes)
    expires = _optional([line.expires_at for line in lines], fields.instant_ms_of, 4, sound, quotes)
    window = _optional([line.window for line in lines], _window, 2, sound, quotes)
    _optional([line.version for line in lines], _version, 2, sound, quotes)
    rows = RowBatch(
        id=_ids(_texts([line.id for line in lines]), sound),
        debtor=participants(_texts([line.debtor for line in lines]), sound),
        creditor=participants(_texts([line.creditor for line in lines]), sound),
        asset=assets(_texts([line.asset for line in lines]), sound),
        amount=amount,
        decimals=decimals,
        value_date=_dates(_texts([line.value_date for line in lines]), sound),
        priority=priority,
        kind=kind,
        end_to_end_id=end_to_end_ids(_texts([line.end_to_end_id for line in lines]), sound),
        chain_reference=chain_reference,
        expires_at_ms=expires,
        window=window.astype(np.int32),
        source=np.zeros(m, np.int32),
        source_offset=np.zeros(m, np.int64),
        item=np.full(m, -1, np.int32),
        reject=np.zeros(m, np.uint8),
    )
    return rows, sound, quotes


def _texts(values: list[str]) -> pa.StringArray:
    return pa.array(values, pa.string())


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
    return np.frombuffer(data or b"", np.uint8)[starts[0] : starts[-1]], starts


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
    return _matching(texts, fields.END_TO_END, fields.END_TO_END_MAX, sound)


def _matching(texts: pa.StringArray, pattern: str, most: int, sound: Bool) -> pa.StringArray:
    """re.fullmatch(pattern, text) and len(text) <= most, for patterns that match ASCII only."""
    sound &= _fully_match(texts, pattern)
    sound &= _byte_lengths(texts) <= most
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
        or digits[:, 16].tobytes().translate(None, b"89ab")
        or digits.tobytes().translate(None, _LOWER_HEX)
    ):
        return None
    return np.frombuffer(binascii.unhexlify(digits.tobytes()), np.uint8).reshape(-1, 16)


def _amounts(texts: pa.StringArray, sound: Bool) -> tuple[I64, U8]:
    """fields.amount_of(text) where it is no fault and not zero; leading zeros are left to the exact path."""
    length = _byte_lengths(texts)
    point = call_function("find_substring", [texts], MatchSubstringOptions(".")).to_numpy()
    plain = _fully_match(texts, fields.AMOUNT)
    plain = plain & (length - (point >= 0) <= money.MAX_DIGITS)
    if not plain.all():
        texts = mend(texts, plain, "1")
    digits = call_function("replace_substring", [texts], ReplaceSubstringOptions(".", ""))
    amount = digits.cast(pa.int64()).to_numpy()
    sound &= plain & (amount != 0)
    decimals = np.where(plain & (point >= 0), length - point - 1, 0)
    return amount, decimals.astype(np.uint8)


def _kinds(values: list[str], sound: Bool) -> U8:
    first = values[0] if values else ""
    if values.count(first) == len(values) and first in KINDS:
        return np.full(len(values), KINDS[first], np.uint8)
    return choices(_texts(values), KINDS, sound)


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


def _chain_references(
    values: list[str | UnsetType], kind: U8, sound: Bool, quotes: I64
) -> pa.StringArray | None:
    present = _present(values)
    quotes[present] += 4
    texts = _texts(["" if value is UNSET else value for value in values] if present.any() else [])
    return chain_references(texts, present, kind, sound)


def chain_references(
    texts: pa.StringArray, present: Bool, kind: U8, sound: Bool
) -> pa.StringArray | None:
    """Present on token transfers and on nothing else; None where no row has one."""
    sound &= present == (kind == Kind.TOKEN_TRANSFER)
    if not present.any():
        return None
    _matching(mend(texts, present, "-"), fields.CHAIN_REFERENCE, fields.CHAIN_REFERENCE_MAX, sound)
    return mend(texts, present, "")


def _present(values: list) -> Bool:
    absent = values.count(UNSET)
    if absent in (0, len(values)):
        return np.full(len(values), not absent, np.bool_)
    return np.fromiter((value is not UNSET for value in values), np.bool_, len(values))


_NO_PRIORITY = 255
_PRIORITY_OR_UNSET = {**fields.PRIORITY_INDEX, UNSET: 0}


def _priorities(values: list[str | UnsetType], sound: Bool, quotes: I64) -> U8:
    """fields.PRIORITY_INDEX[text]; the first where there is none."""
    quotes += 4 * _present(values)
    if values.count(fields.NORMAL) == len(values):
        return np.zeros(len(values), np.uint8)
    indexes = map(_PRIORITY_OR_UNSET.get, values, repeat(_NO_PRIORITY))
    priority = np.fromiter(indexes, np.uint8, len(values))
    sound &= priority != _NO_PRIORITY
    return priority


def text_of(value: Raw) -> str:
    """JSON text as it was written. The decoder has passed over it: it may be no UTF-8, and then no number."""
    return bytes(value).decode("ascii", "replace")


def _window(value: Raw) -> int | None:
    return fields.window_of(text_of(value))


def _version(value: Raw) -> int | None:
    return 0 if bytes(value) == fields.VERSION.encode() else None


def _optional(
    values: list, read: Callable[..., int | None], quotes_each: int, sound: Bool, quotes: I64
) -> I64:
    """read(value) where there is a value, else 0; unsound where it gives None."""
    present = _present(values)
    if not present.any():
        return np.zeros(len(values), np.int64)
    quotes += quotes_each * present
    numbers = [0 if value is UNSET else read(value) for value in values]
    sound &= np.fromiter((number is not None for number in numbers), np.bool_, len(values))
    return np.array([number or 0 for number in numbers], np.int64)
