"""Linked legs: accepted together or not at all, ended together, final together (R19-R22).

From outcomes and resolutions: what one log record accepts of a link must be all of its legs. Windows that share a
link are joint: their batches have to name each other (clearing.verify.windows holds them to it).
"""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from clearing.core.commands import RegisterPair
from clearing.core.inputs import I64, Bool
from clearing.core.reasons import Code
from clearing.verify.members import AllMembers, Members, columns_of, window_of
from clearing.verify.report import Check, Findings
from clearing.verify.resolved import How, Resolved
from clearing.verify.sums import minor_units
from clearing.verify.tables import LogTable, Rows

if TYPE_CHECKING:
    from clearing.verify.facts import Facts

Window = tuple[str, int]  # asset, number

WAITS = np.int64((1 << 62) - 1)


@dataclass(slots=True)
class Life:
    """Legs of a link that waited together. ended_at: log offset at which they ended, WAITS while they do not.

    An id of a link may live again when it is forgotten.
    """

    legs: int
    rows: list[int] = field(default_factory=list[int])
    ended_at: int = int(WAITS)
    completed_at: int = -1

    @property
    def is_complete(self) -> bool:
        """All legs waited: from then on they stood in their queues."""
        return len(self.rows) == self.legs

    @property
    def waits(self) -> bool:
        return self.ended_at == WAITS


def link_lives(table: LogTable, rows: Rows, resolved: Resolved, found: Findings) -> list[Life]:
    """All of them, in the order in which they began; noted where legs did not end together (R20)."""
    lives: list[Life] = []
    if not len(rows.linked):
        return lives
    ended = ended_at(rows.linked, resolved)
    waited = _waited(rows)
    last: dict[bytes, Life] = {}
    for place in np.flatnonzero(waited).tolist():
        row = int(rows.linked[place])
        link = rows.links.link[place].tobytes()
        at, end = table.log_offset(row, rows), int(ended[place])
        life = last.get(link)
        if life is None or life.ended_at < at:
            life = last[link] = Life(int(rows.links.legs[place]), ended_at=end)
            lives.append(life)
        if life.ended_at != end:
            found.add(
                f"a leg that entered at log offset {at} did not end with the others of its link"
            )
        life.rows.append(row)
        life.completed_at = at
    return lives


def _waited(rows: Rows) -> Bool:
    """Which of the linked rows did."""
    at = rows.linked
    return rows.fresh[at] & (rows.code[at] == Code.QUEUED) & ~rows.repeat[at]


def ended_at(row: I64, resolved: Resolved) -> I64:
    """Of each of these rows, the log offset at which it stopped waiting."""
    ended = np.full(len(row), WAITS, np.int64)
    final = np.flatnonzero((resolved.row >= 0) & (resolved.how != How.PARTIAL) & ~resolved.recast)
    known, last = np.unique(resolved.row[final][::-1], return_index=True)
    if len(known):
        place = np.minimum(np.searchsorted(known, row), len(known) - 1)
        mine = known[place] == row
        ended[mine] = resolved.at[final[::-1][last[place[mine]]]]
    return ended


@dataclass(slots=True)
class _Legs:
    """Members that are legs, and their groups: what was accepted of one link as one. leg: bit of its number."""

    members: Members
    group: I64
    leg: I64
    legs: I64
    partial: Bool

    @classmethod
    def of(cls, rows: Rows, every: AllMembers) -> "_Legs":
        members = columns_of(
            [some.only(np.isin(some.row, rows.linked)) for _, some in every.pieces()]
        )
        place = np.searchsorted(rows.linked, members.row)
        links = rows.links
        what = np.empty(len(members), [("link", "<u8", 2), ("offset", "<i8")])
        what["link"], what["offset"] = links.link[place], members.offset
        _, record = np.unique(what.view("V24").reshape(-1), return_inverse=True)
        # One log record may deliver a link in parts more than once: each has every leg once, in the same order.
        again = _occurrence(record << 8 | links.leg[place])
        _, group = np.unique(record << 32 | again, return_inverse=True)
        return cls(
            members=members,
            group=group,
            leg=np.int64(1) << links.leg[place].astype(np.int64),
            legs=links.legs[place].astype(np.int64),
            partial=links.partial[place] > 0,
        )


def _occurrence(keys: I64) -> I64:
    """How many equal keys stand before each."""
    order = np.argsort(keys, kind="stable")
    begins = np.flatnonzero(np.diff(keys[order], prepend=-1))
    before = np.arange(len(keys)) - np.repeat(begins, np.diff(np.append(begins, len(keys))))
    found = np.empty(len(keys), np.int64)
    found[order] = before
    return found


def check_links(facts: "Facts") -> Check:
    """No log offset has some legs of a link accepted and others not; parts are in proportion (R19-R22)."""
    table, rows, members, found = facts.table, facts.rows, facts.members, facts.problems.links
    groups = 0
    if len(rows.linked) and len(members):
        legs = _Legs.of(rows, members)
        groups = int(legs.group.max(initial=-1)) + 1
        _check_whole(legs, groups, found)
        _check_parts(facts, legs, found)
        _check_pairs(facts, legs, found)
    waiting = sum(life.waits for life in facts.lives)
    return found.check(
        "linked legs are accepted together",
        "R19 R20 R22",
        table.netting_set,
        f"{len(rows.linked):,} legs entered; {groups:,} acceptances of links, "
        f"{len(facts.lives):,} links waited, {waiting:,} still do",
    )


def _check_whole(legs: _Legs, groups: int, found: Findings) -> None:
    """Each acceptance, also of a part, has every leg once."""
    count = np.bincount(legs.group, minlength=groups)
    seen, number = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    np.bitwise_or.at(seen, legs.group, legs.leg)
    np.maximum.at(number, legs.group, legs.legs)
    wrong = np.flatnonzero((seen != (np.int64(1) << number) - 1) | (count != number))
    for group in wrong.tolist():
        at = int(legs.members.offset[legs.group == group][0])
        found.add(
            f"{int(count[group])} of {int(number[group])} legs of a link were accepted at log offset {at}"
        )


def _check_parts(facts: "Facts", legs: _Legs, found: Findings) -> None:
    """R22: what is delivered of each leg is the same share of it."""
    some = np.flatnonzero(legs.partial)
    rows, members = facts.rows, legs.members
    row = members.row[some]
    scale = facts.scale_of[rows.asset[row]]
    whole, _ = minor_units(rows.amount[row], rows.decimals[row], scale)
    shares: defaultdict[int, dict[int, list[int]]] = defaultdict(
        dict
    )  # group → leg → [part, whole]
    columns = (legs.group[some], legs.leg[some], members.units[some], whole)
    for group, leg, units, of in zip(*(column.tolist() for column in columns), strict=True):
        shares[group].setdefault(leg, [0, of])[0] += units
    for group, parts in shares.items():
        (part, of), *others = parts.values()
        if any(part * other_of != other * of for other, other_of in others):
            at = int(members.offset[legs.group == group][0])
            found.add(f"the parts of a link delivered at log offset {at} are not in proportion")


def _check_pairs(facts: "Facts", legs: _Legs, found: Findings) -> None:
    """R21: every two assets of an accepted link are declared as a pair."""
    assets = facts.table.assets
    declared: dict[frozenset[int], int] = {}
    for one in facts.commands:
        if isinstance(one.command, RegisterPair):
            names = (one.command.delivery, one.command.payment)
            pair = frozenset(assets.find(name) for name in names)
            declared.setdefault(pair, one.log_offset)
    for one, other, at in _asset_pairs(legs):
        if declared.get(frozenset((one, other)), at + 1) > at:
            names = assets.names
            found.add(f"a link of {names[one]} and {names[other]}, which are no pair, was accepted")


def _asset_pairs(legs: _Legs) -> list[tuple[int, int, int]]:
    """(asset, other asset, first log offset) of every two assets that stand in one accepted link."""
    asset, offset = legs.members.asset, legs.members.offset
    width = int(asset.max(initial=0)) + 1
    once = np.unique(legs.group * width + asset)
    group, asset = once // width, once % width
    first = np.full(int(legs.group.max(initial=-1)) + 1, WAITS, np.int64)
    np.minimum.at(first, legs.group, offset)
    pairs: dict[tuple[int, int], int] = {}
    for there in np.split(np.arange(len(once)), np.flatnonzero(np.diff(group)) + 1):
        at = int(first[group[there[0]]]) if len(there) > 1 else 0
        for pair in combinations(asset[there].tolist(), 2):
            pairs[pair] = min(at, pairs.get(pair, at))
    return [(*pair, at) for pair, at in pairs.items()]


def joint_windows(
    table: LogTable, rows: Rows, members: AllMembers
) -> dict[Window, frozenset[Window]]:
    """Of each window that shares a link with others: all windows that are bound together, itself included (R20)."""
    if not len(rows.linked) or not len(members):
        return {}
    legs = _Legs.of(rows, members)
    key = legs.members.key
    first = np.full(int(legs.group.max(initial=-1)) + 1, -1, np.int64)
    first[legs.group[::-1]] = key[::-1]
    edges = np.unique(np.stack((first[legs.group], key), axis=1), axis=0)
    root: dict[int, int] = {}

    def find(window: int) -> int:
        root.setdefault(window, window)
        while root[window] != window:
            root[window] = window = root[root[window]]
        return window

    for one, other in edges.tolist():
        root[find(other)] = find(one)
    together: defaultdict[int, set[Window]] = defaultdict(set)
    for window in [*root]:
        asset, number = window_of(window)
        together[find(window)].add((table.assets.names[asset], number))
    return {
        window: frozenset(group)
        for group in together.values()
        if len(group) > 1
        for window in group
    }
