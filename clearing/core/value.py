"""The multi-asset value check (R10): do a participant's positions, after haircuts, cover its debts?

Σ value >= 0; each short position within its asset's limit; all short positions together within the
participant's. Exact, in Python's integers. `room` is a bound per account under which debits need no check.

Plain meaning: with the balance b = prefunded + position of each asset that has a valuation, worth
b * price * (1 - haircut) where it is held and b * price * (1 + haircut) where it is owed.
"""

from collections.abc import Mapping

import numpy as np

from clearing.core.inputs import I64
from clearing.core.money import parse
from clearing.core.state import ANY_DEBIT, NettingSet, Valuation

UNIT_SCALE = 9  # decimals of prices and limits in the scheme's unit of account
MAX_PRICE = (1 << 63) - 1  # of one whole unit; what a snapshot has room for
_WHOLE_BP = 10_000


def value_units(text: str) -> int | None:
    """A price or limit in the scheme's unit of account as an integer, None if it is no such amount >= 0."""
    units = parse(text, UNIT_SCALE)
    return units if units is not None and units >= 0 else None


def passes(state: NettingSet, p: int, changes: Mapping[int, int]) -> bool:
    """Whether the positions of p pass after `changes` (asset → minor units). True if it has no limit."""
    if p not in state.short_limits:
        return True
    balances = _balances(state, p)
    for a, units in changes.items():
        if a in balances:
            balances[a] += units
    return _slack(state, p, balances) >= 0 and all(
        _short_slack(valuation, balances[a]) >= 0 for a, valuation in _valued(state)
    )


def renew_room(state: NettingSet, p: int) -> None:
    """What each account of p may surely be debited, whatever else is debited: an equal share of the slack."""
    valued, balances = _valued(state), _balances(state, p)
    slack = _slack(state, p, balances)
    short = {a: _short_slack(valuation, balances[a]) for a, valuation in valued}
    fails = slack < 0 or any(units < 0 for units in short.values())  # no debit can mend that
    first = p * state.width
    state.value_room[first : first + state.width] = ANY_DEBIT
    for a, valuation in valued:
        worst = _weight(state, a, valuation, _WHOLE_BP + valuation.haircut_bp)
        share = slack // (len(valued) * worst) if worst else ANY_DEBIT
        state.value_room[first + a] = 0 if fails else min(share, short[a], ANY_DEBIT)


def use_room(state: NettingSet, debtor: I64, debit: I64, units: I64) -> None:
    """Accepted debits take from the rooms. One that took more than its account's share has taken from the others'
    of its participant: of them nothing is known any more.
    """
    checked = np.zeros(len(state.status), np.bool_)
    checked[list(state.short_limits)] = True
    rows = np.flatnonzero(checked.take(debtor))
    if not len(rows):
        return
    debtor, debit = debtor.take(rows), debit.take(rows)
    np.subtract.at(state.value_room, debit, units.take(rows))
    overdrawn = debtor[state.value_room.take(debit) < 0]
    if len(overdrawn):
        state.value_room.reshape(-1, state.width)[overdrawn] = 0


def _valued(state: NettingSet) -> list[tuple[int, Valuation]]:
    return [(a, item.valuation) for a, item in enumerate(state.assets) if item.valuation]


def _balances(state: NettingSet, p: int) -> dict[int, int]:
    held, position = state.accounts.prefunded[p], state.accounts.position[p]
    return {a: int(held[a]) + int(position[a]) for a, _ in _valued(state)}


def _weight(state: NettingSet, a: int, valuation: Valuation, bp: int) -> int:
    """Worth of one minor unit, in 10^-(2 * UNIT_SCALE) basis points of the unit of account: always whole."""
    scale: int = 10 ** (UNIT_SCALE - state.assets[a].spec.scale)
    return valuation.price * bp * scale


def _slack(state: NettingSet, p: int, balances: Mapping[int, int]) -> int:
    """How much worth may still be lost: the lesser of total value and what is left of the limit on debts."""
    value = debts = 0
    for a, valuation in _valued(state):
        balance = balances[a]
        bp = _WHOLE_BP - valuation.haircut_bp if balance >= 0 else _WHOLE_BP + valuation.haircut_bp
        worth = balance * _weight(state, a, valuation, bp)
        value += worth
        debts -= min(worth, 0)
    limit: int = state.short_limits[p] * _WHOLE_BP * 10**UNIT_SCALE
    return min(value, limit - debts)


def _short_slack(valuation: Valuation, balance: int) -> int:
    """Minor units that may still be debited within the asset's short limit."""
    return ANY_DEBIT if valuation.short_limit < 0 else valuation.short_limit + balance
