"""What a payment says, as one number: equal content, equal hash, whatever its spelling, form or company (R28).

STORED FORMAT: ids that come again, and the originals that returns and cancellations quote, are compared by it.
"""

import numpy as np
import pyarrow as pa
import xxhash
from pyarrow.compute import call_function

from clearing.core.inputs import I64, U8, U64, Links, References
from clearing.log.rows import RowBatch, encoded, strings

# What begins the part of a hash that only some rows have.
_REASON, _LINK, _REFERENCE = (np.full(1, number, np.uint64) for number in (1, 2, 3))


def body_hashes(rows: RowBatch) -> U64:
    """64-bit hash of each row's content without its id. A row's does not depend on what else is in its batch."""
    h = np.full(len(rows), 0x9E3779B97F4A7C15, np.uint64)
    for column in (rows.debtor, rows.creditor, rows.asset):
        names = encoded(column)
        h = _mix(h, _text_hashes(names.dictionary)[names.indices.to_numpy()])
    h = _mix(h, _text_hashes(strings(rows.end_to_end_id)))
    if rows.chain_reference is not None:
        _mix_texts(h, strings(rows.chain_reference))
    amount, decimals = _plain_amounts(rows.amount, rows.decimals)
    for numbers in (
        amount,
        decimals,
        rows.value_date,
        rows.priority,
        rows.kind,
        rows.expires_at_ms,
        rows.window,
    ):
        h = _mix(h, numbers)
    if rows.reason is not None:
        _mix_texts(h, strings(rows.reason), _REASON)
    if rows.links is not None:
        _mix_links(h, rows.links)
    if rows.references is not None:
        _mix_references(h, rows.references)
    return h


def _mix(h: U64, value: np.ndarray) -> U64:
    """One round of a 64-bit mixing function over columns (constants of SplitMix64)."""
    h = h ^ value.astype(np.uint64, copy=False)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(29)
    return h


def _text_hashes(values: pa.Array) -> U64:
    """xxh3-64 of each string."""
    digests = map(xxhash.xxh3_64_digest, values.cast(pa.binary()).to_pylist())
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)


def _plain_amounts(amount: I64, decimals: U8) -> tuple[I64, U8]:
    """Without zeros at the end of the fraction: "12.50" and "12.5" are the same amount."""
    rows = np.flatnonzero((amount // 10 * 10 == amount) & (decimals > 0))
    if len(rows):
        amount, decimals = amount.copy(), decimals.copy()
    while len(rows):
        amount[rows] //= 10
        decimals[rows] -= 1
        rows = rows[(amount[rows] % 10 == 0) & (decimals[rows] > 0)]
    return amount, decimals


def _mix_texts(h: U64, texts: pa.Array, begin: U64 | None = None) -> None:
    """Into the rows that have one."""
    rows = np.flatnonzero(call_function("binary_length", [texts]).to_numpy())
    if len(rows):
        start = h[rows] if begin is None else _mix(h[rows], begin)
        h[rows] = _mix(start, _text_hashes(texts.take(pa.array(rows))))


def _mix_links(h: U64, links: Links) -> None:
    """Which leg it is follows from the terms and the payment's own content."""
    rows = np.flatnonzero(links.legs)
    mixed = _mix(h[rows], _LINK)
    for words in (links.link, links.terms):
        mixed = _mix(_mix(mixed, words[rows, 0]), words[rows, 1])
    h[rows] = mixed


def _mix_references(h: U64, references: References) -> None:
    """The quoted original's amount is part of its hash."""
    rows = np.flatnonzero(references.id.any(axis=1))
    mixed = _mix(h[rows], _REFERENCE)
    for numbers in (
        references.id[:, 0],
        references.id[:, 1],
        references.body_hash,
        references.decision,
    ):
        mixed = _mix(mixed, numbers[rows])
    h[rows] = mixed
