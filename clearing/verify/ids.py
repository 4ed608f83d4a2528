"""No id counts twice, and whoever sends the same again hears what has become of the original (R28)."""

import numpy as np

from clearing.core.commands import RegisterAsset
from clearing.core.inputs import I64, Bool
from clearing.core.reasons import Code
from clearing.verify.commands import Effective
from clearing.verify.days import business_dates
from clearing.verify.facts import Facts
from clearing.verify.report import Check, Findings
from clearing.verify.resolved import endings
from clearing.verify.tables import Rows

RETENTION_DAYS = 3  # an id is remembered for so many business days at least


def check_ids(facts: Facts) -> Check:
    """No id is taken twice within the days it is remembered; a repeat is answered as its original stands (R28)."""
    rows, found = facts.rows, Findings()
    taken = np.flatnonzero(
        rows.fresh
        & ~rows.repeat
        & np.isin(rows.code, (Code.ACCEPTED, Code.QUEUED, Code.DONE, Code.REQUESTED))
    )
    view = np.ascontiguousarray(rows.id).view("V16").reshape(-1)
    _check_taken(facts, view, taken, found)
    repeats = np.flatnonzero(rows.fresh & rows.repeat)
    if len(repeats):
        _check_repeats(facts, view, repeats, found)
    return found.check(
        "no id counts twice",
        "R28",
        facts.netting_set,
        f"{len(taken):,} ids taken, {len(repeats):,} repeats against their originals",
    )


def _check_taken(facts: Facts, view: np.ndarray, taken: I64, found: Findings) -> None:
    table, rows, commands = facts.table, facts.rows, facts.commands
    order = np.argsort(view[taken], kind="stable")
    sorted_ids = view[taken][order]
    doubled = np.flatnonzero(sorted_ids[1:] == sorted_ids[:-1])
    if not len(doubled):
        return
    dates = business_dates(table, commands)
    for place in doubled.tolist():
        first, again = (int(taken[order[place + i]]) for i in (0, 1))
        at = table.log_offset(first, rows)
        until = dates.on(at) + _retention(commands, at)
        if dates.on(table.log_offset(again, rows)) <= until:
            found.add(
                f"id {bytes(sorted_ids[place]).hex()} was taken twice, first at log offset {at}"
            )


def _retention(commands: list[Effective], at: int) -> int:
    """Business days for which an id that is taken at this log offset is remembered at least."""
    ahead = [
        one.command.asset.value_days_ahead
        for one in commands
        if one.log_offset < at and isinstance(one.command, RegisterAsset)
    ]
    return max([RETENTION_DAYS, *ahead])


def _check_repeats(facts: Facts, view: np.ndarray, repeats: I64, found: Findings) -> None:
    table, rows, resolved = facts.table, facts.rows, facts.resolved
    originals = np.flatnonzero(_remembered(rows))
    order = np.argsort(view[originals], kind="stable")  # of one id, in the order of the log
    sorted_ids = view[originals][order]
    first = np.searchsorted(sorted_ids, view[repeats])
    end = np.searchsorted(sorted_ids, view[repeats], side="right")
    meant = [
        originals[order[start:stop]]
        for start, stop in zip(first.tolist(), end.tolist(), strict=True)
    ]
    became = endings(resolved, np.concatenate(meant))
    for row, candidates in zip(repeats.tolist(), meant, strict=True):
        before = [n for n in candidates.tolist() if n < row]
        at = table.log_offset(row, rows)
        if not before:
            found.add(f"repeat at log offset {at} has no original before it")
            continue
        original, told = before[-1], int(rows.code[row])
        codes = {int(rows.code[original])}
        for resolved_at, code in became.get(original, ()):
            # Within its own log record a repeat may have come before or after it.
            codes = {code} if resolved_at < at else codes | {code} if resolved_at == at else codes
        if told not in codes:
            found.add(f"repeat at log offset {at} was told {told}, its original {max(codes)}")


def _remembered(rows: Rows) -> Bool:
    """Rows whose id and content were remembered with what became of them."""
    forgotten = np.isin(rows.code, (Code.DUPLICATE_ID, Code.NOT_OWNER))
    return rows.fresh & ~rows.repeat & (rows.reject == 0) & ~forgotten
