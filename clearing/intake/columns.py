"""Columns of an Arrow stream, and which of their rows are sound, by compiled loops. Pure.

A value is sound only if the check of clearing.intake.fields passes on it; an unsound one says nothing about why,
its row goes to clearing.intake.exact. A property test holds both equal. Columns are proved before they come here:
no index or place is looked at again. `sound` is (n,), set to False where a row is not; never to True.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from clearing.core import money
from clearing.core.compiled import compiled
from clearing.core.inputs import I32, I64, U8, Bool, Kind, fixed, read_only
from clearing.intake import fields
from clearing.intake import scanning as scan
from clearing.log.rows import places_of, renumbered

NO_KIND, NO_AMOUNT = (
    0,
    255,
)  # of a type: it is none that columns can have; a control sum does not count it
NO_PRIORITY = 255
_TOKEN_TRANSFER = int(Kind.TOKEN_TRANSFER)
KINDS = {"payment": int(Kind.PAYMENT), "token_transfer": _TOKEN_TRANSFER}
SCALES = money.MAX_DIGITS + 1
_TOO_MUCH, _HALF = 10**money.MAX_DIGITS, 32
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31, what a JSON date can say
_LAST_MS = 253_402_300_799_999  # of 9999
_MAX_END_TO_END, _MAX_CHAIN = fields.END_TO_END_MAX, fields.CHAIN_REFERENCE_MAX
_PARTICIPANT, _ASSET = (scan.CAPITAL, 2), (scan.NAME, 1)  # classes of its bytes, how many at least


def _bytes(texts: pa.StringArray) -> tuple[I32, U8]:
    """Where each begins (and the last ends), and in which bytes."""
    return places_of(texts), read_only(np.frombuffer(texts.buffers()[2] or b"", np.uint8))


def texts(column: pa.Array) -> pa.StringArray:
    """Each row's, "" where there is none. column: strings, perhaps encoded as a dictionary."""
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    return column.fill_null("") if column.null_count else column


def participants(column: pa.Array, sound: Bool) -> pa.DictionaryArray:
    """names.PARTICIPANT.fullmatch(text)."""
    return _names(column, *_PARTICIPANT, sound)


def assets(column: pa.Array, sound: Bool) -> pa.DictionaryArray:
    """names.ASSET.fullmatch(text)."""
    return _names(column, *_ASSET, sound)


def _names(column: pa.Array, members: int, least: int, sound: Bool) -> pa.DictionaryArray:
    """Each distinct name once, in order of appearance, and looked at once."""
    encoded = _encoded(column)
    good = np.empty(len(encoded.dictionary), np.bool_)
    _check_names(*_bytes(encoded.dictionary), members, least, good)
    if not good.all():
        sound &= good[encoded.indices.to_numpy()]
    return encoded


def _encoded(column: pa.Array) -> pa.DictionaryArray:
    if isinstance(column, pa.DictionaryArray) and not column.null_count and _is_small(column):
        words = column.dictionary.to_pylist()
        if len(set(words)) == len(words):
            return renumbered(_places(column), column.dictionary)
    return texts(column).dictionary_encode()


def _is_small(column: pa.DictionaryArray) -> bool:
    """Whether going through its dictionary is no more than going through its rows."""
    return len(column.dictionary) <= len(column)


def _places(column: pa.DictionaryArray) -> I32:
    """Indexes of its dictionary, which mean nothing where there is no value."""
    dtype = column.type.index_type.to_pandas_dtype()
    return fixed(np.frombuffer(column.buffers()[1], dtype, len(column)), np.int32)


class Codes(NamedTuple):
    """Of the texts that a column may have. places, words: of these, as those of a column's rows."""

    code_of: dict[str, int]
    codes: U8
    places: I32
    words: U8
    unknown: int  # of any other
    missing: int  # where there is none

    @classmethod
    def of(cls, code_of: dict[str, int], *, unknown: int, missing: int) -> "Codes":
        words, numbers = (
            pa.array(list(code_of), pa.string()),
            np.array([*code_of.values()], np.uint8),
        )
        return cls(code_of, numbers, *_bytes(words), unknown, missing)


def codes(column: pa.Array, given: Bool, known: Codes) -> U8:
    """Of each row's text."""
    found = np.full(len(column), known.missing, np.uint8)
    if isinstance(column, pa.DictionaryArray) and _is_small(column):
        words = column.dictionary.to_pylist()
        table = [known.code_of.get(word, known.unknown) for word in words]
        _look_up(np.array(table, np.uint8), _places(column), given, found)
    else:
        if isinstance(column, pa.DictionaryArray):
            column = column.dictionary_decode()
        _find(*_bytes(column), given, known.places, known.words, known.codes, known.unknown, found)
    return found


def end_to_end_ids(column: pa.Array, sound: Bool) -> pa.StringArray:
    """re.fullmatch(fields.END_TO_END, text) and len(text) <= fields.END_TO_END_MAX."""
    found = texts(column)
    _check_end_to_end(*_bytes(found), sound)
    return found


def chain_references(column: pa.Array, given: Bool, kind: U8, sound: Bool) -> pa.StringArray:
    """Given on token transfers and on nothing else.

    There re.fullmatch(fields.CHAIN_REFERENCE, text) and len(text) <= fields.CHAIN_REFERENCE_MAX.
    """
    found = _without_gaps(column, given)
    _check_chain_references(*_bytes(found), given, kind, sound)
    return found


def _without_gaps(column: pa.Array, given: Bool) -> pa.StringArray:
    """texts(column). As they are where nothing stands for those that are missing, which is usual."""
    if isinstance(column, pa.DictionaryArray) or not _are_empty(places_of(column), given):
        return texts(column)
    _, places, data = column.buffers()
    return pa.StringArray.from_buffers(len(column), places, data or pa.py_buffer(b""))


@compiled
def _are_empty(places: I32, given: Bool) -> bool:
    """Whether no text stands where none is given."""
    empty = True
    for i in range(len(given)):
        empty &= given[i] or places[i] == places[i + 1]
    return empty


@compiled
def _check_names(places: I32, data: U8, members: int, least: int, good: Bool) -> None:
    for i in range(len(good)):
        good[i] = scan.is_name(data, int(places[i]), int(places[i + 1]), members, least)


@compiled
def _look_up(table: U8, places: I32, given: Bool, found: U8) -> None:
    for i in range(len(found)):
        if given[i]:
            found[i] = table[places[i]]


@compiled
def _find(
    places: I32,
    data: U8,
    given: Bool,
    word_places: I32,
    words: U8,
    codes: U8,
    unknown: int,
    found: U8,
) -> None:
    """See Codes."""
    for i in range(len(found)):
        if not given[i]:
            continue
        begin, size = int(places[i]), int(places[i + 1]) - int(places[i])
        found[i] = unknown
        for k in range(len(codes)):
            first = int(word_places[k])
            if size == word_places[k + 1] - first:
                same = 0
                while same < size and data[begin + same] == words[first + same]:
                    same += 1
                if same == size:
                    found[i] = codes[k]
                    break


@compiled
def _check_end_to_end(places: I32, data: U8, sound: Bool) -> None:
    for i in range(len(sound)):
        begin, end = int(places[i]), int(places[i + 1])
        sound[i] &= (
            1 <= end - begin <= _MAX_END_TO_END
            and data[begin] != scan.SPACE
            and data[end - 1] != scan.SPACE
            and scan.consists_of(data, begin, end, scan.END_TO_END)
        )


@compiled
def _check_chain_references(places: I32, data: U8, given: Bool, kind: U8, sound: Bool) -> None:
    for i in range(len(sound)):
        begin, end = int(places[i]), int(places[i + 1])
        sound[i] &= given[i] == (kind[i] == _TOKEN_TRANSFER) and (
            not given[i]
            or (1 <= end - begin <= _MAX_CHAIN and scan.consists_of(data, begin, end, scan.CHAIN))
        )


@compiled
def add_up(units: I64, decimals: U8, given: Bool, kind: U8, readable: Bool, sums: I64) -> int:
    """The first row whose amount a control sum would count but no JSON text could say; -1: there is none.

    readable: (n,), filled: such a text could say the amount. sums: (SCALES, 2), added to: of all that counts, by
    decimals, the units' lower 32 bits and those above.
    """
    unreadable = -1
    for i in range(len(units)):
        readable[i] = given[i] and 0 <= units[i] < _TOO_MUCH and decimals[i] < SCALES
        if kind[i] != NO_AMOUNT:
            if readable[i]:
                sums[decimals[i], 0] += units[i] & (1 << _HALF) - 1
                sums[decimals[i], 1] += units[i] >> _HALF
            elif unreadable < 0:
                unreadable = i
    return unreadable


def total_of(sums: I64) -> int:
    """What was added up, in units of 10^-18."""
    return sum(
        (low + (high << _HALF)) * 10 ** (money.MAX_DIGITS - scale)
        for scale, (low, high) in enumerate(sums.tolist())
    )


@compiled
def check_numbers(
    id_: U8,
    amount: I64,
    value_date: I32,
    expires_at: I64,
    expires: Bool,
    window: I32,
    has_window: Bool,
    kind: U8,
    priority: U8,
    sound: Bool,
) -> None:
    """id_: (n, 16). expires, has_window: the rows that have what they are named after."""
    for i in range(len(sound)):
        sound[i] &= (
            id_[i, 6] >> 4 == 4
            and id_[i, 8] >> 6 == 2
            and amount[i] != 0
            and _FIRST_DAY <= value_date[i] <= _LAST_DAY
            and (not expires[i] or 0 < expires_at[i] <= _LAST_MS)
            and (not has_window[i] or window[i] > 0)
            and kind[i] != NO_KIND
            and kind[i] != NO_AMOUNT
            and priority[i] != NO_PRIORITY
        )
