"""What people are told of a run, in plain words."""

from clearing.core.commands import SetStatus
from clearing.core.outputs import (
    CommandEvent,
    DeadlockEvent,
    Resolution,
    ShortfallEvent,
    WaitsFor,
    WindowEvent,
)
from clearing.dev.news import money, news_of, release_text, status_text
from clearing.dev.progress import Release


def test_amounts_are_readable() -> None:
    shown = {
        amount: money(amount)
        for amount in ("0.50", "12.00", "1234.56", "12345.67", "1000000000.00", "7")
    }
    assert shown == {
        "0.50": "0.50",
        "12.00": "12",
        "1234.56": "1,234.56",
        "12345.67": "12,345",
        "1000000000.00": "1,000,000,000",
        "7": "7",
    }


def test_a_deadlock_says_who_waits_for_whom_and_what_would_help() -> None:  # R16
    waits = [
        WaitsFor(
            participant=name,
            asset="HKD",
            payment="p",
            lacks="100.00",
            limit="LIQUIDITY",
            waits_for=others,
        )
        for name, others in (("A", ["B", "C"]), ("B", []), ("C", []), ("D", []), ("E", []))
    ]
    event = DeadlockEvent(
        netting_set="hk",
        log_offset=1,
        time_ms=1,
        asset="HKD",
        payments=1_234,
        value="5000000.00",
        waits=waits,
        extra_participant="B",
        extra_asset="HKD",
        extra="70.00",
    )
    assert news_of(event) == (
        "cut-off of HKD: 1,234 payments of 5,000,000 wait; A lacks 100 and waits for B, C; B lacks 100; "
        "C lacks 100; D lacks 100; 1 more; 70 HKD more for B would free something"
    )


def test_a_shortfall_says_who_pays() -> None:  # R25
    event = ShortfallEvent(
        netting_set="hk",
        log_offset=1,
        time_ms=1,
        asset="HKD",
        window=2,
        version=2,
        participant="A",
        shortfall="30.00",
        collateral="10.00",
        pool="0.00",
        survivors={"B": "20.00"},
    )
    assert news_of(event) == "A lacks 30 HKD at the ledger: 10 from its collateral, 20 from B"


def test_everyday_events_are_no_news() -> None:
    place = {"netting_set": "hk", "log_offset": 1, "time_ms": 1}
    command = CommandEvent(**place, id="c", by="x", command="set_cap", status="DONE")
    window = WindowEvent(**place, asset="HKD", window=1, version=1, state="SETTLED")
    failed = WindowEvent(
        **place, asset="HKD", window=1, version=1, state="FAILED", reason="A is short"
    )
    assert [news_of(event) for event in (command, window)] == ["", ""]
    assert news_of(failed) == "window 1 of HKD is FAILED: A is short"
    change = SetStatus(id="c", by="x", participant="A", status="SUSPENDED")
    assert status_text(change) == "A is SUSPENDED, by x"


def test_a_release_says_how_much_left_with_how_little() -> None:  # R14, R15
    release = Release("hk", 7, "MULTILATERAL")
    for number, (debtor, creditor, asset, units) in enumerate(
        (("A", "B", "HKD", 100_00), ("B", "C", "HKD", 90_00), ("C", "A", "HKD", 80_00))
    ):
        one = Resolution(
            id=f"p{number}",
            code=0,
            kind=1,
            debtor=debtor,
            creditor=creditor,
            asset=asset,
            amount="",
            log_offset=1,
            row=0,
            source=("", 0, 0, -1),
        )
        release.add(one, units)
    assert release.liquidity("HKD") == 20_00
    assert release_text(release, {"HKD": 2}) == (
        "gridlock resolved: 3 payments left at once, 270 HKD with 20 of liquidity"
    )
