"""A ledger has refused a window because participants are short (R25): waterfall or recast, by the asset's rule.

Waterfall: what a participant lacks is paid by its collateral, the scheme's pool, then its creditors of that window
in proportion. Recast: its payments are taken out of the window and the rest is netted again. Either way the batch
that failed is ABORTED, and the next version of the window goes to the ledger.
"""

from dataclasses import dataclass

import msgspec
import numpy as np

from clearing.core.batches import (
    Part,
    again,
    batch_id,
    extend_members_root,
    net_entries,
    nets,
    seal,
)
from clearing.core.commands import Confirmation
from clearing.core.ids import id_text
from clearing.core.members import Piece
from clearing.core.money import parse, show
from clearing.core.outputs import Entry, Outputs, Resolution, SettlementBatch, ShortfallEvent
from clearing.core.queueing import untake_return
from clearing.core.reasons import Code
from clearing.core.registry import OnShortfall
from clearing.core.state import NO_HASH, NettingSet, Pending
from clearing.core.windows import (
    WindowState,
    batch_event,
    count_underway,
    send,
    window_event,
)

COLLATERAL, POOL = "$COLLATERAL", "$POOL"  # accounts of the scheme at the ledger


def resolve_shortfall(
    state: NettingSet, pending: Pending, answer: Confirmation, offset: int, out: Outputs
) -> bool:
    """Apply the asset's rule. False if it has none, or if it does not go: the window has then failed."""
    batch = pending.batch
    a = state.asset_index[batch.asset]
    members = state.members.get((a, batch.window))
    short = {
        state.participant_index[name]: units
        for name, text in answer.short.items()
        if name in state.participant_index and (units := parse(text, batch.scale) or 0) > 0
    }
    if not short or members is None or batch.linked or pending.on_shortfall is OnShortfall.HOLD:
        return False
    if pending.on_shortfall is OnShortfall.RECAST:
        if pending.has_links:  # who is taken out could leave the others of a link behind (R20)
            return False
        _recast(state, a, pending, sorted(short), answer.reason, offset, out)
        return True
    return _waterfall(state, a, pending, short, answer.reason, offset, out)


def _abort(state: NettingSet, pending: Pending, reason: str, offset: int, out: Outputs) -> None:
    """The batch that failed is kept as ABORTED: in the log; nobody waits for it any more."""
    del state.pending[pending.batch.id]
    count_underway(state, pending.batch, -1)
    out.events.append(batch_event(state, [pending.batch], offset, WindowState.ABORTED, reason))


def _send_next(state: NettingSet, pending: Pending, part: Part, offset: int, out: Outputs) -> None:
    old = pending.batch
    version = old.version + 1
    batch = seal(
        state,
        state.assets[state.asset_index[old.asset]],
        part,
        identity=batch_id(state.name, old.asset, old.window, version),
        window=old.window,
        version=version,
        opened_at_ms=old.opened_at_ms,
    )
    send(state, batch, out, pending)
    out.events.append(batch_event(state, [batch], offset, WindowState.PENDING_SETTLEMENT))


# --- waterfall -----------------------------------------------------------------------------------------------


def _waterfall(
    state: NettingSet,
    a: int,
    pending: Pending,
    short: dict[int, int],
    reason: str,
    offset: int,
    out: Outputs,
) -> bool:
    """Who pays, one that is short after the other, by registration. All of it can be paid, or nothing is done."""
    plan = _plan(state, a, pending.batch, short)
    if plan is None:
        return False
    accounts, asset = state.accounts, state.assets[a]
    _abort(state, pending, reason, offset, out)
    version = pending.batch.version + 1
    changes: dict[int, int] = {}
    for p, bearing in plan.items():
        accounts.collateral[p, a] -= bearing.collateral
        asset.pool -= bearing.pool
        changes[p] = changes.get(p, 0) + short[p]
        for q, loss in bearing.survivors.items():
            changes[q] = changes.get(q, 0) - loss
        out.events.append(_shortfall_event(state, a, pending.batch, version, p, bearing, offset))
    for p, units in changes.items():
        accounts.position[p, a] += units
        state.dirty[p * state.width + a] = True
        state.lower_floor(p * state.width + a)
    part = again(pending.batch)
    part.entries = _entries_after(state, pending.batch, changes, plan)
    _send_next(state, pending, part, offset, out)
    state.forget_value_room()
    state.stir_all()
    return True


@dataclass(frozen=True, slots=True)
class Bearing:
    """Who bears what one participant lacks; the three sum to it. survivors: participant → minor units."""

    collateral: int
    pool: int
    survivors: dict[int, int]


def _plan(
    state: NettingSet, a: int, batch: SettlementBatch, short: dict[int, int]
) -> dict[int, Bearing] | None:
    """R25's order for each that is short; None if the survivors' credits do not reach, or if the ledger says that
    somebody lacks more than it owes.
    """
    members = state.members[a, batch.window].joined()
    owing = {
        state.participant_index[name]: -net
        for name, net in nets(batch).items()
        if name in state.participant_index
    }
    if any(units > owing.get(p, 0) for p, units in short.items()):
        return None
    receives = {p: -units for p, units in owing.items() if units < 0}
    pool = state.assets[a].pool
    plan: dict[int, Bearing] = {}
    for p in sorted(short):
        owed = members.taken(np.flatnonzero(members.debtor == p))
        collateral = int(state.accounts.collateral[p, a])
        bearing = bear(short[p], collateral, pool, credits_from(owed, receives), receives)
        if bearing is None:
            return None
        pool -= bearing.pool
        for q, loss in bearing.survivors.items():
            receives[q] -= loss
        plan[p] = bearing
    return plan


def bear(
    lacking: int, collateral: int, pool: int, weights: dict[int, int], most: dict[int, int]
) -> Bearing | None:
    """R25's order: collateral, then the pool, then survivors by `weights`, none more than `most`."""
    secured = min(lacking, collateral)
    pooled = min(lacking - secured, pool)
    losses = share_loss(lacking - secured - pooled, weights, most)
    return None if losses is None else Bearing(secured, pooled, losses)


def credits_from(owed: Piece, receives: dict[int, int]) -> dict[int, int]:
    """What each creditor that is to receive something gets from the payments, gross."""
    sums: dict[int, int] = {}
    for q, units in zip(owed.creditor.tolist(), owed.units.tolist(), strict=True):
        if receives.get(q, 0) > 0:
            sums[q] = sums.get(q, 0) + units
    return dict(sorted(sums.items()))


def share_loss(loss: int, weights: dict[int, int], most: dict[int, int]) -> dict[int, int] | None:
    """`loss` split by weight, nobody bearing more than `most`; None if together they cannot bear it.

    Whoever would bear more than it can bears that, and the rest is split among the others anew.
    """
    shares: dict[int, int] = {}
    rest, bearing = loss, dict(weights)
    while rest and bearing:
        split = proportional(rest, bearing)
        over = [q for q in bearing if split[q] > most[q]]
        if not over:
            return {q: units for q, units in (shares | split).items() if units}
        for q in over:
            shares[q] = most[q]
            rest -= most[q]
            del bearing[q]
    return None if rest else {q: units for q, units in shares.items() if units}


def proportional(total: int, weights: dict[int, int]) -> dict[int, int]:
    """`total` split by weight into whole units that sum to it: largest remainder, ties to the lower key."""
    whole = sum(weights.values())
    shares = {key: total * weight // whole for key, weight in weights.items()}
    left = total - sum(shares.values())
    by_remainder = sorted(weights, key=lambda key: (-(total * weights[key] % whole), key))
    for key in by_remainder[:left]:
        shares[key] += 1
    return shares


def _entries_after(
    state: NettingSet, batch: SettlementBatch, changes: dict[int, int], plan: dict[int, Bearing]
) -> list[Entry]:
    """The lines of the next version: less for those that bear, and the scheme's own accounts.

    A change stands in debits or credits, so that net = credits - debits holds in every version.
    """
    scale = batch.scale
    entries = [
        _changed(entry, changes.get(state.participant_index.get(entry.participant, -1), 0), scale)
        for entry in batch.entries
    ]
    scheme = {
        COLLATERAL: sum(bearing.collateral for bearing in plan.values()),
        POOL: sum(bearing.pool for bearing in plan.values()),
    }
    for name, units in scheme.items():
        if units:
            known = next((entry for entry in entries if entry.participant == name), None)
            if known is not None:
                entries[entries.index(known)] = _changed(known, -units, scale)
            else:
                nothing = show(0, scale)
                fresh = Entry(name, nothing, nothing, nothing, 0, 0)
                entries.append(_changed(fresh, -units, scale))
    return entries


def _changed(entry: Entry, units: int, scale: int) -> Entry:
    net, debits, credits_ = (
        parse(text, scale) or 0 for text in (entry.net, entry.debits, entry.credits)
    )
    return msgspec.structs.replace(
        entry,
        net=show(net + units, scale),
        debits=show(debits + max(-units, 0), scale),
        credits=show(credits_ + max(units, 0), scale),
    )


def _shortfall_event(
    state: NettingSet,
    a: int,
    batch: SettlementBatch,
    version: int,
    p: int,
    bearing: Bearing,
    offset: int,
) -> ShortfallEvent:
    scale = batch.scale
    whole = bearing.collateral + bearing.pool + sum(bearing.survivors.values())
    return ShortfallEvent(
        netting_set=state.name,
        log_offset=offset,
        time_ms=state.counters.time_ms,
        asset=state.assets[a].spec.id,
        window=batch.window,
        version=version,
        participant=state.name_of(p),
        shortfall=show(whole, scale),
        collateral=show(bearing.collateral, scale),
        pool=show(bearing.pool, scale),
        survivors={state.name_of(q): show(units, scale) for q, units in bearing.survivors.items()},
    )


# --- recast --------------------------------------------------------------------------------------------------


def _recast(
    state: NettingSet,
    a: int,
    pending: Pending,
    short: list[int],
    reason: str,
    offset: int,
    out: Outputs,
) -> None:
    """Take out every payment from or to those that are short; what it did to positions is undone."""
    batch = pending.batch
    members = state.members[a, batch.window]
    piece = members.joined()
    gone = np.isin(piece.debtor, short) | np.isin(piece.creditor, short)
    taken, rest = piece.taken(np.flatnonzero(gone)), piece.taken(np.flatnonzero(~gone))
    accounts = state.accounts
    np.add.at(accounts.position[:, a], taken.debtor, taken.units)
    np.subtract.at(accounts.position[:, a], taken.creditor, taken.units)
    state.dirty.reshape(-1, state.width)[np.concatenate((taken.debtor, taken.creditor)), a] = True
    state.assets[a].unsettled -= int(taken.units.sum())
    state.lower_floor(slice(a, None, state.width))
    members.pieces = [rest]
    _abort(state, pending, reason, offset, out)
    out.resolutions += _recast_resolutions(state, a, batch.window, taken)
    _end(state, [words.tobytes() for words in taken.ids.astype("<u8")])
    if len(rest):
        _send_next(state, pending, _renetted(state, a, rest), offset, out)
    else:
        state.members.pop((a, batch.window))
        settled, version = WindowState.SETTLED, batch.version + 1
        out.events.append(
            window_event(state, state.assets[a], offset, settled, batch.window, version)
        )
    state.forget_value_room()
    state.stir_all()


def _end(state: NettingSet, ids: list[bytes]) -> None:
    """The payments answer as taken out from now on; returns among them may be made again (R5)."""
    state.ids.mark(ids, Code.RECAST)
    originals = {
        return_: original
        for original, returned in state.returned.items()
        for return_ in returned.returns
    }
    for id_ in (words.hex() for words in ids):
        if id_ in originals:
            untake_return(state, id_, originals[id_])


def _renetted(state: NettingSet, a: int, rest: Piece) -> Part:
    columns = (rest.ids, rest.debtor, rest.creditor, rest.units)
    return Part(
        kind="net",
        entries=net_entries(state, a, rest),
        payments=len(rest),
        gross=int(rest.units.sum()),
        log_first=int(rest.offset[0]),
        log_last=int(rest.offset[-1]),
        members_root=extend_members_root(NO_HASH, *columns),
    )


def _recast_resolutions(state: NettingSet, a: int, window: int, taken: Piece) -> list[Resolution]:
    """The payments taken out, as far as a window knows them: without their texts and their place in a topic."""
    asset = state.assets[a].spec
    texts = taken.ids.astype("<u8").tobytes().hex()
    columns = (taken.debtor, taken.creditor, taken.units, taken.offset)
    return [
        Resolution(
            id=id_text(texts[32 * i : 32 * i + 32]),
            code=Code.RECAST,
            kind=0,
            debtor=state.name_of(debtor),
            creditor=state.name_of(creditor),
            asset=asset.id,
            amount=show(units, asset.scale),
            log_offset=offset,
            row=-1,
            source=("", 0, -1, -1),
            window=window,
        )
        for i, (debtor, creditor, units, offset) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    ]
