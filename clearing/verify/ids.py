"""No id counts twice, and whoever sends the same again hears what has become of the original (R28)."""

from collections.abc import Callable

import numpy as np

from clearing.core.commands import RegisterAsset
from clearing.core.inputs import I64, U64, Bool
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
    taken, repeats = _taken(facts), _places(rows, lambda part: part.fresh & part.repeat)
    _check_taken(facts, _taken_twice(facts, taken), found)
    if len(repeats):
        _check_repeats(facts, repeats, found)
    return found.check(
        "no id counts twice",
        "R28",
        facts.netting_set,
        f"{taken:,} ids taken, {len(repeats):,} repeats against their originals",
    )


def _is_taken(rows: Rows) -> Bool:
    taken = (Code.ACCEPTED, Code.QUEUED, Code.DONE, Code.REQUESTED)
    return rows.fresh & ~rows.repeat & np.isin(rows.code, taken)


def _taken(facts: Facts) -> int:
    return sum(int(_is_taken(part).sum()) for _, part in facts.rows.parts())


def _places(rows: Rows, which: Callable[[Rows], Bool]) -> I64:
    """Numbers of the rows that are so."""
    parts = [np.flatnonzero(which(part)) + first for first, part in rows.parts()]
    return np.concatenate([np.empty(0, np.int64), *parts])


def _taken_twice(facts: Facts, count: int) -> I64:
    """Rows that took an id of which the first half was taken more than once, by id and in the order of the log."""
    rows, at = facts.rows, 0
    halves = np.empty(count, np.uint64)
    for _, part in rows.parts():
        mine = part.id[_is_taken(part), 0]
        halves[at : at + len(mine)] = mine
        at += len(mine)
    halves.sort()
    doubled = np.unique(halves[1:][halves[1:] == halves[:-1]])
    del halves
    if not len(doubled):
        return np.empty(0, np.int64)
    row = _places(rows, lambda part: _is_taken(part) & np.isin(part.id[:, 0], doubled))
    return row[np.argsort(_view(rows.id[row]), kind="stable")]


def _view(ids: U64) -> np.ndarray:
    """One value an id, that sorts."""
    return np.ascontiguousarray(ids).view("V16").reshape(-1)


def _check_taken(facts: Facts, taken: I64, found: Findings) -> None:
    """taken: rows ordered by id."""
    table, rows, commands = facts.table, facts.rows, facts.commands
    ids = rows.id[taken]
    doubled = np.flatnonzero((ids[1:] == ids[:-1]).all(axis=1))
    if not len(doubled):
        return
    dates = business_dates(table, commands)
    for place in doubled.tolist():
        first, again = (int(taken[place + i]) for i in (0, 1))
        at = table.log_offset(first, rows)
        until = dates.on(at) + _retention(commands, at)
        if dates.on(table.log_offset(again, rows)) <= until:
            found.add(f"id {ids[place].tobytes().hex()} was taken twice, first at log offset {at}")


def _retention(commands: list[Effective], at: int) -> int:
    """Business days for which an id that is taken at this log offset is remembered at least."""
    ahead = [
        one.command.asset.value_days_ahead
        for one in commands
        if one.log_offset < at and isinstance(one.command, RegisterAsset)
    ]
    return max([RETENTION_DAYS, *ahead])


def _check_repeats(facts: Facts, repeats: I64, found: Findings) -> None:
    table, rows, resolved = facts.table, facts.rows, facts.resolved
    halves = np.unique(rows.id[repeats, 0])
    originals = _places(rows, lambda part: np.isin(part.id[:, 0], halves) & _remembered(part))
    order = np.argsort(_view(rows.id[originals]), kind="stable")  # of one id, in log order
    sorted_ids = _view(rows.id[originals[order]])
    wanted = _view(rows.id[repeats])
    first = np.searchsorted(sorted_ids, wanted)
    end = np.searchsorted(sorted_ids, wanted, side="right")
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
