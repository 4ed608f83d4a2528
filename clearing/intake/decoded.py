"""Rows and the records they came in, and how rows that were read in two ways are put together again. Pure."""

from typing import NamedTuple

import numpy as np

from clearing.core.inputs import I32, I64
from clearing.log.rows import RowBatch, Run, assemble


class Decoded(NamedTuple):
    """rows: n rows in order of their records, source columns 0. record: (n,) int32, index of each row's record."""

    rows: RowBatch
    record: I32


def interleave(fast: Decoded, kept: I64, slow: Decoded) -> Decoded:
    """The kept rows and the slow ones, in order of their records and of the items in those.

    By runs: a batch with a few slow rows costs little more than one without.
    """
    record = np.concatenate([fast.record[kept], slow.record])
    item = np.concatenate([fast.rows.item[kept], slow.rows.item])
    order = np.argsort(record.astype(np.int64) << 32 | (item + 1), kind="stable")
    gap = len(fast.rows) + 1  # between the numbers of the two, so that no run is of both
    place = np.concatenate([kept, gap + np.arange(len(slow.rows))])[order]
    first = np.flatnonzero(np.diff(place, prepend=-2) != 1)
    stop = np.append(first[1:], len(place)) - 1
    runs: list[Run] = [
        (0, start, last + 1) if start < gap else (1, start - gap, last + 1 - gap)
        for start, last in zip(place[first].tolist(), place[stop].tolist(), strict=True)
    ]
    return Decoded(assemble((fast.rows, slow.rows), runs), record[order])


def joined(parts: list[Decoded]) -> Decoded:
    """One after the other."""
    if len(parts) == 1:
        return parts[0]
    rows = assemble(
        [part.rows for part in parts], [(i, 0, len(p.rows)) for i, p in enumerate(parts)]
    )
    return Decoded(rows, np.concatenate([part.record for part in parts]))
