"""Settlement models on the real path: what each posts to the ledger, and when (R2, R6, R18)."""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import pytest

from clearing.core.outputs import SettlementBatch, WindowEvent
from tests.integration.cleared import Clearing, Installation, cleared
from tests.integration.desk import Desk, Order

NETTING_SET = "models"
MODELS = {
    f"{granularity[0]}{interchange[0]}{delay[0]}": f"{granularity}/{interchange}/{delay}"
    for granularity in ("NET", "GROSS")
    for interchange in ("MULTILATERAL", "BILATERAL")
    for delay in ("DEFERRED", "IMMEDIATE")
}
ASSETS = {
    **{asset: {"model": model} for asset, model in MODELS.items()},
    "SETOFF": {"model": MODELS["NBD"], "set_off": True},
    "PARTS": {"model": MODELS["GBD"]},
    "ONE": {"model": MODELS["NMI"]},
}
TRADE = (("ALPHA", "BRAVO", "15"), ("BRAVO", "CHARLIE", "12"), ("CHARLIE", "ALPHA", "5"))


@pytest.fixture(scope="module")
async def clearing(installation: Installation) -> AsyncIterator[Clearing]:
    async with cleared(installation, NETTING_SET) as clearing:
        yield clearing


async def settled(
    clearing: Clearing, asset: str, payments: Sequence[tuple[str, str, str]]
) -> list[Order]:
    """Pay and, where only a cut-off settles, close; until both sides of each payment know it final."""
    orders = [await clearing.banks[one].pay(to, asset, amount) for one, to, amount in payments]
    if not str(ASSETS[asset]["model"]).endswith("IMMEDIATE"):
        for order in orders:
            await clearing.banks[order.debtor].hears(order, "ACSP")
        await clearing.close(asset)
    for order in orders:
        for bank in (order.debtor, order.creditor):
            await clearing.banks[bank].hears(order, "ACSP", "ACSC")
    return orders


@pytest.mark.parametrize("asset", MODELS)
async def test_every_model_moves_the_same_money(clearing: Clearing, asset: str) -> None:
    """R6: by net or payment by payment, among all or between two, at a cut-off or at once."""
    await clearing.fund(asset, ALPHA=20, BRAVO=20, CHARLIE=20)
    first, second, third = await settled(clearing, asset, TRADE)
    assert await clearing.balances(asset) == {
        "ALPHA": "10.00",
        "BRAVO": "23.00",
        "CHARLIE": "27.00",
    }
    lines = await clearing.lines(asset, "ALPHA")
    amounts = [Decimal(amount) for _, _, amount in lines]
    assert sum(amounts) == -10
    batches = clearing.batches_of(asset)
    if asset == "NMD":
        assert lines == [(None, None, "-10.00")]
    elif asset == "NBD":
        assert lines == [("BRAVO", None, "-15.00"), ("CHARLIE", None, "5.00")]
    elif asset.startswith("G"):
        assert sorted(lines) == [("BRAVO", first.id, "-15.00"), ("CHARLIE", third.id, "5.00")]
        assert await clearing.lines(asset, "BRAVO") == [
            ("ALPHA", first.id, "15.00"),
            ("CHARLIE", second.id, "-12.00"),
        ]
    assert sum(batch.payments for batch in batches) == 3
    if asset.endswith("D"):
        assert len(batches) == 1
    assert {batch.kind for batch in batches} == {"gross" if asset.startswith("G") else "net"}


async def test_what_comes_together_is_settled_together_at_once(clearing: Clearing) -> None:
    """R6: NET IMMEDIATE nets what one record of the log accepted, in the transaction that accepted it."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    await clearing.fund("ONE", ALPHA=6)
    orders = [alpha.order("BRAVO", "ONE", amount) for amount in ("1", "2", "3")]
    await alpha.bank.publish([alpha.bank.bulk(orders)])
    heard = [(await bravo.hears(order, "ACSP", "ACSC"))[0] for order in orders]
    [batch] = clearing.batches_of("ONE")
    assert (batch.payments, batch.gross, batch.entries[0].net) == (3, "6.00", "-6.00")
    assert {status.log_offset for status in heard} == {batch.log_first} == {batch.log_last}
    assert await clearing.lines("ONE", "ALPHA") == [(None, None, "-6.00")]


async def test_what_is_owed_in_a_circle_is_set_off(clearing: Clearing) -> None:
    """R18: 5 go round between three and are not paid; every net balance is as without it."""
    await clearing.fund("SETOFF", ALPHA=10)
    await clearing.cap("SETOFF", "ALPHA", "BRAVO", "CHARLIE", amount=20)
    await settled(clearing, "SETOFF", TRADE)
    assert await clearing.lines("SETOFF", "ALPHA") == [("BRAVO", None, "-10.00")]
    assert await clearing.lines("SETOFF", "BRAVO") == [
        ("ALPHA", None, "10.00"),
        ("CHARLIE", None, "-7.00"),
    ]
    assert await clearing.balances("SETOFF") == {"BRAVO": "3.00", "CHARLIE": "7.00"}
    [batch] = clearing.batches_of("SETOFF")
    assert batch.gross == "32.00"
    assert [(line.participant, line.counterparty, line.set_off) for line in batch.entries] == [
        ("ALPHA", "BRAVO", "5.00"),
        ("BRAVO", "ALPHA", "-5.00"),
        ("ALPHA", "CHARLIE", "-5.00"),
        ("CHARLIE", "ALPHA", "5.00"),
        ("BRAVO", "CHARLIE", "5.00"),
        ("CHARLIE", "BRAVO", "-5.00"),
    ]


async def test_a_window_of_many_payments_settles_in_parts_and_as_one(clearing: Clearing) -> None:
    """R2, R6: 1,000 payments and what comes after are two batches, final as one when both are posted."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    await clearing.fund("PARTS", ALPHA=100)
    many = await in_bulk(alpha, 1_000)
    few = await in_bulk(alpha, 5)
    await clearing.close("PARTS")
    finals = [(await bravo.hears(order, "ACSP", "ACSC"))[-1] for order in (*many, *few)]
    assert len({final.log_offset for final in finals}) == 1
    first, second = clearing.batches_of("PARTS")
    assert [described(batch) for batch in (first, second)] == [(1, 2, 1_000), (2, 2, 5)]
    [event] = clearing.seen(WindowEvent, asset="PARTS", state="SETTLED")
    assert (event.payments, event.gross) == (1_005, "10.05")
    lines = await clearing.lines("PARTS", "ALPHA")
    assert lines == [("BRAVO", order.id, "-0.01") for order in (*many, *few)]
    assert await clearing.balances("PARTS") == {"ALPHA": "89.95", "BRAVO": "10.05"}


async def in_bulk(desk: Desk, count: int) -> list[Order]:
    orders = [desk.order("BRAVO", "PARTS", "0.01") for _ in range(count)]
    await desk.bank.publish([desk.bank.bulk(orders)])
    await desk.hears(orders[-1], "ACSP")
    return orders


def described(batch: SettlementBatch) -> tuple[int, int, int]:
    return batch.part, batch.parts, batch.payments


async def test_all_of_it_is_proved(clearing: Clearing) -> None:
    """R30."""
    assert await clearing.unproved() == []
