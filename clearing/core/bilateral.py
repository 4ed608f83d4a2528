"""Bilateral limits (R10): what a participant may pay another one, net, in a business day.

A pair is tracked in both directions as soon as one of them has a limit: what comes back frees what may go.
"""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from clearing.core.inputs import I64

if TYPE_CHECKING:
    from clearing.core.transfers import Transfers

ANY_AMOUNT = 1 << 62

Pair = tuple[int, int, int]  # debtor, creditor, asset


class Bilateral(msgspec.Struct):
    """One direction. limit: -1 is none. used: paid minus received since the business day began."""

    limit: int
    used: int = 0

    @property
    def left(self) -> int:
        return ANY_AMOUNT if self.limit < 0 else self.limit - self.used


class BilateralLimits:
    """The tracked pairs, and as columns what each may still pay."""

    def __init__(self) -> None:
        self.pairs: dict[Pair, Bilateral] = {}
        self._tracked: list[Pair] = []
        self._place: dict[Pair, int] = {}
        self._shape = (0, 0)
        self._keys: I64 = np.empty(0, np.int64)
        self._left: I64 = np.empty(0, np.int64)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def set_limit(self, pair: Pair, limit: int) -> None:
        """Set a limit, or take it away (-1); a pair with none in either direction is not tracked any more."""
        debtor, creditor, asset = pair
        opposite = creditor, debtor, asset
        self.pairs.setdefault(pair, Bilateral(-1)).limit = limit
        if self.pairs.setdefault(opposite, Bilateral(-1)).limit < 0 and limit < 0:
            del self.pairs[pair], self.pairs[opposite]
        self._shape = (0, 0)

    def left(self, pair: Pair) -> int:
        """What the debtor may still pay the creditor; may be negative after a limit was lowered (R9)."""
        found = self.pairs.get(pair)
        return ANY_AMOUNT if found is None else found.left

    def new_day(self) -> None:
        for pair in self.pairs.values():
            pair.used = 0
        self._shape = (0, 0)

    def use(self, transfers: "Transfers", rows: int, width: int) -> None:
        """Count accepted transfers. rows, width: of the accounts."""
        at, place = self._find(transfers, rows, width)
        if not len(at):
            return
        sums = np.zeros(len(self._keys), np.int64)
        np.add.at(sums, place, transfers.units[at])
        tracked = self._tracked
        for i in np.flatnonzero(sums).tolist():
            debtor, creditor, asset = tracked[i]
            opposite = creditor, debtor, asset
            paid = int(sums[i])
            self.pairs[tracked[i]].used += paid
            self.pairs[opposite].used -= paid
            for pair in (tracked[i], opposite):
                self._left[self._place[pair]] = _clipped(self.pairs[pair].left)

    def at_risk(self, transfers: "Transfers", rows: int, width: int) -> I64:
        """Rows of pairs whose limit all of the transfers together would pass, nothing coming back."""
        at, place = self._find(transfers, rows, width)
        sums = np.zeros(len(self._keys), np.int64)
        np.add.at(sums, place, transfers.units[at])
        return at[(sums > self._left)[place]]

    def _find(self, transfers: "Transfers", rows: int, width: int) -> tuple[I64, I64]:
        """Transfers between tracked pairs, and the place of each one's pair in the columns."""
        if self._shape != (rows, width):
            self._build(rows, width)
        key = (transfers.debtor * rows + transfers.creditor) * width + transfers.asset
        place = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        at = np.flatnonzero(self._keys.take(place) == key)
        return at, place.take(at)

    def _build(self, rows: int, width: int) -> None:
        tracked = self._tracked = sorted(self.pairs)  # sorts as the keys do
        self._place = {pair: i for i, pair in enumerate(tracked)}
        self._keys = np.array([(d * rows + c) * width + a for d, c, a in tracked], np.int64)
        self._left = np.array([_clipped(self.pairs[pair].left) for pair in tracked], np.int64)
        self._shape = rows, width


def _clipped(units: int) -> int:
    return max(min(units, ANY_AMOUNT), -1)
