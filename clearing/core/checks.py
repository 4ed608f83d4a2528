"""What each payment row is checked for by itself, whatever the other rows say: one compiled pass over the columns.

Precedence is the order of the lines: the first refusal that applies counts. `Sides` first, for they say who is
meant and whether it may speak for the debtor; the rest when it is known which ids are new.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from clearing.core.compiled import compiled
from clearing.core.inputs import I32, I64, U8, Bool, LogRecord, PaymentRows, SourceSpan, read_only
from clearing.core.money import MAX_AMOUNT
from clearing.core.reasons import Code
from clearing.core.registry import ParticipantStatus
from clearing.core.state import NettingSet

_POWERS_OF_TEN = np.array([10**i for i in range(19)], np.int64)
_LARGEST = MAX_AMOUNT // _POWERS_OF_TEN  # that can be multiplied by it
_EVERY_DAY = np.empty(0, np.bool_)
_CLOSED, _DEFAULTED, _SUSPENDED = (
    int(status)
    for status in (
        ParticipantStatus.CLOSED,
        ParticipantStatus.DEFAULTED,
        ParticipantStatus.SUSPENDED,
    )
)


@dataclass(slots=True)
class Sides:
    """Who pays whom in what, in the registry's numbers (-1: unknown); debit, credit: flat accounts."""

    debtor: I64
    creditor: I64
    asset: I64
    debit: I64
    credit: I64


def resolve(
    state: NettingSet, record: LogRecord, rows: PaymentRows, expected: list[int], codes: U8
) -> Sides:
    """Look up who and what is meant. Codes of rows that were read before, and of those that are not the debtor's:
    a payment comes from its own topic. Before ids are remembered: nobody burns another's.

    expected: first new offset per source.
    """
    participants, owners = _identities(state, rows.participants, record.sources)
    sides = Sides(*np.empty((5, len(rows)), np.int64))
    sound = _resolve(
        read_only(rows.debtor),
        read_only(rows.creditor),
        read_only(rows.asset),
        read_only(rows.source),
        read_only(rows.source_offset),
        participants,
        _numbers(map(state.asset_index.get, rows.assets, repeat(-1)), len(rows.assets)),
        owners,
        _numbers(expected, len(expected)),
        state.width,
        sides.debtor,
        sides.creditor,
        sides.asset,
        sides.debit,
        sides.credit,
        codes,
    )
    if not sound:
        raise IndexError("a row names somebody or something that is not in its record")
    return sides


def _identities(state: NettingSet, names: list[str], sources: list[SourceSpan]) -> tuple[I64, I64]:
    """A number for each name, and for the owner of each source: the same where it is the same participant.

    Those of the registry; names that are not in it are numbered from -2 downwards, an owner who is neither is -1.
    """
    known = state.participant_index
    owners = [source.topic.rpartition(".")[2] for source in sources]
    identities, owning = (
        _numbers(map(known.get, words, repeat(-1)), len(words)) for words in (names, owners)
    )
    if names and identities.min() < 0:
        strangers: dict[str, int] = {}
        for i in np.flatnonzero(identities < 0).tolist():
            identities[i] = strangers.setdefault(names[i], -2 - len(strangers))
        for i in np.flatnonzero(owning < 0).tolist():
            owning[i] = strangers.get(owners[i], -1)
    return identities, owning


def _numbers(values: Iterable[int], count: int) -> I64:
    """The first so many. For rows that were rejected there may be no names at all."""
    return np.fromiter(values, np.int64, count) if count else np.full(1, -1, np.int64)


@compiled
def _resolve(
    debtor: I32,
    creditor: I32,
    asset: I32,
    source: I32,
    source_offset: I64,
    participants: I64,
    assets: I64,
    owners: I64,
    marks: I64,
    width: int,
    debtors: I64,
    creditors: I64,
    known_assets: I64,
    debit: I64,
    credit: I64,
    codes: U8,
) -> bool:
    """Columns of the rows to those of Sides. participants, owners: see _identities. assets: the registry's numbers.
    marks: of each source; below them it was read before. False: an index from outside is out of range."""
    for row in range(len(codes)):
        d, c, a, s = debtor[row], creditor[row], asset[row], source[row]
        if not (0 <= d < len(participants) and 0 <= c < len(participants)):
            return False
        if not (0 <= a < len(assets) and 0 <= s < len(owners)):
            return False
        debtors[row] = max(participants[d], -1)
        creditors[row] = max(participants[c], -1)
        known_assets[row] = assets[a]
        debit[row] = debtors[row] * width + assets[a]
        credit[row] = creditors[row] * width + assets[a]
        if source_offset[row] < marks[s]:
            codes[row] = Code.ALREADY_READ
        elif codes[row] == Code.ACCEPTED and participants[d] != owners[s]:
            codes[row] = Code.NOT_OWNER
    return True


def check(state: NettingSet, rows: PaymentRows, sides: Sides, codes: U8) -> I64:
    """Codes of rows that cannot be accepted, whatever else; each one's amount in minor units of its asset, 0 where
    it cannot be said (those rows are refused)."""
    calendar = state.calendar
    units = np.zeros(len(rows), np.int64)
    _check(
        sides.debtor,
        sides.creditor,
        sides.asset,
        sides.debit,
        sides.credit,
        read_only(rows.amount),
        read_only(rows.decimals),
        read_only(rows.value_date),
        read_only(rows.window),
        read_only(rows.expires_at_ms),
        state.status,
        state.accounts.open.reshape(-1),
        state.scale,
        state.maximum,
        state.days_ahead,
        _numbers((item.window.number for item in state.assets), len(state.assets)),
        state.business_days(int(state.days_ahead.max())) if calendar else _EVERY_DAY,
        state.counters.business_date,
        state.counters.time_ms,
        units,
        codes,
    )
    return units


@compiled
def _check(
    debtor: I64,
    creditor: I64,
    asset: I64,
    debit: I64,
    credit: I64,
    amount: I64,
    decimals: U8,
    value_date: I32,
    window: I32,
    expires_at_ms: I64,
    status: U8,
    is_open: Bool,
    scale: U8,
    maximum: I64,
    days_ahead: I32,
    windows: I64,
    business: Bool,
    today: int,
    now_ms: int,
    units: I64,
    codes: U8,
) -> None:
    """Columns of the rows, then of the registry. windows: numbers of the open ones. business: of the days from
    today on, empty where every day is one."""
    for row in range(len(codes)):
        d, c, a = debtor[row], creditor[row], asset[row]
        missing = np.int64(scale[a]) - np.int64(decimals[row])
        # Before multiplying: the product could wrap.
        is_amount = amount[row] <= _LARGEST[max(missing, 0)]
        if is_amount:
            units[row] = amount[row] * _POWERS_OF_TEN[max(missing, 0)]
        ahead = np.int64(value_date[row]) - today
        code = Code.ACCEPTED
        if codes[row] != Code.ACCEPTED:
            continue
        if d < 0:
            code = Code.UNKNOWN_DEBTOR
        elif c < 0:
            code = Code.UNKNOWN_CREDITOR
        elif d == c:
            code = Code.SAME_PARTY
        elif a < 0:
            code = Code.UNKNOWN_ASSET
        elif status[d] == _CLOSED:
            code = Code.DEBTOR_CLOSED
        elif status[c] == _CLOSED:
            code = Code.CREDITOR_CLOSED
        elif status[d] == _DEFAULTED:
            code = Code.DEBTOR_DEFAULTED
        elif status[c] == _DEFAULTED:
            code = Code.CREDITOR_DEFAULTED
        elif status[d] == _SUSPENDED:
            code = Code.DEBTOR_SUSPENDED
        elif status[c] == _SUSPENDED:
            code = Code.CREDITOR_SUSPENDED
        elif not is_open[debit[row]]:
            code = Code.DEBTOR_NO_ACCOUNT
        elif not is_open[credit[row]]:
            code = Code.CREDITOR_NO_ACCOUNT
        elif missing < 0:
            code = Code.SCALE
        elif not is_amount or units[row] > maximum[a]:
            code = Code.OVER_MAXIMUM
        elif ahead < 0 or ahead > days_ahead[a] or (len(business) and not business[ahead]):
            code = Code.VALUE_DATE
        elif window[row] != 0 and window[row] != windows[a]:
            code = Code.WINDOW_CLOSED
        elif expires_at_ms[row] != 0 and expires_at_ms[row] <= now_ms:
            code = Code.EXPIRED
        codes[row] = code
