"""Clearing the payment rows of one log record: checks in their precedence, limits, effects. All in columns.

Row by row in order, the plain meaning is: dropped if read before; rejected if intake could not read it;
the first refusal that applies; else accepted, or it waits; and only then do positions and the window change.
Rows that are about other rows (links, returns, cancellations) are taken one by one, in their place.
"""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from clearing.core.checks import Sides, check, resolve
from clearing.core.ids import id_hex
from clearing.core.inputs import I64, U8, U64, Kind, LogRecord, PaymentRows
from clearing.core.limits import admit
from clearing.core.links import add_leg
from clearing.core.outputs import Outcomes, Outputs
from clearing.core.queueing import enqueue, hold, untake_return
from clearing.core.reasons import Code
from clearing.core.recalls import (
    Original,
    answer,
    cancel,
    set_priority,
    take_return,
)
from clearing.core.state import NettingSet
from clearing.core.transfers import Transfers, post
from clearing.core.waiting import Waiting

_Column = TypeVar("_Column", U8, I64, U64)


@dataclass(slots=True)
class _Work:
    """The rows of one record while they are cleared.

    new, again: rows of new ids and of repeated ones, with refs to what is remembered. windows: see Outcomes.
    """

    state: NettingSet
    record: LogRecord
    rows: PaymentRows
    sides: Sides
    units: I64
    codes: U8
    new: I64
    new_ref: I64
    again: I64
    again_ref: I64
    out: Outputs
    windows: dict[str, int] = field(default_factory=dict[str, int])


def clear_payments(
    state: NettingSet, record: LogRecord, rows: PaymentRows, expected: list[int], out: Outputs
) -> Outcomes:
    """Outcome of each row; the state changes by the accepted ones. expected: first new offset per source."""
    codes = rows.reject.astype(np.uint8)  # a copy: codes are written below
    sides = resolve(state, record, rows, expected, codes)
    live = np.flatnonzero(codes == 0)
    state.forget_ids()
    day = state.counters.business_date
    recall = state.ids.recall(_taken(rows.id, live), _taken(rows.body_hash, live), day)
    codes[live[np.flatnonzero(recall.known & ~recall.same)]] = Code.DUPLICATE_ID
    new, again = np.flatnonzero(~recall.known), np.flatnonzero(recall.same)
    # Keeps the checks away from repeats; their original outcome is put in when it is known.
    codes[live[again]] = Code.ALREADY_READ
    repeat = np.zeros(len(rows), np.bool_)
    repeat[live[again]] = True

    special = _special(rows, _taken(live, new))
    instructions = special[rows.kind[special] > Kind.RETURN]
    codes[instructions] = Code.ALREADY_READ  # they have no amount, and no date
    units = check(state, rows, sides, codes)
    codes[instructions] = Code.ACCEPTED
    refs = (_taken(recall.ref, new), _taken(recall.ref, again))
    work = _Work(
        state, record, rows, sides, units, codes, live[new], refs[0], live[again], refs[1], out
    )
    _clear(work, special)
    return Outcomes(record.offset, state.counters.time_ms, codes, repeat, work.windows)


def _special(rows: PaymentRows, new: I64) -> I64:
    """The new rows that are about other ones: legs of links, returns, instructions."""
    if rows.links is None and rows.references is None:
        return np.empty(0, np.int64)
    special = rows.kind[new] > Kind.TOKEN_TRANSFER
    if rows.links is not None:
        special |= rows.links.legs[new] > 0
    return new[special]


def _clear(work: _Work, special: I64) -> None:
    """All rows in order: what lies between two special ones at once."""
    ids, at = work.state.ids, 0
    if len(special):
        # A row may refer to an earlier one of this record: until that is decided nobody has heard of it.
        ids.set_codes(work.new_ref, np.full(len(work.new_ref), Code.ALREADY_READ, np.uint8))
    for row in special.tolist():
        _clear_plain(work, at, row)
        _remember(work, at, row)
        work.codes[row] = _clear_special(work, row)
        _remember(work, row, row + 1)
        at = row + 1
    _clear_plain(work, at, len(work.rows))
    _remember(work, at, len(work.rows))


def _remember(work: _Work, first: int, end: int) -> None:
    """Outcomes of the new ids among these rows are kept; repeats have what became of theirs so far."""
    ids, codes = work.state.ids, work.codes
    new = slice(*np.searchsorted(work.new, (first, end)).tolist())
    ids.set_codes(work.new_ref[new], _taken(codes, work.new[new]))
    again = slice(*np.searchsorted(work.again, (first, end)).tolist())
    codes[work.again[again]] = ids.codes(work.again_ref[again])


def _taken(column: _Column, rows: I64) -> _Column:
    """column[rows] for ascending rows; the column itself where that is all of it."""
    return column if len(rows) == len(column) else column.take(rows, axis=0)


def _clear_plain(work: _Work, first: int, end: int) -> None:
    """Payments that stand for themselves: what the limits allow is posted, what may wait goes to its queue."""
    rows = np.flatnonzero(work.codes[first:end] == Code.ACCEPTED)
    if first:
        rows += first
    if not len(rows):
        return
    state, codes = work.state, work.codes
    transfers = _transfers(work, rows)
    result = admit(state, transfers, _taken(work.rows.priority, rows))
    accepted = rows
    if result.any():
        codes[rows] = result
        accepted = np.flatnonzero(result == Code.ACCEPTED)
        transfers = transfers.taken(accepted)
    work.windows |= post(state, transfers, work.record.offset, released=False)
    for row in rows[result == Code.QUEUED].tolist() if len(accepted) < len(rows) else ():
        item = _waiting(work, row)
        hold(state, item)
        enqueue(state, item)


def _transfers(work: _Work, rows: I64) -> Transfers:
    sides = work.sides
    return Transfers(
        ids=_taken(work.rows.id, rows),
        debtor=_taken(sides.debtor, rows),
        creditor=_taken(sides.creditor, rows),
        asset=_taken(sides.asset, rows),
        debit=_taken(sides.debit, rows),
        credit=_taken(sides.credit, rows),
        units=_taken(work.units, rows),
    )


def _waiting(work: _Work, row: int) -> Waiting:
    """The payment of a row as one that waits."""
    state, rows, sides = work.state, work.rows, work.sides
    state.counters.arrivals += 1
    span = work.record.sources[int(rows.source[row])]
    end_to_end_id, chain_reference = rows.texts(row)
    linked = rows.links is not None and rows.links.legs[row] > 0
    returns = rows.kind[row] == Kind.RETURN and rows.references is not None
    return Waiting(
        id=id_hex(rows.id[row]),
        day=state.counters.business_date,
        debtor=int(sides.debtor[row]),
        creditor=int(sides.creditor[row]),
        asset=int(sides.asset[row]),
        units=int(work.units[row]),
        priority=int(rows.priority[row]),
        arrival=state.counters.arrivals,
        kind=int(rows.kind[row]),
        expires_at_ms=int(rows.expires_at_ms[row]),
        window=int(rows.window[row]),
        log_offset=work.record.offset,
        row=row,
        source=(span.topic, span.partition, int(rows.source_offset[row]), int(rows.item[row])),
        end_to_end_id=end_to_end_id,
        chain_reference=chain_reference,
        value_date=int(rows.value_date[row]),
        units_sent=int(work.units[row]),
        priority_sent=int(rows.priority[row]),
        link=id_hex(rows.links.link[row]) if linked and rows.links else "",
        leg=int(rows.links.leg[row]) if linked and rows.links else 0,
        original=id_hex(rows.references.id[row]) if returns and rows.references else "",
    )


def _clear_special(work: _Work, row: int) -> Code:
    """Outcome of a row that is about another one."""
    state, rows, sides = work.state, work.rows, work.sides
    refusal, kind = Code(int(work.codes[row])), int(rows.kind[row])
    if rows.links is not None and rows.links.legs[row] > 0:
        leg = _waiting(work, row)
        code = add_leg(state, row, leg, rows.links, refusal, work.record.offset, work.out)
        if code == Code.ACCEPTED:
            asset = state.assets[leg.asset]
            work.windows[asset.spec.id] = asset.window.number
        return code
    assert rows.references is not None, f"row {row} of kind {kind} refers to nothing"
    original = Original.of(rows.references, row)
    debtor, creditor = int(sides.debtor[row]), int(sides.creditor[row])
    if kind == Kind.RETURN:
        return refusal or _clear_return(work, row, original)
    if kind == Kind.CANCEL:
        return cancel(state, id_hex(rows.id[row]), original, debtor, creditor, work.out)
    if kind == Kind.PRIORITY:
        return set_priority(state, original.id, debtor, int(rows.priority[row]))
    assert kind == Kind.ANSWER, f"row {row} is of unknown kind {kind}"
    return answer(state, original.id, debtor, creditor)


def _clear_return(work: _Work, row: int, original: Original) -> Code:
    """A return is a payment of its own (R5), of no more than is left of its original."""
    state, references = work.state, work.rows.references
    assert references is not None
    units = int(work.units[row])
    missing = int(state.scale[work.sides.asset[row]]) - int(references.decimals[row])
    whole = int(references.amount[row]) * 10**missing if missing >= 0 else 0
    id_ = id_hex(work.rows.id[row])
    code = take_return(state, id_, original, whole, units)
    if code == Code.ACCEPTED:
        _clear_plain(work, row, row + 1)
        code = Code(int(work.codes[row]))
        if code not in (Code.ACCEPTED, Code.QUEUED):
            untake_return(state, id_, original.id)
    return code
