"""Clearing the payment rows of one log record: checks in their precedence, limits, effects. All in columns.

Row by row in order, the plain meaning is: dropped if read before; rejected if intake could not read it;
the first refusal that applies; else accepted, and only then do positions and the window change.
"""

import numpy as np

from clearing.core.batches import extend_members_root
from clearing.core.inputs import I64, U8, Bool, LogRecord, PaymentRows
from clearing.core.limits import FITS, NO_ROOM, admit
from clearing.core.money import MAX_AMOUNT, MAX_UNSETTLED
from clearing.core.outputs import Outcomes
from clearing.core.reasons import Code
from clearing.core.registry import ParticipantStatus
from clearing.core.state import NettingSet

_POWERS_OF_TEN = np.array([10**i for i in range(19)], np.int64)


def clear_payments(
    state: NettingSet, record: LogRecord, rows: PaymentRows, expected: list[int]
) -> Outcomes:
    """Outcome of each row; the state changes by the accepted ones. expected: first new offset per source."""
    n = len(rows)
    codes = rows.reject.astype(np.uint8)  # a copy: codes are written below
    debtor = _index(state.participant_index, rows.participants)[rows.debtor]
    creditor = _index(state.participant_index, rows.participants)[rows.creditor]
    asset = _index(state.asset_index, rows.assets)[rows.asset]
    _drop_already_read(record, rows, expected, codes)
    _check_owner(record, rows, codes)
    repeat = np.zeros(n, np.bool_)
    live = np.flatnonzero(codes == 0)
    day = state.counters.business_date
    state.ids.forget_before(day - state.retention_days)
    recall = state.ids.recall(rows.id[live], rows.body_hash[live], day)
    codes[live[recall.known & ~recall.same]] = Code.DUPLICATE_ID
    again = recall.known & recall.same
    repeat[live[again]] = True
    codes[live[again]] = (
        Code.ALREADY_READ
    )  # keeps the checks away; the original outcome is put in at the end

    _check_parties(state, rows, codes, debtor, creditor, asset)
    units = _check_amount(state, rows, codes, asset)
    _check_time(state, rows, codes, asset)
    _check_limits(state, codes, debtor, creditor, asset, units)

    new = ~recall.known
    state.ids.set_codes(recall.ref[new], codes[live[new]])
    codes[live[again]] = state.ids.codes(recall.ref[again])
    accepted = np.flatnonzero((codes == Code.ACCEPTED) & ~repeat)
    windows = _post(
        state,
        record.offset,
        rows,
        accepted,
        debtor[accepted],
        creditor[accepted],
        asset[accepted],
        units[accepted],
    )
    return Outcomes(record.offset, state.counters.time_ms, codes, repeat, windows)


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
        codes[rows.source_offset < np.array(expected, np.int64)[rows.source]] = Code.ALREADY_READ


def _check_owner(record: LogRecord, rows: PaymentRows, codes: U8) -> None:
    """A payment comes from its debtor's own topic. Before the id is remembered: nobody burns another's ids."""
    names = {name: i for i, name in reversed(list(enumerate(rows.participants)))}
    first = np.array([names[name] for name in rows.participants] or [-1], np.int64)
    owner = np.array(
        [names.get(span.topic.rpartition(".")[2], -1) for span in record.sources] or [-1], np.int64
    )
    _refuse(codes, first[rows.debtor] != owner[rows.source], Code.NOT_OWNER)


def _check_parties(
    state: NettingSet, rows: PaymentRows, codes: U8, debtor: I64, creditor: I64, asset: I64
) -> None:
    _refuse(codes, debtor < 0, Code.UNKNOWN_DEBTOR)
    _refuse(codes, creditor < 0, Code.UNKNOWN_CREDITOR)
    _refuse(codes, debtor == creditor, Code.SAME_PARTY)
    _refuse(codes, asset < 0, Code.UNKNOWN_ASSET)
    closed, suspended = ParticipantStatus.CLOSED, ParticipantStatus.SUSPENDED
    if (state.status > ParticipantStatus.ACTIVE).any():
        _refuse(codes, state.status[debtor] == closed, Code.DEBTOR_CLOSED)
        _refuse(codes, state.status[creditor] == closed, Code.CREDITOR_CLOSED)
        _refuse(codes, state.status[debtor] == suspended, Code.DEBTOR_SUSPENDED)
        _refuse(codes, state.status[creditor] == suspended, Code.CREDITOR_SUSPENDED)
    is_open = state.accounts.open
    _refuse(codes, ~is_open[debtor, asset], Code.DEBTOR_NO_ACCOUNT)
    _refuse(codes, ~is_open[creditor, asset], Code.CREDITOR_NO_ACCOUNT)


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


def _check_limits(
    state: NettingSet, codes: U8, debtor: I64, creditor: I64, asset: I64, units: I64
) -> None:
    """R8, R9. This is where a debtor without liquidity will be queued instead (R12)."""
    rows = np.flatnonzero(codes == 0)
    if not len(rows):
        return
    width = state.width
    debit, credit = debtor[rows] * width + asset[rows], creditor[rows] * width + asset[rows]
    room = [MAX_UNSETTLED - item.unsettled for item in state.assets]
    result = admit(
        state.accounts.headroom, room, state.scratch, debit, credit, asset[rows], units[rows]
    )
    refused = result != FITS
    if refused.any():
        capped = state.accounts.cap.reshape(-1)[debit] > 0
        why = np.where(capped, np.uint8(Code.NET_DEBIT_CAP), np.uint8(Code.LIQUIDITY))
        why[result == NO_ROOM] = Code.POSITION_RANGE
        codes[rows[refused]] = why[refused]


def _post(
    state: NettingSet,
    offset: int,
    rows: PaymentRows,
    accepted: I64,
    debtor: I64,
    creditor: I64,
    asset: I64,
    units: I64,
) -> dict[str, int]:
    """From here on it must succeed: positions and the open windows take the accepted rows in (R2)."""
    if not len(accepted):
        return {}
    assert units.min() > 0, "an amount that is not positive got past intake"
    width, accounts = state.width, state.accounts
    debit, credit = debtor * width + asset, creditor * width + asset
    np.subtract.at(accounts.position.reshape(-1), debit, units)
    np.add.at(accounts.position.reshape(-1), credit, units)
    np.add.at(accounts.debits.reshape(-1), debit, units)
    np.add.at(accounts.credits.reshape(-1), credit, units)
    np.add.at(accounts.sent.reshape(-1), debit, 1)
    np.add.at(accounts.received.reshape(-1), credit, 1)
    state.dirty[debit] = True
    state.dirty[credit] = True
    windows: dict[str, int] = {}
    touched = np.flatnonzero(np.bincount(asset)).tolist()
    for a in touched:
        of = slice(None) if len(touched) == 1 else np.flatnonzero(asset == a)
        item, window = state.assets[a], state.assets[a].window
        gross = int(units[of].sum())  # admit() has left room for it: no wrap
        window.payments += len(units[of])
        window.gross += gross
        item.unsettled += gross
        window.log_first = offset if window.log_first < 0 else window.log_first
        window.log_last = offset
        window.members_root = extend_members_root(
            window.members_root, rows.id[accepted[of]], debtor[of], creditor[of], units[of]
        )
        windows[item.spec.id] = window.number
    return windows
