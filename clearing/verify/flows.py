"""In = out: what entered, decoded from the banks' own topics, against what every row is now (R30)."""

from collections import defaultdict
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from clearing.core.inputs import I64, U8
from clearing.verify.facts import Facts
from clearing.verify.report import Check, Findings, Flow, What
from clearing.verify.resolved import How
from clearing.verify.states import STATE_OF_END, STATES, State
from clearing.verify.sums import Values, show_value, values_by_asset
from clearing.verify.tables import INSTRUCTIONS, PROBES, LogTable

_WITHOUT_ASSET: dict[str, What] = {INSTRUCTIONS: "instructions", PROBES: "probes"}
_WITHOUT_VALUE = (State.DONE, State.REQUESTED)  # of instructions only

_Totals = defaultdict[tuple[str, State], list[int]]  # (asset, state) -> [count, value]


def flows(facts: Facts, readable: Values, unread: Values) -> list[Flow]:
    """What entered by asset, and what it is now. readable, unread: from the sources, see SourceComparison.

    A row counts once, as what it is now. Its value is where its parts are: of a payment that was delivered in
    part, what was delivered is accepted and the rest still waits.
    """
    totals: _Totals = defaultdict(lambda: [0, 0])
    _count(totals, facts)
    _add_rows(totals, facts)
    _add_resolutions(totals, facts)
    assets = {asset for asset, _ in totals} | readable.keys() | unread.keys()
    nothing = (0, 0)
    result: list[Flow] = []
    for asset in sorted(assets, key=lambda name: (name in _WITHOUT_ASSET, name)):
        read, rest = readable.get(asset, nothing), unread.get(asset, nothing)
        totals[asset, State.REJECTED] = [*rest]
        became: dict[str, Any] = {}
        for name, state in zip(STATES, list(State)[1:], strict=True):
            if (asset, state) in totals:
                count, value = totals[asset, state]
                became[name] = count
                if state not in _WITHOUT_VALUE:
                    became[f"{name}_value"] = show_value(value)
        result.append(
            Flow(
                netting_set=facts.netting_set,
                asset="" if asset in _WITHOUT_ASSET else asset,
                what=_WITHOUT_ASSET.get(asset, "payments"),
                entered=read[0] + rest[0],
                entered_value=show_value(read[1] + rest[1]),
                **became,
            )
        )
    return result


def _count(totals: _Totals, facts: Facts) -> None:
    for first, part in facts.rows.parts():
        states = facts.states[first : first + len(part)]
        label, labels = facts.table.labels(part, slice(None))
        keys = label * len(State) + states
        counted = (states != State.NOTHING) & (states != State.REJECTED)
        for key, count in enumerate(np.bincount(keys[counted]).tolist()):
            if count:
                asset, state = divmod(key, len(State))
                totals[labels[asset], State(state)][0] += count


def _add_rows(totals: _Totals, facts: Facts) -> None:
    """Value of what was never resolved: it is whole where its outcome put it."""
    resolved = facts.resolved
    waited = np.unique(resolved.row[(resolved.row >= 0) & ~resolved.recast])
    for first, part in facts.rows.parts():
        stop = first + len(part)
        states = facts.states[first:stop]
        untouched = ~part.instructions & (states != State.NOTHING) & (states != State.REJECTED)
        here = slice(*np.searchsorted(waited, (first, stop)).tolist())
        untouched[waited[here] - first] = False
        at = np.flatnonzero(untouched)
        # What a recast has taken out was accepted before: it is moved on with the resolutions.
        was = np.where(states[at] == State.RECAST, State.ACCEPTED, states[at])
        _add(totals, facts.table, part.asset[at], was, part.amount[at], part.decimals[at])


def _add_resolutions(totals: _Totals, facts: Facts) -> None:
    """Value of parts: each resolution moves what it names; after the last one of a row the rest still waits."""
    table, rows, resolved = facts.table, facts.rows, facts.resolved
    at = np.flatnonzero(resolved.row >= 0)
    asset, state = rows.asset[resolved.row[at]], STATE_OF_END[resolved.code[at]]
    _add(totals, table, asset, state, resolved.amount[at], resolved.decimals[at])
    gone = at[resolved.recast[at]]
    back = np.full(len(gone), State.ACCEPTED, np.uint8)
    asset = rows.asset[resolved.row[gone]]
    _add(totals, table, asset, back, resolved.amount[gone], resolved.decimals[gone], -1)
    own = at[~resolved.recast[at]]
    _, from_end = np.unique(resolved.row[own][::-1], return_index=True)
    last = own[len(own) - 1 - from_end]
    waits = last[resolved.how[last] == How.PARTIAL]
    queued = np.full(len(waits), State.QUEUED, np.uint8)
    asset = rows.asset[resolved.row[waits]]
    rest, decimals = resolved.remaining[waits], resolved.remaining_decimals[waits]
    _add(totals, table, asset, queued, rest, decimals)


def _add(
    totals: _Totals,
    table: LogTable,
    asset: np.ndarray,
    state: np.ndarray,
    amount: I64,
    decimals: U8,
    sign: int = 1,
) -> None:
    keys = asset.astype(np.int64) * len(State) + state
    for key, (_, value) in values_by_asset(keys, amount, decimals).items():
        number, which = divmod(key, len(State))
        totals[table.assets.names[number], State(which)][1] += sign * value


def check_flows(netting_set: str, flows_found: list[Flow], sources: int) -> Check:
    """What entered = what is accepted, waits, has ended, was refused, rejected or repeated, by count and value.

    Entered is decoded from the banks' own topics, the rest from log × outcomes × resolutions (R30).
    """
    found = Findings()
    with localcontext() as context:
        context.prec = 60  # exact: counts and sums of 18-digit amounts have far fewer digits
        for flow in flows_found:
            asset = flow.asset or f"(unknown asset, {flow.what})"
            out = sum(getattr(flow, name) for name in STATES)
            if flow.entered != out:
                found.add(f"{asset}: {flow.entered} entered, {out} came out")
            value = sum(Decimal(getattr(flow, f"{name}_value", "0")) for name in STATES)
            if Decimal(flow.entered_value) != value:
                found.add(f"{asset}: {flow.entered_value} entered, {value} came out")
    total = sum(flow.entered for flow in flows_found)
    counts = {name: sum(getattr(flow, name) for flow in flows_found) for name in STATES}
    became = " + ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count
    )
    return found.check(
        "what entered is one thing each",
        "R30",
        netting_set,
        f"{total:,} entered by {sources:,} sources = {became or 'nothing'}; "
        f"values of {len(flows_found):,} flows",
    )
