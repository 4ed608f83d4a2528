"""What waits ends once, with all of its value and for the reason that is told (R17, R30)."""

import numpy as np

from clearing.core.commands import ReleaseQueued
from clearing.core.inputs import I64, Bool
from clearing.core.reasons import Code
from clearing.verify.facts import Facts
from clearing.verify.quotes import ids_of
from clearing.verify.report import Check, Findings
from clearing.verify.resolved import How
from clearing.verify.states import State
from clearing.verify.sums import minor_units


def check_resolutions(facts: Facts) -> Check:
    """What waits ends once, with all of its value: released, whole or in parts, or ended (R17, R30)."""
    found, rows, resolved = facts.problems.resolutions, facts.rows, facts.resolved
    own = np.flatnonzero(~resolved.recast & (resolved.row >= 0))
    own = own[np.argsort(resolved.row[own], kind="stable")]
    _check_amounts(facts, own, found)
    _check_ways(facts, own, found)
    _check_expiry(facts, own, found)
    _check_cutoffs(facts, own, found)
    counts = sum(
        np.bincount(
            facts.states[first : first + len(part)][part.code == Code.QUEUED], minlength=len(State)
        )
        for first, part in rows.parts()
    ) + np.zeros(len(State), np.int64)
    return found.check(
        "what waits ends once",
        "R17 R30",
        facts.netting_set,
        f"{len(resolved):,} resolutions: {int(resolved.released.sum()):,} releases, "
        f"{int(counts[State.CANCELLED : State.RECAST].sum()):,} ended otherwise, "
        f"{int(resolved.recast.sum()):,} taken out again; {int(counts[State.QUEUED]):,} payments wait",
    )


def _differ(facts: Facts, own: I64, wrong: Bool, what: str, found: Findings) -> None:
    places = np.flatnonzero(wrong)
    if len(places):
        at = int(facts.resolved.at[own[places]].min())
        found.add(f"resolutions {what}, first at log offset {at}", len(places))


def _check_amounts(facts: Facts, own: I64, found: Findings) -> None:
    """own: resolutions in the order of their rows. What they name, and what is left, is what their row was."""
    rows, resolved = facts.rows, facts.resolved
    row, scale = resolved.row[own], facts.scale_of[rows.asset[resolved.row[own]]]
    whole, _ = minor_units(rows.amount[row], rows.decimals[row], scale)
    part, bad = minor_units(resolved.amount[own], resolved.decimals[own], scale)
    rest, worse = minor_units(resolved.remaining[own], resolved.remaining_decimals[own], scale)
    sent, worst = minor_units(resolved.sent[own], resolved.sent_decimals[own], scale)
    begins = np.diff(row, prepend=-1) != 0
    ends = np.append(begins[1:], True)[: len(row)]
    running = np.cumsum(part)
    # Per row what its resolutions so far come to: the running sum without what is of rows before.
    before = (running - part)[begins][np.cumsum(begins) - 1]
    wrong = bad | worse | (whole != running - before + rest)
    _differ(facts, own, wrong, "that do not add up to what waited", found)
    _differ(facts, own, ~ends & (rest == 0), "of what had ended before", found)
    _differ(facts, own, worst | (sent != whole), "that tell another amount than was sent", found)


def _check_ways(facts: Facts, own: I64, found: Findings) -> None:
    """Links leave as links, nothing else does; what an operator released is what was commanded (R15, R20)."""
    resolved = facts.resolved
    how = resolved.how[own]
    is_leg = np.isin(resolved.row[own], facts.rows.linked)
    as_leg = np.isin(how, (How.LINK, How.PARTIAL))
    _differ(facts, own, as_leg & ~is_leg, "released with a link they are not in", found)
    _differ(facts, own, (how == How.SINGLE) & is_leg, "of legs released alone", found)
    commanded = {
        (one.log_offset, words.tobytes())
        for one in facts.commands
        if isinstance(one.command, ReleaseQueued)
        for words in ids_of(one.command.payments)
    }
    places = own[how == How.OPERATOR].tolist()
    done = {(int(resolved.at[n]), resolved.id[n].tobytes()) for n in places}
    for at in sorted({at for at, _ in done ^ commanded}):
        found.add(f"operators released other payments at log offset {at} than they commanded")


def _check_expiry(facts: Facts, own: I64, found: Findings) -> None:
    """What expires ends with the first log record that is past its time, and nothing else ends so (R17)."""
    rows, resolved, offsets = facts.rows, facts.resolved, facts.table.log_offsets
    if not offsets:
        return
    place = np.minimum(np.searchsorted(offsets, resolved.at[own]), len(offsets) - 1)
    times = facts.times_ms[place]
    mine = np.zeros(len(own), np.int64)
    if len(rows.expiring):
        at = np.minimum(np.searchsorted(rows.expiring, resolved.row[own]), len(rows.expiring) - 1)
        expires = rows.expiring[at] == resolved.row[own]
        mine[expires] = rows.expires_at_ms[at[expires]]
    past = (mine > 0) & (mine <= times)
    expired = resolved.code[own] == Code.EXPIRED
    _differ(facts, own, expired & ~past, "of what had not expired", found)
    _differ(facts, own, resolved.released[own] & past, "releasing what had expired", found)
    waits = facts.states[rows.expiring] == State.QUEUED
    if late := int((waits & (rows.expires_at_ms <= facts.times_ms[-1])).sum()):
        found.add("payments wait though they have expired", late)


def _check_cutoffs(facts: Facts, own: I64, found: Findings) -> None:
    """What a cut-off dropped was dropped where a window of its asset closed (R17)."""
    resolved, assets = facts.resolved, facts.table.assets
    closed = {
        (event.log_offset, assets.find(event.asset))
        for event in facts.said.windows
        if event.state == "OPEN" and event.window > 1
    }
    dropped = own[resolved.code[own] == Code.CUTOFF]
    for place in dropped.tolist():
        if (int(resolved.at[place]), int(resolved.asset[place])) not in closed:
            found.add(
                f"a payment was dropped at log offset {resolved.at[place]}, where no window closed"
            )
