"""Returns and recalls on the real path: what is accepted stands; money goes back by another payment (R5, R23)."""

from collections.abc import AsyncIterator
from uuid import uuid4

import msgspec
import pytest

from clearing.client import orders
from clearing.messages import Answer
from tests.integration.cleared import Clearing, Installation, cleared

NETTING_SET = "recalls"
ASSETS = {"PAID": {}, "UNPAID": {}, "WAITS": {"queue": "FIFO"}, "ASKED": {}}


@pytest.fixture(scope="module")
async def clearing(installation: Installation) -> AsyncIterator[Clearing]:
    async with cleared(installation, NETTING_SET) as clearing:
        yield clearing


async def test_what_was_paid_is_returned_up_to_its_amount(clearing: Clearing) -> None:
    """R5: in the window in which the return comes; in parts, never more in all, and only by who got it."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    await clearing.fund("PAID", ALPHA=100, BRAVO=100)
    order = await alpha.pay("BRAVO", "PAID", "100")
    await bravo.hears(order, "ACSP")
    await clearing.close("PAID")
    await bravo.hears(order, "ACSP", "ACSC")

    part = await bravo.give_back(order, "60")
    await bravo.hears(part, "ACSP")
    [received] = await alpha.hears(part, "ACSP AC04")
    assert (received.return_of, received.amount, received.window) == (order.id, "60", 2)
    await bravo.hears(await bravo.give_back(order, "40.01"), "RJCT AM09")
    rest = await bravo.give_back(order, "40")
    await bravo.hears(rest, "ACSP")
    await bravo.hears(await bravo.give_back(order, "0.01"), "RJCT AM09")
    await clearing.close("PAID")
    await alpha.hears(rest, "ACSP AC04", "ACSC AC04")
    assert await clearing.balances("PAID") == {"ALPHA": "100.00", "BRAVO": "100.00"}
    assert [batch.payments for batch in clearing.batches_of("PAID")] == [1, 2]


async def test_what_was_not_paid_is_not_returned(clearing: Clearing) -> None:
    """R5, R28: unknown, refused, quoted otherwise, or another's."""
    alpha, bravo, charlie = clearing.desks("ALPHA", "BRAVO", "CHARLIE")
    await clearing.fund("UNPAID", ALPHA=1)
    refused = await alpha.pay("BRAVO", "UNPAID", "1000")
    await alpha.hears(refused, "RJCT AM04")
    order = await alpha.pay("BRAVO", "UNPAID", "1")
    await bravo.hears(order, "ACSP")
    unknown = msgspec.structs.replace(order, id=str(uuid4()))
    larger = msgspec.structs.replace(order, amount="2")
    for original in (refused, unknown, larger):
        await bravo.hears(await bravo.give_back(original, "1"), "RJCT NOOR")
    await charlie.hears(await charlie.give_back(order), "RJCT XSND")
    await bravo.hears(await bravo.give_back(order), "ACSP")


async def test_a_return_that_ends_gives_its_amount_back(clearing: Clearing) -> None:
    """R5, R12: one that waits counts; cancelled, it no longer does."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    await clearing.fund("WAITS", ALPHA=10)
    order = await alpha.pay("BRAVO", "WAITS", "10")
    await bravo.hears(order, "ACSP")
    spent = await bravo.pay("CHARLIE", "WAITS", "5")
    await bravo.hears(spent, "ACSP")
    back = orders.give_back(order, reason="AC04", value_date=bravo.today)
    await bravo.bank.publish([back])
    await bravo.hears(back, "PDNG")
    await bravo.hears(await bravo.give_back(order, "0.01"), "RJCT AM09")
    await bravo.hears(await bravo.bank.cancel(back), "CNCL")
    await bravo.hears(back, "PDNG", "CANC CUST")
    await bravo.hears(await bravo.give_back(order, "5"), "ACSP")
    assert alpha.heard(back) == []


async def test_a_recall_of_what_is_accepted_becomes_a_request(clearing: Clearing) -> None:
    """R23: the other bank is asked, says no, is asked again, agrees, returns. Until then nothing is taken back."""
    alpha, bravo, charlie = clearing.desks("ALPHA", "BRAVO", "CHARLIE")
    await clearing.fund("ASKED", ALPHA=50)
    order = await alpha.pay("BRAVO", "ASKED", "50", end_to_end_id="INV-1")
    await bravo.hears(order, "ACSP")
    recall = await alpha.bank.cancel(order, reason="DUPL")
    await alpha.hears(recall, "PDCR")
    request = await bravo.is_asked(recall)
    assert (request.original, request.counterparty, request.amount) == (order.id, "ALPHA", "50")
    assert (request.end_to_end_id, request.reason) == ("INV-1", "DUPL")
    await alpha.hears(await alpha.bank.cancel(order), "RJCT XWAI")  # is being asked already
    await charlie.hears(await charlie.bank.answer(request, agreed=True), "RJCT NOOR")
    await bravo.hears(await bravo.bank.answer(request, agreed=False, reason="LEGL"), "CNCL")
    answer = await alpha.is_answered(recall)
    assert (answer.decision, answer.reason, answer.counterparty) == ("DECLINED", "LEGL", "BRAVO")
    await bravo.hears(await bravo.bank.answer(request, agreed=True), "RJCT NOOR")  # said already
    assert alpha.heard(order) == ["ACSP"]

    again = await alpha.bank.cancel(order, reason="CUST")
    request = await bravo.is_asked(again)
    await bravo.hears(await bravo.bank.answer(request, agreed=True), "CNCL")
    assert (await alpha.is_answered(again)).decision == "AGREED"
    back = await bravo.give_back(order, reason="CUST")
    [received] = await alpha.hears(back, "ACSP CUST")
    assert received.return_of == order.id
    await clearing.close("ASKED")
    await alpha.hears(order, "ACSP", "ACSC")  # as final as its return
    await alpha.hears(back, "ACSP CUST", "ACSC CUST")
    assert await clearing.balances("ASKED") == {"ALPHA": "50.00"}


async def test_an_answer_needs_a_request(clearing: Clearing) -> None:
    """R23."""
    [bravo] = clearing.desks("BRAVO")
    answer = Answer(
        id=str(uuid4()),
        debtor="BRAVO",
        creditor="ALPHA",
        request=str(uuid4()),
        decision="AGREED",
    )
    await bravo.bank.publish([answer])
    await bravo.hears(answer.id, "RJCT NOOR")


async def test_all_of_it_is_proved(clearing: Clearing) -> None:
    """R30."""
    assert await clearing.unproved() == []
