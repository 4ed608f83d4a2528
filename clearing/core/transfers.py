"""Transfers of value as columns, and what accepting them does to accounts and windows (R2). Nothing fails here."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from clearing.core.batches import extend_root, hashed
from clearing.core.compiled import compiled
from clearing.core.inputs import I64, U64, Bool
from clearing.core.members import Fresh, Members, Piece
from clearing.core.state import NettingSet
from clearing.core.value import use_room


@dataclass(slots=True)
class Transfers:
    """n transfers in the registry's numbers, all known; debit, credit: flat accounts; units > 0."""

    ids: U64  # (n, 2)
    debtor: I64
    creditor: I64
    asset: I64
    debit: I64
    credit: I64
    units: I64
    tracked: tuple[I64, I64] | None = None  # found by clearing.core.bilateral

    def __len__(self) -> int:
        return len(self.units)

    def taken(self, rows: I64) -> "Transfers":
        """The transfers of ascending rows; itself where that is all of them."""
        if len(rows) == len(self):
            return self
        columns = [getattr(self, name) for name in self.__slots__ if name != "tracked"]
        return Transfers(*(column.take(rows, axis=0) for column in columns))

    def members(self, rows: I64, offset: int) -> Piece:
        """These rows as what windows keep of them."""
        return Piece(
            ids=self.ids.take(rows, axis=0),
            debtor=self.debtor.take(rows),
            creditor=self.creditor.take(rows),
            units=self.units.take(rows),
            offset=np.full(len(rows), offset),
        )

    def by_asset(self, assets: int) -> tuple[I64, list[int], list[int]]:
        """The rows asset by asset, in their order within each; where each one's end; the sum of its units."""
        order = np.empty(len(self), np.int64)
        ends, gross = np.zeros((2, assets), np.int64)
        _sort(self.asset, self.units, order, ends, gross)
        return order, ends.tolist(), gross.tolist()


def of_rows(state: NettingSet, ids: list[str], rows: list[tuple[int, int, int, int]]) -> Transfers:
    """Transfers from ids (32 hex digits) and (debtor, creditor, asset, units)."""
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    debtor, creditor, asset, units = (np.ascontiguousarray(column) for column in columns)
    width = state.width
    words = np.frombuffer(bytes.fromhex("".join(ids)), "<u8").reshape(-1, 2)
    return Transfers(
        words, debtor, creditor, asset, debtor * width + asset, creditor * width + asset, units
    )


def post(state: NettingSet, transfers: Transfers, offset: int, *, released: bool) -> dict[str, int]:
    """Positions and open windows take the transfers in; the number of the window per asset.

    released: they had waited; in the order of a window's members they come after the record's own rows.
    """
    if not len(transfers):
        return {}
    debit, credit, units = transfers.debit, transfers.credit, transfers.units
    assert units.min() > 0, "an amount that is not positive got past intake"
    accounts = state.accounts
    _post(
        debit,
        credit,
        units,
        accounts.position.reshape(-1),
        accounts.debits.reshape(-1),
        accounts.credits.reshape(-1),
        accounts.sent.reshape(-1),
        accounts.received.reshape(-1),
        state.dirty,
    )
    if state.short_limits:
        use_room(state, transfers.debtor, debit, units)
    if state.bilateral:
        state.bilateral.use(transfers, len(state.status), state.width)
    if state.queues:
        _stir(state, transfers)
    windows: dict[str, int] = {}
    order, ends, sums = transfers.by_asset(len(state.assets))
    piece = transfers.members(order, offset)
    content = hashed(piece.ids, piece.debtor, piece.creditor, piece.units)
    for a, (begin, end) in enumerate(pairwise([0, *ends])):
        if begin == end:
            continue
        item, window = state.assets[a], state.assets[a].window
        window.payments += end - begin
        window.gross += sums[a]
        item.unsettled += sums[a]
        window.log_first = offset if window.log_first < 0 else window.log_first
        window.log_last = offset
        own = Fresh(piece, content, begin, end)
        state.fresh.setdefault(a, ([], []))[released].append(own)
        windows[item.spec.id] = window.number
    return windows


@compiled
def _post(
    debit: I64,
    credit: I64,
    units: I64,
    position: I64,
    debits: I64,
    credits_: I64,
    sent: I64,
    received: I64,
    dirty: Bool,
) -> None:
    """Columns of the transfers to those of the accounts. Nothing wraps: the limits have left room for it."""
    for row in range(len(units)):
        d, c = debit[row], credit[row]
        position[d] -= units[row]
        position[c] += units[row]
        debits[d] += units[row]
        credits_[c] += units[row]
        sent[d] += 1
        received[c] += 1
        dirty[d] = dirty[c] = True


@compiled
def _sort(asset: I64, units: I64, order: I64, ends: I64, gross: I64) -> None:
    """Fills order, ends (zeros before) and gross (zeros) as by_asset gives them. No sum wraps: the limits have left
    room for it."""
    for row in range(len(asset)):
        ends[asset[row]] += 1
        gross[asset[row]] += units[row]
    begin = 0
    for a in range(len(ends)):
        begin, ends[a] = begin + ends[a], begin
    for row in range(len(asset)):
        order[ends[asset[row]]] = row
        ends[asset[row]] += 1


def _stir(state: NettingSet, transfers: Transfers) -> None:
    """Queues that got liquidity. Under the value check a credit helps in every asset."""
    waits = state.accounts.queued_payments.reshape(-1).take(transfers.credit) > 0
    if state.short_limits:
        waits |= np.isin(transfers.creditor, np.fromiter(state.short_limits, np.int64))
    for p, a in zip(
        transfers.creditor[waits].tolist(), transfers.asset[waits].tolist(), strict=True
    ):
        if p in state.short_limits:
            state.stirred.update(account for account in state.queues if account[0] == p)
        else:
            state.stirred.add((p, a))


def take_in_members(state: NettingSet, assets: Iterable[int] | None = None) -> None:
    """Give open windows what the current log record brought, in canonical order: own rows, then released."""
    for a in sorted(state.fresh if assets is None else state.fresh.keys() & set(assets)):
        rows, released = state.fresh.pop(a)
        fresh = [*rows, *released]
        window = state.assets[a].window
        window.members_root = extend_root(
            window.members_root, (content[begin:end] for _, content, begin, end in fresh)
        )
        if state.assets[a].keeps_members:
            state.members.setdefault((a, window.number), Members()).take_in(fresh)
