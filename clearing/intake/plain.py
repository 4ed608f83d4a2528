"""Plain payments, as columns: what the compiled grammar finds in records becomes rows. The fast path. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from clearing.core.compiled import compiled
from clearing.core.inputs import I32, I64, U8, U64, Bool
from clearing.intake import fields, grammar
from clearing.intake.scanning import PADDING, are_same, eights_of
from clearing.log.rows import RowBatch
from clearing.records import Records

_FREE = -1  # slot


class Values(NamedTuple):
    """Values of n records. text: uint8, behind it PADDING zeros. begin, end: (n,), where each stands in it."""

    text: U8
    begin: I64
    end: I64

    def sizes(self) -> I64:
        return self.end - self.begin

    def value(self, index: int) -> bytes:
        return self.text[self.begin[index] : self.end[index]].tobytes()

    def part(self, first: int, stop: int) -> "Values":
        return Values(self.text, self.begin[first:stop], self.end[first:stop])


def values_of(records: list[bytes]) -> Values:
    """The values one behind the other."""
    text = np.frombuffer(b"".join((*records, bytes(PADDING))), np.uint8)
    sizes = np.fromiter(map(len, records), np.int64, len(records))
    end = np.cumsum(sizes)
    return Values(text, end - sizes, end)


def values_in(chunks: Sequence[Records]) -> Values:
    """The same of records that stand in several places, with whatever stands between them there."""
    chunks = [chunk for chunk in chunks if len(chunk)]
    pieces = [chunk.data[chunk.begin[0] : chunk.end[-1]] for chunk in chunks]
    text = np.concatenate([*pieces, np.zeros(PADDING, np.uint8)])
    begin, end = np.empty((2, sum(map(len, chunks))), np.int64)
    row = at = 0
    for chunk, piece in zip(chunks, pieces, strict=True):
        rows, moved = slice(row, row + len(chunk)), at - int(chunk.begin[0])
        np.add(chunk.begin, moved, out=begin[rows])
        np.add(chunk.end, moved, out=end[rows])
        row, at = rows.stop, at + len(piece)
    return Values(text, begin, end)


class Plain(NamedTuple):
    """The plain payments of n records: m rows in order of their records, source columns 0.

    record: (m,), index of each one's. is_read: (n,), of the others the rows mean nothing. others: (record, item,
    its text) of what in a bulk is no plain payment, in order. sums: by record, the control sum that a bulk gives.
    """

    rows: RowBatch
    record: I32
    is_read: Bool
    others: list[tuple[int, int, bytes]]
    sums: dict[int, str]


def read(values: Values) -> Plain:
    """The plain payments of the records. A bulk is sound but for its control sum, which is not compared here."""
    text = values.text
    found = grammar.find(*values)
    rows = _rows(text, found)
    record = np.ascontiguousarray(found.narrow[:, grammar.RECORD])
    is_read = found.is_read
    is_read[record[rows.expires_at_ms < 0]] = False
    bulks = np.flatnonzero(is_read & (found.sums[:, 1] > 0)).tolist()
    return Plain(
        rows,
        record,
        is_read,
        [(r, i, text[begin:end].tobytes()) for r, i, begin, end in found.others.tolist()],
        {bulk: text[slice(*found.sums[bulk])].tobytes().decode() for bulk in bulks},
    )


def _rows(text: U8, found: grammar.Found) -> RowBatch:
    """expires_at_ms: -1 where what is said is no point in time."""
    wide, narrow = found.wide, found.narrow
    m = len(wide)

    def column(which: int, dtype: type[np.generic]) -> np.ndarray:
        return narrow[:, which].astype(dtype)

    def words(which: int) -> pa.DictionaryArray:
        return _encoded(text, narrow, which)

    return RowBatch(
        id=np.ascontiguousarray(wide[:, : grammar.AMOUNT]).view(np.uint8).reshape(-1, 16),
        debtor=words(grammar.DEBTOR),
        creditor=words(grammar.CREDITOR),
        asset=words(grammar.ASSET),
        amount=wide[:, grammar.AMOUNT].astype(np.int64),
        decimals=column(grammar.DECIMALS, np.uint8),
        value_date=column(grammar.VALUE_DATE, np.int32),
        priority=column(grammar.PRIORITY, np.uint8),
        kind=column(grammar.KIND, np.uint8),
        end_to_end_id=_texts(text, narrow, grammar.END_TO_END_ID),
        chain_reference=_texts(text, narrow, grammar.CHAIN_REFERENCE)
        if narrow[:, grammar.CHAIN_REFERENCE].any()
        else None,
        expires_at_ms=_instants(text, narrow),
        window=column(grammar.WINDOW, np.int32),
        source=np.zeros(m, np.int32),
        source_offset=np.zeros(m, np.int64),
        item=column(grammar.ITEM, np.int32),
        reject=np.zeros(m, np.uint8),
    )


def _texts(text: U8, narrow: I32, which: int) -> pa.StringArray:
    """The words of a column."""
    ends = np.zeros(len(narrow) + 1, np.int32)
    np.cumsum(narrow[:, which + 1] - narrow[:, which], out=ends[1:])
    words = np.empty(ends[-1] + 8, np.uint8)
    _copy(eights_of(text), narrow, which, eights_of(words))
    data = pa.py_buffer(words[: ends[-1]])
    return pa.StringArray.from_buffers(len(narrow), pa.py_buffer(ends), data)


@compiled
def _copy(eights: U64, narrow: I32, which: int, into: U64) -> None:
    """One word behind the other, by eight bytes: of the last one there is room for seven more."""
    at = 0
    for row in range(len(narrow)):
        begin, size = narrow[row, which], narrow[row, which + 1] - narrow[row, which]
        for i in range(0, size, 8):
            into[at + i] = eights[begin + i]
        at += size


def _encoded(text: U8, narrow: I32, which: int) -> pa.DictionaryArray:
    """The words of a column, each distinct one once, in order of appearance."""
    numbers, words = _numbered(text, narrow, which)
    return pa.DictionaryArray.from_arrays(pa.array(numbers), pa.array(words, pa.string()))


def _instants(text: U8, narrow: I32) -> I64:
    """Epoch milliseconds; 0: does not expire, -1: is no point in time. Each distinct text is read once."""
    if not narrow[:, grammar.EXPIRES_AT].any():
        return np.zeros(len(narrow), np.int64)
    numbers, words = _numbered(text, narrow, grammar.EXPIRES_AT)
    found = [fields.instant_ms_of(word) if word else 0 for word in words]
    return np.array([-1 if each is None else each for each in found], np.int64)[numbers]


def _numbered(text: U8, narrow: I32, which: int) -> tuple[I32, list[str]]:
    """(number of each row's word, the distinct words in order of appearance)."""
    m = len(narrow)
    numbers, firsts = np.empty(m, np.int32), np.empty(m, np.int32)
    bits = (2 * m).bit_length()
    slots = np.full(1 << bits, _FREE, np.int32)
    # What it is differs from process to process: nobody outside finds words that collide.
    seed = hash("words") & (1 << 32) - 1
    count = _number(eights_of(text), narrow, which, seed, bits, slots, firsts, numbers)
    places = narrow[firsts[:count], which : which + 2].tolist()
    return numbers, [text[begin:end].tobytes().decode() for begin, end in places]


@compiled
def _number(
    eights: U64,
    narrow: I32,
    which: int,
    seed: int,
    bits: int,
    slots: I32,
    firsts: I32,
    numbers: I32,
) -> int:
    """How many distinct words there are. firsts: the row in which each stands first.

    slots: (2^bits,), more than words; numbers of words at the places that their hashes name, or behind those.
    """
    count = 0
    for row in range(len(narrow)):
        begin, end = narrow[row, which], narrow[row, which + 1]
        if row and _are_same(eights, narrow, which, row - 1, begin, end):
            numbers[row] = numbers[row - 1]
            continue
        h = _mixed(np.uint64(seed), np.uint64(end - begin))
        for place in range(begin, end - 7, 8):
            h = _mixed(h, eights[place])
        rest = (end - begin) & 7
        if rest:
            h = _mixed(h, np.uint64(eights[end - rest] << np.uint64(64 - 8 * rest)))
        slot = np.int64(h >> np.uint64(64 - bits))  # the highest, in which all of a word tells
        while slots[slot] != _FREE and not _are_same(
            eights, narrow, which, int(firsts[slots[slot]]), begin, end
        ):
            slot = (slot + 1) & (len(slots) - 1)
        if slots[slot] == _FREE:
            slots[slot] = count
            firsts[count] = row
            count += 1
        numbers[row] = slots[slot]
    return count


@compiled
def _mixed(h: np.uint64, word: np.uint64) -> np.uint64:
    h = (h ^ word) * np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(32))


@compiled
def _are_same(eights: U64, narrow: I32, which: int, row: int, begin: int, end: int) -> bool:
    """Whether a row has the word that stands between two places."""
    other, size = narrow[row, which], end - begin
    if size != narrow[row, which + 1] - other:
        return False
    return size == 0 or are_same(eights, begin, other, size)
