"""Suspension, default and shortfall on the real path, where PostgreSQL itself refuses to pay (R24, R25, R32)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from clearing.core.commands import SetCollateral, SetStatus, SettleWindow
from clearing.core.outputs import ShortfallEvent, WindowEvent
from clearing.messages import FinalRecord
from tests.integration.cleared import Clearing, Installation, cleared
from tests.integration.desk import BOUND_S, Desk

NETTING_SET = "default"
# The engine accepts what the cap allows; the ledger lets nobody below zero.
UNCOVERED = {"accounts": {"net_debit_cap": "100", "overdraft": "0"}}
ASSETS = {
    "HELD": {"queue": "FIFO"},
    "FAILING": {"queue": "FIFO"},
    "HOLD": UNCOVERED | {"on_shortfall": "HOLD"},
    "SHARED": UNCOVERED | {"on_shortfall": "WATERFALL", "pool": "5"},
    "RECAST": UNCOVERED | {"on_shortfall": "RECAST"},
}


@pytest.fixture(scope="module")
async def clearing(installation: Installation) -> AsyncIterator[Clearing]:
    async with cleared(installation, NETTING_SET) as clearing:
        yield clearing


async def become(clearing: Clearing, bank: str, status: str) -> int:
    return await clearing.do(SetStatus, participant=bank, status=status)


async def test_a_suspended_bank_keeps_its_queue_and_goes_on_with_it(clearing: Clearing) -> None:
    """R32: refused in and out; what waits, to it as well, is held until it is resumed."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    from_it, to_it = await alpha.pay("BRAVO", "HELD", "10"), await bravo.pay("ALPHA", "HELD", "1")
    await alpha.hears(from_it, "PDNG")
    await bravo.hears(to_it, "PDNG")
    await become(clearing, "ALPHA", "SUSPENDED")
    await alpha.hears(await alpha.pay("BRAVO", "HELD", "1"), "RJCT AC06")
    await bravo.hears(await bravo.pay("ALPHA", "HELD", "1"), "RJCT AC06")
    await clearing.fund("HELD", ALPHA=10, BRAVO=1)
    resumed = await become(clearing, "ALPHA", "ACTIVE")
    [_, released] = await alpha.hears(from_it, "PDNG", "ACSP")
    [_, received] = await bravo.hears(to_it, "PDNG", "ACSP")
    assert released.log_offset == received.log_offset == resumed


async def test_a_default_cancels_what_waits_and_lets_stand_what_was_accepted(
    clearing: Clearing,
) -> None:
    """R24: decided by the place in the log; no zero-hour reversal: the accepted payment settles afterwards."""
    delta, echo = clearing.desks("DELTA", "ECHO")
    await clearing.fund("FAILING", DELTA=7)
    stands = await delta.pay("ECHO", "FAILING", "7")
    await delta.hears(stands, "ACSP")
    from_it = await delta.pay("ECHO", "FAILING", "1")
    to_it = await echo.pay("DELTA", "FAILING", "100")
    await delta.hears(from_it, "PDNG")
    await echo.hears(to_it, "PDNG")
    await become(clearing, "DELTA", "DEFAULTED")
    await delta.hears(from_it, "PDNG", "RJCT AC06")
    await echo.hears(to_it, "PDNG", "RJCT AC06")
    await delta.hears(await delta.pay("ECHO", "FAILING", "1"), "RJCT AC06")
    await echo.hears(await echo.pay("DELTA", "FAILING", "1"), "RJCT AC06")
    unsettled = await clearing.ask(SetStatus, participant="DELTA", status="CLOSED")
    assert unsettled.status == "REFUSED"
    await clearing.close("FAILING")
    await echo.hears(stands, "ACSP", "ACSC")
    assert await clearing.balances("FAILING") == {"ECHO": "7.00"}


async def pay_more_than_there_is(clearing: Clearing, asset: str) -> list[tuple[Desk, Desk, str]]:
    """ALPHA has 20 and pays BRAVO 40 and CHARLIE 20; BRAVO has 10 and pays it to CHARLIE. The window closes."""
    alpha, bravo, charlie = clearing.desks("ALPHA", "BRAVO", "CHARLIE")
    await clearing.fund(asset, ALPHA=20, BRAVO=10)
    made: list[tuple[Desk, Desk, str]] = []
    for one, other, amount in (
        (alpha, bravo, "40"),
        (alpha, charlie, "20"),
        (bravo, charlie, "10"),
    ):
        order = await one.pay(other.name, asset, amount)
        await one.hears(order, "ACSP")
        made.append((one, other, order.id))
    await clearing.close(asset)
    return made


async def test_what_a_bank_cannot_pay_is_shared_by_rule(clearing: Clearing) -> None:
    """R25: its collateral, the pool, then those it owed, pro rata to the cent. The batch that failed stays ABORTED;
    its payments stand, and are final with the next version."""
    await clearing.do(SetCollateral, participant="ALPHA", asset="SHARED", amount="10")
    made = await pay_more_than_there_is(clearing, "SHARED")
    for one, other, order in made:
        for desk in (one, other):
            await desk.hears(order, "ACSP", "ACSC")
    aborted = await clearing.event(WindowEvent, asset="SHARED", state="ABORTED")
    assert (aborted.version, aborted.reason) == (1, "ALPHA is short of 40.00 SHARED")
    shortfall = await clearing.event(ShortfallEvent, asset="SHARED")
    assert (shortfall.participant, shortfall.shortfall, shortfall.version) == ("ALPHA", "40.00", 2)
    assert (shortfall.collateral, shortfall.pool) == ("10.00", "5.00")
    assert shortfall.survivors == {"BRAVO": "16.67", "CHARLIE": "8.33"}  # 25 as 40 to 20
    first, second = clearing.batches_of("SHARED")
    assert (first.version, second.version, second.payments) == (1, 2, 3)
    assert await clearing.balances("SHARED") == {
        "$COLLATERAL": "-10.00",
        "$POOL": "-5.00",
        "BRAVO": "23.33",  # 10 + 40 - 10 - 16.67
        "CHARLIE": "21.67",  # 20 + 10 - 8.33
    }
    assert await postings(clearing, "SHARED") == [(1, "REFUSED"), (2, "POSTED")]


async def test_a_bank_that_cannot_pay_is_taken_out(clearing: Clearing) -> None:
    """R25: its payments are taken back from both sides (XREC), the rest is netted anew."""
    (alpha, bravo, lost), (_, charlie, other), (_, _, stands) = await pay_more_than_there_is(
        clearing, "RECAST"
    )
    for order, receiver in ((lost, bravo), (other, charlie)):
        for desk in (alpha, receiver):
            await desk.hears(order, "ACSP", "RJCT XREC")
    for desk in (bravo, charlie):
        await desk.hears(stands, "ACSP", "ACSC")
    assert await clearing.balances("RECAST") == {"ALPHA": "20.00", "CHARLIE": "10.00"}
    assert await postings(clearing, "RECAST") == [(1, "REFUSED"), (2, "POSTED")]


async def test_without_a_rule_operators_settle_what_failed(clearing: Clearing) -> None:
    """R4, R25: banks are told that it failed; once the money is there the same window is settled again."""
    [(alpha, bravo, order), *_] = await pay_more_than_there_is(clearing, "HOLD")
    failed = await clearing.event(WindowEvent, asset="HOLD", state="FAILED")
    assert failed.reason == "ALPHA is short of 40.00 HOLD"
    assert [alpha.heard(order), bravo.heard(order)] == [["ACSP"]] * 2
    early = await clearing.ask(SettleWindow, asset="HOLD", window=2)
    assert early.status == "REFUSED"
    await clearing.fund("HOLD", ALPHA=40)
    await clearing.do(SettleWindow, asset="HOLD", window=1)
    for desk in (alpha, bravo):
        await desk.hears(order, "ACSP", "ACSC")
    assert await clearing.balances("HOLD") == {"BRAVO": "40.00", "CHARLIE": "30.00"}
    told = await final_records(bravo, "HOLD")
    assert told == [("RJCT", 1), ("ACSC", 2)]


async def final_records(desk: Desk, asset: str) -> list[tuple[str, int]]:
    """How the versions of a window ended, as its status topic says it, up to its finality."""
    told: list[tuple[str, int]] = []
    async with asyncio.timeout(BOUND_S):
        async for _, record in desk.bank.records(from_beginning=True):
            if isinstance(record, FinalRecord) and record.asset == asset:
                told.append((record.status, record.version))
                if record.status == "ACSC":
                    break
    return told


async def postings(clearing: Clearing, asset: str) -> list[tuple[int, str]]:
    """Version and status of each batch of an asset in the ledger."""
    rows = await clearing.ledger.fetch(
        "SELECT version, status FROM clearing.batches WHERE netting_set = $1 AND asset = $2 "
        "AND kind <> 'funding' ORDER BY number",
        NETTING_SET,
        asset,
    )
    return [(row["version"], row["status"]) for row in rows]


async def test_all_of_it_is_proved(clearing: Clearing) -> None:
    """R30."""
    assert await clearing.unproved() == []
