"""Who may pay and be paid: nothing is accepted of who is suspended, in default or closed (R24, R32)."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from clearing.core.commands import SetStatus
from clearing.core.inputs import I64, Bool
from clearing.core.reasons import Code
from clearing.verify.facts import Facts
from clearing.verify.links import ended_at
from clearing.verify.members import Members
from clearing.verify.report import Check, Findings
from clearing.verify.tables import Rows

_FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class _Standing:
    """`participant` (its number in the log) is not ACTIVE from the record at `since` to the one at `until`."""

    participant: int
    status: str
    since: int
    until: int

    def is_of(self, part: Members | Rows) -> Bool:
        """Which of them it pays or receives."""
        p = self.participant
        return (part.debtor == p) | (part.creditor == p)

    def covers(self, offset: I64) -> Bool:
        return (offset > self.since) & (offset < self.until)


def check_standing(facts: Facts) -> Check:
    """Nothing is accepted or queued of who is not active; what waits of a defaulter ends at once (R24, R32).

    What stands in the log record of the change itself may have come before it.
    """
    found = Findings()
    standings = _standings(facts)
    _check_each(facts, standings, found)
    _check_defaults(facts, standings, found)
    return found.check(
        "nothing is accepted of who may not pay",
        "R24 R32",
        facts.netting_set,
        f"{len(facts.members):,} accepted payments against {len(standings):,} times that a "
        "participant was suspended, in default or closed",
    )


def _standings(facts: Facts) -> list[_Standing]:
    changes: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for one in facts.commands:
        if isinstance(one.command, SetStatus):
            changes[one.command.participant].append((one.log_offset, one.command.status))
    return [
        _Standing(facts.table.participants.find(name), status, since, until)
        for name, of in changes.items()
        for (since, status), (until, _) in zip(of, [*of[1:], (_FOREVER, "")], strict=True)
        if status != "ACTIVE"
    ]


def _check_each(facts: Facts, standings: list[_Standing], found: Findings) -> None:
    if not standings:
        return
    wrong = [0] * len(standings)
    for _, some in facts.members.pieces():
        for n, one in enumerate(standings):
            wrong[n] += int((one.is_of(some) & one.covers(some.offset)).sum())
    offsets = np.array(facts.table.offsets or [-1], np.int64)
    left = [0] * len(standings)
    for first, part in facts.rows.parts():
        row = np.flatnonzero(part.queued)
        if not len(row):
            continue
        where, ended = offsets[part.record[row]], ended_at(row + first, facts.resolved)
        for n, one in enumerate(standings):
            mine = one.is_of(part)[row]
            wrong[n] += int((mine & one.covers(where)).sum())
            if one.status == "DEFAULTED":
                left[n] += int((mine & (where < one.since) & (ended > one.since)).sum())
    for one, count, stayed in zip(standings, wrong, left, strict=True):
        if not count and not stayed:
            continue
        name = facts.table.participants.names[one.participant]
        if count:
            found.add(
                f"{count} payments of {name} were accepted or queued while it was {one.status}",
                count,
            )
        if stayed:
            found.add(f"payments of {name} waited on after its default", stayed)


def _check_defaults(facts: Facts, standings: list[_Standing], found: Findings) -> None:
    """Whatever ended for a default ended in the record that declared it."""
    declared = {(one.since, one.participant) for one in standings if one.status == "DEFAULTED"}
    resolved = facts.resolved
    for code, parties in (
        (Code.DEBTOR_DEFAULTED, resolved.debtor),
        (Code.CREDITOR_DEFAULTED, resolved.creditor),
    ):
        at = np.flatnonzero(resolved.code == code)
        for place in zip(resolved.at[at].tolist(), parties[at].tolist(), strict=True):
            if place not in declared:
                found.add(f"a payment ended for a default nobody declared at log offset {place[0]}")
