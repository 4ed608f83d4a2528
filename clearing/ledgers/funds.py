"""Whether the accounts of a ledger can carry a batch, and the balances it leaves behind (R9, R25). Pure.

For every ledger that keeps balances; what each account holds is handed in. A refusal is a value.
"""

from collections.abc import Mapping
from typing import NamedTuple

from clearing.core.entries import MAX_UNITS
from clearing.core.money import show
from clearing.ledgers.chain import BatchRecord

NAMED_IN_REASON = 3


class Account(NamedTuple):
    """balance, overdraft: minor units; overdraft None: no floor. id: None before its first posting opens it."""

    id: int | None
    balance: int
    overdraft: int | None


class Refusal(NamedTuple):
    """Why a batch is not posted. short: participant → what it lacks, a decimal amount: all that are short (R25)."""

    reason: str
    short: dict[str, str]


def refusal(record: BatchRecord, accounts: Mapping[str, Account], ledger: str) -> Refusal | None:
    """Why a batch cannot be posted, None if it can. accounts: of its participants, as far as there are any.

    A batch is one posting: only what it does to an account as a whole has to respect the floor. What takes
    from an account may not leave it below -overdraft; money may always come in (R9).
    """
    batch = record.batch
    missing = [participant for participant in record.moves if participant not in accounts]
    if missing:
        return Refusal(f"no account in {batch.asset} at ledger {ledger}: {_named(missing)}", {})
    for line, balance in zip(record.lines, running_balances(record, accounts), strict=True):
        if abs(balance) > MAX_UNITS:
            return Refusal(
                f"the balance of {line.entry.participant} in {batch.asset} would pass what can be counted",
                {},
            )
    lacking: dict[str, int] = {}
    for participant, amount in record.moves.items():
        _, balance, overdraft = accounts[participant]
        if amount < 0 and overdraft is not None and balance + amount < -overdraft:
            lacking[participant] = -overdraft - balance - amount
    if not lacking:
        return None
    short = {participant: show(units, batch.scale) for participant, units in lacking.items()}
    named = [
        f"{participant} is short of {lack} {batch.asset}" for participant, lack in short.items()
    ]
    return Refusal(_named(named), short)


def running_balances(record: BatchRecord, accounts: Mapping[str, Account]) -> list[int]:
    """The balance of its account after each line, minor units."""
    balances = {participant: accounts[participant].balance for participant in record.moves}
    after: list[int] = []
    for line in record.lines:
        balances[line.entry.participant] += line.net
        after.append(balances[line.entry.participant])
    return after


def _named(items: list[str]) -> str:
    """A list that stays readable: the first few, and how many more."""
    more = len(items) - NAMED_IN_REASON
    return ", ".join(items[:NAMED_IN_REASON]) + (f" and {more} more" if more > 0 else "")
