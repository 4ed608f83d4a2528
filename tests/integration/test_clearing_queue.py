"""Queues and gridlock on the real path: what waits, in which order it leaves, how it ends otherwise (R12-R17)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from clearing.core.commands import SetCap
from clearing.core.outputs import DeadlockEvent
from tests.integration.cleared import Clearing, Installation, cleared
from tests.integration.desk import soon

NETTING_SET = "queue"
FIFO = {"queue": "FIFO"}
ASSETS = {
    **dict.fromkeys(("FIRST", "ORDER", "CANCEL", "EXPIRE", "ROLL", "TWO", "RING"), FIFO),
    **dict.fromkeys(("HEAD", "STUCK", "KILLED"), FIFO),
    "BYPASS": {"queue": "BYPASS_FIFO"},
    "DROP": {"queue": "FIFO", "at_cutoff": "DROP"},
}


@pytest.fixture(scope="module")
async def clearing(installation: Installation) -> AsyncIterator[Clearing]:
    async with cleared(installation, NETTING_SET) as clearing:
        yield clearing


async def test_a_payment_waits_until_its_sender_is_paid(clearing: Clearing) -> None:
    """R12, R14, R23, R41: PDNG to its sender alone, ACSP to both once it can be paid, ACSC once it is."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    await clearing.fund("FIRST", ALPHA=100, BRAVO=60)
    order = await alpha.pay("BRAVO", "FIRST", "150")
    await alpha.hears(order, "PDNG")
    assert bravo.heard(order) == []
    paid = await bravo.pay("ALPHA", "FIRST", "60")
    for desk in (alpha, bravo):
        await desk.hears(paid, "ACSP")
    await alpha.hears(order, "PDNG", "ACSP")
    assert await clearing.how(order) == "SINGLE"
    await clearing.close("FIRST")
    await alpha.hears(order, "PDNG", "ACSP", "ACSC")
    await bravo.hears(order, "ACSP", "ACSC")
    assert await clearing.balances("FIRST") == {"ALPHA": "10.00", "BRAVO": "150.00"}


async def test_a_blocked_head_blocks_or_is_passed_by_policy(clearing: Clearing) -> None:
    """R13."""
    [alpha] = clearing.desks("ALPHA")
    for asset, outcome in (("HEAD", "PDNG"), ("BYPASS", "ACSP")):
        await clearing.fund(asset, ALPHA=10)
        await alpha.hears(await alpha.pay("BRAVO", asset, "11"), "PDNG")
        behind = await alpha.pay("CHARLIE", asset, "10")
        await alpha.hears(behind, outcome)


async def test_urgent_goes_before_high_before_normal(clearing: Clearing) -> None:
    """R12: arrival decides between equals, and stays when the sender gives another priority."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    normal, high, urgent, last = [
        await bravo.pay("CHARLIE", "ORDER", "10", priority=priority)
        for priority in ("NORM", "HIGH", "URGT", "URGT")
    ]
    await bravo.hears(last, "PDNG")
    raised = await bravo.bank.prioritise(normal.id, "URGT")
    await bravo.hears(raised, "CNCL")
    others = await alpha.bank.prioritise(normal.id, "URGT")
    unknown = await bravo.bank.prioritise(str(uuid4()), "URGT")
    await alpha.hears(others, "RJCT NOOR")
    await bravo.hears(unknown, "RJCT NOOR")
    waiting = [normal, urgent, last, high]
    while waiting:
        await clearing.fund("ORDER", BRAVO=10)
        await bravo.hears(waiting.pop(0), "PDNG", "ACSP")
        assert [bravo.heard(order) for order in waiting] == [["PDNG"]] * len(waiting)
    late = await bravo.bank.prioritise(normal.id, "NORM")
    await bravo.hears(late, "RJCT XWAI")


async def test_what_waits_is_cancelled_by_its_sender_alone(clearing: Clearing) -> None:
    """R12, R28: once, and for good."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    order = await alpha.pay("BRAVO", "CANCEL", "10")
    await alpha.hears(order, "PDNG")
    others = await bravo.bank.cancel(order)
    await bravo.hears(others, "RJCT XSND")
    unknown = await alpha.bank.cancel(alpha.bank.payment("BRAVO", "CANCEL", "10"))
    await alpha.hears(unknown, "RJCT NOOR")
    cancelled = await alpha.bank.cancel(order)
    await alpha.hears(cancelled, "CNCL")
    await alpha.hears(order, "PDNG", "CANC CUST")
    again = await alpha.bank.cancel(order)
    await alpha.hears(again, "RJCT XWAI")
    await alpha.bank.publish([order])
    [*_, repeat] = await alpha.hears(order, "PDNG", "CANC CUST", "CANC CUST")
    assert repeat.repeat
    assert bravo.heard(order) == []


async def test_what_has_expired_is_refused_and_what_expires_ends(clearing: Clearing) -> None:
    """R17."""
    [alpha] = clearing.desks("ALPHA")
    past = datetime.now(UTC) - timedelta(minutes=1)
    await alpha.hears(await alpha.pay("BRAVO", "EXPIRE", "1", expires_at=past), "RJCT TM01")
    order = None
    for at in soon():
        order = await alpha.pay("BRAVO", "EXPIRE", "1", expires_at=at)
        if await alpha.first_heard(order) == "PDNG":
            break
    assert order is not None
    await alpha.hears(order, "PDNG", "RJCT TM01")


async def test_what_waits_at_a_cut_off_is_dropped_or_rolls(clearing: Clearing) -> None:
    """R17: by the asset's policy; what names its window never rolls. R4: a window of nothing is settled at once."""
    [alpha] = clearing.desks("ALPHA")
    dropped = await alpha.pay("BRAVO", "DROP", "10")
    rolled = await alpha.pay("BRAVO", "ROLL", "10")
    bound = await alpha.pay("BRAVO", "ROLL", "10", window=1)
    await alpha.hears(bound, "PDNG")
    for asset in ("DROP", "ROLL"):
        await clearing.close(asset)
    await alpha.hears(dropped, "PDNG", "RJCT AB03")
    await alpha.hears(bound, "PDNG", "RJCT AB03")
    await alpha.hears(await alpha.pay("BRAVO", "ROLL", "10", window=1), "RJCT TM01")
    assert alpha.heard(rolled) == ["PDNG"]
    await clearing.fund("ROLL", ALPHA=10)
    await clearing.close("ROLL")
    [*_, final] = await alpha.hears(rolled, "PDNG", "ACSP", "ACSC")
    assert final.window == 2
    assert await clearing.balances("ROLL") == {"BRAVO": "10.00"}


async def test_two_that_wait_for_each_other_leave_as_a_pair(clearing: Clearing) -> None:
    """R14: Ubin phase 2, case 1.2."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    await clearing.fund("TWO", ALPHA=3, BRAVO=4)
    first = await alpha.pay("BRAVO", "TWO", "5")
    await alpha.hears(first, "PDNG")
    second = await bravo.pay("ALPHA", "TWO", "6")
    await alpha.hears(first, "PDNG", "ACSP")
    await bravo.hears(second, "PDNG", "ACSP")
    assert {await clearing.how(order) for order in (first, second)} == {"BILATERAL"}
    await clearing.close("TWO")
    await bravo.hears(second, "PDNG", "ACSP", "ACSC")
    assert await clearing.balances("TWO") == {"ALPHA": "4.00", "BRAVO": "3.00"}


async def test_a_gridlock_resolves_by_the_greatest_set(clearing: Clearing) -> None:
    """R15: Ubin phase 2, case 4.1: three leave together as the last of them comes, one waits on."""
    alpha, bravo, charlie = clearing.desks("ALPHA", "BRAVO", "CHARLIE")
    await clearing.fund("RING", ALPHA=5, BRAVO=6, CHARLIE=7)
    first = await alpha.pay("BRAVO", "RING", "8")
    stays = await alpha.pay("BRAVO", "RING", "20")
    await alpha.hears(stays, "PDNG")
    second = await bravo.pay("CHARLIE", "RING", "7")
    await bravo.hears(second, "PDNG")
    third = await charlie.pay("ALPHA", "RING", "9")
    freed = ((alpha, first), (bravo, second), (charlie, third))
    for desk, order in freed:
        await desk.hears(order, "PDNG", "ACSP")
    assert {await clearing.how(order) for _, order in freed} == {"MULTILATERAL"}
    await clearing.close("RING")
    for desk, order in freed:
        await desk.hears(order, "PDNG", "ACSP", "ACSC")
    assert await clearing.balances("RING") == {
        "ALPHA": "6.00",
        "BRAVO": "7.00",
        "CHARLIE": "5.00",
    }
    assert alpha.heard(stays) == ["PDNG"]


async def test_a_deadlock_says_who_waits_for_whom_and_what_would_free_it(
    clearing: Clearing,
) -> None:
    """R16: Ubin phase 2, case 7.1: nothing leaves by the cut-off; with what is said to be lacking, all does."""
    desks = clearing.desks("ALPHA", "BRAVO", "CHARLIE", "DELTA", "ECHO")
    names = [desk.name for desk in desks]
    await clearing.fund("STUCK", ALPHA=3, BRAVO=4, CHARLIE=5, DELTA=4, ECHO=3)
    orders = [
        await desk.pay(to, "STUCK", amount)
        for desk, to, amount in zip(
            desks, [*names[1:], names[0]], ("8", "10", "20", "30", "40"), strict=True
        )
    ]
    for desk, order in zip(desks, orders, strict=True):
        await desk.hears(order, "PDNG")
    await clearing.close("STUCK")
    deadlock = await clearing.event(DeadlockEvent, asset="STUCK")
    assert (deadlock.payments, deadlock.value) == (5, "108.00")
    assert [
        (wait.participant, wait.payment, wait.lacks, wait.limit, wait.waits_for)
        for wait in deadlock.waits
    ] == [
        ("ALPHA", orders[0].id, "5.00", "LIQUIDITY", ["ECHO"]),
        ("BRAVO", orders[1].id, "6.00", "LIQUIDITY", ["ALPHA"]),
        ("CHARLIE", orders[2].id, "15.00", "LIQUIDITY", ["BRAVO"]),
        ("DELTA", orders[3].id, "26.00", "LIQUIDITY", ["CHARLIE"]),
        ("ECHO", orders[4].id, "37.00", "LIQUIDITY", ["DELTA"]),
    ]
    cheapest = (deadlock.extra_participant, deadlock.extra_asset, deadlock.extra)
    assert cheapest == ("ALPHA", "STUCK", "5.00")
    assert deadlock.all_extra == {"CHARLIE": "5.00", "DELTA": "6.00", "ECHO": "7.00"}
    await clearing.fund("STUCK", **deadlock.all_extra)
    for desk, order in zip(desks, orders, strict=True):
        await desk.hears(order, "PDNG", "ACSP")
    assert await clearing.how(orders[0]) == "MULTILATERAL"


async def test_nothing_that_waits_is_lost_with_the_processes(clearing: Clearing) -> None:
    """R28, R29: engine and dispatch are killed while payments wait; their successors release them in order."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    services = clearing.installation.services
    before = [await alpha.pay("BRAVO", "KILLED", "1") for _ in range(20)]
    await alpha.hears(before[-1], "PDNG")
    killed = [services.kill(name) for name in ("engine-1", "dispatch-1")]
    assert all(killed)
    await alpha.bank.publish(before[:1])  # again, while nobody is there to hear it
    more = [await alpha.pay("BRAVO", "KILLED", "1", priority="HIGH") for _ in range(5)]
    await alpha.hears(before[0], "PDNG", "PDNG")
    await alpha.hears(more[-1], "PDNG")
    assert not {services.pid(name) for name in ("engine-1", "dispatch-1")} & {*killed}
    await clearing.do(SetCap, participant="ALPHA", asset="KILLED", net_debit_cap="25")
    for order in more + before[1:]:
        await alpha.hears(order, "PDNG", "ACSP")
        await bravo.hears(order, "ACSP")
    await alpha.hears(before[0], "PDNG", "PDNG", "ACSP")
    assert [each.id for each in clearing.resolutions if each.asset == "KILLED"] == [
        order.id for order in more + before
    ]
    await clearing.close("KILLED")
    await asyncio.gather(*(bravo.hears(order, "ACSP", "ACSC") for order in more + before))
    assert await clearing.balances("KILLED") == {"ALPHA": "-25.00", "BRAVO": "25.00"}


async def test_all_of_it_is_proved(clearing: Clearing) -> None:
    """R30."""
    assert await clearing.unproved() == []
