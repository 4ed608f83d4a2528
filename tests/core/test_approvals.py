"""Four eyes: what one person alone cannot do, and how a second one approves exactly that (R32, R33)."""

import hashlib
from typing import Any, get_args

import msgspec
import pytest

from clearing.core import snapshot
from clearing.core.approvals import MAX_PROPOSALS
from clearing.core.commands import (
    AbortWindow,
    Approve,
    CloseWindow,
    Command,
    Confirmation,
    ControlMessage,
    Fund,
    OpenAccount,
    Proposable,
    Propose,
    Redrive,
    RegisterAsset,
    RegisterPair,
    RegisterParticipant,
    ReleaseQueued,
    RequireApproval,
    SetBilateralLimit,
    SetCalendar,
    SetCap,
    SetCollateral,
    SetCutoffs,
    SetPool,
    SetReservation,
    SetShortLimit,
    SetStatus,
    SettleWindow,
    SetValuation,
    Withdraw,
)
from clearing.core.outputs import CommandEvent, ProposalEvent
from clearing.core.registry import BisModel
from tests.core.scenes import QUEUED, A, B, Scene, asset, batches, released, row

ALONE = "it needs the approval of a second person: propose it (R33)"


def op(kind: type[Command], **fields: Any) -> Any:
    return kind(**({"id": "inner", "by": "ann"} | fields))


def of_a(kind: type[Command], **fields: Any) -> Any:
    return op(kind, participant=A, asset="HKD", **fields)


NEEDS_TWO: list[Any] = [
    op(RegisterAsset, asset=asset("CNH")),
    op(RegisterParticipant, participant="NEW"),
    op(RegisterPair, delivery="HKD", payment="CNH", model=BisModel.NET_NET),
    of_a(OpenAccount),
    of_a(SetCap, net_debit_cap="1"),
    of_a(Fund, amount="1"),
    of_a(SetReservation, reserved="1"),
    of_a(SetBilateralLimit, counterparty=B, limit="1"),
    of_a(SetCollateral, amount="1"),
    op(SetPool, asset="HKD", amount="1"),
    op(SetValuation, asset="HKD", price="1", haircut_bp=0),
    op(SetShortLimit, participant=A, limit="1"),
    *(op(SetStatus, participant=A, status=new) for new in ("ACTIVE", "DEFAULTED", "CLOSED")),
    op(SettleWindow, asset="HKD", window=1),
    op(AbortWindow, asset="HKD", window=1),
    op(ReleaseQueued, payments=[]),
    op(Redrive, participant=A, offset=7, hash="0" * 32),
    op(RequireApproval, required=False),
]
# What stops money, and time, must never wait.
SINGLE_HANDED: list[Any] = [
    op(SetStatus, participant=A, status="SUSPENDED"),
    op(SetCalendar, days=[]),
    op(SetCutoffs, asset="HKD", cutoffs_ms=[]),
    op(CloseWindow),
]
THEMSELVES = {Propose, Approve, Withdraw, Confirmation}


def guarded() -> Scene:
    """Four eyes are required."""
    scene = Scene()
    assert scene.do(RequireApproval, required=True) == ""
    return scene


def propose(scene: Scene, command: Any, id_: str = "p") -> ProposalEvent:
    assert scene.do(Propose, id=id_, by=command.by, command=command) == ""
    (told,) = scene.events(ProposalEvent)
    return told


def approve(scene: Scene, told: ProposalEvent, **changes: Any) -> str:
    fields = {"proposal": told.proposal, "hash": told.hash, "by": "bob"} | changes
    return scene.do(Approve, **fields)


@pytest.mark.parametrize("command", NEEDS_TWO, ids=lambda command: type(command).__name__)
def test_what_one_alone_cannot_do(command: Any) -> None:  # R33
    scene = guarded()
    scene.control(command)
    (told,) = scene.events(CommandEvent)
    assert (told.status, told.reason) == ("REFUSED", ALONE)
    assert len(scene.out.events) == 1


@pytest.mark.parametrize("command", SINGLE_HANDED, ids=lambda command: type(command).__name__)
def test_what_never_waits_for_a_second_one(command: Any) -> None:  # R33
    scene = guarded()
    scene.control(command)
    assert scene.events(CommandEvent)[-1].status == "DONE"


def test_every_command_is_one_or_the_other() -> None:
    sorted_out = {type(command) for command in NEEDS_TWO + SINGLE_HANDED}
    assert sorted_out == set(get_args(Proposable)) == set(get_args(ControlMessage)) - THEMSELVES


def test_proposed_approved_done() -> None:  # R32, R33
    scene, command = guarded(), of_a(SetCap, net_debit_cap="7")
    assert scene.pay(row(1, A, B, 5)) == [QUEUED]
    told = propose(scene, command)
    content = msgspec.json.encode(command)
    assert (told.proposal, told.by, told.state) == ("p", "ann", "PROPOSED")
    assert told.hash == hashlib.sha256(content).hexdigest()
    assert msgspec.json.decode(told.command, type=Proposable) == command
    assert (scene.account(A).cap, scene.fates) == (0, [])
    assert approve(scene, told, id="a") == ""
    assert (scene.account(A).cap, scene.fates) == (7, released(1, how="SINGLE"))
    first, inner, outer = scene.out.events
    assert isinstance(first, ProposalEvent)
    assert (first.state, first.hash, first.by) == ("APPROVED", told.hash, "ann")
    for event, by, id_, name in (
        (inner, "ann", "inner", "set_cap"),
        (outer, "bob", "a", "approve"),
    ):
        assert isinstance(event, CommandEvent)
        assert (event.by, event.id, event.command, event.status) == (by, id_, name, "DONE")
    assert scene.state.proposals == {}


def test_effects_stand_between_the_approval_and_its_commands_event() -> None:
    scene = guarded()
    told = propose(scene, of_a(Fund, amount="5"))
    assert approve(scene, told) == ""
    assert [type(event).__name__ for event in scene.out.events] == [
        *("ProposalEvent", "CommandEvent", "CommandEvent"),
    ]
    assert [batch.kind for batch in batches(scene.out)] == ["funding"]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("own", {"by": "ann"}, "nobody approves their own proposal"),
    ("another content", {"hash": "0" * 64}, "the hash is not that of what was proposed"),
    ("no content", {"hash": ""}, "the hash is not that of what was proposed"),
    ("another proposal", {"proposal": "q"}, "there is no open proposal q"),
    ("the command", {"proposal": "inner"}, "there is no open proposal inner"),
]


@pytest.mark.parametrize(("changes", "why"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_only_somebody_else_approves_only_what_was_proposed(
    changes: dict[str, Any], why: str
) -> None:  # R33
    scene = guarded()
    told = propose(scene, of_a(SetCap, net_debit_cap="7"))
    assert approve(scene, told, **changes) == why
    assert (scene.account(A).cap, scene.events(ProposalEvent)) == (0, [])
    assert approve(scene, told) == ""  # it is still open
    assert approve(scene, told) == "there is no open proposal p"
    assert scene.account(A).cap == 7


@pytest.mark.parametrize("by", ["ann", "bob"])
def test_withdrawn_by_anybody_for_good(by: str) -> None:  # R33
    scene = guarded()
    told = propose(scene, of_a(SetCap, net_debit_cap="7"))
    assert scene.do(Withdraw, proposal="p", by=by) == ""
    assert [(event.state, event.by) for event in scene.events(ProposalEvent)] == [
        ("WITHDRAWN", "ann"),
    ]
    assert approve(scene, told) == "there is no open proposal p"
    assert scene.account(A).cap == 0


def test_a_command_is_done_once_however_it_comes() -> None:  # R28
    scene, command = guarded(), of_a(Fund, amount="5")
    told = propose(scene, command)
    assert approve(scene, told) == ""
    scene.control(command)
    assert scene.events(CommandEvent)[-1].status == "REPEATED"
    again = f"the command's id {command.id} was used before"
    assert scene.do(Propose, id="q", by="ann", command=command) == again
    assert scene.account(A).prefunded == 5


def test_a_proposal_is_made_once_by_its_id() -> None:  # R28
    scene, command = guarded(), of_a(Fund, amount="5")
    propose(scene, command)
    scene.control(Propose(id="p", by="ann", command=command))
    assert scene.events(CommandEvent)[-1].status == "REPEATED"
    assert scene.events(ProposalEvent) == []
    other = of_a(Fund, amount="6")
    why = "this command id was used before with another content"
    assert scene.do(Propose, id="p", by="ann", command=other) == why


def test_a_command_that_was_used_meanwhile_is_not_done_again() -> None:  # R28
    scene, command = Scene(), of_a(Fund, amount="5")
    first, second = propose(scene, command), propose(scene, command, "q")
    assert approve(scene, first) == ""
    assert approve(scene, second) == "the command's id inner was used meanwhile"
    assert (scene.account(A).prefunded, scene.state.proposals) == (5, {})


def test_an_approval_has_an_id_of_its_own() -> None:  # R28
    scene, command = Scene(), of_a(Fund, amount="5")
    why = "the command's id inner was used meanwhile"
    assert approve(scene, propose(scene, command), id=command.id) == why
    assert scene.account(A).prefunded == 0


def test_what_cannot_be_done_any_more_is_refused_when_it_is_approved() -> None:
    scene = guarded()
    told = propose(scene, of_a(Fund, amount="-5"))
    assert approve(scene, told) == ""
    _, inner, outer = scene.out.events
    assert isinstance(inner, CommandEvent)
    assert isinstance(outer, CommandEvent)
    assert (inner.status, inner.reason) == ("REFUSED", "more than is prefunded")
    assert outer.status == "DONE"


def test_who_proposes_is_who_asks() -> None:  # R33
    """Else two names of one person would be two persons."""
    scene = guarded()
    why = "the command is ann's, the proposal bob's"
    command = of_a(SetCap, net_debit_cap="7")
    assert scene.do(Propose, id="p", by="bob", command=command) == why


def test_four_eyes_end_with_four_eyes() -> None:  # R33
    scene = guarded()
    told = propose(scene, op(RequireApproval, required=False))
    assert approve(scene, told) == ""
    assert scene.do(SetPool, asset="HKD", amount="1") == ""


def test_suspended_by_one_resumed_by_two() -> None:  # R32, R33
    scene = guarded()
    assert scene.do(SetStatus, participant=A, status="SUSPENDED") == ""
    assert scene.do(SetStatus, participant=A, status="ACTIVE") == ALONE
    assert approve(scene, propose(scene, op(SetStatus, participant=A, status="ACTIVE"))) == ""


def test_where_two_are_not_required_they_may_still_be_asked() -> None:
    scene = Scene()
    told = propose(scene, of_a(SetCap, net_debit_cap="7"))
    assert scene.account(A).cap == 0
    assert approve(scene, told) == ""
    assert scene.account(A).cap == 7


def test_open_proposals_are_bounded() -> None:
    scene = guarded()
    pool = [op(SetPool, id=f"c{i}", asset="HKD", amount="1") for i in range(MAX_PROPOSALS + 1)]
    scene.control(*(Propose(id=f"p{c.id}", by="ann", command=c) for c in pool))
    told = scene.events(CommandEvent)
    assert [event.status for event in told] == ["DONE"] * MAX_PROPOSALS + ["REFUSED"]
    assert told[-1].reason == "1000 proposals are open: withdraw some first"
    assert scene.do(Withdraw, proposal="pc7") == ""
    propose(scene, pool[-1], "again")


def test_proposals_are_in_a_snapshot() -> None:  # R29
    scene = guarded()
    told = propose(scene, of_a(SetCap, net_debit_cap="7"))
    scene.state = snapshot.load(memoryview(b"".join(snapshot.dump(scene.state))), seed=1)
    assert scene.do(SetPool, asset="HKD", amount="1") == ALONE
    assert approve(scene, told) == ""
    assert scene.account(A).cap == 7
