"""Resolutions laid out as columns and joined with the rows they are about: what became of what waited (R17, R30).

Built by `resolve` from the topic's records and the log's rows; where they do not fit each other is said there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from clearing.core.inputs import I64, U8, U64, Bool, Kind
from clearing.core.outputs import Resolution, Resolutions
from clearing.core.reasons import FIRST_REFUSAL, Code
from clearing.verify.quotes import ids_of
from clearing.verify.report import Findings
from clearing.verify.sums import decimal_columns
from clearing.verify.tables import LogTable, Rows


class How(IntEnum):
    """How a payment left its queue; NONE: it ended otherwise, UNKNOWN: in no way the contract names."""

    NONE = 0
    SINGLE = 1
    BILATERAL = 2
    MULTILATERAL = 3
    LINK = 4
    PARTIAL = 5
    OPERATOR = 6
    UNKNOWN = 7


_HOWS = {"" if how is How.NONE else how.name: how for how in How if how is not How.UNKNOWN}


@dataclass(slots=True)
class Resolved:
    """n resolutions in the order of the topic. Names are numbers of LogTable's, -2 where the log has none.

    at: log offset of the record that did it. row: index into Rows, -1 where there is no such row (of a RECAST until
    clearing.verify.members has found it). entered: what it says of where its payment entered; of a RECAST where
    it was accepted. remaining: 0 where nothing waits any more. sent: the whole amount of its payment, as it says.
    Amounts as (digits, decimals).
    """

    at: I64
    row: I64
    code: U8
    how: U8
    id: U64
    debtor: I64
    creditor: I64
    asset: I64
    window: I64
    entered: I64
    amount: I64
    decimals: U8
    remaining: I64
    remaining_decimals: U8
    sent: I64
    sent_decimals: U8

    def __len__(self) -> int:
        return len(self.at)

    @property
    def released(self) -> Bool:
        """Those that made a payment, or a part of it, an accepted one."""
        return self.code == Code.ACCEPTED

    @property
    def recast(self) -> Bool:
        return self.code == Code.RECAST


def endings(resolved: Resolved, rows: I64) -> dict[int, list[tuple[int, int]]]:
    """Of these rows, (log offset, code) of what ended their waiting, or their being accepted, in order."""
    final = np.flatnonzero(np.isin(resolved.row, rows) & (resolved.how != How.PARTIAL))
    found: dict[int, list[tuple[int, int]]] = {}
    columns = (resolved.row[final], resolved.at[final], resolved.code[final])
    for row, at, code in zip(*(column.tolist() for column in columns), strict=True):
        found.setdefault(row, []).append((at, code))
    return found


def resolve(table: LogTable, rows: Rows, records: list[Resolutions], found: Findings) -> Resolved:
    """Lay them out, and note every one that is about no row of the log, or says something else than its row."""
    items = [item for record in records for item in record.items]
    offsets = [record.log_offset for record in records]
    at = np.repeat(np.array(offsets, np.int64), [len(record.items) for record in records])
    if (np.diff(at) < 0).any():
        found.add("resolutions do not stand in the order of the log")
    amount, decimals, readable = decimal_columns([item.amount for item in items])
    remaining, remaining_decimals, rest_readable = decimal_columns(
        [item.remaining or "0" for item in items]
    )
    sent, sent_decimals, sent_readable = decimal_columns(
        [item.amount_sent or item.amount for item in items]
    )
    unreadable = ~(readable & rest_readable & sent_readable)
    if unreadable.any():
        found.add("resolutions whose amount is no decimal", int(unreadable.sum()))
    resolved = Resolved(
        at=at,
        row=_rows_of(table, rows, items),
        code=np.array([item.code for item in items], np.uint8),
        how=np.array([_HOWS.get(item.how, How.UNKNOWN) for item in items], np.uint8),
        id=ids_of([item.id for item in items]),
        debtor=_column(table.participants.find(item.debtor) for item in items),
        creditor=_column(table.participants.find(item.creditor) for item in items),
        asset=_column(table.assets.find(item.asset) for item in items),
        window=_column(item.window for item in items),
        entered=_column(item.log_offset for item in items),
        amount=amount,
        decimals=decimals,
        remaining=remaining,
        remaining_decimals=remaining_decimals,
        sent=sent,
        sent_decimals=sent_decimals,
    )
    if items:
        _compare(table, rows, resolved, items, found)
    return resolved


def _column(values: Iterable[int]) -> I64:
    return np.fromiter(values, np.int64)


def _rows_of(table: LogTable, rows: Rows, items: list[Resolution]) -> I64:
    """The row each one names; -1 where there is none."""
    place = {offset: i for i, offset in enumerate(table.offsets)}
    found = np.full(len(items), -1, np.int64)
    for n, item in enumerate(items):
        i = place.get(item.log_offset)
        if i is not None and 0 <= item.row < table.lengths[i]:
            found[n] = rows.starts[i] + item.row
    return found


def _compare(
    table: LogTable, rows: Rows, resolved: Resolved, items: list[Resolution], found: Findings
) -> None:
    """Each is about a row that waits from then on, and says the same of it."""
    own = np.flatnonzero(~resolved.recast)
    row = resolved.row[own]

    def differ(wrong: Bool, what: str) -> None:
        places = np.flatnonzero(wrong)
        if len(places):
            first = int(resolved.at[own[places[0]]])
            found.add(f"resolutions {what}, first at log offset {first}", len(places))

    differ(row < 0, "of no row of the log")
    known = row >= 0
    own, row = own[known], row[known]
    for name in ("debtor", "creditor", "asset"):
        differ(getattr(resolved, name)[own] != getattr(rows, name)[row], f"with another {name}")
    differ((resolved.id[own] != rows.id[row]).any(axis=1), "with another id than their row")
    differ(_elsewhere(table, rows, items, own, row), "with another kind or source than their row")
    differ(_other_original(rows, items, own, row), "that return another original than their row")
    differ(_other_link(rows, items, own, row), "of another leg or link than their row")
    waits = rows.fresh[row] & (rows.code[row] == Code.QUEUED) & ~rows.repeat[row]
    differ(~waits, "of rows that did not wait")
    differ(resolved.at[own] < resolved.entered[own], "before their row entered")
    code, how = resolved.code[own], resolved.how[own]
    released = code == Code.ACCEPTED
    differ(~released & (code < FIRST_REFUSAL), "with a code that ends nothing")
    differ(released != (how != How.NONE), "released in no way, or ended in one")
    differ(how == How.UNKNOWN, "released in a way that is unknown")
    differ(released != (resolved.window[own] > 0), "released into no window, or ended in one")
    differ((how == How.PARTIAL) != (resolved.remaining[own] > 0), "partly released with no rest")


def _elsewhere(table: LogTable, rows: Rows, items: list[Resolution], own: I64, row: I64) -> Bool:
    numbers = table.sources
    said: list[Any] = [
        (item.kind, numbers.get((item.source[0], item.source[1]), -2), *item.source[2:])
        for item in (items[n] for n in own.tolist())
    ]
    columns = (rows.kind[row], rows.source[row], rows.source_offset[row], rows.item[row])
    is_ = np.stack([column.astype(np.int64) for column in columns], axis=1)
    return (np.array(said, np.int64).reshape(-1, 4) != is_).any(axis=1)


def _other_original(rows: Rows, items: list[Resolution], own: I64, row: I64) -> Bool:
    """What a return gives back (R5); of everything else nothing."""
    at = np.searchsorted(rows.referring, row)
    returns = rows.kind[row] == Kind.RETURN
    said = [items[n].return_of for n in own.tolist()]
    wrong = np.array([bool(text) for text in said], np.bool_) != returns
    both = np.flatnonzero(returns & ~wrong)
    ids = ids_of([said[n] for n in both.tolist()])
    wrong[both] = (rows.references.id[at[both]] != ids).any(axis=1)
    return wrong


def _other_link(rows: Rows, items: list[Resolution], own: I64, row: I64) -> Bool:
    """Which leg of which link it is (R19); of everything else none."""
    links = rows.links
    at = np.minimum(np.searchsorted(rows.linked, row), max(len(rows.linked) - 1, 0))
    is_leg = rows.linked[at] == row if len(rows.linked) else np.zeros(len(row), np.bool_)
    said = [items[n].link for n in own.tolist()]
    wrong = np.array([link is not None for link in said], np.bool_) != is_leg
    for n in np.flatnonzero(is_leg & ~wrong).tolist():
        link, place = said[n], at[n]
        assert link is not None, "as found above"
        numbers = (links.leg[place], links.legs[place], links.partial[place])
        words = np.stack((links.link[place], links.terms[place]))
        wrong[n] = (link.leg, link.legs, link.partial) != numbers or bool(
            (ids_of([link.id, link.terms]) != words).any()
        )
    return wrong
