"""Cover-1 (R26) as figures: who would pay what, asset by asset, if one participant could not pay any more.

Of a copy of the state, which is not changed. The sums are exact: owed = prefunded + lacking, and lacking is what
collateral, pool and survivors pay, what a recast takes out, and what stays uncovered.
"""

from dataclasses import replace

import msgspec
import numpy as np

from clearing.core.drill import Failure, fail, largest_net_debtor, underway
from clearing.core.members import Piece, joined
from clearing.core.money import show
from clearing.core.registry import OnShortfall
from clearing.core.shortfall import Bearing
from clearing.core.state import NettingSet


class Payers(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays what is lacking (R25). survivors: by their credits, or by what they are to receive."""

    collateral: str
    pool: str
    survivors: dict[str, str]


class Recast(msgspec.Struct, frozen=True, kw_only=True):
    """The participant's payments leave their windows (R25). changes: of others' nets; with its own they sum to 0.

    short: others that would have counted on them, and could not pay then, their overdrafts used: what each lacks.
    """

    payments: int
    gross: str
    changes: dict[str, str]
    short: dict[str, str]


class AssetDrill(msgspec.Struct, frozen=True, kw_only=True):
    """One asset. rule: what is done when a ledger refuses its batch. uncovered: what nobody pays by that rule.

    pays: who pays by the rule WATERFALL. could_pay: rule HOLD, who could if operators decided so; beyond: the rest
    of what is lacking then, more than all of them have. batches: not final, in which the participant is to pay.
    """

    asset: str
    rule: str
    participant: str
    owed: str
    prefunded: str
    lacking: str
    uncovered: str
    by_credits: bool
    pays: Payers | None = None
    could_pay: Payers | None = None
    beyond: str = ""
    recast: Recast | None = None
    batches: list[str] = []


class DrillReport(msgspec.Struct, frozen=True, kw_only=True):
    """read_to: log offset (excluded). quiet: assets in which nobody owes. covered: the rules cover everything."""

    netting_set: str
    read_to: int
    time_ms: int
    failures: list[AssetDrill]
    quiet: list[str]
    covered: bool


def drill_report(
    state: NettingSet, read_to: int, participant: str | None = None, asset: str = ""
) -> DrillReport:
    """participant: fails in every asset in which it owes; None: in each asset the largest net debtor does.

    It is registered, and so is the asset, if one is named.
    """
    named = None if participant is None else state.participant_index[participant]
    failures: list[AssetDrill] = []
    quiet: list[str] = []
    for a, each in enumerate(state.assets):
        if asset not in ("", each.spec.id):
            continue
        p = largest_net_debtor(state, a) if named is None else named
        found = None if p is None else fail(state, p, a)
        if p is None or found is None:
            quiet.append(each.spec.id)
        else:
            failures.append(_drill(state, p, a, found))
    return DrillReport(
        netting_set=state.name,
        read_to=read_to,
        time_ms=state.counters.time_ms,
        failures=failures,
        quiet=quiet,
        covered=all(not one.uncovered.strip("0.") for one in failures),
    )


def _drill(state: NettingSet, p: int, a: int, found: Failure) -> AssetDrill:
    scale, rule = state.assets[a].spec.scale, state.assets[a].spec.on_shortfall
    payers, beyond = _payers(state, p, a, found)
    recasts = rule is OnShortfall.RECAST and found.lacking > 0
    recast = _recast(state, p, a) if recasts else None
    uncovered = beyond
    if rule is OnShortfall.HOLD:
        uncovered = found.lacking
    elif recast is not None:
        uncovered = sum(recast[1].values())
    elif rule is OnShortfall.RECAST:
        uncovered = 0
    return AssetDrill(
        asset=found.asset,
        rule=rule,
        participant=found.participant,
        owed=show(found.owed, scale),
        prefunded=show(found.prefunded, scale),
        lacking=show(found.lacking, scale),
        uncovered=show(uncovered, scale),
        by_credits=found.by_credits,
        pays=payers if rule is OnShortfall.WATERFALL else None,
        could_pay=payers if rule is OnShortfall.HOLD else None,
        beyond=show(beyond, scale) if rule is OnShortfall.HOLD else "",
        recast=recast[0] if recast else None,
        batches=[
            batch
            for batch in underway(state, found.participant)
            if state.pending[batch].batch.asset == found.asset
        ],
    )


def _payers(state: NettingSet, p: int, a: int, found: Failure) -> tuple[Payers, int]:
    """Who pays, and what is beyond all they have: the least that a larger pool would have to hold more."""
    bearing, beyond = found.bearing, 0
    if bearing is None:
        low, high = 1, found.lacking
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if _with_pool(state, p, a, middle) else (middle + 1, high)
        beyond, bearing = low, _with_pool(state, p, a, low)
    assert bearing is not None, "a pool of all that lacks covers it"
    scale = state.assets[a].spec.scale
    paid = bearing.collateral + bearing.pool + sum(bearing.survivors.values())
    assert paid == found.lacking, "who pays does not add up to what lacks"
    survivors = {state.name_of(q): show(units, scale) for q, units in bearing.survivors.items()}
    return (
        Payers(
            collateral=show(bearing.collateral, scale),
            pool=show(bearing.pool - beyond, scale),
            survivors=survivors,
        ),
        beyond,
    )


def _with_pool(state: NettingSet, p: int, a: int, more: int) -> Bearing | None:
    """Who would bear it if the pool held so much more."""
    assets = list(state.assets)
    assets[a] = msgspec.structs.replace(assets[a], pool=assets[a].pool + more)
    failure = fail(replace(state, assets=assets), p, a)
    assert failure is not None, "it owes as before"
    return failure.bearing


def _recast(state: NettingSet, p: int, a: int) -> tuple[Recast, dict[int, int]]:
    """The payments that would be taken out, and who would be short then."""
    pieces = [members.joined() for (asset, _), members in state.members.items() if asset == a]
    members: Piece = joined(pieces)
    taken = members.taken(np.flatnonzero((members.debtor == p) | (members.creditor == p)))
    change = np.zeros(len(state.participants), np.int64)
    np.add.at(change, taken.debtor, taken.units)
    np.subtract.at(change, taken.creditor, taken.units)
    accounts, scale = state.accounts, state.assets[a].spec.scale
    short: dict[int, int] = {}
    for q in np.flatnonzero(change).tolist():
        held = int(accounts.prefunded[q, a]) + int(accounts.position[q, a]) + int(change[q])
        lacks = -held - int(accounts.overdraft[q, a])
        if q != p and change[q] < 0 and lacks > 0:
            short[q] = lacks
    changes = {q: int(change[q]) for q in np.flatnonzero(change).tolist() if q != p}
    told = Recast(
        payments=len(taken),
        gross=show(int(taken.units.sum()), scale),
        changes={state.name_of(q): show(units, scale) for q, units in changes.items()},
        short={state.name_of(q): show(units, scale) for q, units in short.items()},
    )
    return told, short
