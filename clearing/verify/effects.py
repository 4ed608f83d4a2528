"""Effects on accounts in the order of the log, and whether a debit left one below zero (R8, R10). Columns, pure.

Everything that moves an account is an effect at a place in the log: (log offset, phase, sequence). After each
debit, and after each set that was released as one, the account that paid must be at or above zero. Effects of
commands stand in log records of their own; there, what gives comes first and what takes last, so that an honest
engine is never blamed for the order within one record.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from clearing.core.inputs import I64, Bool
from clearing.verify.facts import Facts
from clearing.verify.members import Members
from clearing.verify.resolved import How

GIVES, PARTS, ROWS, RELEASES, TAKES = range(5)  # phases of a log record
_PHASE_BITS, _SEQUENCE_BITS = 3, 24


_Whole = TypeVar("_Whole", int, I64)


def time_of(offset: _Whole, phase: I64 | int, sequence: I64 | int) -> _Whole:
    """A place in the log as one number that sorts like it."""
    return (offset << _PHASE_BITS | phase) << _SEQUENCE_BITS | sequence  # pyright: ignore[reportReturnType]


def offset_of(time: _Whole) -> _Whole:
    """Log offset of a place."""
    return time >> (_PHASE_BITS + _SEQUENCE_BITS)


@dataclass(slots=True)
class Effects:
    """n changes of what accounts may still pay. is_debit: after it, its account must be at or above zero."""

    key: list[I64] = field(default_factory=list[I64])
    time: list[I64] = field(default_factory=list[I64])
    units: list[I64] = field(default_factory=list[I64])
    is_debit: list[Bool] = field(default_factory=list[Bool])

    def add(self, key: I64, time: I64, units: I64, *, is_debit: bool = False) -> None:
        self.key.append(key)
        self.time.append(time)
        self.units.append(units)
        self.is_debit.append(np.full(len(key), is_debit, np.bool_))

    def add_changes(self, changes: Iterable[tuple[int, int, int]]) -> None:
        """(key, log offset, units) of what commands and answers change: gives first, takes last."""
        self.add_columns(np.array([*changes], np.int64).reshape(-1, 3))

    def add_columns(self, rows: I64) -> None:
        """The same, as columns."""
        phase = np.where(rows[:, 2] >= 0, GIVES, TAKES)
        self.add(rows[:, 0], time_of(rows[:, 1], phase, 0), rows[:, 2])

    def breaches(self, balances: I64 | None = None) -> tuple[I64, I64, I64]:
        """(key, log offset, how far below zero) of every account that was below zero after a debit.

        balances: by key, what each had before, to which the effects are added; None: nothing.
        """
        nothing = np.empty(0, np.int64)
        columns = (self.key, self.time, self.units)
        key, time, units = (np.concatenate([nothing, *parts]) for parts in columns)
        order = np.lexsort((time, key))
        key, time = key[order], time[order]
        running = np.cumsum(units[order])  # may wrap; differences of it do not
        begins = np.diff(key, prepend=-1) != 0
        before = (running - units[order])[begins][np.cumsum(begins) - 1]
        if balances is not None:
            had = balances[key]
            ends = np.append(np.diff(key) != 0, True)[: len(key)]
            balances[key[ends]] += (running - before)[ends]
            before = before - had
        # What happens at one time is one set: it counts when all of it has.
        ends = np.append((np.diff(key) != 0) | (np.diff(time) != 0), True)[: len(key)]
        is_debit = np.concatenate([np.empty(0, np.bool_), *self.is_debit])[order]
        debits = np.cumsum(is_debit)[ends]
        left = (running - before)[ends]
        broken = (np.diff(debits, prepend=0) > 0) & (left < 0)
        return key[ends][broken], offset_of(time[ends][broken]), -left[broken]


def member_times(facts: Facts, members: Members) -> I64:
    """When each was accepted: a row at its place, what left together at one time. members: of whole log records."""
    resolved, rows = facts.resolved, facts.rows
    record = rows.record[members.row]
    sequence = members.row - rows.starts[record]
    phase = np.full(len(members), ROWS, np.int64)
    at = np.flatnonzero(members.resolution >= 0)
    if len(at):
        phase[at], sequence[at] = RELEASES, _sets(facts, members, at)
        partial = at[resolved.how[members.resolution[at]] == How.PARTIAL]
        # Before the rows of a payments record only a cut-off can have released anything.
        payments = np.isin(members.offset[partial], facts.table.offsets)
        phase[partial[payments]] = PARTS
        _complete_links(facts, members, at, phase, sequence)
    return time_of(members.offset, phase, sequence)


def _sets(facts: Facts, members: Members, at: I64) -> I64:
    """Released members numbered by the set with which they left: singles alone, a link's legs together, and what
    else left in the same way, one behind the other, as one."""
    resolved, rows = facts.resolved, facts.rows
    resolution = members.resolution[at]
    how = resolved.how[resolution].astype(np.int64)
    link = np.minimum(np.searchsorted(rows.linked, members.row[at]), max(len(rows.linked) - 1, 0))
    of_link = np.zeros((len(at), 2), np.uint64)
    if len(rows.linked):
        linked = rows.linked[link] == members.row[at]
        of_link[linked] = rows.links.link[link[linked]]
    same = np.zeros(len(at), np.bool_)
    same[1:] = (members.offset[at][1:] == members.offset[at][:-1]) & (how[1:] == how[:-1])
    same[1:] &= (how[1:] != How.SINGLE) & (of_link[1:] == of_link[:-1]).all(axis=1) | np.isin(
        how[1:], (How.BILATERAL, How.MULTILATERAL, How.OPERATOR)
    )
    return np.cumsum(~same, dtype=np.int64)


def _complete_links(facts: Facts, members: Members, at: I64, phase: I64, sequence: I64) -> None:
    """Legs that waited and were accepted with the row that completed their link: at that row's place."""
    rows, resolved = facts.rows, facts.resolved
    waited = at[resolved.how[members.resolution[at]] == How.LINK]
    if not len(rows.linked) or not len(waited):
        return
    direct = np.flatnonzero(np.isin(members.row, rows.linked) & (members.resolution < 0))
    completing = {
        (offset, link): n
        for n, offset, link in zip(
            direct.tolist(),
            members.offset[direct].tolist(),
            _links_of(facts, members.row[direct]),
            strict=True,
        )
    }
    for n, offset, link in zip(
        waited.tolist(),
        members.offset[waited].tolist(),
        _links_of(facts, members.row[waited]),
        strict=True,
    ):
        by = completing.get((offset, link))
        if by is not None:
            phase[n], sequence[n] = ROWS, sequence[by]


def _links_of(facts: Facts, row: I64) -> list[bytes]:
    """The id of the link each of these rows is a leg of; empty where it is none."""
    rows = facts.rows
    at = np.minimum(np.searchsorted(rows.linked, row), len(rows.linked) - 1)
    is_leg = (rows.linked[at] == row).tolist()
    return [
        rows.links.link[i].tobytes() if leg else b""
        for i, leg in zip(at.tolist(), is_leg, strict=True)
    ]
