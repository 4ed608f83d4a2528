"""What a payment says, as one number: equal content, equal hash, whatever its spelling, form or company (R28).

STORED FORMAT: ids that come again, and the originals that returns and cancellations quote, are compared by it.
"""

import numpy as np
import pyarrow as pa

from clearing.core.compiled import compiled
from clearing.core.inputs import I32, I64, U8, U64, Links, References, fixed, read_only
from clearing.log.rows import RowBatch, encoded, places_of, strings
from clearing.log.xxh3 import hashes

# What begins the part of a hash that only some rows have.
_REASON, _LINK, _REFERENCE = (np.full(1, number, np.uint64) for number in (1, 2, 3))
_START, _FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)  # of SplitMix64
_NO_TEXTS = np.zeros(0, np.uint64), read_only(np.zeros(1, np.int32))


def body_hashes(rows: RowBatch) -> U64:
    """64-bit hash of each row's content without its id. A row's does not depend on what else is in its batch."""
    h = np.full(len(rows), _START)
    for column in (rows.debtor, rows.creditor, rows.asset):
        names = encoded(column)
        _mix_names(h, fixed(names.indices.to_numpy(), np.int32), hashes(names.dictionary))
    _mix_rest(
        h,
        hashes(strings(rows.end_to_end_id)),
        *(_NO_TEXTS if rows.chain_reference is None else _hashed(strings(rows.chain_reference))),
        fixed(rows.amount, np.int64),
        fixed(rows.decimals, np.uint8),
        fixed(rows.value_date, np.int32),
        fixed(rows.priority, np.uint8),
        fixed(rows.kind, np.uint8),
        fixed(rows.expires_at_ms, np.int64),
        fixed(rows.window, np.int32),
    )
    if rows.reason is not None:
        _mix_reasons(h, strings(rows.reason))
    if rows.links is not None:
        _mix_links(h, rows.links)
    if rows.references is not None:
        _mix_references(h, rows.references)
    return h


@compiled
def _mixed(h: np.uint64, value: np.uint64) -> np.uint64:
    """One round of a 64-bit mixing function."""
    h = (h ^ value) * _FACTOR
    return h ^ h >> np.uint64(29)


@compiled
def _mix_names(h: U64, names: I32, hash_of: U64) -> None:
    """names: (n,), indexes of hash_of."""
    for i in range(len(h)):
        h[i] = _mixed(h[i], hash_of[int(names[i])])


@compiled
def _mix_rest(
    h: U64,
    end_to_end_id: U64,
    chain_reference: U64,
    chain_places: I32,
    amount: I64,
    decimals: U8,
    value_date: I32,
    priority: U8,
    kind: U8,
    expires_at_ms: I64,
    window: I32,
) -> None:
    """What stands behind the names, in this order. chain_reference: hashes of all rows or of none; mixed in only
    where the text is not empty.

    Amounts without zeros at the end of the fraction: "12.50" and "12.5" are the same amount.
    """
    for i in range(len(h)):
        found = _mixed(h[i], end_to_end_id[i])
        if len(chain_reference) and chain_places[i + 1] > chain_places[i]:
            found = _mixed(found, chain_reference[i])
        units, scale = amount[i], np.int64(decimals[i])
        while scale > 0 and units % 10 == 0:
            units //= 10
            scale -= 1
        # A number below 0 counts as that of 64 bits which is the same modulo 2^64.
        found = _mixed(found, np.uint64(units))
        found = _mixed(found, np.uint64(scale))
        found = _mixed(found, np.uint64(np.int64(value_date[i])))
        found = _mixed(found, np.uint64(priority[i]))
        found = _mixed(found, np.uint64(kind[i]))
        found = _mixed(found, np.uint64(expires_at_ms[i]))
        h[i] = _mixed(found, np.uint64(np.int64(window[i])))


def _hashed(texts: pa.StringArray) -> tuple[U64, I32]:
    """Hashes of all, and where each begins in their bytes (and the last ends)."""
    return hashes(texts), places_of(texts)


def _mix(h: U64, value: np.ndarray) -> U64:
    """The same round as `_mixed`, over columns."""
    h = h ^ value.astype(np.uint64, copy=False)
    h *= _FACTOR
    h ^= h >> np.uint64(29)
    return h


def _mix_reasons(h: U64, reasons: pa.StringArray) -> None:
    """Into the rows that have one."""
    rows = np.flatnonzero(np.diff(places_of(reasons)))
    h[rows] = _mix(_mix(h[rows], _REASON), hashes(reasons)[rows])


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
