"""Payments that are written alike: one is read, the others are only compared with it, all at once.

Pure. What one sender writes differs in its values alone: the same keys in the same order, the same blanks. So the
quotes of all records are found together, and where every byte outside of the values is the same as in a payment
that the decoder has read, the decoder would have found just those values. Nothing is guessed: what is like no
such payment, has an escape or is no ASCII, is left to clearing.intake.lines.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from clearing.core.inputs import I32, I64, U8, Bool
from clearing.intake import exact
from clearing.intake.columns import Fields, Given
from clearing.intake.shapes import MAX_LITERAL_BYTES, Envelope, Role, Shape, envelope_of, shape_of

MAX_SHAPES = 16  # that are tried on a batch; what is none of these is read one by one
_PADDING = bytes(MAX_LITERAL_BYTES)  # behind all records, so that a comparison never ends outside
_BLOCK_BYTES = 1 << 17
_QUOTE, _BRACE, _ESCAPE = b'"{\\'
_OPTIONAL = ("chain_reference", "priority", "expires_at")


class Alike(NamedTuple):
    """The payments of those records that could be vouched for, in order.

    found: (records,), which these are. record, item: (m,), of each payment; item -1: it is a record of its own.
    envelopes: by record, of the bulks among them.
    """

    found: Bool
    record: I32
    item: I32
    fields: Fields
    window: I32
    envelopes: dict[int, Envelope]


def text_of(records: list[bytes]) -> bytes:
    """All of them, one behind the other, as `read` needs them."""
    return b"".join((*records, _PADDING))


def read(records: list[bytes], text: bytes) -> Alike:
    """Every record gives all of its payments or none. text: text_of(records)."""
    objects = _Objects(records, text)
    texts = _Texts(objects)
    envelopes: dict[int, Envelope] = {}
    for index in np.flatnonzero(objects.role == Role.ENVELOPE).tolist():
        envelope = envelope_of(objects.text_of(index))
        if envelope is not None:
            envelopes[int(objects.record[index])] = envelope
            texts.readable[index] = True
    texts.fill()
    found = objects.complete(texts.readable)
    kept = np.flatnonzero(found[objects.record] & (objects.role != Role.ENVELOPE))
    return Alike(
        found,
        objects.record[kept],
        objects.item[kept],
        texts.fields(kept),
        texts.window[kept],
        {index: envelope for index, envelope in envelopes.items() if found[index]},
    )


class _Objects:
    """Where the objects of all records are: each from its brace to the next one's, or to the end of its record.

    begin, end, record, item, role: (n,). first: (n,), the index in `quotes` of its first one; count: (n,), of them.
    """

    def __init__(self, records: list[bytes], text: bytes) -> None:
        self.text = text
        data = np.frombuffer(text, np.uint8)[: -len(_PADDING)]
        assert len(data) < 2**31 - len(_PADDING), "more than one batch may have"
        sizes = np.fromiter(map(len, records), np.int32, len(records))
        self._sizes = sizes
        self._start = np.cumsum(sizes, dtype=np.int32) - sizes
        self._data = data
        self.records = len(records)
        self.quotes = _places(data, _QUOTE)
        begin = _places(data, _BRACE)
        if np.array_equal(begin, self._start):  # every record is one object
            self.record = np.arange(len(records), dtype=np.int32)
        else:
            begin = np.union1d(begin, self._start[sizes > 0])
            self.record = self._record_of(begin)
        self.begin = begin
        self.end = np.append(begin[1:], np.int32(len(data)))
        is_first = np.diff(self.record, prepend=-1) != 0
        is_last = np.diff(self.record, append=-1) != 0
        self.role = np.where(
            is_first,
            np.where(is_last, Role.SINGLE, Role.ENVELOPE),
            np.where(is_last, Role.LAST, Role.ITEM),
        )
        numbers = np.arange(len(begin), dtype=np.int32)
        self.item = numbers - np.maximum.accumulate(np.where(is_first, numbers, 0)) - np.int32(1)
        self.first = np.searchsorted(self.quotes, begin)
        self.count = np.diff(self.first, append=len(self.quotes))

    def __len__(self) -> int:
        return len(self.begin)

    def _record_of(self, places: np.ndarray) -> I32:
        return (np.searchsorted(self._start, places, side="right") - 1).astype(np.int32)

    def text_of(self, index: int) -> bytes:
        return self.text[self.begin[index] : self.end[index]]

    def equal(self, places: I32, literal: bytes) -> Bool | None:
        """Which of the places have these bytes; None: all of them."""
        width = len(literal)
        windows = np.ndarray((len(self.text) - width + 1,), f"V{width}", self.text, strides=(1,))
        there = windows[places]
        if there.tobytes() == literal * len(places):
            return None
        expected = np.frombuffer(literal, np.uint8)
        return (there.view(np.uint8).reshape(-1, width) == expected).all(axis=1)

    def complete(self, readable: Bool) -> Bool:
        """(records,): those with objects, all of them readable, all ASCII and without an escape, none too large."""
        found = np.zeros(self.records, np.bool_)
        found[self.record] = True
        found[self.record[~readable]] = False
        if _ESCAPE in self.text:
            found[self._record_of(np.flatnonzero(self._data == _ESCAPE))] = False
        if not self.text.isascii():
            found[self._record_of(np.flatnonzero(self._data > 0x7F))] = False
        if len(self._data) > exact.MAX_SINGLE_BYTES:
            is_bulk = np.zeros(self.records, np.bool_)
            is_bulk[self.record[self.role == Role.ENVELOPE]] = True
            found &= self._sizes <= np.where(is_bulk, exact.MAX_BULK_BYTES, exact.MAX_SINGLE_BYTES)
        return found


def _places(data: U8, byte: int) -> I32:
    """Where a byte stands, ascending. By blocks, which stay in the processor's cache."""
    blocks = [
        np.flatnonzero(data[at : at + _BLOCK_BYTES] == byte).astype(np.int32) + np.int32(at)
        for at in range(0, len(data), _BLOCK_BYTES)
    ]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int32)


class _Texts:
    """What is found in the objects: where the text of each field begins and ends; which objects are readable."""

    def __init__(self, objects: _Objects) -> None:
        self._objects = objects
        self._spans: dict[str, tuple[I32, I32]] = {}
        self.readable = np.zeros(len(objects), np.bool_)
        self.window = np.zeros(len(objects), np.int32)

    def fill(self) -> None:
        """Read one object of each kind that there is, and find those that are alike."""
        objects = self._objects
        kind = objects.count * len(Role) + objects.role
        shapes = 0
        for each in np.flatnonzero(np.bincount(kind)).tolist():
            role = Role(each % len(Role))
            rest = np.flatnonzero(kind == each)
            while role is not Role.ENVELOPE and len(rest) and shapes < MAX_SHAPES:
                shapes += 1
                shape = shape_of(objects.text_of(rest[0]), role)
                rest = rest[1:] if shape is None else self._compare(shape, rest)

    def _compare(self, shape: Shape, of: I64) -> I64:
        """Take those that are alike; returns the others."""
        objects = self._objects
        first = objects.first[of]
        spans: list[tuple[I32, I32]] = []
        alike: Bool | None = None
        at = objects.begin[of]
        for literal, closing in zip(shape.literals, (*shape.closing, None), strict=True):
            equal = objects.equal(at, literal)
            if equal is not None:
                alike = equal if alike is None else alike & equal
            opened = at + np.int32(len(literal))
            if closing is None:
                equal = opened == objects.end[of]
                alike = equal if alike is None else alike & equal
            else:
                # Of the same number of quotes, this one is the next behind the one that opened the value.
                at = objects.quotes[first + closing]
                spans.append((opened, at))
        assert alike is not None, "at least its end was compared"
        if alike.all():
            self._take(shape, spans, of)
            return of[:0]
        self._take(shape, [(begin[alike], end[alike]) for begin, end in spans], of[alike])
        return of[~alike]

    def _take(self, shape: Shape, spans: list[tuple[I32, I32]], taken: I64) -> None:
        self.readable[taken] = True
        self.window[taken] = shape.window
        absent = self._objects.begin
        for name, (begin, end) in zip(shape.names, spans, strict=True):
            if len(taken) == len(absent):
                self._spans[name] = begin, end
                continue
            begins, ends = self._spans.setdefault(name, (absent.copy(), absent.copy()))
            begins[taken], ends[taken] = begin, end

    def fields(self, kept: I64) -> Fields:
        """Of the objects named, ascending and readable."""
        data = pa.py_buffer(self._objects.text)
        absent = self._objects.begin[kept]
        every_other = pa.array(np.arange(0, 2 * len(kept), 2, dtype=np.int32))
        found: dict[str, pa.StringArray | Given | None] = {}
        for name in Fields._fields:
            if name not in self._spans:
                assert name in _OPTIONAL or not len(kept), f"a payment without {name} was read"
                found[name] = None if name in _OPTIONAL else pa.array([], pa.string())
                continue
            begin, end = (places[kept] for places in self._spans[name])
            # Text, what is between it and the next one, text, …
            bounds = np.stack((begin, end), axis=1)
            pieces = pa.StringArray.from_buffers(
                max(0, 2 * len(kept) - 1), pa.py_buffer(bounds), data
            )
            texts = pieces.take(every_other)
            found[name] = Given(texts, begin != absent) if name in _OPTIONAL else texts
        return Fields(**found)
