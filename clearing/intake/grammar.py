"""Plain payments and token transfers in JSON, alone or in a bulk, found by compiled loops. Pure.

Takes only what it can vouch for: ASCII without an escape, every field once and sound, in any order and with any
blanks. A record that has anything else gives no row here, and an item of a bulk that has is named to the caller:
clearing.intake.exact is the authority on both. A property test holds both equal.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clearing.core.compiled import compiled
from clearing.core.inputs import I32, I64, U8, U64, Bool, Kind
from clearing.intake import exact, fields
from clearing.intake import scanning as scan
from clearing.intake.scanning import NOWHERE

_REQUIRED = ("type", "id", "debtor", "creditor", "asset", "amount", "value_date", "end_to_end_id")
_OPTIONAL = ("chain_reference", "priority", "expires_at", "window", "version")
_OF_BULK = ("count", "control_sum", "items")
_FIELDS = (*_REQUIRED, *_OPTIONAL, *_OF_BULK)
_TYPE, _ID, _DEBTOR, _CREDITOR, _ASSET, _AMOUNT, _VALUE_DATE, _END_TO_END = range(8)
_CHAIN, _PRIORITY, _EXPIRES_AT, _WINDOW, _VERSION, _COUNT, _CONTROL_SUM, _ITEMS = range(8, 16)
_PAYMENT_HAS = sum(1 << _FIELDS.index(name) for name in _REQUIRED)
_BULK_HAS = sum(1 << _FIELDS.index(name) for name in ("type", "id", *_OF_BULK))


def _texts_of(words: tuple[str, ...]) -> U8:
    """(n, longest) uint8, zeros behind the shorter ones."""
    width = max(map(len, words))
    return np.array([list(word.encode().ljust(width, b"\0")) for word in words], np.uint8)


def _key_places() -> npt.NDArray[np.int64]:
    """Field by length and first letter of its key, which no two have the same."""
    places = np.full((_KEYS.shape[1] + 1, 128), NOWHERE, np.int64)
    for field, name in enumerate(_FIELDS):
        assert places[len(name), ord(name[0])] == NOWHERE, name
        places[len(name), ord(name[0])] = field
    return places


_KEYS = _texts_of(_FIELDS)
_KEY_AT = _key_places()
_PAYMENT, _TRANSFER, _BULK = (
    np.frombuffer(word.encode(), np.uint8) for word in ("payment", "token_transfer", "bulk")
)
_PRIORITIES = _texts_of(tuple(fields.PRIORITY_INDEX))
_PRIORITY_SIZE = _PRIORITIES.shape[1]
_IS_LAST = len(_REQUIRED) + len(_OPTIONAL) + 1
_LAYOUT_ROWS = _IS_LAST + 1
_OF_PAYMENT, _OF_TRANSFER = int(Kind.PAYMENT), int(Kind.TOKEN_TRANSFER)
_ALONE = exact.RECORD
_MAX_SINGLE, _MAX_BULK = exact.MAX_SINGLE_BYTES, exact.MAX_BULK_BYTES
_MAX_ITEMS, _MAX_SUM, _MAX_WINDOW = (
    exact.MAX_BULK_ITEMS,
    exact.MAX_SUM_CHARACTERS,
    fields.MAX_WINDOW,
)
_MAX_INSTANT, _VERSION_NOW = 40, int(fields.VERSION)
_MAX_END_TO_END, _MAX_CHAIN = fields.END_TO_END_MAX, fields.CHAIN_REFERENCE_MAX

# Columns of what is found. Of a word: where it begins in the text, and in the column behind that where it ends.
LOW, HIGH, AMOUNT = range(3)  # the id's two words
DECIMALS, VALUE_DATE, PRIORITY, KIND, WINDOW, RECORD, ITEM = range(7)
DEBTOR, CREDITOR, ASSET, END_TO_END_ID, CHAIN_REFERENCE, EXPIRES_AT = range(7, 19, 2)


class Found(NamedTuple):
    """What was found in n records: m payments in order, and k items of bulks that are no plain payments.

    is_read: (n,), all of the record is in here. wide: (m, 3) uint64, narrow: (m, 19) int32, see the columns above.
    others: (k, 4) int64: record, item, where it begins and ends in the text. sums: (n, 2) int64, where a bulk's
    control sum begins and ends, 0: it is no bulk. No sum is compared here.
    """

    is_read: Bool
    wide: U64
    narrow: I32
    others: I64
    sums: I64


def find(text: U8, begin: I64, end: I64) -> Found:
    """The plain payments of the records.

    text: uint8, with PADDING zeros behind it. begin, end: (n,), where each record stands in it.
    """
    n, most = len(begin), int(np.count_nonzero(text == scan.OPEN))
    assert len(text) < 1 << 31, "more than places of 32 bits can name"
    is_read, sums = np.zeros(n, np.bool_), np.zeros((n, 2), np.int64)
    wide, narrow = np.empty((most, 3), np.uint64), np.empty((most, 19), np.int32)
    others = np.empty((most, 4), np.int64)
    layout = np.zeros((_LAYOUT_ROWS, 3), np.int32)
    eights = scan.eights_of(text)
    m, k = _find(text, eights, begin, end, is_read, wide, narrow, layout, others, sums)
    return Found(is_read, wide[:m], narrow[:m], others[:k], sums)


# A row that is filled is always below the number of braces that were passed, for every object has one: so that is
# how many rows there is room for.


@compiled
def _find(
    text: U8,
    eights: U64,
    begin: I64,
    end: I64,
    is_read: Bool,
    wide: U64,
    narrow: I32,
    layout: I32,
    others: I64,
    sums: I64,
) -> tuple[int, int]:
    """(payments, others) of all records."""
    m, k = 0, 0
    for record in range(len(begin)):
        start, limit = begin[record], end[record]
        while start < limit and scan.is_blank(text, start):
            start += 1
        if start >= limit or text[start] != scan.OPEN:
            continue
        if limit - begin[record] <= _MAX_SINGLE:
            at = _payment(text, eights, start, wide, narrow, m, layout)
            if at != NOWHERE and at <= limit and scan.behind(text, at, scan.BLANK) >= limit:
                narrow[m, RECORD], narrow[m, ITEM] = record, _ALONE
                is_read[record] = True
                m += 1
                continue
        if limit - begin[record] <= _MAX_BULK:
            at, rows, more = _bulk(
                text, eights, start, limit, wide, narrow, m, layout, others, k, sums[record]
            )
            if at != NOWHERE:
                narrow[m : m + rows, RECORD] = record
                others[k : k + more, 0] = record
                is_read[record] = True
                m, k = m + rows, k + more
    return m, k


@compiled
def _bulk(
    text: U8,
    eights: U64,
    at: int,
    limit: int,
    wide: U64,
    narrow: I32,
    m: int,
    layout: I32,
    others: I64,
    k: int,
    its_sum: I64,
) -> tuple[int, int, int]:
    """(where the bulk ends that begins there, its payments, its others); NOWHERE if it does not end at the limit,
    or does not hold."""
    count, rows, more, seen = NOWHERE, 0, 0, 0
    while text[at] != scan.CLOSE:
        field, at = _key(text, at + 1, seen)
        if field == NOWHERE:
            return NOWHERE, 0, 0
        seen |= 1 << field
        start = at
        if field == _ITEMS:
            at, rows, more = _items(text, eights, at, limit, wide, narrow, m, layout, others, k)
            if at == NOWHERE:
                return NOWHERE, 0, 0
        elif field in (_COUNT, _VERSION):
            number, at = scan.number_at(text, at, _MAX_ITEMS if field == _COUNT else _VERSION_NOW)
            if at == NOWHERE:
                return NOWHERE, 0, 0
            count = number if field == _COUNT else count
        else:
            at = _text_end(text, at)
            if at == NOWHERE or not _is_of_bulk(text, field, start + 1, at):
                return NOWHERE, 0, 0
            if field == _CONTROL_SUM:
                its_sum[0], its_sum[1] = start + 1, at
            at += 1
        at = scan.behind(text, at, scan.BLANK)
        if at >= limit or (text[at] != scan.COMMA and text[at] != scan.CLOSE):
            return NOWHERE, 0, 0
    holds = seen & ~(1 << _VERSION) == _BULK_HAS and count == rows + more
    if not holds or scan.behind(text, at + 1, scan.BLANK) < limit:
        return NOWHERE, 0, 0
    return at + 1, rows, more


@compiled
def _is_of_bulk(text: U8, field: int, begin: int, end: int) -> bool:
    """Whether a bulk says this of itself."""
    if field == _TYPE:
        return end - begin == len(_BULK) and scan.begins(text, begin, _BULK)
    if field == _ID:
        return scan.uuid_at(text, begin)[2] == end
    return field == _CONTROL_SUM and 0 < end - begin <= _MAX_SUM


@compiled
def _items(
    text: U8,
    eights: U64,
    at: int,
    limit: int,
    wide: U64,
    narrow: I32,
    m: int,
    layout: I32,
    others: I64,
    k: int,
) -> tuple[int, int, int]:
    """(where the list ends that begins there, its payments, its others)."""
    rows, more = 0, 0
    if text[at] != scan.OPEN_LIST:
        return NOWHERE, 0, 0
    while text[at] != scan.CLOSE_LIST:
        start = scan.behind(text, at + 1, scan.BLANK)
        if start >= limit or text[start] != scan.OPEN:
            return NOWHERE, 0, 0
        at = _payment(text, eights, start, wide, narrow, m + rows, layout)
        if at != NOWHERE:
            narrow[m + rows, ITEM] = rows + more
            rows += 1
        else:
            at = scan.behind_object(text, start, limit)
            if at == NOWHERE:
                return NOWHERE, 0, 0
            others[k + more, 1], others[k + more, 2], others[k + more, 3] = rows + more, start, at
            more += 1
        at = scan.behind(text, at, scan.BLANK)
        if at >= limit or (text[at] != scan.COMMA and text[at] != scan.CLOSE_LIST):
            return NOWHERE, 0, 0
    return at + 1, rows, more


@compiled
def _payment(text: U8, eights: U64, at: int, wide: U64, narrow: I32, row: int, layout: I32) -> int:
    """Where the object ends that begins there, if it is a sound payment: that stands in the row then."""
    end = _like_the_last(text, eights, at, wide, narrow, row, layout)
    return end if end != NOWHERE else _any_payment(text, at, wide, narrow, row, layout)


@compiled
def _like_the_last(
    text: U8, eights: U64, at: int, wide: U64, narrow: I32, row: int, layout: I32
) -> int:
    """`_any_payment` of one that is the last that was read but for its values: the same keys, the same blanks.

    layout: of each value the field, and where what is before it begins, and its size; behind the last the field
    NOWHERE, and what ends the object. In its row _IS_LAST, whether there was a last one.
    """
    if not layout[_IS_LAST, 0]:
        return NOWHERE
    _clear(narrow, row)
    for i in range(_IS_LAST):
        field, before, size = layout[i, 0], layout[i, 1], layout[i, 2]
        if not scan.are_same(eights, at, before, size):
            return NOWHERE
        at += size
        if field == NOWHERE:
            is_transfer = narrow[row, KIND] == _OF_TRANSFER
            return at if is_transfer == (narrow[row, CHAIN_REFERENCE] != 0) else NOWHERE
        at = _value(text, field, at, wide, narrow, row)
        if at == NOWHERE:
            return NOWHERE
    return NOWHERE


@compiled
def _any_payment(text: U8, at: int, wide: U64, narrow: I32, row: int, layout: I32) -> int:
    """`_payment` of one that is written in whatever way; it is the last from here on."""
    seen, values, before = 0, 0, at
    _clear(narrow, row)
    layout[_IS_LAST, 0] = 0
    while text[at] != scan.CLOSE:
        field, at = _key(text, at + 1, seen)
        if field == NOWHERE:
            return NOWHERE
        seen |= 1 << field
        is_text = text[at] == scan.QUOTE
        if is_text == (field in (_WINDOW, _VERSION)):
            return NOWHERE
        at += is_text
        layout[values, 0], layout[values, 1], layout[values, 2] = field, before, at - before
        values += 1
        before = at = _value(text, field, at, wide, narrow, row)
        if at == NOWHERE or (is_text and text[at] != scan.QUOTE):
            return NOWHERE
        at = scan.behind(text, at + is_text, scan.BLANK)
        if text[at] != scan.COMMA and text[at] != scan.CLOSE:
            return NOWHERE
    has_chain = seen >> _CHAIN & 1
    if seen & _PAYMENT_HAS != _PAYMENT_HAS or has_chain != (narrow[row, KIND] == _OF_TRANSFER):
        return NOWHERE
    layout[values, 0], layout[values, 1], layout[values, 2] = NOWHERE, before, at + 1 - before
    layout[_IS_LAST, 0] = 1
    return at + 1


@compiled
def _clear(narrow: I32, row: int) -> None:
    """What not every payment has, and what says which kind it is."""
    narrow[row, KIND], narrow[row, PRIORITY], narrow[row, WINDOW] = 0, 0, 0
    narrow[row, CHAIN_REFERENCE], narrow[row, CHAIN_REFERENCE + 1] = 0, 0
    narrow[row, EXPIRES_AT], narrow[row, EXPIRES_AT + 1] = 0, 0


@compiled
def _key(text: U8, at: int, seen: int) -> tuple[int, int]:
    """(field whose key stands there, where its value begins); NOWHERE if it is none or was seen before."""
    at = scan.behind(text, at, scan.BLANK)
    end = _text_end(text, at)
    start, size = at + 1, end - at - 1
    if end == NOWHERE or size >= len(_KEY_AT):
        return NOWHERE, at
    field = _KEY_AT[size, text[start] & 127]
    if field == NOWHERE or seen >> field & 1:
        return NOWHERE, at
    for i in range(size):
        if text[start + i] != _KEYS[field, i]:
            return NOWHERE, at
    at = scan.behind_colon(text, end + 1)
    if at == NOWHERE:
        return NOWHERE, at
    return field, at


@compiled
def _text_end(text: U8, at: int) -> int:
    """Where the text ends that begins with a quote there: at its other quote. NOWHERE: it is none that is plain."""
    if text[at] != scan.QUOTE:
        return NOWHERE
    at = scan.behind(text, at + 1, scan.PRINTABLE)
    return at if text[at] == scan.QUOTE else NOWHERE


@compiled
def _value(text: U8, field: int, at: int, wide: U64, narrow: I32, row: int) -> int:
    """What begins there becomes a field of the row; where it ends, NOWHERE if it is no sound one.

    What stands there, up to the quote that has to follow or up to what is no digit, is all that belongs to it.
    """
    if field == _ID:
        wide[row, LOW], wide[row, HIGH], end = scan.uuid_at(text, at)
    elif field == _AMOUNT:
        wide[row, AMOUNT], narrow[row, DECIMALS], end = scan.amount_at(text, at)
    elif field == _VALUE_DATE:
        narrow[row, VALUE_DATE], end = scan.day_at(text, at)
    elif field == _TYPE:
        narrow[row, KIND], end = _kind(text, at)
    elif field == _PRIORITY:
        narrow[row, PRIORITY], end = _priority(text, at)
    elif field == _WINDOW:
        narrow[row, WINDOW], end = scan.number_at(text, at, _MAX_WINDOW)
    elif field == _VERSION:
        _, end = scan.number_at(text, at, _VERSION_NOW)
    else:
        column, end = _word(text, field, at)
        narrow[row, column], narrow[row, column + 1] = at, end
    return end


@compiled
def _kind(text: U8, at: int) -> tuple[int, int]:
    if scan.begins(text, at, _PAYMENT):
        return _OF_PAYMENT, at + len(_PAYMENT)
    if scan.begins(text, at, _TRANSFER):
        return _OF_TRANSFER, at + len(_TRANSFER)
    return 0, NOWHERE


@compiled
def _priority(text: U8, at: int) -> tuple[int, int]:
    for priority in range(len(_PRIORITIES)):
        if scan.begins(text, at, _PRIORITIES[priority]):
            return priority, at + _PRIORITY_SIZE
    return 0, NOWHERE


@compiled
def _word(text: U8, field: int, at: int) -> tuple[int, int]:
    """(column, where it ends) of a field that is a word."""
    if field == _DEBTOR:
        return DEBTOR, scan.behind_name(text, at, scan.CAPITAL, 2)
    if field == _CREDITOR:
        return CREDITOR, scan.behind_name(text, at, scan.CAPITAL, 2)
    if field == _ASSET:
        return ASSET, scan.behind_name(text, at, scan.NAME, 1)
    if field == _END_TO_END:
        end = scan.behind(text, at, scan.END_TO_END)
        if (
            0 < end - at <= _MAX_END_TO_END
            and text[at] != scan.SPACE
            and text[end - 1] != scan.SPACE
        ):
            return END_TO_END_ID, end
    elif field == _CHAIN:
        end = scan.behind(text, at, scan.CHAIN)
        if 0 < end - at <= _MAX_CHAIN:
            return CHAIN_REFERENCE, end
    elif field == _EXPIRES_AT:
        end = scan.behind(text, at, scan.PRINTABLE)
        if 0 < end - at <= _MAX_INSTANT:
            return EXPIRES_AT, end
    return EXPIRES_AT, NOWHERE
