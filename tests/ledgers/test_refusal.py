"""Why a ledger refuses a batch, in words that go to the operators."""

from typing import Any

import msgspec
import pytest

from clearing.core.outputs import SettlementBatch
from clearing.ledgers.chain import MAX_UNITS, BatchRecord
from clearing.ledgers.postgres import refusal

BATCH = msgspec.json.decode(
    b"""{"type": "settlement_batch", "id": "b", "kind": "net", "netting_set": "hk", "sequence": 1,
    "asset": "HKD", "code": "HKD", "issuer": "HKMA", "ledger": "postgres", "scale": 2, "window": 1,
    "version": 1, "opened_at_ms": 0, "closed_at_ms": 0, "payments": 1, "gross": "1.00", "entries": [],
    "log_first": 0, "log_last": 0, "members_root": "", "previous": ""}""",
    type=SettlementBatch,
)


def standing(**accounts: tuple[int, int | None]) -> dict[str, dict[str, Any]]:
    """Balance and overdraft by participant."""
    return {
        name: {"id": number, "balance": balance, "overdraft": overdraft}
        for number, (name, (balance, overdraft)) in enumerate(accounts.items())
    }


def why(amounts: dict[str, int], accounts: dict[str, dict[str, Any]]) -> str:
    record = BatchRecord(0, BATCH, list(amounts), list(amounts.values()))
    return refusal(record, accounts, "postgres")


@pytest.mark.parametrize(
    ("amounts", "accounts", "reason"),
    [
        ({}, {}, ""),
        ({"A": -100, "B": 100}, standing(A=(100, 0), B=(0, 0)), ""),
        ({"A": -100, "B": 100}, standing(A=(0, 100), B=(0, 0)), ""),
        ({"A": -101, "B": 101}, standing(A=(0, 100), B=(0, 0)), "A is short of 0.01 HKD"),
        ({"A": -1350, "B": 1350}, standing(A=(100, 0), B=(0, 0)), "A is short of 12.50 HKD"),
        # R9: an overdraft that was lowered under a balance; money may come in, none may go out.
        ({"A": 5, "B": -5}, standing(A=(-900, 100), B=(5, 0)), ""),
        ({"A": -1, "B": 1}, standing(A=(-900, 100), B=(0, 0)), "A is short of 8.01 HKD"),
        (
            {"$FUNDING": -(10**17), "A": 10**17},
            {**standing(A=(0, 0)), **standing(**{"$FUNDING": (0, None)})},
            "",
        ),
        (
            {"A": -1, "B": -2, "C": 3},
            standing(A=(0, 0), B=(0, 0), C=(0, 0)),
            "A is short of 0.01 HKD, B is short of 0.02 HKD",
        ),
        (
            {"A": -1, "B": -1, "C": -1, "D": -1, "E": -1, "F": 5},
            standing(A=(0, 0), B=(0, 0), C=(0, 0), D=(0, 0), E=(0, 0), F=(0, 0)),
            "A is short of 0.01 HKD, B is short of 0.01 HKD, C is short of 0.01 HKD and 2 more",
        ),
        (
            {"A": -1, "B": 1},
            standing(B=(0, 0)),
            "no account in HKD at ledger postgres: A",
        ),
        (
            {"A": -1, "B": 1},
            standing(A=(1, 0), B=(MAX_UNITS, 0)),
            "the balance of B in HKD would pass what can be counted",
        ),
    ],
)
def test_reason(amounts: dict[str, int], accounts: dict[str, dict[str, Any]], reason: str) -> None:
    assert why(amounts, accounts) == reason
