"""JSON rows written by machine code: each row is some texts behind one another, and goes where its bank's rows are.

Pure, no business: what stands in a row says clearing.dispatch.statuses; clearing.dispatch.texts hands it over in
the form used here. Text t is data[starts[t] : starts[t + 1]]. All is written from front to back, for whatever is
written is followed by up to GAP bytes of anything: so many are left behind every array of bytes, and may be read.
No index is checked: clearing.dispatch.texts has looked at them, `measure` and `write` go by the same ones.
"""

import numpy as np

from clearing.core.compiled import compiled
from clearing.core.inputs import I32, I64, U8, U64
from clearing.dispatch.memory import GAP, Int, address, put, put_word

OWN, SAME = 0, 1  # columns of an index in which every row says its own number, and all say 0
CLOSE = b"},"  # behind every row
CLOSE_BYTES = len(CLOSE)
# Of a text of write_ids and write_amounts without the one before, of write_places without the one behind.
ID_BYTES, MAX_AMOUNT_BYTES, MAX_PLACE_BYTES = 36, 21, 31

_TENS = np.array([10**i for i in range(20)], np.uint64)
_CLOSE = np.uint64(int.from_bytes(CLOSE, "little"))
_DASH, _POINT, _COMMA = (np.uint64(ord(sign)) for sign in "-.,")


@compiled
def write_ids(ids: U64, before: U8, at: Int, data: U8, starts: I32) -> bool:
    """Texts from data[at] on, whose starts are filled: `before` and the canonical text of each UUID.

    ids: (n, 2), the 16 bytes of each. starts: (n + 1,). True.
    """
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    begin, said, length = address(data), address(before), len(before) - GAP
    starts[0] = at
    for i in range(len(ids)):
        put(begin + at, said, length)
        here = begin + at + length
        second, third = _hex(ids[i, 0] >> half), _hex(ids[i, 1] & low)
        put_word(here, _hex(ids[i, 0] & low))
        put_word(here + 8, _DASH)
        put_word(here + 9, second)
        put_word(here + 13, _DASH)
        put_word(here + 14, second >> half)
        put_word(here + 18, _DASH)
        put_word(here + 19, third)
        put_word(here + 23, _DASH)
        put_word(here + 24, third >> half)
        put_word(here + 28, _hex(ids[i, 1] >> half))
        at += length + ID_BYTES
        starts[i + 1] = at
    return True


@compiled
def write_strings(
    ends: I32, characters: U8, before: U8, behind: U8, keep: bool, at: Int, data: U8, starts: I32
) -> bool:
    """The same of strings as Arrow has them, between two texts; keep: also where the string is empty. True.

    characters: from the first string on, and GAP more.
    """
    begin, source, first, last = (
        address(data),
        address(characters),
        address(before),
        address(behind),
    )
    starts[0] = at
    for i in range(len(ends) - 1):
        size = ends[i + 1] - ends[i]
        if keep or size:
            put(begin + at, first, len(before) - GAP)
            at += len(before) - GAP
            put(begin + at, source + ends[i] - ends[0], size)
            at += size
            put(begin + at, last, len(behind) - GAP)
            at += len(behind) - GAP
        starts[i + 1] = at
    return True


@compiled
def write_amounts(
    names: U8,
    ends: I64,
    name: I32,
    amount: I64,
    decimals: U8,
    at: Int,
    data: U8,
    starts: I32,
) -> bool:
    """The same of a name, names[ends[name] : ends[name + 1]], and amount / 10**decimals: clearing.core.money.show.

    False at an amount below 0, at more than 18 decimals, and where there is no such name.
    """
    begin, source = address(data), address(names)
    starts[0] = at
    for i in range(len(amount)):
        if amount[i] < 0 or decimals[i] > 18 or name[i] < 0 or name[i] >= len(ends) - 1:
            return False
        length = ends[name[i] + 1] - ends[name[i]]
        put(begin + at, source + ends[name[i]], length)
        at += length
        units, scale = np.uint64(amount[i]), np.int64(decimals[i])
        size = max(_digits(units), scale + 1)
        if size <= 8:  # all in one word, parted where the point belongs
            digits = _eight_digits(units) >> np.uint64(8 * (8 - size))
            whole = size - scale
            put_word(begin + at, digits)
            if scale:
                fraction = digits >> np.uint64(8 * whole)
                put_word(begin + at + whole, fraction << np.uint64(8) | _POINT)
                at += 1
            at += size
        else:
            above = units // _TENS[scale]
            at += _put_digits(begin + at, above, size - scale)
            if scale:
                put_word(begin + at, _POINT)
                at += 1 + _put_digits(begin + at + 1, units - above * _TENS[scale], scale)
        starts[i + 1] = at
    return True


@compiled
def write_places(
    offset: I64, item: I32, alone: U8, behind: U8, at: Int, data: U8, starts: I32
) -> bool:
    """The same of each offset and its item, a comma between them, and `behind`.

    alone: the item -1 with all that stands around it. False at any other number below 0.
    """
    begin = address(data)
    starts[0] = at
    for i in range(len(offset)):
        if offset[i] < 0 or item[i] < -1:
            return False
        number = np.uint64(offset[i])
        at += _put_digits(begin + at, number, _digits(number))
        if item[i] == -1:
            put(begin + at, address(alone), len(alone) - GAP)
            at += len(alone) - GAP
        else:
            number = np.uint64(item[i])
            put_word(begin + at, _COMMA)
            at += 1 + _put_digits(begin + at + 1, number, _digits(number))
            put(begin + at, address(behind), len(behind) - GAP)
            at += len(behind) - GAP
        starts[i + 1] = at
    return True


@compiled
def is_plain(text: U8) -> bool:
    """Whether JSON has every byte as it is: no quote, no backslash, nothing below a space."""
    plain = True
    for i in range(len(text)):
        plain &= (text[i] >= 0x20) & (text[i] != 0x22) & (text[i] != 0x5C)
    return plain


@compiled
def are_below(places: I32, limits: I64) -> bool:
    """Whether no place in a column is negative, nor as large as its limit. places: (columns, rows)."""
    for column in range(len(places)):
        found = np.int64(0)
        least = np.int64(0)
        for i in range(places.shape[1]):
            found = max(found, places[column, i])
            least = min(least, places[column, i])
        if least < 0 or found >= limits[column]:
            return False
    return True


@compiled
def measure(
    starts: I32,
    index: I32,
    fields: I64,
    to: I32,
    places: I64,
    own: int,
    sizes: I32,
    totals: I64,
) -> None:
    """Add the bytes of each row, with `},` behind it, to its size, and those of bank b's rows to totals[b].

    Field f of row i is text fields[f, 0] + index[fields[f, 1], i]. to: the bank of each row, -1 for none.
    places: rows, ascending, that are not made of fields: the k-th is text own + k.
    """
    for f in range(len(fields)):
        first, column = fields[f, 0], fields[f, 1]
        if column == OWN:
            for i in range(len(to)):
                sizes[i] += starts[first + i + 1] - starts[first + i]
        else:
            for i in range(len(to)):
                text = first + index[column, i]
                sizes[i] += starts[text + 1] - starts[text]
    for k in range(len(places)):
        sizes[places[k]] = starts[own + k + 1] - starts[own + k]
    for i in range(len(to)):
        if to[i] >= 0:
            sizes[i] += CLOSE_BYTES
            totals[to[i]] += sizes[i]


@compiled
def write(
    out: U8,
    data: U8,
    starts: I32,
    index: I32,
    fields: I64,
    to: I32,
    places: I64,
    own: int,
    cursors: I64,
) -> None:
    """Write the rows that `measure` measured, in their order, bank b's from out[cursors[b]] on."""
    target, source = address(out), address(data)
    k = 0
    for i in range(len(to)):
        replaced = k < len(places) and places[k] == i
        bank = to[i]
        if bank >= 0:
            at = cursors[bank]
            if replaced:
                size = starts[own + k + 1] - starts[own + k]
                put(target + at, source + starts[own + k], size)
                at += size
            else:
                for f in range(len(fields)):
                    text = fields[f, 0] + index[fields[f, 1], i]
                    size = starts[text + 1] - starts[text]
                    put(target + at, source + starts[text], size)
                    at += size
            put_word(target + at, _CLOSE)
            cursors[bank] = at + CLOSE_BYTES
        k += replaced


@compiled
def stamp(out: U8, at: I64, text: U8) -> None:
    """Write the text at each of these places."""
    for i in range(len(at)):
        put(address(out) + at[i], address(text), len(text) - GAP)


@compiled
def _digits(number: np.uint64) -> Int:
    """How many it has. Of at most eight, as most are, without a branch that chance would decide."""
    size = 1
    for power in range(1, 8):
        size += number >= _TENS[power]
    if size == 8:
        while size < 20 and number >= _TENS[size]:
            size += 1
    return size


@compiled
def _put_digits(at: Int, number: np.uint64, size: Int) -> Int:
    """A number of at most `size` <= 20 digits, with zeros before it; `size`."""
    left = size
    if left > 16:
        high = number // _TENS[16]
        put_word(at, _eight_digits(high) >> np.uint64(8 * (24 - left)))
        number -= high * _TENS[16]
        at += left - 16
        left = 16
    if left > 8:
        high = number // _TENS[8]
        put_word(at, _eight_digits(high) >> np.uint64(8 * (16 - left)))
        number -= high * _TENS[8]
        at += left - 8
        left = 8
    put_word(at, _eight_digits(number) >> np.uint64(8 * (8 - left)))
    return size


@compiled
def _eight_digits(number: np.uint64) -> np.uint64:
    """Of a number below 10**8: its digits as a word, the first one lowest. Parts it thrice, all parts at once."""
    high = number // np.uint64(10_000)
    parts = high | (number - high * np.uint64(10_000)) << np.uint64(32)
    high = (parts * np.uint64(10_486) >> np.uint64(20)) & np.uint64(0x7F0000007F)  # / 100
    parts = high | (parts - high * np.uint64(100)) << np.uint64(16)
    high = (parts * np.uint64(103) >> np.uint64(10)) & np.uint64(0x000F000F000F000F)  # / 10
    parts = high | (parts - high * np.uint64(10)) << np.uint64(8)
    return parts | np.uint64(0x3030303030303030)


@compiled
def _hex(number: np.uint64) -> np.uint64:
    """Of four bytes, lowest first: their eight digits as a word, the first one lowest."""
    parts = (number | number << np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    parts = (parts | parts << np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    lower = np.uint64(0x000F000F000F000F)
    digits = (parts >> np.uint64(4)) & lower | (parts & lower) << np.uint64(8)
    letters = (digits + np.uint64(0x0606060606060606)) >> np.uint64(4)
    letters &= np.uint64(0x0101010101010101)  # 1 where the digit is one of a to f
    return digits + np.uint64(0x3030303030303030) + letters * np.uint64(ord("a") - ord("0") - 10)
