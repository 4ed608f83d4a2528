"""`clearing console user`: accounts from the command line; and options of the console that do not go together."""

import io
import json
from pathlib import Path

import pytest

from clearing.console.accounts import Accounts
from clearing.failures import ExitCode
from tests.cli.run import Runner
from tests.console.stage import PASSWORD

PROXIED = ("--trusted-header", "X", "--trusted-proxies", "10.0.0.1", "--groups-header", "X-Groups")


@pytest.fixture(autouse=True)
def _file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLEARING_CONSOLE_ACCOUNTS", str(tmp_path / "accounts.json"))


def test_somebody_is_let_in_listed_and_let_in_no_more(
    run: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    roles = ("--role", "operator", "--role", "approver")
    ended = run("console", "user", "add", "alice", *roles, "--password-stdin")
    assert ended.code == ExitCode.OK, ended.err
    accounts = Accounts(tmp_path / "accounts.json")
    account = accounts.verified("alice", PASSWORD)
    assert account is not None
    assert account.roles == ["operator", "approver"]
    assert run("console", "user", "add", "bob", "--role", "viewer", "--no-password").code == 0
    listed = json.loads(run("console", "user", "list", "--json").out)
    assert listed == [
        {"name": "alice", "roles": ["operator", "approver"], "password": True},
        {"name": "bob", "roles": ["viewer"], "password": False},
    ]
    assert "by proxy" in run("console", "user", "list").out
    assert run("console", "user", "remove", "alice").code == ExitCode.OK
    assert accounts.find("alice") is None
    assert run("console", "user", "remove", "alice").code == ExitCode.USAGE


def test_what_makes_no_account(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    ended = run("console", "user", "add", "alice", "--role", "operator", "--password-stdin")
    assert (ended.code, "12 to 256 characters" in ended.err) == (ExitCode.USAGE, True)
    ended = run("console", "user", "add", "alice", "--role", "operator")
    assert (ended.code, "nobody is there to be asked" in ended.err) == (ExitCode.USAGE, True)
    assert run("console", "user", "add", "alice", "--role", "root", "--no-password").code != 0
    assert json.loads(run("console", "user", "list", "--json").out) == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--trusted-header", "X-User"), "go together"),
        (("--trusted-proxies", "10.0.0.1"), "go together"),
        (("--trusted-header", "X-User", "--trusted-proxies", "proxy"), "--trusted-proxies"),
        (("--public-url", "clearing.example"), "no address of a web page"),
        (("--groups-header", "X-Groups"), "go together"),
        (("--group-role", "desk=operator"), "go together"),
        ((*PROXIED, "--group-role", "desk=root"), "--group-role desk=root"),
        ((*PROXIED, "--group-role", "operator"), "--group-role operator"),
        (
            (*PROXIED, "--group-role", "desk=viewer", "--group-role", "desk=operator"),
            "--group-role desk=operator",
        ),
    ],
)
def test_options_that_do_not_go_together(run: Runner, options: tuple[str, ...], why: str) -> None:
    ended = run("console", *options)
    assert (ended.code, why in ended.err) == (ExitCode.USAGE, True)
