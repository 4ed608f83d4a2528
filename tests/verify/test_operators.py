"""Verification: who may pay, who decides, and what is returned (R5, R12, R23, R24, R32, R33)."""

from collections.abc import Callable
from typing import Any

import pytest

from clearing.core.commands import Approve, Propose, RequireApproval, SetStatus
from clearing.core.outputs import CommandEvent, ProposalEvent
from clearing.core.reasons import Code
from clearing.verify.commands import TWO_PEOPLE, check_four_eyes, needs_two
from clearing.verify.facts import Facts
from clearing.verify.instructions import check_instructions
from clearing.verify.report import Findings
from clearing.verify.standing import check_standing
from tests.verify.forge import (
    FOUR_EYES,
    FUNDING,
    INSTRUCTIONS,
    STANDING,
    change_batch,
    change_event,
    change_outcome,
    change_resolution,
    drop_event,
    replace,
    said,
)
from tests.verify.world import World

Example = Callable[[str], World]


# Standing.


@pytest.mark.parametrize(
    ("code", "nth"),
    [
        (Code.DEBTOR_SUSPENDED, 0),
        (Code.DEBTOR_DEFAULTED, 0),
        (Code.CREDITOR_DEFAULTED, 0),
    ],
)
async def test_a_payment_of_who_may_not_pay(example: Example, code: Code, nth: int) -> None:
    # R24, R32
    world = example("default")
    change_outcome(world, lambda codes: codes == code, Code.ACCEPTED, nth)
    assert "payments of ALPHA were accepted or queued while" in said(await world.verify(), STANDING)


async def test_what_waits_of_a_defaulter_ends(example: Example) -> None:  # R24
    world = example("default")
    change_resolution(world, {"code": Code.DEBTOR_DEFAULTED}, lambda _: [])
    assert "waited on after its default" in said(await world.verify(), STANDING)


async def test_a_default_nobody_declared(example: Example) -> None:  # R24
    facts = await example("default").facts()
    assert not check_standing(facts).differences
    facts.commands = [c for c in facts.commands if not isinstance(c.command, SetStatus)]
    assert "a default nobody declared" in " ".join(check_standing(facts).differences)


# Four eyes.


def four_eyes(facts: Facts) -> str:
    found = Findings()
    check_four_eyes("main", facts.commands, facts.said.proposals, found)
    return " | ".join(found.first)


async def test_a_command_of_one_person_alone(example: Example) -> None:  # R33
    """The cap was refused for want of a second person; here the journal says that it was done."""
    world = example("four-eyes")
    change_event(world, CommandEvent, {"id": "cap-1"}, status="DONE", reason="")
    report = await world.verify()
    assert "cap-1 of alice took effect without a second person" in said(report, FOUR_EYES)


async def test_suspending_is_single_handed(example: Example) -> None:  # R33
    facts = await example("four-eyes").facts()
    assert four_eyes(facts) == ""
    assert any(
        isinstance(one.command, SetStatus) and one.approval is None for one in facts.commands
    )


@pytest.mark.parametrize(
    ("kind", "changed", "what"),
    [
        (Approve, {"by": "alice"}, "alice approved what alice had proposed"),
        (Approve, {"hash": "0" * 64}, "bound to another content"),
        (Approve, {"proposal": "p9"}, "is of no proposal"),
    ],
)
async def test_an_approval_that_is_none(
    example: Example, kind: type, changed: dict[str, Any], what: str
) -> None:  # R33
    facts = await example("four-eyes").facts()
    for n, one in enumerate(facts.commands):
        if isinstance(one.command, kind):
            facts.commands[n] = one._replace(command=replace(one.command, **changed))
    assert what in four_eyes(facts)


async def test_a_proposal_that_is_approved_twice(example: Example) -> None:  # R33
    facts = await example("four-eyes").facts()
    again = [one for one in facts.commands if isinstance(one.command, Approve)]
    facts.commands += again
    assert "was APPROVED before" in four_eyes(facts)


async def test_a_proposal_that_was_withdrawn(example: Example) -> None:  # R33
    facts = await example("four-eyes").facts()
    withdrawn = next(
        one for one in facts.commands if isinstance(one.command, Propose) and one.command.id == "p2"
    )
    approval = next(one for one in facts.commands if isinstance(one.command, Approve))
    assert isinstance(withdrawn.command, Propose)
    late = replace(approval.command, proposal="p2", by="carol")
    facts.commands.append(approval._replace(command=late))
    assert "was WITHDRAWN before" in four_eyes(facts)


@pytest.mark.parametrize(
    ("wanted", "changed"),
    [
        ({"state": "APPROVED"}, {"by": "bob"}),
        ({"state": "PROPOSED"}, {"hash": "0" * 64}),
        ({"state": "WITHDRAWN"}, {"proposal": "p9"}),
    ],
)
async def test_what_the_journal_says_of_a_proposal(
    example: Example, wanted: dict[str, Any], changed: dict[str, Any]
) -> None:  # R33
    world = example("four-eyes")
    change_event(world, ProposalEvent, wanted, **changed)
    assert "the journal does not say that proposal" in said(await world.verify(), FOUR_EYES)


async def test_what_became_of_a_command(example: Example) -> None:
    world = example("four-eyes")
    drop_event(world, CommandEvent, id="cap-2")
    report = await world.verify()
    assert "something else than was proposed" in said(report, FOUR_EYES)
    world = example("queue")
    drop_event(world, CommandEvent, id="reserve")
    report = await world.verify()
    assert "does not say what became of command reserve" in said(report, FOUR_EYES)


async def test_funding_that_another_command_asked_for(example: Example) -> None:
    """The batch of a command has its id from it."""
    world = example("queue")
    opened = [one for one in (await world.facts()).batches if one.kind == "funding"]
    change_batch(world, lambda batch: replace(batch, id=opened[1].id), "funding")
    assert "the command says" in said(await world.verify(), FUNDING)


def test_what_needs_two_people() -> None:  # R33
    """Limits, resume, default, manual settlement; not the kill switch."""
    assert RequireApproval in TWO_PEOPLE
    stop = SetStatus(id="c", by="a", participant="ALPHA", status="SUSPENDED")
    assert not needs_two(stop)
    assert needs_two(replace(stop, status="ACTIVE"))
    assert needs_two(replace(stop, status="DEFAULTED"))


# Returns and recalls.


async def test_more_returned_than_there_was(example: Example) -> None:  # R5
    world = example("return-and-recall")
    change_outcome(world, lambda codes: codes == Code.RETURN_EXCEEDS, Code.ACCEPTED)
    assert "more is returned" in said(await world.verify(), INSTRUCTIONS)


async def test_a_second_answer(example: Example) -> None:  # R23
    world = example("return-and-recall")
    change_outcome(world, lambda codes: codes == Code.NO_REQUEST, Code.DONE)
    assert "the second one to its request" in said(await world.verify(), INSTRUCTIONS)


async def test_a_request_for_what_was_never_paid(example: Example) -> None:  # R23
    world = example("return-and-recall")
    change_outcome(world, lambda codes: codes == Code.NO_ORIGINAL, Code.REQUESTED)
    assert "is for what had not been accepted" in said(await world.verify(), INSTRUCTIONS)


async def test_a_return_of_what_was_refused(example: Example) -> None:  # R5
    world = example("return-and-recall")
    change_outcome(world, lambda codes: codes == Code.ACCEPTED, Code.LIQUIDITY)
    assert "gives back what had not been accepted" in said(await world.verify(), INSTRUCTIONS)


@pytest.mark.parametrize(
    ("column", "what"),
    [("debtor", "not between its original's parties"), ("body_hash", "quotes another original")],
)
async def test_a_return_that_does_not_fit(example: Example, column: str, what: str) -> None:  # R5
    facts = await example("return-and-recall").facts()
    assert not check_instructions(facts).differences
    values = getattr(facts.rows, column).copy()
    values[0] += 1
    setattr(facts.rows, column, values)
    assert what in " ".join(check_instructions(facts).differences)


async def test_an_answer_of_somebody_else(example: Example) -> None:  # R23
    facts = await example("return-and-recall").facts()
    answers = facts.rows.kind == 6
    facts.rows.debtor = facts.rows.debtor.copy()
    facts.rows.debtor[answers] = facts.table.participants.find("ALPHA")
    assert "of somebody who was not asked" in " ".join(check_instructions(facts).differences)
