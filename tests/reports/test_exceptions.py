"""What becomes an exception of the day, as a table of events; and what does not."""

import datetime as dt
from typing import Any

import pytest

from clearing.core.faults import HaltKind
from clearing.core.outputs import (
    ConfirmationEvent,
    DeadlockEvent,
    Event,
    Rejected,
    ShortfallEvent,
    WaitsFor,
    WindowEvent,
)
from clearing.messages import HaltRecord
from clearing.names import PROBE, Topics
from clearing.reports import Day
from clearing.reports.exceptions import Exceptions, Halted
from clearing.reports.model import ExceptionDay

DAY = Day.of(dt.date(2026, 1, 5))
AT: dict[str, Any] = {"netting_set": "hk", "log_offset": 7, "time_ms": DAY.from_ms}
REFUSED_WINDOW = WindowEvent(
    **AT, asset="HKD", window=3, version=2, state="FAILED", gross="5.00", reason="no funds"
)


def confirmed(status: str, reason: str) -> ConfirmationEvent:
    return ConfirmationEvent(**AT, batch="b1", status=status, reason=reason)  # pyright: ignore[reportArgumentType]


def found(*events: Event) -> list[ExceptionDay]:
    exceptions = Exceptions("hk", DAY, Topics())
    for event in events:
        exceptions.take_event(event)
    return exceptions.rows()


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([REFUSED_WINDOW], [("failed", "the ledger refused version 2: no funds")]),
        (
            [REFUSED_WINDOW, confirmed("DONE", "no funds")],
            [("failed", "the ledger refused version 2: no funds")],
        ),
        (
            [confirmed("DONE", "no funds")],
            [("funding_refused", "the ledger did not move the prefunding of batch b1: no funds")],
        ),
        ([confirmed("DONE", "")], []),
        ([confirmed("REPEATED", "no such batch is waiting")], []),
        (
            [confirmed("REFUSED", "the hash is not the batch's")],
            [
                (
                    "confirmation_refused",
                    "an answer to batch b1 counts for nothing: the hash is not the batch's",
                )
            ],
        ),
        ([WindowEvent(**AT, asset="HKD", window=3, version=1, state="PENDING_SETTLEMENT")], []),
        (
            [WindowEvent(**AT, asset="HKD", window=3, version=2, state="PENDING_SETTLEMENT")],
            [("sent_again", "sent again as version 2")],
        ),
        (
            [
                DeadlockEvent(
                    **AT, asset="HKD", payments=2, value="3.00",
                    waits=[WaitsFor(participant="ALPHA", asset="HKD", payment="p", lacks="1", limit="LIQUIDITY")],
                )
            ],
            [("deadlock", "2 payments worth 3.00 could not leave at the cut-off, as these wait for others: ALPHA")],
        ),
        (
            [
                ShortfallEvent(
                    **AT, asset="HKD", window=3, version=2, participant="ALPHA", shortfall="9", collateral="1",
                    pool="2", survivors={"BRAVO": "6"},
                )
            ],
            [("shortfall", "ALPHA lacked 9: its collateral bears 1, the pool 2, survivors BRAVO 6")],
        ),
    ],
)  # fmt: skip
def test_events(events: list[Event], told: list[tuple[str, str]]) -> None:
    assert [(row.kind, row.text) for row in found(*events)] == told


@pytest.mark.parametrize("time_ms", [DAY.from_ms - 1, DAY.to_ms])
def test_of_another_day(time_ms: int) -> None:
    at: dict[str, Any] = {**AT, "time_ms": time_ms}
    other = WindowEvent(**at, asset="HKD", window=3, version=1, state="FAILED")
    assert found(other) == []


def rejected(topic: str, reason: str, offset: int) -> Rejected:
    return Rejected(
        **AT, row=0, topic=topic, partition=0, offset=offset, item=-1, reason=reason, text="why",
        detail=str(offset), hash="", id="",
    )  # fmt: skip


def test_inputs_that_could_not_be_read_are_counted_by_topic_and_reason() -> None:
    """As many as anybody likes to send: the rows are bounded."""
    exceptions = Exceptions("hk", DAY, Topics("x-"))
    for offset in range(1_000):
        exceptions.take_rejected(rejected("x-payments.hk.ALPHA", "XSYN", offset))
    exceptions.take_rejected(rejected("x-commands", "XSYN", 5))
    exceptions.take_rejected(rejected(f"x-payments.hk.{PROBE}", "XSYN", 6))
    assert [(row.participant, row.times, row.text) for row in exceptions.rows()] == [
        ("", 1, "x-commands: XSYN, why; the first at offset 5"),
        ("ALPHA", 1_000, "x-payments.hk.ALPHA: XSYN, why; the first at offset 0"),
    ]


@pytest.mark.parametrize(
    ("first_ms", "until_ms", "netting_set", "is_told"),
    [
        (DAY.from_ms - 5, None, "hk", True),  # it has stood still since yesterday
        (DAY.from_ms - 5, DAY.from_ms + 5, "hk", True),
        (DAY.from_ms + 5, DAY.to_ms + 5, "hk", True),
        (DAY.from_ms - 5, DAY.from_ms - 1, "hk", False),
        (DAY.to_ms, None, "hk", False),
        (DAY.from_ms, None, "cn", False),
    ],
)
def test_halts_that_lasted_for_a_part_of_the_day(
    first_ms: int, until_ms: int | None, netting_set: str, *, is_told: bool
) -> None:
    record = HaltRecord(
        netting_set=netting_set, service="engine", kind=HaltKind.CHAIN, reason="another chain", topic="log",
        partition=0, offset=4, next_command="", runbook="", times=3, first_at_ms=first_ms,
        at_ms=first_ms, owner="h",
    )  # fmt: skip
    exceptions = Exceptions("hk", DAY, Topics())
    exceptions.take_halts([Halted(record, until_ms)])
    told = [(row.kind, row.times, row.text) for row in exceptions.rows()]
    assert told == [("halt", 3, "engine stopped at log-0: another chain")] * is_told
