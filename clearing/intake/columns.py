"""Columns of texts, and which of them are sound: what Arrow streams (clearing.intake.arrow) are checked by.

Pure. A text is sound only if the check of clearing.intake.fields passes on it; an unsound one says nothing about
why, its row goes to clearing.intake.exact. The plain meaning of each function stands beside it as the scalar
function it equals; a property test holds both equal.
"""

from collections.abc import Callable, Collection

import numpy as np
import pyarrow as pa
from pyarrow.compute import MatchSubstringOptions, call_function

from clearing import names
from clearing.core.inputs import I32, U8, Bool, Kind
from clearing.intake import fields

_BLANK = ord(" ")
_DIGITS = b"0123456789"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# What the patterns of clearing.intake.fields let stand somewhere.
_END_TO_END = _LETTERS + _DIGITS + b"/?:().,'+- "
_CHAIN_REFERENCE = _LETTERS + _DIGITS + b":/._-"
KINDS: dict[str, int] = {"payment": Kind.PAYMENT, "token_transfer": Kind.TOKEN_TRANSFER}


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
