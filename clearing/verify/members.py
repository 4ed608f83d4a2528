"""The members of windows: every payment, or part of one, that was accepted, in the order in which a batch has them.

From outcomes and resolutions alone: per log record its own rows in their order, then what it released (R2). What a
recast has taken out again (R25) is marked.
"""

from dataclasses import dataclass

import numpy as np

from clearing.core.inputs import I64, U64, Bool
from clearing.core.outputs import WindowEvent
from clearing.verify.report import Findings
from clearing.verify.resolved import Resolved
from clearing.verify.sums import minor_units
from clearing.verify.tables import LogTable, Rows

NEVER = np.int64(-1)


@dataclass(slots=True)
class Members:
    """n members in canonical order. Names are numbers of LogTable's; units: minor units of the asset.

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


def window_of(key: int) -> tuple[int, int]:
    return key >> 40, key & ((1 << 40) - 1)


def gather_members(
    table: LogTable,
    rows: Rows,
    resolved: Resolved,
    scales: dict[str, int],
    windows: list[WindowEvent],
    found: Findings,
) -> Members:
    """All of them, and note amounts that no honest engine accepts and recasts of what was in no window."""
    scale = np.array([scales.get(name, -1) for name in table.assets.names] or [-1], np.int64)
    direct = np.flatnonzero(rows.accepted)
    released = np.flatnonzero(resolved.released & (resolved.row >= 0))
    offsets = np.array(table.offsets or [0], np.int64)
    row = np.concatenate((direct, resolved.row[released]))
    offset = np.concatenate((offsets[rows.record[direct]], resolved.at[released]))
    window = np.concatenate((rows.window[direct], resolved.window[released]))
    amount = np.concatenate((rows.amount[direct], resolved.amount[released]))
    decimals = np.concatenate((rows.decimals[direct], resolved.decimals[released]))
    resolution = np.concatenate((np.full(len(direct), -1, np.int64), released))
    if len(released):
        # Stable: of one log record, rows come before what it released.
        order = np.argsort(offset, kind="stable")
        row, offset, window = row[order], offset[order], window[order]
        amount, decimals, resolution = amount[order], decimals[order], resolution[order]
    asset = rows.asset[row].astype(np.int64)
    units, impossible = minor_units(amount, decimals, scale[asset])
    if impossible.any():
        first = int(offset[impossible][0])
        found.add(
            f"accepted amounts their asset cannot hold, first at log offset {first}",
            int(impossible.sum()),
        )
    members = Members(
        offset=offset,
        row=row,
        resolution=resolution,
        asset=asset,
        window=window,
        debtor=rows.debtor[row].astype(np.int64),
        creditor=rows.creditor[row].astype(np.int64),
        units=units,
        id=rows.id[row],
        gone_at=np.full(len(row), NEVER, np.int64),
    )
    if resolved.recast.any():
        _take_out(table, members, resolved, scale, windows, found)
    return members


def _take_out(
    table: LogTable,
    members: Members,
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
    known: dict[tuple[int, int], dict[tuple[bytes, int, int], int]] = {}
    for place, amount in zip(recast.tolist(), units.tolist(), strict=True):
        at, window = (
            int(resolved.at[place]),
            (int(resolved.asset[place]), int(resolved.window[place])),
        )
        if window not in known:
            known[window] = _by_id(members, *window)
        what = (resolved.id[place].tobytes(), int(resolved.entered[place]), amount)
        member = known[window].pop(what, None)
        if member is None or (at, *window) not in aborted:
            found.add(f"a recast at log offset {at} takes out what was in no window it aborted")
            continue
        members.gone_at[member] = at
        resolved.row[place] = members.row[member]
        if not _same_parties(members, member, resolved, place):
            found.add(f"a recast at log offset {at} names other parties than its payment")


def _by_id(members: Members, asset: int, number: int) -> dict[tuple[bytes, int, int], int]:
    """Members of a window by id, log offset that accepted them, and units."""
    at = np.flatnonzero((members.asset == asset) & (members.window == number))
    return {
        (members.id[i].tobytes(), int(members.offset[i]), int(members.units[i])): i
        for i in at.tolist()
    }


def _same_parties(members: Members, member: int, resolved: Resolved, place: int) -> bool:
    return all(
        getattr(members, name)[member] == getattr(resolved, name)[place]
        for name in ("debtor", "creditor")
    )
