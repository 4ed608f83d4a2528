"""Linked legs on the real path: delivery and payment versus payment, all legs in one step or none (R19-R22)."""

from collections.abc import AsyncIterator

import pytest

from clearing.client import Status, dvp, pvp
from clearing.client.orders import leg, link
from tests.integration.cleared import Clearing, Installation, cleared
from tests.integration.desk import Desk, soon

NETTING_SET = "links"
FIFO = {"queue": "FIFO"}
PIECES = FIFO | {"kind": "security_token", "scale": 0, "model": "GROSS/BILATERAL/DEFERRED"}
AT_ONCE = FIFO | {"model": "GROSS/BILATERAL/IMMEDIATE"}
ASSETS = {
    **dict.fromkeys(("BOND", "SHARE", "FUND"), PIECES),
    **dict.fromkeys(("NOTE", "RTGS"), AT_ONCE),
    **dict.fromkeys(("CASH", "MONEY", "CREDIT", "EURO", "DOLLAR", "YEN", "FRANC"), FIFO),
}
PAIRS = [
    {"delivery": "BOND", "payment": "CASH", "model": 2},
    {"delivery": "SHARE", "payment": "MONEY", "model": 2},
    {"delivery": "FUND", "payment": "CREDIT", "model": 2},
    {"delivery": "NOTE", "payment": "RTGS", "model": 1},
    {"delivery": "EURO", "payment": "DOLLAR", "model": 3},
    {"delivery": "YEN", "payment": "FRANC", "model": 3},
]


@pytest.fixture(scope="module")
async def clearing(installation: Installation) -> AsyncIterator[Clearing]:
    async with cleared(installation, NETTING_SET) as clearing:
        yield clearing


async def both_hear(one: Desk, other: Desk, legs: list[str], *wanted: str) -> set[int]:
    """Sender and receiver of each leg are told the last of these in one and the same step; its log offset."""
    heard: list[Status] = []
    for desk, mine in ((one, legs[0]), (other, legs[1])):
        theirs = legs[1] if mine == legs[0] else legs[0]
        heard += (await desk.hears(mine, *wanted))[-1:]
        heard += (await desk.hears(theirs, *(s for s in wanted if s != "PDNG")))[-1:]
    return {status.log_offset for status in heard}


async def test_delivery_versus_payment_closes_and_is_final_in_one_step(
    clearing: Clearing,
) -> None:
    """R19, R20, R21 model 2: bonds one by one against netted cash; one cut-off closes both, both batches name the
    other, and both are final at one place in the log."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    await clearing.fund("BOND", ALPHA=10)
    await clearing.fund("CASH", BRAVO=1000)
    trade = dvp("ALPHA", "BRAVO", delivery=("BOND", 10), against=("CASH", "990.00"))
    bonds = await alpha.settle(trade)
    await alpha.hears(bonds, "PDNG")
    assert bravo.heard(bonds) == []
    cash = await bravo.settle(trade)
    [_, accepted] = await alpha.hears(bonds, "PDNG", "ACSP")
    [at_once] = await bravo.hears(cash, "ACSP")
    assert accepted.log_offset == at_once.log_offset
    assert await clearing.how(bonds) == "LINK"
    await clearing.close("CASH")
    finals = [
        (await alpha.hears(bonds, "PDNG", "ACSP", "ACSC"))[-1],
        (await bravo.hears(cash, "ACSP", "ACSC"))[-1],
        (await alpha.hears(cash, "ACSP", "ACSC"))[-1],
        (await bravo.hears(bonds, "ACSP", "ACSC"))[-1],
    ]
    assert len({final.log_offset for final in finals}) == 1
    [bond_batch], [cash_batch] = clearing.batches_of("BOND"), clearing.batches_of("CASH")
    assert (bond_batch.kind, cash_batch.kind) == ("gross", "net")
    assert cash_batch.linked == [bond_batch.id]
    assert bond_batch.linked == [cash_batch.id]
    assert await clearing.balances("BOND") == {"BRAVO": "10"}
    assert await clearing.balances("CASH") == {"ALPHA": "990.00", "BRAVO": "10.00"}


async def test_what_is_settled_at_once_is_linked_at_once(clearing: Clearing) -> None:
    """R6, R21 model 1: tokens against money, gross against gross, IMMEDIATE: final without any cut-off."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    await clearing.fund("NOTE", ALPHA=5)
    await clearing.fund("RTGS", BRAVO=50)
    trade = dvp("ALPHA", "BRAVO", delivery=("NOTE", 5), against=("RTGS", 50))
    tokens = "eip155:1:0xab:0"
    notes = await alpha.pay("BRAVO", "NOTE", "5", link=trade, chain_reference=tokens)
    await alpha.hears(notes, "PDNG")
    cash = await bravo.settle(trade)
    [*_, delivered] = await alpha.hears(notes, "PDNG", "ACSP", "ACSC")
    [received, _] = await bravo.hears(notes, "ACSP", "ACSC")
    [*_, paid] = await bravo.hears(cash, "ACSP", "ACSC")
    assert received.chain_reference == tokens
    assert delivered.log_offset == paid.log_offset
    assert await clearing.balances("NOTE") == {"BRAVO": "5.00"}
    assert await clearing.balances("RTGS") == {"ALPHA": "50.00"}


async def test_payment_versus_payment_waits_as_one(clearing: Clearing) -> None:
    """R20, R21 model 3: complete, but one side cannot pay: neither does, until it can; the other's money alone is
    not enough."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    trade = pvp("ALPHA", "BRAVO", gives=("EURO", 90), gets=("DOLLAR", 100))
    euros = await alpha.settle(trade)
    await alpha.hears(euros, "PDNG")
    dollars = await bravo.settle(trade)
    await bravo.hears(dollars, "PDNG")
    await clearing.fund("EURO", ALPHA=90)
    await clearing.fund("DOLLAR", BRAVO=100)
    legs = [euros, dollars]
    assert len(await both_hear(alpha, bravo, legs, "PDNG", "ACSP")) == 1
    await clearing.close("EURO")
    assert len(await both_hear(alpha, bravo, legs, "PDNG", "ACSP", "ACSC")) == 1
    assert await clearing.balances("EURO") == {"BRAVO": "90.00"}
    assert await clearing.balances("DOLLAR") == {"ALPHA": "100.00"}


async def test_three_legs_are_paid_out_of_one_another(clearing: Clearing) -> None:
    """R19: a broker without money buys from one and sells to another: the trade pays for itself."""
    alpha, bravo, charlie = clearing.desks("ALPHA", "BRAVO", "CHARLIE")
    await clearing.fund("FUND", ALPHA=3)
    await clearing.fund("CREDIT", CHARLIE=300)
    trade = link(
        leg("ALPHA", "CHARLIE", "FUND", 3),
        leg("CHARLIE", "DELTA", "CREDIT", 300),
        leg("DELTA", "ALPHA", "CREDIT", 290),
    )
    [delta] = clearing.desks("DELTA")
    first = await delta.settle(trade)
    second = await charlie.settle(trade)
    for desk, waiting in ((delta, first), (charlie, second)):
        await desk.hears(waiting, "PDNG")
    last = await alpha.settle(trade)
    await alpha.hears(last, "ACSP")
    await delta.hears(first, "PDNG", "ACSP")
    await clearing.close("FUND")
    await charlie.hears(second, "PDNG", "ACSP", "ACSC")
    assert (await clearing.balances("CREDIT"))["DELTA"] == "10.00"
    assert bravo.heard(first) == []


async def test_a_leg_that_does_not_match_leaves_the_others_waiting(clearing: Clearing) -> None:
    """R19: the right one still completes the trade; a settled trade takes no more."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    await clearing.fund("YEN", ALPHA=10)
    await clearing.fund("FRANC", BRAVO=20)
    trade = pvp("ALPHA", "BRAVO", gives=("YEN", 10), gets=("FRANC", 11))
    other = link(
        leg("ALPHA", "BRAVO", "YEN", 10), leg("BRAVO", "ALPHA", "FRANC", "11.01"), id=trade.id
    )
    yen = await alpha.settle(trade)
    await alpha.hears(yen, "PDNG")
    await bravo.hears(await bravo.settle(other), "RJCT XLNK")
    francs = await bravo.settle(trade)
    await bravo.hears(francs, "ACSP")
    await alpha.hears(yen, "PDNG", "ACSP")
    await bravo.hears(await bravo.settle(trade), "RJCT XLNK")


async def test_assets_that_are_no_pair_are_not_linked(clearing: Clearing) -> None:
    """R21: said when the trade is complete, to all of its legs."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    trade = dvp("ALPHA", "BRAVO", delivery=("FUND", 1), against=("FRANC", 1))
    bonds = await alpha.settle(trade)
    await alpha.hears(bonds, "PDNG")
    await bravo.hears(await bravo.settle(trade), "RJCT XLNK")
    await alpha.hears(bonds, "PDNG", "RJCT XLNK")


async def test_a_leg_that_is_refused_or_cancelled_takes_the_others_with_it(
    clearing: Clearing,
) -> None:
    """R12, R20: and the trade has ended."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    trade = pvp("ALPHA", "BRAVO", gives=("YEN", 1), gets=("FRANC", "1.001"))
    yen = await alpha.settle(trade)
    await alpha.hears(yen, "PDNG")
    await bravo.hears(await bravo.settle(trade), "RJCT AM12")
    await alpha.hears(yen, "PDNG", "RJCT XLNK")

    trade = pvp("ALPHA", "BRAVO", gives=("YEN", 1000), gets=("FRANC", 1000))
    order = await alpha.pay("BRAVO", "YEN", "1000", link=trade)
    francs = await bravo.settle(trade)
    await bravo.hears(francs, "PDNG")
    await alpha.hears(order, "PDNG")
    await alpha.hears(await alpha.bank.cancel(order), "CNCL")
    await alpha.hears(order, "PDNG", "CANC CUST")
    await bravo.hears(francs, "PDNG", "RJCT XLNK")
    await bravo.hears(await bravo.settle(trade), "RJCT XLNK")


async def test_a_link_that_never_completes_expires_as_one(clearing: Clearing) -> None:
    """R20: the leg that expires takes the other one with it, and the last one comes too late."""
    alpha, bravo, charlie = clearing.desks("ALPHA", "BRAVO", "CHARLIE")
    for at in soon():
        trade = link(
            leg("ALPHA", "BRAVO", "YEN", 1),
            leg("BRAVO", "CHARLIE", "FRANC", 1),
            leg("CHARLIE", "ALPHA", "YEN", 2),
        )
        lasting = await bravo.settle(trade)
        await bravo.hears(lasting, "PDNG")
        expiring = await alpha.settle(trade, expires_at=at)
        if await alpha.first_heard(expiring) == "PDNG":
            await alpha.hears(expiring, "PDNG", "RJCT TM01")
            await bravo.hears(lasting, "PDNG", "RJCT XLNK")
            await charlie.hears(await charlie.settle(trade), "RJCT XLNK")
            return
    raise AssertionError("nothing waited for even 16 s")


async def test_a_part_is_delivered_and_the_fail_settles_with_the_next_window(
    clearing: Clearing,
) -> None:
    """R22: of 4 shares for 160 the buyer can pay 3 with 130; on both sides in proportion, the rest stays open."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    await clearing.fund("SHARE", ALPHA=4)
    await clearing.fund("MONEY", BRAVO=130)
    terms = {"delivery": ("SHARE", 4), "against": ("MONEY", "160.00"), "partial": True}
    trade = dvp("ALPHA", "BRAVO", **terms)
    shares, money = await alpha.settle(trade), await bravo.settle(trade)
    await alpha.hears(shares, "PDNG")
    await bravo.hears(money, "PDNG")
    await clearing.close("SHARE")
    both = [shares, money]
    assert len(await both_hear(alpha, bravo, both, "PDNG", "ACSP", "ACSC")) == 1
    assert await clearing.how(money) == "PARTIAL"
    assert parts(bravo, money) == [("120.00", "40.00")]
    assert await clearing.balances("SHARE") == {"ALPHA": "1", "BRAVO": "3"}
    assert await clearing.balances("MONEY") == {"ALPHA": "120.00", "BRAVO": "10.00"}

    await clearing.fund("MONEY", BRAVO=30)
    await clearing.close("MONEY")
    told = ("PDNG", "ACSP", "ACSC", "ACSP", "ACSC")
    assert len(await both_hear(alpha, bravo, both, *told)) == 1
    assert parts(bravo, money) == [("120.00", "40.00"), ("40.00", "")]
    assert parts(alpha, shares) == [("3", "1"), ("1", "")]
    assert await clearing.balances("SHARE") == {"BRAVO": "4"}
    assert await clearing.balances("MONEY") == {"ALPHA": "160.00"}


def parts(desk: Desk, order: str) -> list[tuple[str, str]]:
    """Amount and what remains of each part that is final."""
    final = [status for status in desk.statuses(order) if status.status == "ACSC"]
    return [(status.amount, status.remaining) for status in final]


async def test_all_of_it_is_proved(clearing: Clearing) -> None:
    """R30."""
    assert await clearing.unproved() == []
