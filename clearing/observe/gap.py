"""What lies between a reader's position and the end of its partition is worth: read once, bounded, and forgotten.

Each look reads on from the one before, at most LOOK_RECORDS; the rest is estimated by what was read.
"""

import contextlib
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from clearing.core.outputs import SettlementBatch
from clearing.log.records import decode_settlement
from clearing.observe.value import NOTHING, Money, Value, added
from clearing.reading import Reader

LOOK_RECORDS = 64
KEPT_RECORDS = 4_096


class Worth(NamedTuple):
    """money: asset → bank → value. unvalued_records: of those nothing is known, not even about. learnt: what the
    records read at this look hold."""

    money: Money
    is_estimate: bool
    unvalued_records: int
    learnt: list[Value]


class Gap:
    """Of one partition. value_of: of a record's key and value; raises ValueError where it is none of ours."""

    def __init__(
        self, partition: TopicPartition, value_of: Callable[[bytes | None, bytes], Value]
    ) -> None:
        self._partition = partition
        self._value_of = value_of
        self._kept: deque[tuple[int, Value]] = deque()
        self._at = 0
        self._next = 0

    async def look(self, reader: Reader, position: int, end: int, records: int) -> Worth:
        """What the `records` from `position` to `end` are worth. A position that went back begins anew; of records
        that are gone nobody knows it."""
        try:
            return await self._look(reader, position, end, records)
        except OffsetOutOfRangeError:
            self._kept.clear()
            return Worth({}, False, records, [])

    async def _look(self, reader: Reader, position: int, end: int, records: int) -> Worth:
        if position < self._at:
            self._kept.clear()
        self._at = position
        while self._kept and self._kept[0][0] < position:
            self._kept.popleft()
        self._next = max(self._next, position) if self._kept else position
        learnt = await self._read_on(reader, end) if records else []
        missing = max(0, records - len(self._kept)) if self._next < end else 0
        money = added(value.money for _, value in self._kept)
        if not missing or not self._kept:
            return Worth(money, False, missing, learnt)
        share = Decimal(missing) / len(self._kept)
        return Worth(_scaled(money, 1 + share), True, 0, learnt)

    async def newest(self, reader: Reader, end: int) -> list[Value]:
        """What the last record before `end` holds, if it is there: to know the worth of payments when nothing
        waits."""
        try:
            return [value for _, value in await self._decoded(reader, max(0, end - 1), end, 1)]
        except OffsetOutOfRangeError:  # retention has passed it
            return []

    async def _read_on(self, reader: Reader, end: int) -> list[Value]:
        room = min(LOOK_RECORDS, KEPT_RECORDS - len(self._kept))
        if room <= 0 or self._next >= end:
            return []
        found = await self._decoded(reader, self._next, end, room)
        self._kept += found
        if len(found) == room:
            self._next = found[-1][0] + 1
        else:
            self._next = end
        return [value for _, value in found]

    async def _decoded(
        self, reader: Reader, start: int, end: int, most: int
    ) -> list[tuple[int, Value]]:
        found: list[tuple[int, Value]] = []
        async with contextlib.aclosing(reader.chunks(self._partition, start, end)) as chunks:  # type: ignore[type-var]
            async for records in chunks:
                for record in records:
                    if len(found) == most:
                        return found
                    found.append((record.offset, self._read(record.key, record.value)))
        return found

    def _read(self, key: bytes | None, value: bytes | None) -> Value:
        """What is none of ours is worth nothing here: its reader halts at it, and says so."""
        try:
            return self._value_of(key, value or b"")
        except (ValueError, msgspec.MsgspecError):
            return NOTHING


def settlement_value(_: bytes | None, value: bytes) -> Value:
    """Gross value of a settlement batch, of no bank in particular; of an account record none."""
    settlement = decode_settlement(value)
    if not isinstance(settlement, SettlementBatch):
        return NOTHING
    return Value({settlement.asset: {"": Decimal(settlement.gross)}}, {})


def _scaled(money: Money, factor: Decimal) -> Money:
    return {
        asset: {bank: Decimal(round(value * factor)) for bank, value in by_bank.items()}
        for asset, by_bank in money.items()
    }
