"""How much money a record carries, and what the unread ones of a bank are likely to. Pure.

Exact for records of the log, whose amount columns are added up; an estimate for payments nobody has read yet, by
what the same bank sent last. Shown to operators, decides nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from clearing.core.inputs import Kind
from clearing.log import payments
from clearing.names import owner_of

MEMORY_RECORDS = 2_000  # of each bank: older ones fade,
HALF_LIFE_S = 15.0  # and with time: one payment of a billion is not what the next minutes bring

Money = dict[str, dict[str, Decimal]]  # asset → bank → value


class Value(NamedTuple):
    """What one log record brings. records: of each bank, source records that it holds."""

    money: Money
    records: dict[str, int]


NOTHING = Value({}, {})


def value_of(key: bytes | None, value: bytes) -> Value:
    """Of one record of the log; what moves no money counts none. Raises ValueError on bytes that are none.

    Row by row, the plain meaning is: a row that could be read and is a payment, transfer or return adds its amount
    to its asset and to the bank whose topic it came from; each source record of a bank counts once.
    """
    if key != payments.KEY:
        return NOTHING
    opened = payments.open_batch(value)
    if not len(opened):
        return NOTHING
    banks = [owner_of(source.topic) for source in opened.sources]
    source = opened.numbers("source").astype(np.int64)
    ends = np.flatnonzero(
        np.diff(source, append=-1) | np.diff(opened.numbers("source_offset"), append=-1)
    )  # rows of a source record stand together
    records: defaultdict[str, int] = defaultdict(int)
    for bank, number in zip(banks, np.bincount(source[ends]).tolist(), strict=False):
        records[bank] += number
    return Value(_money(opened, banks, source), {bank: n for bank, n in records.items() if n})


def _money(opened: payments.OpenedBatch, banks: list[str], source: np.ndarray) -> Money:
    assets, asset = opened.names("asset")
    moves = (opened.numbers("reject") == 0) & (opened.numbers("kind") <= Kind.RETURN)
    decimals = opened.numbers("decimals").astype(np.int64)
    keys = ((source * max(1, len(assets)) + asset) * 32 + decimals)[moves]
    amount = opened.numbers("amount")[moves]
    found, index = np.unique(keys, return_inverse=True)
    # Two halves: the sum of a record's amounts may pass an int64.
    high, low = np.zeros(len(found), np.int64), np.zeros(len(found), np.int64)
    np.add.at(high, index, amount >> 30)
    np.add.at(low, index, amount & ((1 << 30) - 1))
    money: Money = {}
    for key, above, below in zip(found.tolist(), high.tolist(), low.tolist(), strict=True):
        by_bank = money.setdefault(assets[key // 32 % len(assets)], {})
        bank = banks[key // 32 // len(assets)]
        units = Decimal((above << 30) + below).scaleb(-(key % 32))
        by_bank[bank] = by_bank.get(bank, Decimal(0)) + units
    return money


def added(values: Iterable[Money]) -> Money:
    """The sum of several."""
    result: Money = {}
    for money in values:
        for asset, by_bank in money.items():
            total = result.setdefault(asset, {})
            for bank, value in by_bank.items():
                total[bank] = total.get(bank, Decimal(0)) + value
    return result


def totals(money: Money) -> dict[str, Decimal]:
    """asset → value, over all banks."""
    return {asset: sum(by_bank.values(), Decimal(0)) for asset, by_bank in money.items()}


class Means:
    """What the records of each bank of one netting set were worth of late. Bounded by banks and assets."""

    def __init__(self) -> None:
        self._records: dict[str, float] = {}
        self._worth: dict[str, dict[str, float]] = {}
        self._learnt_s: dict[str, float] = {}

    def learn(self, value: Value, at_s: float) -> None:
        """Take in what a log record holds. at_s: now, on a clock that never goes back."""
        for bank, number in value.records.items():
            since_s = at_s - self._learnt_s.get(bank, at_s)
            fading = max(0.0, 1 - number / MEMORY_RECORDS) * 0.5 ** (since_s / HALF_LIFE_S)
            self._learnt_s[bank] = at_s
            self._records[bank] = self._records.get(bank, 0.0) * fading + number
            worth = self._worth.setdefault(bank, {})
            for asset in worth:
                worth[asset] *= fading
            for asset, by_bank in value.money.items():
                if bank in by_bank:
                    worth[asset] = worth.get(asset, 0.0) + float(by_bank[bank])

    def estimate(self, bank: str, records: int) -> Money | None:
        """What so many unread records of a bank are likely to be worth, None if nothing was heard of it yet."""
        seen = self._records.get(bank)
        if not seen:
            return None
        mean = {asset: worth / seen for asset, worth in self._worth[bank].items() if worth}
        return {asset: {bank: Decimal(round(one * records))} for asset, one in mean.items()}
