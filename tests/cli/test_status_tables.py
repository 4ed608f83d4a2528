"""`clearing status` for people: what waits, why, and for whom."""

import io

from rich.console import Console

from clearing.cli.status_tables import tables
from clearing.core.outputs import (
    DeadlockEvent,
    Position,
    ProposalEvent,
    ShortfallEvent,
    WaitsFor,
)
from clearing.observe import StatusReport
from clearing.views.model import Outlook, Verdict


def position(participant: str, position: str, queued_payments: int = 0) -> Position:
    return Position(
        netting_set="hk",
        participant=participant,
        asset="HKD",
        prefunded="100.00",
        net_debit_cap="0.00",
        position=position,
        reserved="0.00",
        headroom="0.00",
        queued="1250.00" if queued_payments else "0.00",
        queued_payments=queued_payments,
        window=1,
        log_offset=1,
        time_ms=1,
    )


def report(**changes: object) -> StatusReport:
    fields: dict[str, object] = {
        "bootstrap": "localhost:9092",
        "at_ms": 0,
        "netting_sets": {"hk": 0},
        "services": [],
        "lags": [],
        "windows": [],
        "ended": [],
        "positions": [],
    }
    return StatusReport(**(fields | changes))  # pyright: ignore[reportArgumentType]


def shown(what: StatusReport) -> list[str]:
    """Lines as they are printed, blanks run together."""
    console = Console(file=io.StringIO(), width=200)
    console.print(tables(what))
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_the_first_line_is_the_answer() -> None:
    """Of all open windows the one that is worst off."""
    verdicts: list[tuple[str, Verdict]] = [("CNH", "ON_TIME"), ("HKD", "WILL_MISS")]
    calm, late = (
        Outlook(
            netting_set="hk",
            asset=asset,
            window=7,
            cutoff_ms=1,
            cutoff_in_s=1.0,
            backlog_records=0,
            drain_s=0.0,
            verdict=verdict,
            sentence=f"{asset} window 7 closes in 1 s: {verdict}.",
        )
        for asset, verdict in verdicts
    )
    assert shown(report(outlooks=[calm, late]))[0] == "hk: HKD window 7 closes in 1 s: WILL_MISS."
    assert shown(report())[0].startswith("localhost:9092")


def test_accounts_that_wait_come_first_with_what_waits() -> None:
    """R12: value and number of an account's queued payments."""
    accounts = [position("ALPHA", "-90.00"), position("BRAVO", "10.00", 1_234)]
    lines = shown(report(positions=accounts))
    at = lines.index("hk BRAVO HKD 100.00 0.00 10.00 0.00 0 % 1250.00 1,234")
    assert lines[at + 1] == "hk ALPHA HKD 100.00 0.00 -90.00 0.00 90 %"


def test_deadlock_says_who_waits_for_whom_and_what_would_free_it() -> None:
    """R16."""
    waits = [
        WaitsFor(
            participant=f"BANK{i:02}",
            asset="HKD",
            payment="p",
            lacks="10.00",
            limit="NET_DEBIT_CAP",
            waits_for=["BANK00", "OTHER"],
        )
        for i in range(12)
    ]
    event = DeadlockEvent(
        netting_set="hk",
        log_offset=1,
        time_ms=3_600_000,
        asset="HKD",
        payments=1_500,
        value="30.00",
        waits=waits,
        extra_participant="BANK03",
        extra="7.00",
    )
    lines = shown(report(deadlocks=[event]))
    first = (
        "hk HKD 01:00:00 1,500 30.00 BANK00 lacks 10.00 HKD (NET_DEBIT_CAP), waits for BANK00, OTHER "
        "7.00 more for BANK03"
    )
    at = lines.index(first)
    assert lines[at + 9] == "BANK09 lacks 10.00 HKD (NET_DEBIT_CAP), waits for BANK00, OTHER"
    assert lines[at + 10] == "2 more"


def test_shortfall_says_who_paid() -> None:
    """R25."""
    event = ShortfallEvent(
        netting_set="hk",
        log_offset=1,
        time_ms=0,
        asset="HKD",
        window=3,
        version=2,
        participant="ALPHA",
        shortfall="3.00",
        collateral="1.00",
        pool="0.00",
        survivors={"BRAVO": "2.00"},
    )
    wanted = "hk HKD 3 2 00:00:00 ALPHA lacks 3.00: 1.00 from collateral of ALPHA, 2.00 from BRAVO"
    assert wanted in shown(report(shortfalls=[event]))


def test_open_proposal_says_what_it_would_do_and_its_hash() -> None:
    """R33: what an approval is bound to."""
    event = ProposalEvent(
        netting_set="hk",
        log_offset=1,
        time_ms=0,
        proposal="p1",
        hash="ab" * 32,
        by="ann",
        state="PROPOSED",
        command='{"type":"set_cap","id":"c","by":"ann","participant":"ALPHA","asset":"HKD"}',
    )
    wanted = f"hk p1 00:00:00 ann set_cap participant=ALPHA asset=HKD {'ab' * 32}"
    assert wanted in shown(report(proposals=[event]))


def test_what_there_is_none_of_has_no_table() -> None:
    lines = shown(report())
    assert "Positions" in lines
    assert not {"Deadlocks at the latest cut-off", "Shortfalls"} & set(lines)
