"""The members of windows: every payment, or part of one, that was accepted, in the order in which a batch has them.

From outcomes and resolutions alone: per log record its own rows in their order, then what it released (R2). What a
recast has taken out again (R25) is marked. Only which rows they are is in memory; the rest is looked up for some of
them at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clearing.core.inputs import I32, I64, U64, Bool
from clearing.core.outputs import WindowEvent
from clearing.verify.columns import ROWS_AT_ONCE
from clearing.verify.report import Findings
from clearing.verify.resolved import Resolved
from clearing.verify.sums import minor_units
from clearing.verify.tables import LogTable, Rows

NEVER = np.int64(-1)


_COLUMNS = (
    "offset",
    "row",
    "resolution",
    "asset",
    "window",
    "debtor",
    "creditor",
    "units",
    "id",
    "gone_at",
)


@dataclass(slots=True)
class Members:
    """n of the members, in canonical order. Names are numbers of LogTable's; units: minor units of the asset.

    offset: log offset of the record that accepted it. row: of Rows. resolution: of Resolved, -1 if it was accepted
    as it entered. gone_at: log offset of the recast that took it out, NEVER if none did.
    """

    offset: I64
    row: I64
    resolution: I64
    asset: I64
    window: I64
    debtor: I64
    creditor: I64
    units: I64
    id: U64
    gone_at: I64

    def __len__(self) -> int:
        return len(self.row)

    @property
    def stays(self) -> Bool:
        return self.gone_at == NEVER

    @property
    def key(self) -> I64:
        """Asset and window as one number: see window_of."""
        return self.asset << 40 | self.window

    def only(self, at: I64 | Bool) -> "Members":
        """Some of them."""
        return Members(**{name: getattr(self, name)[at] for name in _COLUMNS})


class AllMembers:
    """Every member, known by its place in the canonical order."""

    def __init__(self, table: LogTable, rows: Rows, resolved: Resolved, scale: I64) -> None:
        self._rows, self._resolved, self._scale = rows, resolved, scale
        self._offsets = np.array(table.offsets or [0], np.int64)
        released = np.flatnonzero(resolved.released & (resolved.row >= 0))
        released = released[np.argsort(resolved.at[released], kind="stable")]
        parts = [
            np.flatnonzero(part.accepted).astype(np.int32) + np.int32(first)
            for first, part in rows.parts()
        ]
        direct = np.concatenate([np.empty(0, np.int32), *parts])
        # Of one log record, rows come before what it released.
        ends = rows.starts[
            np.searchsorted(
                self._offsets[: len(table.offsets)], resolved.at[released], side="right"
            )
        ]
        before = np.searchsorted(direct, ends)
        self._row: I32 = np.insert(direct, before, resolved.row[released])
        self._released: I64 = before + np.arange(len(released))
        self._resolution: I64 = released
        self._gone: dict[int, int] = {}
        self._gone_places, self._gone_at = np.empty(0, np.int64), np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._row)

    def take(self, at: slice | I64 | I32) -> Members:
        """Those at these places, ascending, or in a slice of them."""
        rows, resolved = self._rows, self._resolved
        row = self._row[at].astype(np.int64)
        place = (
            np.arange(at.start, at.start + len(row))
            if isinstance(at, slice)
            else at.astype(np.int64)
        )
        resolution = _found(place, self._released, self._resolution)
        offset = self._offsets[rows.record[row]]
        window, amount, decimals = (
            rows.window[row].astype(np.int64),
            rows.amount[row],
            rows.decimals[row],
        )
        parts = np.flatnonzero(resolution >= 0)
        if len(parts):
            which = resolution[parts]
            offset[parts], window[parts] = resolved.at[which], resolved.window[which]
            amount[parts], decimals[parts] = resolved.amount[which], resolved.decimals[which]
        asset = rows.asset[row].astype(np.int64)
        units, _ = minor_units(amount, decimals, self._scale[asset])
        return Members(
            offset=offset,
            row=row,
            resolution=resolution,
            asset=asset,
            window=window,
            debtor=rows.debtor[row].astype(np.int64),
            creditor=rows.creditor[row].astype(np.int64),
            units=units,
            id=rows.id[row],
            gone_at=_found(place, self._gone_places, self._gone_at),
        )

    def offset_of(self, at: I64 | I32) -> I64:
        """Log offsets that accepted those at these places."""
        offset = self._offsets[self._rows.record[self._row[at]]]
        resolution = _found(at.astype(np.int64), self._released, self._resolution)
        parts = np.flatnonzero(resolution >= 0)
        offset[parts] = self._resolved.at[resolution[parts]]
        return offset

    def gone_at(self, at: I64 | I32) -> I64:
        """Log offset of the recast that took out each of those at these places, NEVER if none did."""
        return _found(at.astype(np.int64), self._gone_places, self._gone_at)

    def pieces(self, at: I64 | I32 | None = None) -> Iterator[tuple[I64, Members]]:
        """(places, members) of all, or of those at these ascending places, one stretch after the other.

        A log record's members are never in two stretches.
        """
        first, n = 0, len(self) if at is None else len(at)
        while first < n:
            size = ROWS_AT_ONCE
            while True:
                stop = min(first + size, n)
                some = self.take(slice(first, stop) if at is None else at[first:stop])
                cut = len(some) if stop == n else int(np.searchsorted(some.offset, some.offset[-1]))
                if cut:
                    break
                size *= 2  # one log record has more
            stop = first + cut
            place = np.arange(first, stop) if at is None else at[first:stop].astype(np.int64)
            yield place, some if cut == len(some) else some.only(np.arange(cut))
            first = stop

    def take_out(self, place: int, at: int) -> None:
        """A recast at this log offset has taken it out of its window."""
        self._gone[place] = at

    def seal(self) -> None:
        """Everything that was taken out is known."""
        self._gone_places = np.array(sorted(self._gone), np.int64)
        self._gone_at = np.array(
            [self._gone[place] for place in self._gone_places.tolist()], np.int64
        )

    @property
    def gone(self) -> I64:
        """Places of those that were taken out."""
        return self._gone_places


def _found(place: I64, known: I64, values: I64) -> I64:
    """The value of each place that is known, -1 (NEVER) of the others. known: ascending."""
    found = np.full(len(place), NEVER, np.int64)
    if len(known):
        at = np.minimum(np.searchsorted(known, place), len(known) - 1)
        same = known[at] == place
        found[same] = values[at[same]]
    return found


def columns_of(pieces: list[Members]) -> Members:
    """Several stretches as one."""
    return Members(
        **{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in _COLUMNS}
    )


def window_of(key: int) -> tuple[int, int]:
    return key >> 40, key & ((1 << 40) - 1)


def gather_members(
    table: LogTable,
    rows: Rows,
    resolved: Resolved,
    scales: dict[str, int],
    windows: list[WindowEvent],
    found: Findings,
) -> AllMembers:
    """All of them, and note amounts that no honest engine accepts and recasts of what was in no window."""
    scale = np.array([scales.get(name, -1) for name in table.assets.names] or [-1], np.int64)
    members = AllMembers(table, rows, resolved, scale)
    impossible, first = 0, -1
    for _, part in rows.parts():
        at = np.flatnonzero(part.accepted)
        _, wrong = minor_units(part.amount[at], part.decimals[at], scale[part.asset[at]])
        if wrong.any():
            impossible += int(wrong.sum())
            first = first if first >= 0 else table.offsets[int(part.record[at[wrong]][0])]
    own = np.flatnonzero(resolved.released & (resolved.row >= 0))
    asset = rows.asset[resolved.row[own]]
    _, wrong = minor_units(resolved.amount[own], resolved.decimals[own], scale[asset])
    if wrong.any():
        impossible += int(wrong.sum())
        first = first if first >= 0 else int(resolved.at[own[wrong]].min())
    if impossible:
        found.add(
            f"accepted amounts their asset cannot hold, first at log offset {first}", impossible
        )
    if resolved.recast.any():
        _take_out(table, members, resolved, scale, windows, found)
    members.seal()
    return members


def _take_out(
    table: LogTable,
    members: AllMembers,
    resolved: Resolved,
    scale: I64,
    windows: list[WindowEvent],
    found: Findings,
) -> None:
    """Mark what recasts have taken out of windows, each of which was aborted in the same log record (R25)."""
    aborted = {
        (event.log_offset, table.assets.find(event.asset), event.window)
        for event in windows
        if event.state == "ABORTED"
    }
    recast = np.flatnonzero(resolved.recast)
    asset = np.maximum(resolved.asset[recast], -1)  # one that the log does not know has no members
    units, _ = minor_units(resolved.amount[recast], resolved.decimals[recast], scale[asset])
    known = _by_id(members, resolved, recast)
    for place, amount in zip(recast.tolist(), units.tolist(), strict=True):
        at, window = (
            int(resolved.at[place]),
            (int(resolved.asset[place]), int(resolved.window[place])),
        )
        what = (*window, resolved.id[place].tobytes(), int(resolved.entered[place]), amount)
        member = known.pop(what, None)
        if member is None or (at, *window) not in aborted:
            found.add(f"a recast at log offset {at} takes out what was in no window it aborted")
            continue
        members.take_out(member, at)
        one = members.take(np.array([member]))
        resolved.row[place] = one.row[0]
        parties = (one.debtor[0], one.creditor[0])
        if parties != (resolved.debtor[place], resolved.creditor[place]):
            found.add(f"a recast at log offset {at} names other parties than its payment")


def _by_id(
    members: AllMembers, resolved: Resolved, recast: I64
) -> dict[tuple[int, int, bytes, int, int], int]:
    """Place of what recasts name, by asset, window, id, log offset that accepted it, and units."""
    ids = np.unique(resolved.id[recast, 0])
    found: dict[tuple[int, int, bytes, int, int], int] = {}
    for place, some in members.pieces():
        for i in np.flatnonzero(np.isin(some.id[:, 0], ids)).tolist():
            what = (int(some.asset[i]), int(some.window[i]), some.id[i].tobytes())
            found[(*what, int(some.offset[i]), int(some.units[i]))] = int(place[i])
    return found
