"""Limits: which payments of a batch their debtors can cover (R8, R9). Vectorised, and exact.

First the worst case: all debits, no credits. Rows whose debtor cannot breach even then are accepted at once;
the rest is decided one by one, in order, because a credit counts from the moment it is accepted.

Plain meaning, per row in order: accept iff room[asset] >= amount and headroom[debtor] >= amount, then
headroom[debtor] -= amount; headroom[creditor] += amount; room[asset] -= amount.
"""

from collections.abc import Callable

import numpy as np

from clearing.core.inputs import I64, U8

FITS, NO_HEADROOM, NO_ROOM = 0, 1, 2

_EXACT_SUM = 1 << 62  # int64 sums below this cannot have wrapped


Headroom = Callable[[I64], I64]  # flat accounts → their headroom, minor units


def admit(
    headroom: Headroom,
    room: list[int],
    scratch: I64,
    debtor: I64,
    creditor: I64,
    asset: I64,
    amount: I64,
) -> U8:
    """FITS, NO_HEADROOM or NO_ROOM for each of n rows in order; changes nothing.

    room: gross value per asset that may still be accepted (money.MAX_UNSETTLED). scratch: a zero per flat
    account, zeros again afterwards. debtor, creditor: flat account indexes; amount > 0.
    """
    n = len(amount)
    result = np.zeros(n, np.uint8)
    if n == 0:
        return result
    if int(amount.max()) * n >= _EXACT_SUM:
        rows = np.arange(n)  # sums could wrap: everything goes the exact way, in Python's integers
    else:
        np.add.at(scratch, debtor, amount)
        at_risk = scratch[debtor] > headroom(debtor)
        scratch[debtor] = 0
        full = _assets_without_room(room, asset, amount)
        if full:
            rows = np.arange(n)
        elif not at_risk.any():
            return result
        else:
            scratch[debtor[at_risk]] = 1  # marks accounts at risk; credits to them matter too
            rows = np.flatnonzero((scratch[debtor] | scratch[creditor]) != 0)
            scratch[debtor[at_risk]] = 0
    _one_by_one(headroom, room, debtor, creditor, asset, amount, rows, result)
    return result


def _assets_without_room(room: list[int], asset: I64, amount: I64) -> bool:
    sums = np.zeros(int(asset.max()) + 1, np.int64)
    np.add.at(sums, asset, amount)
    return any(total > room[a] for a, total in enumerate(sums.tolist()) if total)


def _one_by_one(
    headroom: Headroom,
    room: list[int],
    debtor: I64,
    creditor: I64,
    asset: I64,
    amount: I64,
    rows: I64,
    result: U8,
) -> None:
    """The plain meaning over `rows`; rows left out are accepted and touch none of these accounts' limits."""
    debtors, creditors = debtor[rows].tolist(), creditor[rows].tolist()
    accounts = np.unique(np.concatenate((debtor[rows], creditor[rows])))
    left = dict(zip(accounts.tolist(), headroom(accounts).tolist(), strict=True))
    rest = list(room)
    refused: list[tuple[int, int]] = []
    for row, d, c, a, units in zip(
        rows.tolist(), debtors, creditors, asset[rows].tolist(), amount[rows].tolist(), strict=True
    ):
        if rest[a] < units:
            refused.append((row, NO_ROOM))
        elif left[d] < units:
            refused.append((row, NO_HEADROOM))
        else:
            left[d] -= units
            left[c] += units
            rest[a] -= units
    for row, why in refused:
        result[row] = why
