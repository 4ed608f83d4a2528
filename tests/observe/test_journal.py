"""Events to what an operator is shown: the latest of each, only what is still open, nothing without a bound."""

import msgspec
import pytest

from clearing.core.outputs import (
    CommandEvent,
    DeadlockEvent,
    Position,
    ProposalEvent,
    ShortfallEvent,
    WindowEvent,
)
from clearing.observe.journal import ENDED_SHOWN, SHORTFALLS_SHOWN, Journal


def window(number: int, state: str = "SETTLED", at_ms: int = 5) -> WindowEvent:
    return WindowEvent(
        netting_set="hk",
        log_offset=at_ms,
        time_ms=at_ms,
        asset="HKD",
        window=number,
        version=1,
        state=state,
    )


def deadlock(asset: str, at_ms: int) -> DeadlockEvent:
    return DeadlockEvent(
        netting_set="hk",
        log_offset=at_ms,
        time_ms=at_ms,
        asset=asset,
        payments=2,
        value="3.00",
        waits=[],
    )


def position(asset: str, queued_payments: int) -> Position:
    return Position(
        netting_set="hk",
        participant="ALPHA",
        asset=asset,
        prefunded="0.00",
        net_debit_cap="0.00",
        position="0.00",
        reserved="0.00",
        headroom="0.00",
        queued="3.00" if queued_payments else "0.00",
        queued_payments=queued_payments,
        window=1,
        log_offset=1,
        time_ms=1,
    )


def shortfall(at_ms: int) -> ShortfallEvent:
    return ShortfallEvent(
        netting_set="hk",
        log_offset=at_ms,
        time_ms=at_ms,
        asset="HKD",
        window=at_ms,
        version=2,
        participant="ALPHA",
        shortfall="1.00",
        collateral="1.00",
        pool="0.00",
    )


def proposal(name: str, state: str = "PROPOSED", of: str = "hk") -> ProposalEvent:
    event = ProposalEvent(
        netting_set=of,
        log_offset=1,
        time_ms=1,
        proposal=name,
        hash="0" * 64,
        by="op",
        state="PROPOSED",
        command="{}",
    )
    return msgspec.structs.replace(event, state=state)


def test_a_window_is_shown_as_it_stands_newest_first() -> None:
    """R4: PENDING_SETTLEMENT gives way to SETTLED; open ones are shown elsewhere."""
    journal = Journal()
    for event in (
        window(1, "PENDING_SETTLEMENT", 5),
        window(2, "OPEN", 5),
        window(2, "FAILED", 7),
        window(1, "SETTLED", 9),
    ):
        journal.take(event)
    assert [(e.window, e.state) for e in journal.ended()] == [(1, "SETTLED"), (2, "FAILED")]


def test_what_ended_long_ago_is_left_out() -> None:
    """Of several netting sets, which are read one after the other, the latest by time."""
    journal = Journal()
    for number in range(100):
        journal.take(window(number, at_ms=1_000 - number))
        journal.take(shortfall(1_000 - number))
    assert [e.window for e in journal.ended()] == list(range(ENDED_SHOWN))
    latest = [e.time_ms for e in journal.shortfalls()]
    assert latest == list(range(1_000, 1_000 - SHORTFALLS_SHOWN, -1))


def test_the_latest_deadlock_of_an_asset_is_shown_while_something_waits() -> None:
    """R16."""
    journal = Journal()
    for event in (deadlock("HKD", 5), deadlock("HKD", 9), deadlock("CNH", 9)):
        journal.take(event)
    shown = journal.deadlocks([position("HKD", 2), position("CNH", 0)])
    assert shown == [deadlock("HKD", 9)]
    assert journal.deadlocks([position("HKD", 0)]) == []


@pytest.mark.parametrize("end", ["APPROVED", "WITHDRAWN"])
def test_a_proposal_is_shown_until_it_is_decided(end: str) -> None:
    """R33."""
    journal = Journal()
    for event in (proposal("p"), proposal("q"), proposal("p", of="eu"), proposal("p", end)):
        journal.take(event)
    assert [(e.netting_set, e.proposal) for e in journal.proposals()] == [("hk", "q"), ("eu", "p")]


def test_a_decision_whose_proposal_was_not_read_is_no_surprise() -> None:
    """Only the journal's tail is read at first."""
    journal = Journal()
    journal.take(proposal("p", "APPROVED"))
    journal.take(
        CommandEvent(
            netting_set="hk",
            log_offset=1,
            time_ms=1,
            id="c",
            by="op",
            command="set_cap",
            status="DONE",
        )
    )
    assert (journal.proposals(), journal.ended(), journal.shortfalls()) == ([], [], [])
