"""The order of the journal's transactions by itself: what it may and may not be (R29, R31)."""

from typing import Any

import pytest
from msgspec.structs import replace

from clearing.core.outputs import CommandEvent
from clearing.log.records import Transaction
from clearing.verify.journal import JournalOrder

FIRST = Transaction(
    netting_set="hk",
    next_offset=5,
    sequence=1,
    chain="aa",
    time_ms=10,
    snapshot="",
    engine="1",
    owner="one",
    records=5,
)
SECOND = replace(FIRST, sequence=2, next_offset=7, records=7, chain="bb", time_ms=11)
TOLD = CommandEvent(
    netting_set="hk", log_offset=6, time_ms=11, id="c", by="op", command="fund", status="DONE"
)


def differences(*records: Transaction | CommandEvent) -> list[str]:
    order = JournalOrder()
    for record in records:
        if isinstance(record, Transaction):
            order.transaction(record)
        else:
            order.event(record)
    return list(order.check("hk").differences)


def test_transactions_with_their_events_follow_each_other() -> None:
    assert not differences(FIRST, TOLD, SECOND)


def test_one_may_complete_the_one_before_in_other_topics() -> None:
    """What a broker has kept readers from seeing of it, is written once more (ADR 0022)."""
    third = replace(SECOND, sequence=3, owner="another")
    assert not differences(FIRST, TOLD, SECOND, third, replace(third, sequence=4))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"sequence": 2}, "stands behind transaction 2"),
        ({"sequence": 4}, "stands behind transaction 2"),
        ({"chain": "cc"}, "goes to log offset 7, the one before to 7"),
        ({"records": 8}, "goes to log offset 7, the one before to 7"),
        ({"records": 6}, "has seen 6 log records"),
        ({"next_offset": 6}, "goes to log offset 6, the one before to 7"),
        ({"next_offset": 8}, "has seen 7 log records"),
        ({"time_ms": 9}, "is of an earlier time"),
    ],
)
def test_what_only_looks_like_one_is_told(changed: dict[str, Any], says: str) -> None:
    found = differences(FIRST, TOLD, SECOND, replace(SECOND, **({"sequence": 3} | changed)))
    assert any(says in line for line in found), found


def test_what_completes_one_has_no_events() -> None:
    again = differences(FIRST, TOLD, SECOND, TOLD, replace(SECOND, sequence=3))
    assert any("goes to log offset 7" in line for line in again), again
