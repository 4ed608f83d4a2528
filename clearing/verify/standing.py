"""Who may pay and be paid: nothing is accepted of who is suspended, in default or closed (R24, R32)."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from clearing.core.commands import SetStatus
from clearing.core.inputs import Bool
from clearing.core.reasons import Code
from clearing.verify.facts import Facts
from clearing.verify.links import ended_at
from clearing.verify.report import Check, Findings

_FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class _Standing:
    """`participant` (its number in the log) is not ACTIVE from the record at `since` to the one at `until`."""

    participant: int
    status: str
    since: int
    until: int


def check_standing(facts: Facts) -> Check:
    """Nothing is accepted or queued of who is not active; what waits of a defaulter ends at once (R24, R32).

    What stands in the log record of the change itself may have come before it.
    """
    found = Findings()
    standings = _standings(facts)
    for one in standings:
        _check_one(facts, one, found)
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


def _check_one(facts: Facts, one: _Standing, found: Findings) -> None:
    rows, members, table = facts.rows, facts.members, facts.table

    def between(offset: np.ndarray) -> Bool:
        return (offset > one.since) & (offset < one.until)

    def of(part: object) -> Bool:
        p = one.participant
        return (getattr(part, "debtor") == p) | (getattr(part, "creditor") == p)  # noqa: B009

    wrong = int((between(members.offset) & of(members)).sum())
    where = np.array(table.offsets or [-1], np.int64)[rows.record]
    waiting = rows.fresh & (rows.code == Code.QUEUED) & ~rows.repeat & of(rows)
    wrong += int((waiting & between(where)).sum())
    if wrong:
        name = table.participants.names[one.participant]
        found.add(
            f"{wrong} payments of {name} were accepted or queued while it was {one.status}", wrong
        )
    if one.status == "DEFAULTED":
        left = waiting & (where < one.since) & (ended_at(rows, facts.resolved) > one.since)
        if left.any():
            name = table.participants.names[one.participant]
            found.add(f"payments of {name} waited on after its default", int(left.sum()))


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
