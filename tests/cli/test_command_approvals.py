"""Four eyes at the command line (R33): see, approve, turn down what somebody else proposed."""

import json
import sys

import pytest
from rich.console import Console

from clearing.commanding.published import described
from clearing.core.approvals import content_hash
from clearing.core.commands import (
    Proposable,
    Propose,
    RegisterAsset,
    ReleaseQueued,
    RequireApproval,
    SetBilateralLimit,
    SetCutoffs,
)
from clearing.core.registry import AssetSpec
from clearing.failures import ExitCode
from tests.cli.operators import Operators
from tests.cli.run import Runner


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch, run: Runner) -> Operators:
    made = Operators()
    made.install(monkeypatch)
    assert run("command", "require-approval", "on", "--by", "alice").code == ExitCode.OK
    return made


def propose(run: Runner, operators: Operators, *line: str) -> Propose:
    ended = run("command", *line, "--propose", "--by", "alice")
    assert ended.code == ExitCode.OK, ended.out
    assert isinstance(operators.last, Propose)
    return operators.last


def cap(run: Runner, operators: Operators, amount: str = "5.00") -> Propose:
    return propose(run, operators, "set-cap", "ALPHA", "HKD", amount)


def cap_units(operators: Operators) -> int:
    state = operators.states["hk"]
    account = state.flat("ALPHA", "HKD")
    assert account is not None
    return int(state.accounts.cap.reshape(-1)[account])


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody at the keyboard, who answers these."""
    answers: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(Console, "input", lambda self, prompt="": answers.pop(0))
    return answers


def test_what_is_proposed_is_listed_with_who_and_hash(run: Runner, operators: Operators) -> None:
    one, two = cap(run, operators), propose(run, operators, "resume", "BOTH")
    text = run("command", "proposals").out
    assert text.splitlines() == [
        f"{one.id} in hk, proposed by alice",
        "    what  set_cap: participant ALPHA, asset HKD, net_debit_cap 5.00, overdraft none",
        f"    hash  {content_hash(one.command)}",
        f"{two.id} in hk, proposed by alice",
        "    what  set_status: participant BOTH, status ACTIVE",
        f"    hash  {content_hash(two.command)}",
        f"{two.id} in eu, proposed by alice",
        "    what  set_status: participant BOTH, status ACTIVE",
        f"    hash  {content_hash(two.command)}",
    ]
    [only] = json.loads(run("command", "proposals", "--netting-set", "eu", "--json").out)
    assert (only["proposal"], only["netting_set"]) == (two.id, "eu")
    assert only["command"]["participant"] == "BOTH"


def test_nothing_proposed(run: Runner, operators: Operators) -> None:
    ended = run("command", "proposals")
    assert (ended.out, "nothing is proposed" in ended.err) == ("", True)


def test_a_person_sees_what_it_is_and_says_yes(
    run: Runner, operators: Operators, person: list[str]
) -> None:
    proposal = cap(run, operators)
    person.append("yes")
    ended = run("command", "approve", proposal.id, "--by", "bob")
    assert ended.code == ExitCode.OK
    assert "net_debit_cap 5.00" in ended.err
    assert content_hash(proposal.command) in ended.err
    assert [line.split(" at ")[0] for line in ended.out.splitlines()] == [
        "DONE set_cap in hk",
        "DONE approve in hk",
    ]
    assert cap_units(operators) == 5_00
    assert run("command", "proposals").out == ""


@pytest.mark.parametrize("answer", ["", "no", "n", "nein", "yes please"])
def test_a_person_who_does_not_say_yes(
    run: Runner, operators: Operators, person: list[str], answer: str
) -> None:
    proposal = cap(run, operators)
    person.append(answer)
    ended = run("command", "approve", proposal.id, "--by", "bob")
    assert (ended.code, "nothing was approved" in ended.err) == (ExitCode.FAILED, True)
    assert operators.last == proposal


def test_where_nobody_can_be_asked_the_hash_says_what_is_meant(
    run: Runner, operators: Operators
) -> None:
    proposal = cap(run, operators)
    ended = run("command", "approve", proposal.id, "--by", "bob")
    assert (ended.code, "nobody is there to be asked" in ended.err) == (ExitCode.USAGE, True)
    assert operators.last == proposal
    digest = content_hash(proposal.command)
    ended = run("command", "approve", proposal.id, "--hash", digest, "--by", "bob")
    assert ended.code == ExitCode.OK
    assert cap_units(operators) == 5_00


def test_another_hash_than_that_of_the_proposal(run: Runner, operators: Operators) -> None:
    proposal, other = cap(run, operators), cap(run, operators, "6.00")
    digest = content_hash(other.command)
    ended = run("command", "approve", proposal.id, "--hash", digest, "--by", "bob", "--yes")
    assert ended.code == ExitCode.FAILED
    assert "not the one that was given" in ended.err
    assert operators.last == other


def test_nobody_approves_their_own(run: Runner, operators: Operators) -> None:
    proposal = cap(run, operators)
    ended = run("command", "approve", proposal.id, "--yes", "--by", "alice")
    assert ended.code == ExitCode.FAILED
    assert "nobody approves their own proposal" in ended.out
    assert cap_units(operators) == 0


def test_approved_but_refused_by_the_engine_is_no_success(
    run: Runner, operators: Operators
) -> None:
    proposal = cap(run, operators, "1.234")
    ended = run("command", "approve", proposal.id, "--yes", "--by", "bob")
    assert ended.code == ExitCode.FAILED
    assert "DONE approve" in ended.out
    assert "REFUSED set_cap in hk" in ended.out


def test_several_are_approved_in_their_order_up_to_the_first_refusal(
    run: Runner, operators: Operators
) -> None:
    amounts = ["5.00", "1.234", "6.00"]
    ids = [cap(run, operators, amount).id for amount in amounts]
    ended = run("command", "approve", *ids, "--yes", "--by", "bob")
    assert ended.code == ExitCode.FAILED
    assert "1 more is not approved" in ended.err
    assert cap_units(operators) == 5_00
    assert list(operators.states["hk"].proposals) == ids[2:]


def test_in_every_netting_set_where_it_was_proposed(run: Runner, operators: Operators) -> None:
    assert run("command", "suspend", "BOTH").code == ExitCode.OK
    proposal = propose(run, operators, "resume", "BOTH")
    ended = run("command", "approve", proposal.id, "--yes", "--by", "bob", "--json")
    answers = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == ExitCode.OK
    assert {(a["netting_set"], a["command"], a["status"]) for a in answers} == {
        (name, command, "DONE") for name in ("eu", "hk") for command in ("approve", "set_status")
    }
    assert "DONE" not in ended.err


def test_a_proposal_is_turned_down(run: Runner, operators: Operators) -> None:
    proposal = cap(run, operators)
    ended = run("command", "withdraw", proposal.id, "--by", "bob")
    assert ended.code == ExitCode.OK
    assert ended.out.startswith("DONE withdraw in hk")
    again = run("command", "approve", proposal.id, "--yes", "--by", "bob")
    assert again.code == ExitCode.FAILED
    assert f"there is no open proposal {proposal.id}" in again.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("approve", "say which proposal"),
        ("withdraw", "say which proposal"),
        ("approve p-1 p-2 --hash x", "--hash is for one proposal, not 2"),
        ("withdraw p-1 p-2 --id x", "--id is for one proposal, not 2"),
    ],
)
def test_wrong_usage(run: Runner, operators: Operators, line: str, said: str) -> None:
    ended = run("command", *line.split())
    assert (ended.code, said in ended.err) == (ExitCode.USAGE, True)


def test_the_same_id_with_another_content_elsewhere_has_to_be_told_apart(
    run: Runner, operators: Operators
) -> None:
    mine = RequireApproval(id="x1", by="alice", required=False)
    operators.apply("hk", Propose(id="p-x", by="alice", command=mine))
    other = RequireApproval(id="x2", by="alice", required=False)
    operators.apply("eu", Propose(id="p-x", by="alice", command=other))
    ended = run("command", "approve", "p-x", "--yes", "--by", "bob")
    assert "p-x is not the same in hk, eu: say in which netting set" in ended.err
    in_eu = ("--netting-set", "eu", "--yes", "--by", "bob")
    assert run("command", "approve", "p-x", *in_eu).code == ExitCode.OK
    required = {name: s.counters.approval_required for name, s in operators.states.items()}
    assert required == {"hk": True, "eu": False}


SPEC = AssetSpec(id="HKD", code="HKD", issuer="I\u202e", ledger="postgres", scale=2)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (RequireApproval(id="a", by="b", required=False), "require_approval: required false"),
        (
            SetBilateralLimit(
                id="a", by="b", participant="A1", counterparty="B1", asset="HKD", limit=None
            ),
            "set_bilateral_limit: participant A1, counterparty B1, asset HKD, limit none",
        ),
        (ReleaseQueued(id="a", by="b", payments=["x", "y"]), "release_queued: payments ['x', 'y']"),
        (
            SetCutoffs(id="a", by="b", asset="HKD", cutoffs_ms=list(range(10, 20))),
            "set_cutoffs: asset HKD, cutoffs_ms 10 … 19 (10 in all, see --json)",
        ),
    ],
)
def test_all_that_a_proposal_says_is_shown(command: Proposable, text: str) -> None:
    assert described(command) == text


def test_what_is_shown_cannot_steer_the_terminal() -> None:
    text = described(RegisterAsset(id="a", by="b", asset=SPEC))
    assert "asset.id HKD, asset.code HKD, asset.issuer I\N{REPLACEMENT CHARACTER}," in text
    assert "asset.model.granularity NET" in text
    assert text.isprintable()
