"""The banks' own topics against the log: every record is there once, and says the same (R30, F14).

The records are decoded again, not by intake's decoder but from the published message types, a chunk of
records at a time, and compared in columns. Only what the log rejected is compared by its hash instead.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
import xxhash

from clearing.core.commands import ControlMessage
from clearing.core.inputs import I32, I64, Bool, ControlItem
from clearing.messages import Item
from clearing.verify.columns import stretches
from clearing.verify.orders import OrderColumns, orders_in
from clearing.verify.report import Check, Findings
from clearing.verify.sums import Values, add_values, values_by_asset
from clearing.verify.tables import LogTable, Rows, Source

_ITEM_BITS = 24  # place of a row in its source: offset << 24 | item + 1
_ITEM_MASK = (1 << _ITEM_BITS) - 1


class SourceRecord(Protocol):
    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


_decode_control = msgspec.json.Decoder(ControlMessage).decode


class SourceComparison:
    """Compares one payments topic with what the log has of it. Feed it the topic's records in order.

    Claims: the fresh rows of the log are exactly the records of the topic below `covered`, and each row
    says what its record says. readable, unread: rows and value by asset of
    what intake could read, and of what it rejected.
    mark: end of the topic when the verification began; what came later may be on its way.
    """

    def __init__(
        self, table: LogTable, rows: Rows, source: Source, first_offset: int, mark: int
    ) -> None:
        self.source = source
        self.covered = table.covered.get(source, 0)
        self._mark = mark
        self.records = self.beyond = 0
        self.readable: Values = {}
        self.unread: Values = {}
        self.found = Findings()
        self._table = table
        self._number = table.sources.get(source, -1)
        self._rows = rows
        self._seen = 0  # how many of the log's rows the topic has already accounted for
        self._row, aged_out = self._mine(first_offset)
        self.aged_out = len(aged_out)
        for part in stretches(len(aged_out)):
            self._believe(aged_out[part])

    def _mine(self, first_offset: int) -> tuple[I32, I32]:
        """The fresh rows of this source, in its order: those the topic still keeps, and those it does not."""
        kept: list[I32] = []
        aged_out: list[I32] = []
        last, in_order = -1, True
        for first, part in self._rows.parts():
            at = np.flatnonzero((part.source == self._number) & part.fresh)
            place = self._place_of(part, at)
            in_order &= bool((np.diff(place, prepend=last) >= 0).all())
            last = int(place[-1]) if len(place) else last
            is_kept = part.source_offset[at] >= first_offset
            kept.append((at[is_kept] + first).astype(np.int32))
            aged_out.append((at[~is_kept] + first).astype(np.int32))
        rows = np.concatenate([np.empty(0, np.int32), *kept])
        if not in_order:  # no honest intake does so, but the rows may still be those of the topic
            rows = rows[np.argsort(self._place_of(self._rows, rows), kind="stable")]
        return rows, np.concatenate([np.empty(0, np.int32), *aged_out])

    @staticmethod
    def _place_of(rows: Rows, row: I64 | I32) -> I64:
        """Of each row, its offset and its number in the record as one number that sorts."""
        return (rows.source_offset[row] << _ITEM_BITS) | (rows.item[row] + 1)

    def _next_rows(self, end: int) -> tuple[I64, I64]:
        """(place, row) of those not looked at yet that come from below this offset."""
        place: list[I64] = []
        first = stop = self._seen
        step = 1 << 12
        while stop < len(self._row):
            some = self._place_of(self._rows, self._row[stop : stop + step])
            inside = int(np.searchsorted(some, end << _ITEM_BITS))
            place.append(some[:inside])
            stop += inside
            if inside < len(some):
                break
        self._seen = stop
        row = self._row[first:stop].astype(np.int64)
        return np.concatenate([np.empty(0, np.int64), *place]), row

    def _believe(self, row: I32) -> None:
        """Rows whose records the topic keeps no more enter the sums as the log has them."""
        rows = self._rows
        read = row[rows.reject[row] == 0]
        label, labels = self._table.labels(rows, read)
        value = np.where(rows.instructions[read], 0, rows.amount[read])
        found = values_by_asset(label, value, rows.decimals[read])
        add_values(self.readable, {labels[a]: total for a, total in found.items()})
        if len(read) < len(row):
            add_values(self.unread, {"": (len(row) - len(read), 0)})

    def feed(self, records: Sequence[SourceRecord]) -> None:
        """Compare the next records of the topic."""
        inside = [record for record in records if record.offset < self.covered]
        self.records += len(inside)
        self.beyond += sum(self.covered <= record.offset < self._mark for record in records)
        if not inside:
            return
        place, row = self._next_rows(inside[-1].offset + 1)
        if (place[1:] == place[:-1]).any():
            self.found.add(
                "a record stands in the log twice as new", int((place[1:] == place[:-1]).sum())
            )
        offsets = np.array([record.offset for record in inside], np.int64)
        self._compare_offsets(offsets, place)
        unread = self._rows.reject[row] != 0
        self._compare_hashes(inside, offsets, place[unread])
        self._compare_rows(inside, place, row, unread)

    def finish(self) -> None:
        """Say what is left of the log's rows when the topic has ended."""
        left = len(self._row) - self._seen
        if left:
            first = int(self._rows.source_offset[self._row[self._seen]])
            self._differ("rows of the log are of no record in the topic", left, first)
        self._row = self._row[:0]
        if self.beyond:
            self.found.wait_for(
                f"{self.beyond:,} records of {self.source[0]} are not in the log yet"
            )

    def _differ(self, what: str, count: int, offset: int) -> None:
        self.found.add(f"{self.source[0]}: {count:,} {what}, first at offset {offset}", count)

    def _compare_offsets(self, offsets: I64, place: I64) -> None:
        in_log = np.unique(place >> _ITEM_BITS)
        if np.array_equal(in_log, offsets):
            return
        missing = np.setdiff1d(offsets, in_log, assume_unique=True)
        if len(missing):
            self._differ("records are not in the log", len(missing), int(missing[0]))
        foreign = np.setdiff1d(in_log, offsets, assume_unique=True)
        if len(foreign):
            self._differ(
                "rows of the log are of no record in the topic", len(foreign), int(foreign[0])
            )

    def _compare_hashes(self, records: list[SourceRecord], offsets: I64, unread: I64) -> None:
        """What the log rejected is this record, by the hash of its bytes."""
        for place in unread.tolist():
            offset, item = place >> _ITEM_BITS, (place & _ITEM_MASK) - 1
            at = int(np.searchsorted(offsets, offset))
            if at == len(offsets) or offsets[at] != offset:
                continue  # said already: no such record
            digest = xxhash.xxh3_128_hexdigest(records[at].value or b"")
            said, _ = self._table.reject_hashes.get((self._number, offset, item), ("", 0))
            if said != digest:
                self._differ("rejected rows carry another hash than their record", 1, offset)

    def _compare_rows(
        self, records: list[SourceRecord], place: I64, row: I64, unread: Bool
    ) -> None:
        places: list[int] = []
        orders: list[Item] = []
        for record in records:
            base = record.offset << _ITEM_BITS
            for item, order in orders_in(record.value):
                places.append(base | (item + 1))
                orders.append(order)
        table = self._table
        columns = OrderColumns(orders, table.participants.index, table.assets.index)
        here = np.array(places, np.int64)
        # A row that was rejected as an item takes that item out, one rejected as a record the whole record.
        whole = place[unread & ((place & _ITEM_MASK) == 0)] >> _ITEM_BITS
        out = np.isin(here, place[unread]) | np.isin(here >> _ITEM_BITS, whole)
        self._add_values(columns, here, out, place[unread])
        wanted, said = here[~out], place[~unread]
        if not np.array_equal(wanted, said):
            lost = np.setdiff1d(wanted, said, assume_unique=True)
            made_up = np.setdiff1d(said, wanted, assume_unique=True)
            for what, which in (("orders have no row", lost), ("rows have no order", made_up)):
                if len(which):
                    self._differ(f"{what}", len(which), int(which[0]) >> _ITEM_BITS)
            return
        for name, differs in columns.differences(self._rows, row[~unread], ~out):
            if differs.any():
                first = int(said[np.flatnonzero(differs)[0]]) >> _ITEM_BITS
                self._differ(f"rows have another {name} than the order", int(differs.sum()), first)

    def _add_values(self, columns: "OrderColumns", here: I64, out: Bool, unread: I64) -> None:
        """Count rows, add up values. A rejected row has the value of all orders that can be made out in it."""
        usable = columns.amount_readable
        for values, which, counted in (
            (self.readable, usable & ~out, 1),
            (self.unread, usable & out, 0),  # rows, not orders: they are counted below
        ):
            found = values_by_asset(
                columns.label[which], columns.value[which], columns.decimals[which]
            )
            add_values(values, {columns.labels[a]: (n * counted, v) for a, (n, v) in found.items()})
        # The first order of a record that was rejected as a whole, or the item that was: it names the asset.
        at = np.searchsorted(here, unread)
        inside = np.flatnonzero(at < len(here))
        same = np.where(
            (unread[inside] & _ITEM_MASK) == 0,
            here[at[inside]] >> _ITEM_BITS == unread[inside] >> _ITEM_BITS,
            here[at[inside]] == unread[inside],
        )
        known = columns.label[at[inside[same]]]
        counts = {columns.labels[a]: int(n) for a, n in enumerate(np.bincount(known)) if n}
        counts[""] = len(unread) - len(known)
        add_values(self.unread, {asset: (count, 0) for asset, count in counts.items() if count})


class ControlComparison:
    """Compares a partition of commands or confirmations with the log's control items, like the above."""

    def __init__(self, table: LogTable, source: Source, first_offset: int, mark: int) -> None:
        self.source = source
        self.covered = table.covered.get(source, 0)
        self.records = self.beyond = 0
        self.found = Findings()
        self._mark = mark
        self._items: dict[int, ControlItem] = {}
        for row in table.control:
            if row.source == source and row.item.offset >= first_offset:
                if row.item.offset in self._items:
                    self.found.add(
                        f"{source[0]}: offset {row.item.offset} stands in the log twice as new"
                    )
                self._items[row.item.offset] = row.item

    def feed(self, records: Sequence[SourceRecord]) -> None:
        """Compare the next records of the partition."""
        for record in records:
            if record.offset >= self.covered:
                self.beyond += record.offset < self._mark
                continue
            self.records += 1
            item = self._items.pop(record.offset, None)
            if item is None:
                self.found.add(f"{self.source[0]}: offset {record.offset} is not in the log")
            elif not _says(item, record.value or b""):
                self.found.add(
                    f"{self.source[0]}: the log says something else than offset {record.offset}"
                )

    def finish(self) -> None:
        for offset in self._items:
            self.found.add(f"{self.source[0]}: the log has offset {offset}, the topic has not")
        if self.beyond:
            self.found.wait_for(
                f"{self.beyond:,} records of {self.source[0]} are not in the log yet"
            )


def _says(item: ControlItem, value: bytes) -> bool:
    if item.reject is not None:
        return item.reject.hash == xxhash.xxh3_128_hexdigest(value)
    try:
        return _decode_control(value) == item.message
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def check_sources(
    netting_set: str, gaps: list[str], compared: Sequence[SourceComparison | ControlComparison]
) -> Check:
    """Every record of the banks' topics is in the log exactly once, with the same content (R30, F14)."""
    found = Findings()
    found.extend(gaps)
    for source in compared:
        found.join(source.found)
    records = sum(source.records for source in compared)
    aged_out = sum(source.aged_out for source in compared if isinstance(source, SourceComparison))
    return found.check(
        "every record of the sources is in the log once",
        "R30",
        netting_set,
        f"{records:,} records of {len(compared):,} sources, field by field"
        + (f"; {aged_out:,} rows are older than their topics keep" if aged_out else ""),
    )
