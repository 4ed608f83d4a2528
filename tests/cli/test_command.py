"""`clearing command`: what each one publishes, to which netting sets, and how it ends."""

import json

import msgspec
import pytest

from clearing.cli.command import app
from clearing.commanding.asking import answered
from clearing.core.commands import Propose, SetCap, SetStatus
from clearing.core.outputs import CommandEvent
from clearing.failures import ExitCode
from tests.cli.operators import Operators
from tests.cli.run import Runner


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> Operators:
    made = Operators()
    made.install(monkeypatch)
    return made


# Each row: the command line, the netting sets it goes to, and the command's fields but for id and by.
@pytest.mark.parametrize(
    ("line", "where", "fields"),
    [
        ("suspend ALPHA", ["hk"], {"type": "set_status", "participant": "ALPHA", "status": "SUSPENDED"}),
        ("suspend BOTH", ["eu", "hk"], {"type": "set_status", "participant": "BOTH", "status": "SUSPENDED"}),
        ("default CARLA", ["eu"], {"type": "set_status", "participant": "CARLA", "status": "DEFAULTED"}),
        ("close ALPHA", ["hk"], {"type": "set_status", "participant": "ALPHA", "status": "CLOSED"}),
        ("close BOTH --netting-set hk", ["hk"], {
            "type": "set_status", "participant": "BOTH", "status": "CLOSED",
        }),
        ("fund ALPHA HKD 10", ["hk"], {
            "type": "fund", "participant": "ALPHA", "asset": "HKD", "amount": "10",
        }),
        ("set-cap ALPHA HKD 5 --overdraft 7", ["hk"], {
            "type": "set_cap", "participant": "ALPHA", "asset": "HKD", "net_debit_cap": "5",
            "overdraft": "7",
        }),
        ("reserve ALPHA HKD 5.00", ["hk"], {
            "type": "set_reservation", "participant": "ALPHA", "asset": "HKD", "reserved": "5.00",
        }),
        ("set-limit ALPHA BRAVO HKD 25", ["hk"], {
            "type": "set_bilateral_limit", "participant": "ALPHA", "counterparty": "BRAVO",
            "asset": "HKD", "limit": "25",
        }),
        ("set-limit BOTH CARLA EUR none", ["eu"], {
            "type": "set_bilateral_limit", "participant": "BOTH", "counterparty": "CARLA",
            "asset": "EUR", "limit": None,
        }),
        ("set-collateral CARLA EUR 9", ["eu"], {
            "type": "set_collateral", "participant": "CARLA", "asset": "EUR", "amount": "9",
        }),
        ("set-pool HKD 1000", ["hk"], {"type": "set_pool", "asset": "HKD", "amount": "1000"}),
        ("set-valuation EUR 1.08 --haircut-bp 200", ["eu"], {
            "type": "set_valuation", "asset": "EUR", "price": "1.08", "haircut_bp": 200,
            "short_limit": None,
        }),
        ("set-valuation HKD 1 --short-limit 50", ["hk"], {
            "type": "set_valuation", "asset": "HKD", "price": "1", "haircut_bp": 0,
            "short_limit": "50",
        }),
        ("set-short-limit ALPHA 1000", ["hk"], {
            "type": "set_short_limit", "participant": "ALPHA", "limit": "1000",
        }),
        ("set-short-limit BOTH none --netting-set eu", ["eu"], {
            "type": "set_short_limit", "participant": "BOTH", "limit": None,
        }),
        ("close-window HKD", ["hk"], {"type": "close_window", "asset": "HKD"}),
        ("close-window", ["eu", "hk"], {"type": "close_window", "asset": ""}),
        ("require-approval on", ["eu", "hk"], {"type": "require_approval", "required": True}),
        ("require-approval off --netting-set eu", ["eu"], {
            "type": "require_approval", "required": False,
        }),
    ],
)  # fmt: skip
def test_a_command_is_published_where_it_means_something(
    run: Runner, operators: Operators, line: str, where: list[str], fields: dict[str, object]
) -> None:
    ended = run("command", *line.split(), "--by", "alice", "--id", "x1", "--json")
    assert ended.code == ExitCode.OK, ended.out + ended.err
    [(asked, command)] = operators.asked
    assert asked == where
    assert msgspec.to_builtins(command) == {"id": "x1", "by": "alice"} | fields
    answers = [json.loads(answer) for answer in ended.out.splitlines()]
    assert [(a["netting_set"], a["status"]) for a in answers] == [(name, "DONE") for name in where]


# Each row: a command line that the engine refuses here, and the command's fields but for id and by.
@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("settle-window HKD 7", {"type": "settle_window", "asset": "HKD", "window": 7}),
        ("abort-window HKD 7", {"type": "abort_window", "asset": "HKD", "window": 7}),
        ("release a b --netting-set hk", {"type": "release_queued", "payments": ["a", "b"]}),
        ("fund ALPHA HKD -5", {"type": "fund", "participant": "ALPHA", "asset": "HKD", "amount": "-5"}),
        ("resume ALPHA", {"type": "set_status", "participant": "ALPHA", "status": "ACTIVE"}),
        ("resume NOBODY --netting-set hk", {
            "type": "set_status", "participant": "NOBODY", "status": "ACTIVE",
        }),
    ],
)  # fmt: skip
def test_a_refusal_is_shown_with_its_reason(
    run: Runner, operators: Operators, line: str, fields: dict[str, object]
) -> None:
    ended = run("command", *line.split(), "--by", "alice", "--id", "x1")
    assert ended.code == ExitCode.FAILED
    assert ended.out.startswith(f"REFUSED {fields['type']} in hk at log offset ")
    assert len(ended.out.split(": ", 1)[1]) > 10
    assert msgspec.to_builtins(operators.last) == {"id": "x1", "by": "alice"} | fields
    assert "--propose" not in ended.err


def test_a_participant_of_no_netting_set_is_refused_by_all(
    run: Runner, operators: Operators
) -> None:
    ended = run("command", "suspend", "NOBODY")
    assert ended.code == ExitCode.FAILED
    assert ended.out.count("participant NOBODY is not registered") == 2


def test_the_kill_switch_needs_no_look_at_what_was_published(
    run: Runner, operators: Operators
) -> None:
    """With the netting set said, nothing stands between the operator and the log."""
    assert run("command", "suspend", "ALPHA", "--netting-set", "hk").code == ExitCode.OK
    assert operators.folds == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("set-short-limit BOTH 5", "say in which netting set: eu, hk"),
        ("release a", "say in which netting set: eu, hk"),
        ("release", "say which payments"),
        ("close-window GOLD", "no netting set clears the asset 'GOLD'"),
        ("suspend ALPHA --netting-set uk", "there is no netting set 'uk'"),
        ("require-approval maybe", 'Choose from: "on", "off"'),
        ("set-valuation HKD 1 --haircut-bp x", "--haircut-bp"),
        ("set-limit ALPHA BRAVO HKD", "requires an argument"),
        ("suspend ALPHA --propose", "--propose"),
        ("close-window --propose", "--propose"),
    ],
)
def test_wrong_usage_publishes_nothing(
    run: Runner, operators: Operators, line: str, said: str
) -> None:
    ended = run("command", *line.split())
    assert ended.code == ExitCode.USAGE
    assert said in " ".join((ended.err + ended.out).split())
    assert operators.asked == []


def test_without_an_id_each_call_has_its_own(run: Runner, operators: Operators) -> None:
    for _ in range(2):
        assert run("command", "fund", "ALPHA", "HKD", "1").code == ExitCode.OK
    first, second = (command.id for _, command in operators.asked)
    assert first != second
    assert first.startswith("cli-")


def test_a_proposal_is_told_with_its_hash(run: Runner, operators: Operators) -> None:  # R33
    ended = run("command", "set-cap", "ALPHA", "HKD", "5", "--propose", "--by", "alice")
    assert ended.code == ExitCode.OK
    proposal = operators.last
    assert isinstance(proposal, Propose)
    assert isinstance(proposal.command, SetCap)
    assert (proposal.by, proposal.command.by) == ("alice", "alice")
    answer, told, digest = ended.out.splitlines()
    assert answer.startswith("DONE propose in hk")
    assert told == f"proposal {proposal.id}"
    assert proposal.id == f"p-{digest.split()[1][:16]}"
    assert f"clearing command approve {proposal.id} --hash {digest.split()[1]}" in " ".join(
        ended.err.split()
    )


def test_a_proposal_as_data(run: Runner, operators: Operators) -> None:
    ended = run("command", "resume", "BOTH", "--propose", "--by", "alice", "--json")
    *answers, told = [json.loads(line) for line in ended.out.splitlines()]
    assert [(a["netting_set"], a["command"]) for a in answers] == [
        ("eu", "propose"),
        ("hk", "propose"),
    ]
    assert told["proposal"] == operators.last.id
    assert told["command"]["status"] == "ACTIVE"
    assert len(told["hash"]) == 64


def test_the_same_id_is_the_same_proposal(run: Runner, operators: Operators) -> None:
    line = ("command", "set-cap", "ALPHA", "HKD", "5", "--propose", "--by", "alice", "--id", "x")
    assert run(*line).out.startswith("DONE")
    assert run(*line).out.startswith("REPEATED")


def test_who_is_refused_alone_is_told_to_propose(run: Runner, operators: Operators) -> None:
    assert run("command", "require-approval", "on").code == ExitCode.OK
    ended = run("command", "set-cap", "ALPHA", "HKD", "5")
    assert ended.code == ExitCode.FAILED
    assert "second person" in ended.out
    assert "the same command with --propose" in ended.err
    assert run("command", "set-cap", "ALPHA", "HKD", "5", "--propose").code == ExitCode.OK


def test_suspending_and_closing_windows_stay_single_handed(
    run: Runner, operators: Operators
) -> None:  # R33
    assert run("command", "require-approval", "on").code == ExitCode.OK
    assert run("command", "suspend", "ALPHA").code == ExitCode.OK
    assert isinstance(operators.last, SetStatus)
    assert run("command", "close-window", "HKD").code == ExitCode.OK


NAMES = [name for name in app if not name.startswith("-")]


def test_every_command_is_there() -> None:
    assert set(NAMES) == {
        "suspend", "resume", "default", "close", "fund", "reserve", "set-cap", "set-limit",
        "set-short-limit", "set-valuation", "set-collateral", "set-pool", "close-window",
        "settle-window", "abort-window", "release", "proposals", "approve", "withdraw", "redrive",
        "require-approval",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_command_shows_how_it_is_called(run: Runner, name: str) -> None:
    ended = run("command", name, "--help")
    assert ended.code == ExitCode.OK
    lines = [line.strip(" │") for line in ended.out.splitlines()]
    assert any(line.startswith(f"clearing command {name}") for line in lines), ended.out
    assert not any(line.count("clearing command") > 1 for line in lines), "examples ran together"


def event(netting_set: str, command_id: str, status: str = "DONE") -> CommandEvent:
    fields = {"log_offset": 1, "time_ms": 1, "by": "a", "command": "c", "status": status}
    return msgspec.convert(
        {"type": "command", "netting_set": netting_set, "id": command_id} | fields, CommandEvent
    )


@pytest.mark.parametrize(
    ("events", "is_answered"),
    [
        ([], False),
        ([event("hk", "inner")], False),
        ([event("hk", "approve")], False),
        ([event("hk", "approve"), event("eu", "inner")], False),
        ([event("hk", "approve"), event("hk", "inner", "REFUSED")], True),
        ([event("hk", "approve", "REFUSED")], True),
        ([event("hk", "approve", "REPEATED")], True),
    ],
)
def test_an_approval_is_answered_when_what_it_approves_is(
    events: list[CommandEvent], is_answered: bool
) -> None:
    found = {(each.netting_set, each.id): each for each in events}
    assert answered(found, "hk", "approve", "inner") is is_answered
    assert answered(found, "hk", "approve", "") is (("hk", "approve") in found)
