"""The rows of one log record as intake makes them: columns, and how batches of them are put together.

Filled by clearing.intake from JSON, packed by clearing.log.payments. No format's bytes here.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow as pa

from clearing.core.compiled import compiled
from clearing.core.inputs import I32, I64, U8, Links, References, Reject, fixed, read_only

Texts = pa.Array | list[str]
_NEW = -1
_NOWHERE = read_only(np.zeros(1, np.int32))
Run = tuple[int, int, int]  # (index of a batch, first row, row behind the last)


@dataclass(slots=True)
class RowBatch:
    """n rows as intake has them. Texts are Arrow strings (or lists), names may come encoded as a dictionary in
    order of appearance; on rejected rows "" and 0.

    id: (n, 16) bytes of the UUID. amount/decimals: "12.5" is (125, 1). value_date: days since epoch.
    item: index in a bulk, -1 for a record of its own. reject: Code below 40, its text in rejects[row].
    chain_reference, links, references, reason (ISO code in a return, cancellation or answer): None where no
    row has any; else "" and zeros on the rows that have none.
    """

    id: U8
    debtor: Texts
    creditor: Texts
    asset: Texts
    amount: I64
    decimals: U8
    value_date: I32
    priority: U8
    kind: U8
    end_to_end_id: Texts
    chain_reference: Texts | None
    expires_at_ms: I64
    window: I32
    source: I32
    source_offset: I64
    item: I32
    reject: U8
    rejects: dict[int, Reject] = field(default_factory=dict[int, Reject])
    links: Links | None = None
    references: References | None = None
    reason: Texts | None = None

    def __len__(self) -> int:
        return len(self.amount)


def strings(values: Texts) -> pa.StringArray:
    if isinstance(values, list):
        return pa.array(values, pa.string())
    return values.dictionary_decode() if isinstance(values, pa.DictionaryArray) else values


def encoded(values: Texts) -> pa.DictionaryArray:
    """Each distinct text once, in order of appearance."""
    return values if isinstance(values, pa.DictionaryArray) else strings(values).dictionary_encode()


def places_of(texts: pa.StringArray) -> I32:
    """(n + 1,), where each text begins in the bytes of its column, and where the last ends."""
    if not len(texts):
        return _NOWHERE
    ends = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset)
    return fixed(ends, np.int32)


def renumbered(numbers: I32, texts: pa.StringArray) -> pa.DictionaryArray:
    """texts[numbers], each once, in order of appearance. texts: distinct ones."""
    place_of = np.full(len(texts), _NEW, np.int32)
    order, indices = np.empty_like(place_of), np.empty(len(numbers), np.int32)
    count, is_in_order = _renumber(fixed(numbers, np.int32), place_of, order, indices)
    if not is_in_order or count < len(texts):
        texts = texts.take(pa.array(order[:count]))
    return pa.DictionaryArray.from_arrays(pa.array(indices), texts, safe=False)


@compiled
def _renumber(numbers: I32, place_of: I32, order: I32, indices: I32) -> tuple[int, bool]:
    """(how many numbers there are, whether each appears when all below it have). place_of: of each number, NEW;
    order: the numbers as they appear."""
    count, is_in_order = 0, True
    for i in range(len(numbers)):
        number = numbers[i]
        if place_of[number] == _NEW:
            place_of[number] = count
            order[count] = number
            is_in_order &= number == count
            count += 1
        indices[i] = place_of[number]
    return count, is_in_order


def assemble(batches: Sequence[RowBatch], runs: Sequence[Run]) -> RowBatch:
    """Rows [first, stop) of batches[i] for each run (i, first, stop), one after the other, with their rejects.

    Copies by the run, some 5 µs each: long ones cost next to nothing.
    """
    columns: dict[str, Any] = {}
    for column in fields(RowBatch):
        if column.name != "rejects":
            values = [getattr(batch, column.name) for batch in batches]
            if column.name in _ABSENT and any(value is not None for value in values):
                absent = _ABSENT[column.name]
                values = [
                    absent(len(batch)) if value is None else value
                    for batch, value in zip(batches, values, strict=True)
                ]
            columns[column.name] = _column(values, runs)
    return RowBatch(**columns, rejects=_rejects(batches, runs))


def _column(values: list[Any], runs: Sequence[Run]) -> Any:
    match values[0]:
        case None:
            return None
        case np.ndarray():
            parts = [values[i][first:stop] for i, first, stop in runs]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        case Links() | References() as columns:
            parts = {
                part.name: _column([getattr(value, part.name) for value in values], runs)
                for part in fields(columns)
            }
            return type(columns)(**parts)
    if any(isinstance(value, pa.DictionaryArray) for value in values):
        return _encoded_runs([encoded(value) for value in values], runs)
    texts = [strings(value) for value in values]
    return pa.concat_arrays([texts[i].slice(first, stop - first) for i, first, stop in runs])


def _encoded_runs(values: list[pa.DictionaryArray], runs: Sequence[Run]) -> pa.DictionaryArray:
    """encoded(the texts of the runs), without writing them out."""
    numbers: dict[str, int] = {}  # of every text in any dictionary
    of_each = [
        np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int32)
        for texts in (value.dictionary.to_pylist() for value in values)
    ]
    indices = [fixed(value.indices.to_numpy(), np.int32) for value in values]
    found = np.empty(sum(stop - first for _, first, stop in runs), np.int32)
    at = 0
    for i, first, stop in runs:
        _translate(of_each[i], indices[i][first:stop], found[at : at + stop - first])
        at += stop - first
    return renumbered(found, pa.array(list(numbers), pa.string()))


@compiled
def _translate(number_of: I32, numbers: I32, found: I32) -> None:
    for i in range(len(numbers)):
        found[i] = number_of[numbers[i]]


def _rejects(batches: Sequence[RowBatch], runs: Sequence[Run]) -> dict[int, Reject]:
    """Numbered by row of the whole."""
    known = [sorted(batch.rejects) for batch in batches]
    rejects: dict[int, Reject] = {}
    before = 0
    for i, first, stop in runs:
        for row in known[i][bisect_left(known[i], first) : bisect_left(known[i], stop)]:
            rejects[before + row - first] = batches[i].rejects[row]
        before += stop - first
    return rejects


def _no_texts(n: int) -> pa.StringArray:
    offsets = pa.py_buffer(np.zeros(n + 1, np.int32))
    return pa.StringArray.from_buffers(n, offsets, pa.py_buffer(b""))


def _no_links(n: int) -> Links:
    words, bytes_ = np.zeros((n, 2), np.uint64), np.zeros(n, np.uint8)
    return Links(link=words, terms=words, leg=bytes_, legs=bytes_, partial=bytes_)


def _no_references(n: int) -> References:
    words, bytes_ = np.zeros((n, 2), np.uint64), np.zeros(n, np.uint8)
    return References(
        id=words,
        body_hash=words[:, 0],
        amount=np.zeros(n, np.int64),
        decimals=bytes_,
        decision=bytes_,
    )


_ABSENT: dict[str, Callable[[int], Any]] = {
    "chain_reference": _no_texts,
    "links": _no_links,
    "references": _no_references,
    "reason": _no_texts,
}
