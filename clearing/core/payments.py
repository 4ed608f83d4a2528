"""Clearing the payment rows of one log record: checks in their precedence, limits, effects. All in columns.

Row by row in order, the plain meaning is: dropped if read before; rejected if intake could not read it;
the first refusal that applies; else accepted, and only then do positions and the window change.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from clearing.core.batches import extend_members_root
from clearing.core.inputs import I64, U8, U64, Bool, LogRecord, PaymentRows
from clearing.core.limits import FITS, NO_ROOM, admit
from clearing.core.money import MAX_AMOUNT, MAX_UNSETTLED
from clearing.core.outputs import Outcomes
from clearing.core.reasons import Code
from clearing.core.registry import ParticipantStatus
from clearing.core.state import NettingSet

_Column = TypeVar("_Column", U8, I64, U64)

_POWERS_OF_TEN = np.array([10**i for i in range(19)], np.int64)


@dataclass(slots=True)
class _Sides:
    """Who pays whom in what, in the registry's numbers (-1: unknown); debit, credit: flat accounts."""

    debtor: I64
    creditor: I64
    asset: I64
    debit: I64
    credit: I64


def clear_payments(
    state: NettingSet, record: LogRecord, rows: PaymentRows, expected: list[int]
) -> Outcomes:
    """Outcome of each row; the state changes by the accepted ones. expected: first new offset per source."""
    codes = rows.reject.astype(np.uint8)  # a copy: codes are written below
    repeat = np.zeros(len(rows), np.bool_)
    sides = _resolve(state, rows)
    _drop_already_read(record, rows, expected, codes)
    _check_owner(record, rows, codes)
    live = np.flatnonzero(codes == 0)
    day = state.counters.business_date
    state.ids.forget_before(day - state.retention_days)
    recall = state.ids.recall(_taken(rows.id, live), _taken(rows.body_hash, live), day)
    new = np.flatnonzero(~recall.known)
    again = np.flatnonzero(recall.same)
    codes[live[np.flatnonzero(recall.known & ~recall.same)]] = Code.DUPLICATE_ID
    # Keeps the checks away from repeats; their original outcome is put in at the end.
    codes[live[again]] = Code.ALREADY_READ

    _check_parties(state, codes, sides)
    units = _check_amount(state, rows, codes, sides.asset)
    _check_time(state, rows, codes, sides.asset)
    _check_limits(state, codes, sides, units)

    state.ids.set_codes(_taken(recall.ref, new), _taken(codes, live[new]))
    codes[live[again]] = state.ids.codes(recall.ref[again])
    repeat[live[again]] = True
    accepted = np.flatnonzero((codes == Code.ACCEPTED) & ~repeat)
    windows = _post(state, record.offset, rows.id, sides, units, accepted)
    return Outcomes(record.offset, state.counters.time_ms, codes, repeat, windows)


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
    closed, suspended = ParticipantStatus.CLOSED, ParticipantStatus.SUSPENDED
    if (status > ParticipantStatus.ACTIVE).any():
        _refuse(codes, status[debtor] == closed, Code.DEBTOR_CLOSED)
        _refuse(codes, status[creditor] == closed, Code.CREDITOR_CLOSED)
        _refuse(codes, status[debtor] == suspended, Code.DEBTOR_SUSPENDED)
        _refuse(codes, status[creditor] == suspended, Code.CREDITOR_SUSPENDED)
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


def _check_limits(state: NettingSet, codes: U8, sides: _Sides, units: I64) -> None:
    """R8, R9. This is where a debtor without liquidity will be queued instead (R12)."""
    rows = np.flatnonzero(codes == 0)
    if not len(rows):
        return
    debit, credit = _taken(sides.debit, rows), _taken(sides.credit, rows)
    asset, units = _taken(sides.asset, rows), _taken(units, rows)
    room = [MAX_UNSETTLED - item.unsettled for item in state.assets]
    result = admit(state.accounts.headroom, room, state.scratch, debit, credit, asset, units)
    refused = result != FITS
    if refused.any():
        capped = state.accounts.cap.reshape(-1)[debit] > 0
        why = np.where(capped, np.uint8(Code.NET_DEBIT_CAP), np.uint8(Code.LIQUIDITY))
        why[result == NO_ROOM] = Code.POSITION_RANGE
        codes[rows[refused]] = why[refused]


def _post(
    state: NettingSet, offset: int, ids: U64, sides: _Sides, units: I64, accepted: I64
) -> dict[str, int]:
    """From here on it must succeed: positions and the open windows take the accepted rows in (R2)."""
    if not len(accepted):
        return {}
    debit, credit = _taken(sides.debit, accepted), _taken(sides.credit, accepted)
    asset, units = _taken(sides.asset, accepted), _taken(units, accepted)
    assert units.min() > 0, "an amount that is not positive got past intake"
    accounts = state.accounts
    np.subtract.at(accounts.position.reshape(-1), debit, units)
    np.add.at(accounts.position.reshape(-1), credit, units)
    np.add.at(accounts.debits.reshape(-1), debit, units)
    np.add.at(accounts.credits.reshape(-1), credit, units)
    np.add.at(accounts.sent.reshape(-1), debit, 1)
    np.add.at(accounts.received.reshape(-1), credit, 1)
    state.dirty[debit] = True
    state.dirty[credit] = True
    windows: dict[str, int] = {}
    touched = np.zeros(len(state.assets), np.bool_)
    touched[asset] = True
    for a in np.flatnonzero(touched).tolist():
        of = np.flatnonzero(asset == a)
        members, worth = _taken(accepted, of), _taken(units, of)
        item, window = state.assets[a], state.assets[a].window
        gross = int(worth.sum())  # admit() has left room for it: no wrap
        window.payments += len(worth)
        window.gross += gross
        item.unsettled += gross
        window.log_first = offset if window.log_first < 0 else window.log_first
        window.log_last = offset
        window.members_root = extend_members_root(
            window.members_root,
            _taken(ids, members),
            _taken(sides.debtor, members),
            _taken(sides.creditor, members),
            worth,
        )
        windows[item.spec.id] = window.number
    return windows
