"""Clearing the payment rows of one log record: checks in their precedence, limits, effects. All in columns.

Row by row in order, the plain meaning is: dropped if read before; rejected if intake could not read it;
the first refusal that applies; else accepted, or it waits; and only then do positions and the window change.
Rows that are about other rows (links, returns, cancellations) are taken one by one, in their place.
"""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from clearing.core.ids import id_hex
from clearing.core.inputs import I64, U8, U64, Bool, Kind, LogRecord, PaymentRows
from clearing.core.limits import admit
from clearing.core.links import add_leg
from clearing.core.money import MAX_AMOUNT
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
from clearing.core.registry import ParticipantStatus
from clearing.core.state import NettingSet
from clearing.core.transfers import Transfers, post
from clearing.core.waiting import Waiting

_Column = TypeVar("_Column", U8, I64, U64)

_STATUS_REFUSALS = (
    (ParticipantStatus.CLOSED, Code.DEBTOR_CLOSED, Code.CREDITOR_CLOSED),
    (ParticipantStatus.DEFAULTED, Code.DEBTOR_DEFAULTED, Code.CREDITOR_DEFAULTED),
    (ParticipantStatus.SUSPENDED, Code.DEBTOR_SUSPENDED, Code.CREDITOR_SUSPENDED),
)
_POWERS_OF_TEN = np.array([10**i for i in range(19)], np.int64)


@dataclass(slots=True)
class _Sides:
    """Who pays whom in what, in the registry's numbers (-1: unknown); debit, credit: flat accounts."""

    debtor: I64
    creditor: I64
    asset: I64
    debit: I64
    credit: I64


@dataclass(slots=True)
class _Work:
    """The rows of one record while they are cleared.

    new, again: rows of new ids and of repeated ones, with refs to what is remembered. windows: see Outcomes.
    """

    state: NettingSet
    record: LogRecord
    rows: PaymentRows
    sides: _Sides
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
    sides = _resolve(state, rows)
    _drop_already_read(record, rows, expected, codes)
    _check_owner(record, rows, codes)
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
    _check_parties(state, codes, sides)
    units = _check_amount(state, rows, codes, sides.asset)
    _check_time(state, rows, codes, sides.asset)
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


def _resolve(state: NettingSet, rows: PaymentRows) -> _Sides:
    names = _index(state.participant_index, rows.participants)
    debtor, creditor = names.take(rows.debtor), names.take(rows.creditor)
    asset = _index(state.asset_index, rows.assets).take(rows.asset)
    width = state.width
    return _Sides(debtor, creditor, asset, debtor * width + asset, creditor * width + asset)


def _index(index: dict[str, int], names: list[str]) -> I64:
    """Position of each name in the registry, -1 for an unknown one (and for an empty list)."""
    return np.array([index.get(name, -1) for name in names] or [-1], np.int64)


def _refuse(codes: U8, mask: Bool, code: Code) -> None:
    """First refusal wins: precedence is the order of the calls."""
    if mask.any():
        codes[mask & (codes == 0)] = code


def _drop_already_read(
    record: LogRecord, rows: PaymentRows, expected: list[int], codes: U8
) -> None:
    if any(mark > span.start for mark, span in zip(expected, record.sources, strict=True)):
        marks = np.array(expected, np.int64).take(rows.source)
        codes[rows.source_offset < marks] = Code.ALREADY_READ


def _check_owner(record: LogRecord, rows: PaymentRows, codes: U8) -> None:
    """A payment comes from its debtor's own topic. Before the id is remembered: nobody burns another's ids."""
    names = {name: i for i, name in reversed(list(enumerate(rows.participants)))}
    first = np.array([names[name] for name in rows.participants] or [-1], np.int64)
    owner = np.array(
        [names.get(span.topic.rpartition(".")[2], -1) for span in record.sources] or [-1], np.int64
    )
    _refuse(codes, first.take(rows.debtor) != owner.take(rows.source), Code.NOT_OWNER)


def _check_parties(state: NettingSet, codes: U8, sides: _Sides) -> None:
    debtor, creditor, status = sides.debtor, sides.creditor, state.status
    _refuse(codes, debtor < 0, Code.UNKNOWN_DEBTOR)
    _refuse(codes, creditor < 0, Code.UNKNOWN_CREDITOR)
    _refuse(codes, debtor == creditor, Code.SAME_PARTY)
    _refuse(codes, sides.asset < 0, Code.UNKNOWN_ASSET)
    if (status > ParticipantStatus.ACTIVE).any():
        for at_fault, of_debtor, of_creditor in _STATUS_REFUSALS:
            _refuse(codes, status[debtor] == at_fault, of_debtor)
            _refuse(codes, status[creditor] == at_fault, of_creditor)
    closed_accounts = ~state.accounts.open.reshape(-1)
    _refuse(codes, closed_accounts.take(sides.debit), Code.DEBTOR_NO_ACCOUNT)
    _refuse(codes, closed_accounts.take(sides.credit), Code.CREDITOR_NO_ACCOUNT)


def _check_amount(state: NettingSet, rows: PaymentRows, codes: U8, asset: I64) -> I64:
    """Amounts in minor units of their asset; 0 where they cannot be (those rows are refused)."""
    missing = state.scale[asset].astype(np.int64) - rows.decimals
    _refuse(codes, missing < 0, Code.SCALE)
    factor = _POWERS_OF_TEN[np.maximum(missing, 0)]
    too_large = rows.amount > MAX_AMOUNT // factor  # before multiplying: the product could wrap
    units = np.where(too_large, 0, rows.amount * factor)
    _refuse(codes, too_large | (units > state.maximum[asset]), Code.OVER_MAXIMUM)
    return units


def _check_time(state: NettingSet, rows: PaymentRows, codes: U8, asset: I64) -> None:
    day = rows.value_date.astype(np.int64) - state.counters.business_date
    wrong = (day < 0) | (day > state.days_ahead[asset])
    if state.calendar:
        business = state.business_days(int(state.days_ahead.max()))
        wrong |= ~business[np.where(wrong, 0, day)]
    _refuse(codes, wrong, Code.VALUE_DATE)
    if rows.window.any():
        numbers = np.array([item.window.number for item in state.assets] + [0], np.int64)
        known = np.where(asset < 0, len(state.assets), asset)
        _refuse(codes, (rows.window != 0) & (rows.window != numbers[known]), Code.WINDOW_CLOSED)
    if rows.expires_at_ms.any():
        past = (rows.expires_at_ms != 0) & (rows.expires_at_ms <= state.counters.time_ms)
        _refuse(codes, past, Code.EXPIRED)


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
