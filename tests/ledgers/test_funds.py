"""What a ledger's accounts can carry: why a batch is refused, who lacks how much, balances line by line."""

import msgspec
import pytest

from clearing.core.entries import MAX_UNITS, Line
from clearing.core.outputs import Entry, SettlementBatch
from clearing.ledgers.chain import BatchRecord
from clearing.ledgers.funds import Account, Refusal, refusal, running_balances

BATCH = msgspec.json.decode(
    b"""{"type": "settlement_batch", "id": "b", "kind": "net", "netting_set": "hk", "sequence": 1,
    "asset": "HKD", "code": "HKD", "issuer": "HKMA", "ledger": "postgres", "scale": 2, "window": 1,
    "version": 1, "opened_at_ms": 0, "closed_at_ms": 0, "payments": 1, "gross": "1.00", "entries": [],
    "log_first": 0, "log_last": 0, "members_root": "", "previous": "", "hash": ""}""",
    type=SettlementBatch,
)


def record(*nets: tuple[str, int]) -> BatchRecord:
    """A proved batch with a line for each (participant, net)."""
    lines: list[Line] = []
    moves: dict[str, int] = {}
    for number, (participant, net) in enumerate(nets, 1):
        lines.append(Line(number, Entry(participant, "", "", "", 0, 0), net, 0))
        moves[participant] = moves.get(participant, 0) + net
    return BatchRecord(0, BATCH, lines, moves)


def standing(**accounts: tuple[int, int | None]) -> dict[str, Account]:
    """Balance and overdraft by participant."""
    return {name: Account(number, *held) for number, (name, held) in enumerate(accounts.items())}


NOBODY_SHORT: dict[str, str] = {}


@pytest.mark.parametrize(
    ("amounts", "accounts"),
    [
        ({}, {}),
        ({"A": -100, "B": 100}, standing(A=(100, 0), B=(0, 0))),
        ({"A": -100, "B": 100}, standing(A=(0, 100), B=(0, 0))),
        # R9: an overdraft that was lowered under a balance; money may come in.
        ({"A": 5, "B": -5}, standing(A=(-900, 100), B=(5, 0))),
        # R25: accounts of the scheme have no floor.
        ({"$FUNDING": -(10**17), "A": 10**17}, standing(**{"A": (0, 0), "$FUNDING": (0, None)})),
        ({"$POOL": -5, "A": 5}, {**standing(A=(0, 0)), "$POOL": Account(None, 0, None)}),
    ],
)
def test_a_batch_is_carried(amounts: dict[str, int], accounts: dict[str, Account]) -> None:
    assert refusal(record(*amounts.items()), accounts, "postgres") is None


@pytest.mark.parametrize(
    ("amounts", "accounts", "reason", "short"),
    [
        (
            {"A": -101, "B": 101},
            standing(A=(0, 100), B=(0, 0)),
            "A is short of 0.01 HKD",
            {"A": "0.01"},
        ),
        (
            {"A": -1350, "B": 1350},
            standing(A=(100, 0), B=(0, 0)),
            "A is short of 12.50 HKD",
            {"A": "12.50"},
        ),
        # R9: below a lowered floor nothing may go out, and what is lacking is all that is below it.
        (
            {"A": -1, "B": 1},
            standing(A=(-900, 100), B=(0, 0)),
            "A is short of 8.01 HKD",
            {"A": "8.01"},
        ),
        (
            {"A": -1, "B": -2, "C": 3},
            standing(A=(0, 0), B=(0, 0), C=(0, 0)),
            "A is short of 0.01 HKD, B is short of 0.02 HKD",
            {"A": "0.01", "B": "0.02"},
        ),
        # R25: the sentence names a few, the engine hears of all of them.
        (
            {"A": -1, "B": -1, "C": -1, "D": -1, "E": -1, "F": 5},
            standing(A=(0, 0), B=(0, 0), C=(0, 0), D=(0, 0), E=(0, 0), F=(0, 0)),
            "A is short of 0.01 HKD, B is short of 0.01 HKD, C is short of 0.01 HKD and 2 more",
            dict.fromkeys("ABCDE", "0.01"),
        ),
        # What cannot be mended by money names nobody as short.
        (
            {"A": -1, "B": 1},
            standing(B=(0, 0)),
            "no account in HKD at ledger postgres: A",
            NOBODY_SHORT,
        ),
        (
            {"A": -1, "B": 1},
            standing(A=(1, 0), B=(MAX_UNITS, 0)),
            "the balance of B in HKD would pass what can be counted",
            NOBODY_SHORT,
        ),
    ],
)
def test_a_batch_is_refused(
    amounts: dict[str, int], accounts: dict[str, Account], reason: str, short: dict[str, str]
) -> None:
    assert refusal(record(*amounts.items()), accounts, "postgres") == Refusal(reason, short)


def test_the_floor_is_for_the_batch_as_a_whole() -> None:
    """Gross lines of one batch are one posting: what comes in pays for what goes out, in whatever order."""
    lines = record(("A", -500), ("B", 500), ("B", -450), ("A", 450))
    assert refusal(lines, standing(A=(50, 0), B=(0, 0)), "postgres") is None
    assert refusal(lines, standing(A=(49, 0), B=(0, 0)), "postgres") == Refusal(
        "A is short of 0.01 HKD", {"A": "0.01"}
    )


def test_a_balance_that_cannot_be_counted_on_the_way_is_refused() -> None:
    lines = record(("A", 1), ("B", -1), ("A", -1), ("B", 1))
    refused = refusal(lines, standing(A=(MAX_UNITS, 0), B=(5, 0)), "postgres")
    assert refused == Refusal("the balance of A in HKD would pass what can be counted", {})


def test_balances_run_from_line_to_line() -> None:
    lines = record(("A", -500), ("B", 500), ("B", -450), ("A", 450))
    assert running_balances(lines, standing(A=(600, 0), B=(7, 0))) == [100, 507, 57, 550]
