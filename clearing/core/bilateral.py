"""Bilateral limits (R10): what a participant may pay another one, net, in a business day.

A pair is tracked in both directions as soon as one of them has a limit: what comes back frees what may go.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clearing.core.inputs import I64

if TYPE_CHECKING:
    from clearing.core.transfers import Transfers

ANY_AMOUNT = 1 << 62  # room where there is no limit; usage is counted as far as this
NO_LIMIT = -1

Pair = tuple[int, int, int]  # debtor, creditor, asset

_DENSE_CELLS = 1 << 22  # a table over all (debtor, creditor, asset) up to here, else a search


class BilateralLimits:
    """Columns over the tracked pairs, ascending. used: paid minus received since the business day began."""

    def __init__(self, tracked: list[tuple[Pair, int, int]] | None = None) -> None:
        self.pairs: list[Pair] = []
        self.limit: I64 = np.empty(0, np.int64)
        self.used: I64 = np.empty(0, np.int64)
        self._set(tracked or [])

    def _set(self, tracked: list[tuple[Pair, int, int]]) -> None:
        tracked = sorted(tracked)
        self.pairs = [pair for pair, _, _ in tracked]
        self.limit = np.array([limit for _, limit, _ in tracked], np.int64)
        self.used = np.array([used for _, _, used in tracked], np.int64)
        self._place = {pair: i for i, pair in enumerate(self.pairs)}
        self._opposite = np.array([self._place[c, d, a] for d, c, a in self.pairs], np.int64)
        self._shape = (0, 0)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def tracked(self) -> list[tuple[Pair, int, int]]:
        """(pair, limit, used), ascending: what a snapshot keeps."""
        return list(zip(self.pairs, self.limit.tolist(), self.used.tolist(), strict=True))

    def set_limit(self, pair: Pair, limit: int) -> None:
        """Set a limit, or take it away; a pair with none in either direction is not tracked any more."""
        debtor, creditor, asset = pair
        opposite = creditor, debtor, asset
        known = {pair: (limit, used) for pair, limit, used in self.tracked()}
        known[pair] = limit, known.get(pair, (NO_LIMIT, 0))[1]
        known.setdefault(opposite, (NO_LIMIT, 0))
        if known[pair][0] == known[opposite][0] == NO_LIMIT:
            del known[pair], known[opposite]
        self._set([(pair, limit, used) for pair, (limit, used) in known.items()])

    def left(self, pair: Pair) -> int:
        """What the debtor may still pay the creditor; may be negative after a limit was lowered (R9)."""
        place = self._place.get(pair)
        if place is None or int(self.limit[place]) == NO_LIMIT:
            return ANY_AMOUNT
        return int(self.limit[place]) - int(self.used[place])

    def new_day(self) -> None:
        self.used[:] = 0

    def use(self, transfers: "Transfers", rows: int, width: int) -> None:
        """Count accepted transfers. rows, width: of the accounts."""
        at, place = self._find(transfers, rows, width)
        if len(at):
            paid = np.zeros(len(self.pairs), np.int64)
            np.add.at(paid, place, transfers.units[at])
            used = self.used + (paid - paid[self._opposite])
            self.used = np.clip(used, -ANY_AMOUNT, ANY_AMOUNT)

    def at_risk(self, transfers: "Transfers", rows: int, width: int) -> I64:
        """Rows of pairs whose limit all of the transfers together would pass, nothing coming back."""
        at, place = self._find(transfers, rows, width)
        sums = np.zeros(len(self.pairs), np.int64)
        np.add.at(sums, place, transfers.units[at])
        passed = (self.limit != NO_LIMIT) & (sums > self.limit - self.used)
        return at[passed[place]] if passed.any() else at[:0]

    def limited(self, debtor: I64, creditor: I64, asset: I64, rows: int, width: int) -> I64:
        """Place in `pairs` of each row's pair, -1 where it has no limit."""
        place = self._places(debtor, creditor, asset, rows, width)
        return np.where((place >= 0) & (self.limit.take(place) != NO_LIMIT), place, -1)

    def _find(self, transfers: "Transfers", rows: int, width: int) -> tuple[I64, I64]:
        """Transfers between tracked pairs, and the place of each one's pair in the columns."""
        tracked = transfers.tracked
        if tracked is None:
            sides = (transfers.debtor, transfers.creditor, transfers.asset)
            place = self._places(*sides, rows, width)
            at = np.flatnonzero(place >= 0)
            tracked = at, place.take(at).astype(np.int64)
            transfers.tracked = tracked
        return tracked

    def _places(
        self, debtor: I64, creditor: I64, asset: I64, rows: int, width: int
    ) -> npt.NDArray[np.int32] | I64:
        """Place of each row's pair in the columns, -1 where it is not tracked."""
        if self._shape != (rows, width):
            self._build(rows, width)
        key = (debtor * rows + creditor) * width + asset
        if len(self._dense):
            return self._dense.take(key)
        place = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return np.where(self._keys.take(place) == key, place, -1)

    def _build(self, rows: int, width: int) -> None:
        keys = [(d * rows + c) * width + a for d, c, a in self.pairs]  # ascending as the pairs are
        self._keys = np.array(keys, np.int64)
        cells = rows * rows * width
        self._dense = np.full(cells if cells <= _DENSE_CELLS else 0, -1, np.int32)
        if len(self._dense):
            self._dense[self._keys] = np.arange(len(keys))
        self._shape = rows, width
