"""Limits on the real path: what they refuse, what they let wait, what a command changes (R8-R10, R33)."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from clearing.core.approvals import content_hash
from clearing.core.commands import (
    Approve,
    Propose,
    RequireApproval,
    SetBilateralLimit,
    SetCap,
    SetReservation,
    SetShortLimit,
    SetValuation,
)
from clearing.core.outputs import ProposalEvent
from tests.integration.cleared import Clearing, Installation, cleared

NETTING_SET = "limits"
COIN = {"valuation": {"price": "1"}}
ASSETS = {
    "PLAIN": {},  # without a queue: what does not fit is refused
    "RESERVED": {"queue": "FIFO"},
    "BETWEEN": {},
    "PATIENT": {"queue": "BYPASS_FIFO"},
    "FOUREYES": {"queue": "FIFO"},
    "COIN": COIN,
    "COINQ": COIN | {"queue": "FIFO"},
    "GOLD": {"valuation": {"price": "100", "haircut_bp": 1000}},
}


@pytest.fixture(scope="module")
async def clearing(installation: Installation) -> AsyncIterator[Clearing]:
    async with cleared(installation, NETTING_SET) as clearing:
        yield clearing


async def test_prefunding_and_cap_bind_and_lowering_them_breaks_nothing(
    clearing: Clearing,
) -> None:
    """R8, R9: two limits, two reasons; what is accepted settles though the cap is gone."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    cap = {"participant": "ALPHA", "asset": "PLAIN"}
    await clearing.fund("PLAIN", ALPHA=10)
    await alpha.hears(await alpha.pay("BRAVO", "PLAIN", "10.01"), "RJCT AM04")
    await clearing.do(SetCap, net_debit_cap="5", **cap)
    await alpha.hears(await alpha.pay("BRAVO", "PLAIN", "15.01"), "RJCT AM23")
    accepted = await alpha.pay("BRAVO", "PLAIN", "15")
    await alpha.hears(accepted, "ACSP")
    await clearing.do(SetCap, net_debit_cap="0", **cap)
    await alpha.hears(await alpha.pay("BRAVO", "PLAIN", "0.01"), "RJCT AM04")
    await bravo.hears(await bravo.pay("ALPHA", "PLAIN", "5.01"), "ACSP")  # credits count at once
    await alpha.hears(await alpha.pay("BRAVO", "PLAIN", "0.02"), "RJCT AM04")
    await alpha.hears(await alpha.pay("BRAVO", "PLAIN", "0.01"), "ACSP")
    await clearing.close("PLAIN")
    await alpha.hears(accepted, "ACSP", "ACSC")
    assert await clearing.balances("PLAIN") == {"BRAVO": "10.00"}


async def test_what_is_reserved_is_not_paid_with(clearing: Clearing) -> None:
    """R8: a payment waits for as much of the reservation as it needs; R11: settlement gives nobody more room."""
    [alpha] = clearing.desks("ALPHA")

    async def reserve(amount: str) -> int:
        account = {"participant": "ALPHA", "asset": "RESERVED"}
        return await clearing.do(SetReservation, reserved=amount, **account)

    await clearing.fund("RESERVED", ALPHA=100)
    await reserve("60")
    order = await alpha.pay("BRAVO", "RESERVED", "50")
    await alpha.hears(order, "PDNG")
    await reserve("50.01")
    enough = await reserve("50")
    [_, released] = await alpha.hears(order, "PDNG", "ACSP")
    assert released.log_offset == enough
    await clearing.close("RESERVED")
    await alpha.hears(order, "PDNG", "ACSP", "ACSC")
    late = await alpha.pay("BRAVO", "RESERVED", "0.01")
    await alpha.hears(late, "PDNG")
    await reserve("0")
    await alpha.hears(late, "PDNG", "ACSP")


async def test_a_bilateral_limit_counts_what_came_back(clearing: Clearing) -> None:
    """R10: refused without a queue, waiting with one; it binds between two, and others are paid meanwhile."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")

    async def limit(asset: str, amount: str | None) -> int:
        pair = {"participant": "ALPHA", "counterparty": "BRAVO"}
        return await clearing.do(SetBilateralLimit, asset=asset, limit=amount, **pair)

    for asset in ("BETWEEN", "PATIENT"):
        await clearing.fund(asset, ALPHA=100)
        await limit(asset, "20")
        await alpha.hears(await alpha.pay("BRAVO", asset, "15"), "ACSP")
    await alpha.hears(await alpha.pay("BRAVO", "BETWEEN", "5.01"), "RJCT AM13")

    first = await alpha.pay("BRAVO", "PATIENT", "10")
    second = await alpha.pay("BRAVO", "PATIENT", "20")
    await alpha.hears(second, "PDNG")
    await alpha.hears(await alpha.pay("CHARLIE", "PATIENT", "30"), "ACSP")
    await bravo.hears(await bravo.pay("ALPHA", "PATIENT", "5"), "ACSP")
    await alpha.hears(first, "PDNG", "ACSP")  # 15 - 5 + 10 = 20
    await limit("PATIENT", "39.99")
    gone = await limit("PATIENT", None)
    [_, released] = await alpha.hears(second, "PDNG", "ACSP")
    assert released.log_offset == gone


async def test_what_a_bank_has_must_cover_what_it_owes_in_all_assets(clearing: Clearing) -> None:
    """R10: 10 GOLD at 100 less 10 % cover 900 COIN; the payment waits until GOLD is worth more."""
    delta, echo = clearing.desks("DELTA", "ECHO")
    for asset in ("COIN", "COINQ"):
        await clearing.do(SetCap, participant="DELTA", asset=asset, net_debit_cap="5000")
    await clearing.fund("GOLD", DELTA=10)
    await clearing.do(SetShortLimit, participant="DELTA", limit="1000")
    await delta.hears(await delta.pay("ECHO", "COIN", "900.01"), "RJCT XVAL")
    await delta.hears(await delta.pay("ECHO", "COIN", "800"), "ACSP")
    waiting = await delta.pay("ECHO", "COINQ", "150")
    await delta.hears(waiting, "PDNG")
    # Giving gold away would uncover what is owed; being paid is never refused.
    await delta.hears(await delta.pay("ECHO", "GOLD", "2"), "RJCT XVAL")
    await clearing.do(SetValuation, asset="GOLD", price="110", haircut_bp=1000)
    await delta.hears(waiting, "PDNG", "ACSP")  # 990 cover 950
    more = await delta.pay("ECHO", "COINQ", "60")  # over what all shorts may be: 1000
    await delta.hears(more, "PDNG")
    await clearing.fund("GOLD", DELTA=1)  # would cover it
    raised = await clearing.do(SetShortLimit, participant="DELTA", limit="1010")
    [_, released] = await delta.hears(more, "PDNG", "ACSP")
    assert released.log_offset == raised
    # The asset's own limit of how much one bank may owe in it.
    await clearing.do(SetValuation, asset="COIN", price="1", haircut_bp=0, short_limit="805")
    await delta.hears(await delta.pay("ECHO", "COIN", "5.01"), "RJCT XVAL")
    await echo.hears(await echo.pay("DELTA", "COIN", "100"), "ACSP")
    await delta.hears(await delta.pay("ECHO", "COIN", "100"), "ACSP")


async def test_a_limit_is_raised_by_two_people(clearing: Clearing) -> None:
    """R33: alone it is refused, and so are one's own approval and that of another content; what waits is released
    where it is approved."""
    [alpha] = clearing.desks("ALPHA")
    cap = {"participant": "ALPHA", "asset": "FOUREYES", "net_debit_cap": "10"}
    waiting = await alpha.pay("BRAVO", "FOUREYES", "10")
    await alpha.hears(waiting, "PDNG")
    await clearing.do(RequireApproval, required=True)
    alone = await clearing.ask(SetCap, **cap)
    assert (alone.status, "second person" in alone.reason) == ("REFUSED", True)
    wanted = clearing.command(SetCap, **cap)
    changed = msgspec.structs.replace(wanted, net_debit_cap="1000000")
    await clearing.do(Propose, command=wanted)
    proposed = await clearing.event(ProposalEvent, state="PROPOSED")
    assert proposed.hash == content_hash(wanted)
    for by, digest in (("test", proposed.hash), ("other", content_hash(changed))):
        answer = await clearing.ask(Approve, by, proposal=proposed.proposal, hash=digest)
        assert answer.status == "REFUSED"
    approved = await clearing.do(
        Approve, by="other", proposal=proposed.proposal, hash=proposed.hash
    )
    [_, released] = await alpha.hears(waiting, "PDNG", "ACSP")
    assert released.log_offset == approved

    no_longer = clearing.command(RequireApproval, required=False)
    await clearing.do(Propose, command=no_longer)
    proposed = await clearing.event(ProposalEvent, hash=content_hash(no_longer))
    await clearing.do(Approve, by="other", proposal=proposed.proposal, hash=proposed.hash)
    await clearing.do(SetCap, **cap)


async def test_all_of_it_is_proved(clearing: Clearing) -> None:
    """R30."""
    assert await clearing.unproved() == []
