"""Cover-1 (R26): if this participant could not pay any more, who would pay what? Nothing is changed.

Asks of every asset what is owed in its open window and in batches that are not final; the participant is taken
to pay out of its prefunding, and not to be let into overdraft.
"""

from dataclasses import dataclass

import numpy as np

from clearing.core.batches import nets
from clearing.core.inputs import I64
from clearing.core.shortfall import Bearing, bear
from clearing.core.state import NettingSet


@dataclass(frozen=True, slots=True)
class Failure:
    """One asset, minor units: owed = prefunded + lacking. bearing None: what is there does not cover it.

    survivors bear by their credits from the participant where payments are kept one by one, else by what they are
    to receive.
    """

    asset: str
    participant: str
    owed: int
    prefunded: int
    lacking: int
    bearing: Bearing | None
    by_credits: bool


def largest_net_debtor(state: NettingSet, a: int) -> int | None:
    """Who owes most in asset `a`, the lower registration number among equals; None where nobody owes."""
    positions = state.accounts.position[: len(state.participants), a]
    if not len(positions) or int(positions.min()) >= 0:
        return None
    return int(np.argmin(positions))


def fail(state: NettingSet, p: int, a: int) -> Failure | None:
    """What the failure of participant `p` would mean in asset `a`; None if it owes nothing there."""
    asset = state.assets[a]
    position = int(state.accounts.position[p, a])
    if position >= 0:
        return None
    prefunded = min(max(int(state.accounts.prefunded[p, a]), 0), -position)
    lacking = -position - prefunded
    positions = state.accounts.position[: len(state.participants), a]
    receives = {int(q): int(positions[q]) for q in np.flatnonzero(positions > 0)}
    credits_ = _credits_from(state, p, a)
    weights = {q: credits_.get(q, 0) for q in receives} if credits_ is not None else receives
    bearing = bear(
        lacking,
        int(state.accounts.collateral[p, a]),
        asset.pool,
        {q: weight for q, weight in weights.items() if weight},
        receives,
    )
    return Failure(
        asset=asset.spec.id,
        participant=state.name_of(p),
        owed=-position,
        prefunded=prefunded,
        lacking=lacking,
        bearing=bearing,
        by_credits=credits_ is not None,
    )


def _credits_from(state: NettingSet, p: int, a: int) -> dict[int, int] | None:
    """What each got from p in windows that are not final; None unless all their payments are kept one by one."""
    closed = {
        item.batch.window
        for item in state.pending.values()
        if item.batch.asset == state.assets[a].spec.id and item.batch.kind != "funding"
    }
    kept = {window for asset, window in state.members if asset == a}
    if not state.assets[a].keeps_members or not closed <= kept:
        return None
    sums: I64 = np.zeros(len(state.participants), np.int64)
    for (asset, _), members in state.members.items():
        if asset == a:
            piece = members.joined()
            from_p = np.flatnonzero(piece.debtor == p)
            np.add.at(sums, piece.creditor[from_p], piece.units[from_p])
    return {int(q): int(sums[q]) for q in np.flatnonzero(sums)}


def underway(state: NettingSet, participant: str) -> list[str]:
    """Ids of batches that are not final and in which the participant is to pay."""
    return [
        item.batch.id
        for item in state.pending.values()
        if nets(item.batch).get(participant, 0) < 0 and item.batch.kind != "funding"
    ]
