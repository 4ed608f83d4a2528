"""What stands at a place in a text, by compiled loops: blanks, words, numbers, dates, ids. Pure.

Every function takes the bytes, uint8, and where to begin. Those that look for an end are stopped by the first byte
that does not belong there; the PADDING behind a text belongs nowhere, so that none runs out of it. They may run
into what stands behind a record: whoever calls them compares what they return with where the record ends.
"""

import numpy as np

from clearing.core.compiled import compiled
from clearing.core.inputs import U8, U64
from clearing.core.money import MAX_DIGITS

NOWHERE = -1  # there is not what was looked for

BLANK, PRINTABLE, DIGIT, CAPITAL, NAME, DASH, END_TO_END, CHAIN = (1 << bit for bit in range(8))
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = "0123456789"
_ALPHANUMERIC = _LETTERS + _LETTERS.lower() + _DIGITS
_MEMBERS = {
    BLANK: " \t\n\r",
    PRINTABLE: "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in '"\\'),
    DIGIT: _DIGITS,
    CAPITAL: _LETTERS + _DIGITS,  # of participants
    NAME: _ALPHANUMERIC,  # of assets
    DASH: "-_",  # of both, but not at the beginning
    END_TO_END: _ALPHANUMERIC + "/?:().,'+- ",
    CHAIN: _ALPHANUMERIC + ":/._-",
}
_CLASSES = np.array(
    [
        sum(each for each, members in _MEMBERS.items() if chr(code) in members)
        for code in range(256)
    ],
    np.uint8,
)
_HEX = np.array(
    [int(chr(code), 16) if chr(code) in "0123456789abcdef" else 255 for code in range(256)],
    np.uint8,
)
UUID_SIZE = 36
_HEX_PLACES = np.array([i for i in range(UUID_SIZE) if i not in (8, 13, 18, 23)][::2], np.int64)
_POWERS_OF_TEN = np.array([10**i for i in range(MAX_DIGITS + 1)], np.int64)
_MAX_NUMBER = 10  # digits
_MONTH_DAYS = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)

QUOTE, BACKSLASH, COMMA, COLON, SPACE = (ord(each) for each in '"\\,: ')
_POINT, _HYPHEN = (ord(each) for each in ".-")
_ZERO, _FOUR, _EIGHT, _NINE, _A, _B = (ord(each) for each in "0489ab")
OPEN, CLOSE, OPEN_LIST, CLOSE_LIST = (ord(each) for each in "{}[]")
PADDING = 64  # zeros behind a text
DATE_SIZE = 10
MAX_NAME = 35


def eights_of(text: U8) -> U64:
    """The eight bytes that begin at each place of a text, as one number; behind the last it has PADDING zeros."""
    return np.ndarray((len(text) - 7,), "<u8", text.data, strides=(1,))


@compiled
def are_same(eights: U64, at: int, other: int, size: int) -> bool:
    """Whether the same bytes stand at two places. eights: of a text, see `eights_of`."""
    last = size - 8
    if last < 0:
        return (eights[at] ^ eights[other]) << np.uint64(-8 * last) == 0
    for i in range(0, last, 8):
        if eights[at + i] != eights[other + i]:
            return False
    return eights[at + last] == eights[other + last]


@compiled
def begins(text: U8, at: int, word: U8) -> bool:
    """Whether a word stands there."""
    i = 0
    while i < len(word) and text[at + i] == word[i]:
        i += 1
    return i == len(word)


@compiled
def is_blank(text: U8, at: int) -> bool:
    return _CLASSES[text[at]] & BLANK != 0


@compiled
def behind(text: U8, at: int, members: int) -> int:
    """The first place from there on whose byte is no member of these classes."""
    while _CLASSES[text[at]] & members:
        at += 1
    return at


@compiled
def consists_of(text: U8, begin: int, end: int, members: int) -> bool:
    """Whether every byte between two places is a member of this class."""
    found = np.uint8(members)
    # An index that cannot be below 0 is not looked at for that: a third of the time.
    for place in range(np.uint64(begin), np.uint64(end)):
        found &= _CLASSES[text[place]]
    return found != 0


@compiled
def is_name(text: U8, begin: int, end: int, members: int, least: int) -> bool:
    """Whether between two places is a name, see `behind_name`."""
    if not least <= end - begin <= MAX_NAME or not _CLASSES[text[begin]] & members:
        return False
    at = begin + 1
    while at < end and _CLASSES[text[at]] & (members | DASH):
        at += 1
    return at == end


@compiled
def behind_colon(text: U8, at: int) -> int:
    """Where the value begins of a key that ends there."""
    at = behind(text, at, BLANK)
    return behind(text, at + 1, BLANK) if text[at] == COLON else NOWHERE


@compiled
def behind_object(text: U8, at: int, limit: int) -> int:
    """Behind the object that begins there, by its brackets alone: it may be no JSON. limit: of its record."""
    depth = 0
    while at < limit:
        byte = text[at]
        if byte == QUOTE:
            at += 1
            while at < limit and text[at] != QUOTE:
                at += 2 if text[at] == BACKSLASH else 1
        elif byte in (OPEN, OPEN_LIST):
            depth += 1
        elif byte in (CLOSE, CLOSE_LIST):
            depth -= 1
        at += 1
        if depth == 0:
            return at
    return NOWHERE


@compiled
def behind_name(text: U8, at: int, members: int, least: int) -> int:
    """Behind a name of so many bytes at least: the first a member, as the others, which may be `-` and `_` too."""
    if not _CLASSES[text[at]] & members:
        return NOWHERE
    end = behind(text, at + 1, members | DASH)
    return end if least <= end - at <= MAX_NAME else NOWHERE


@compiled
def uuid_at(text: U8, at: int) -> tuple[np.uint64, np.uint64, int]:
    """(its 16 bytes as two little-endian words, where it ends) of the lower-case UUIDv4 there; NOWHERE: none is."""
    wrong = 0
    low, high = np.uint64(0), np.uint64(0)
    for i in range(16):
        place = at + _HEX_PLACES[i]
        upper, lower = _HEX[text[place]], _HEX[text[place + 1]]
        wrong |= upper | lower
        byte = np.uint64(upper << 4 | lower)
        if i < 8:
            low |= byte << np.uint64(8 * i)
        else:
            high |= byte << np.uint64(8 * i - 64)
    variant = text[at + 19]
    is_sound = (
        wrong < 16
        and text[at + 8] == _HYPHEN
        and text[at + 13] == _HYPHEN
        and text[at + 18] == _HYPHEN
        and text[at + 23] == _HYPHEN
        and text[at + 14] == _FOUR
        and variant in (_EIGHT, _NINE, _A, _B)
    )
    return low, high, at + UUID_SIZE if is_sound else NOWHERE


@compiled
def amount_at(text: U8, at: int) -> tuple[int, int, int]:
    """(units, decimals, where it ends) of the amount there: digits, perhaps with one point between them, no zero
    before others, at most 18. NOWHERE is the end where there is none that is greater than 0.
    """
    whole = behind(text, at, DIGIT)
    end = behind(text, whole + 1, DIGIT) if text[whole] == _POINT else whole
    decimals = max(end - whole - 1, 0)
    digits = whole - at + decimals
    has_zeros = whole - at > 1 and text[at] == _ZERO
    if whole == at or end == whole + 1 or digits > MAX_DIGITS or has_zeros:
        return 0, 0, NOWHERE
    units = _digits(text, at, whole) * int(_POWERS_OF_TEN[decimals])
    units += _digits(text, whole + 1, end)
    return units, decimals, end if units else NOWHERE


@compiled
def number_at(text: U8, at: int, most: int) -> tuple[int, int]:
    """(number, where it ends) of the digits there, the first no zero; NOWHERE: there are none, or it is greater."""
    end = behind(text, at, DIGIT)
    if not 1 <= end - at <= _MAX_NUMBER or text[at] == _ZERO:
        return 0, NOWHERE
    number = _digits(text, at, end)
    return number, end if number <= most else NOWHERE


@compiled
def _digits(text: U8, begin: int, end: int) -> int:
    """What digits say that are known to be such, at most 18."""
    number = 0
    for place in range(begin, end):
        number = number * 10 + int(text[place]) - _ZERO
    return number


@compiled
def day_at(text: U8, at: int) -> tuple[int, int]:
    """(days since 1970-01-01, where it ends) of the YYYY-MM-DD there; NOWHERE: there is no such day."""
    end = at + DATE_SIZE
    if behind(text, at, DIGIT) != at + 4 or text[at + 4] != _HYPHEN:
        return 0, NOWHERE
    if behind(text, at + 5, DIGIT) != at + 7 or text[at + 7] != _HYPHEN:
        return 0, NOWHERE
    if not _CLASSES[text[at + 8]] & _CLASSES[text[at + 9]] & DIGIT:
        return 0, NOWHERE
    year, month, day = (
        _digits(text, at, at + 4),
        _digits(text, at + 5, at + 7),
        _digits(text, at + 8, end),
    )
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= _MONTH_DAYS[month - 1]:
        return 0, NOWHERE
    if month == 2 and day == 29 and (year % 4 or (year % 100 == 0 and year % 400)):
        return 0, NOWHERE
    # Years from March on, so that the day that some have is their last (H. Hinnant, days_from_civil).
    if month <= 2:
        year -= 1
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + of_year - 719_468, end
