"""Accounts, sessions and failed log-ins on their own: what is stored, what is forgotten, and when."""

import stat
from pathlib import Path

import pytest

from clearing.console.accounts import ROLES, AccountError, Accounts
from clearing.console.sessions import (
    ABSOLUTE_S,
    IDLE_S,
    MOST_OF_ONE,
    TRIES,
    TRIES_OF_ADDRESS,
    TRIES_OF_ALL,
    TRIES_WITHIN_S,
    Attempts,
    Sessions,
)
from tests.console.stage import CHEAP, PASSWORD


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(tmp_path / "deep" / "accounts.json", CHEAP)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_password_is_its_owners_alone_and_is_not_stored(accounts: Accounts) -> None:
    accounts.add("alice", ["operator"], PASSWORD)
    accounts.add("bob", ["approver"], PASSWORD + "!")
    account = accounts.verified("alice", PASSWORD)
    assert account is not None
    assert (account.name, account.rights) == ("alice", {"read", "preview", "act"})
    assert accounts.verified("alice", PASSWORD + "!") is None
    assert accounts.verified("nobody", PASSWORD) is None
    stored = accounts.file.read_text()
    assert PASSWORD not in stored
    assert stored.count("$argon2id$") == 2
    assert stat.S_IMODE(accounts.file.stat().st_mode) == 0o600
    assert list(accounts.file.parent.iterdir()) == [accounts.file]


def test_what_only_a_proxy_lets_in_has_no_password(accounts: Accounts) -> None:
    accounts.add("alice", ["viewer"], None)
    for password in ("", "nobody has this password", PASSWORD):
        assert accounts.verified("alice", password) is None


def test_another_process_changes_the_file_and_it_holds_at_once(accounts: Accounts) -> None:
    accounts.add("alice", ["operator"], PASSWORD)
    other = Accounts(accounts.file, CHEAP)
    other.add("alice", ["viewer"], PASSWORD)
    other.add("bob", ["auditor", "viewer"], PASSWORD)
    assert [(each.name, each.roles) for each in accounts.all()] == [
        ("alice", ["viewer"]),
        ("bob", ["viewer", "auditor"]),
    ]
    other.remove("bob")
    assert accounts.find("bob") is None


def test_a_file_that_cannot_be_read_lets_nobody_in(accounts: Accounts) -> None:
    accounts.add("alice", ["operator"], PASSWORD)
    accounts.file.write_text('{"accounts": [{"name": "alice", "roles": ["root"]}], "version": 1}')
    with pytest.raises(AccountError, match="cannot be read"):
        accounts.find("alice")
    accounts.file.unlink()
    assert accounts.find("alice") is None


@pytest.mark.parametrize(
    ("name", "roles", "password", "why"),
    [
        ("", ["viewer"], PASSWORD, "is no name"),
        ("a b", ["viewer"], PASSWORD, "is no name"),
        ("a" * 65, ["viewer"], PASSWORD, "is no name"),
        ("änne", ["viewer"], PASSWORD, "is no name"),
        ("alice", [], PASSWORD, "needs a role"),
        ("alice", ["viewer"], "short", "12 to 256 characters"),
        ("alice", ["viewer"], "x" * 257, "12 to 256 characters"),
    ],
)
def test_what_is_no_account(
    accounts: Accounts, name: str, roles: list[str], password: str, why: str
) -> None:
    with pytest.raises(AccountError, match=why):
        accounts.add(name, roles, password)  # pyright: ignore[reportArgumentType]
    assert accounts.all() == []


def test_somebody_who_is_not_there_cannot_be_removed(accounts: Accounts) -> None:
    with pytest.raises(AccountError, match="no account alice"):
        accounts.remove("alice")


def test_only_operators_act_only_approvers_approve_only_auditors_export(accounts: Accounts) -> None:
    for role in ROLES:
        accounts.add(role, [role], None)
    rights = {each.name: each.rights for each in accounts.all()}
    for right, who in {"act": "operator", "approve": "approver", "export": "auditor"}.items():
        assert [name for name, own in rights.items() if right in own] == [who]
    assert all("read" in own for own in rights.values())


def test_a_session_ends_when_idle_and_at_last_in_any_case() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    idle, _ = sessions.begin("alice")
    busy, _ = sessions.begin("alice")
    for _ in range(int(ABSOLUTE_S // (IDLE_S - 1))):
        clock.now_s += IDLE_S - 1
        assert sessions.find(busy) is not None
    assert sessions.find(idle) is None
    clock.now_s += IDLE_S - 1
    assert sessions.find(busy) is None


def test_looking_without_work_keeps_no_session_awake() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    id_, session = sessions.begin("alice")
    clock.now_s += IDLE_S - 1
    assert sessions.find(id_, touch=False) is session
    assert sessions.left_s(session) == 1
    clock.now_s += 1
    assert sessions.find(id_, touch=False) is None


def test_sessions_are_bounded_and_ids_are_not_guessed() -> None:
    sessions = Sessions(Clock())
    ids = [sessions.begin("alice")[0] for _ in range(MOST_OF_ONE + 3)]
    other, _ = sessions.begin("bob")
    assert len(set(ids)) == len(ids)
    assert all(len(id_) >= 43 for id_ in ids)
    alive = [id_ for id_ in ids if sessions.find(id_)]
    assert alive == ids[3:]
    assert sessions.find(other) is not None
    sessions.end(other)
    assert sessions.find(other) is None


def test_a_name_from_one_address_has_few_tries_and_others_are_not_locked_out() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(TRIES):
        assert attempts.wait_s("alice", "evil") == 0
        attempts.failed("alice", "evil")
    assert attempts.wait_s("alice", "evil") == TRIES_WITHIN_S
    assert attempts.wait_s("alice", "office") == 0
    assert attempts.wait_s("bob", "evil") == 0
    clock.now_s += TRIES_WITHIN_S
    assert attempts.wait_s("alice", "evil") == 0


def test_an_address_and_all_of_them_have_their_bounds() -> None:
    attempts = Attempts(Clock())
    for number in range(TRIES_OF_ADDRESS):
        attempts.failed(f"name{number}", "evil")
    assert attempts.wait_s("new", "evil") > 0
    assert attempts.wait_s("new", "office") == 0
    for number in range(TRIES_OF_ALL):
        attempts.failed("alice", f"address{number}")
    assert attempts.wait_s("new", "office") > 0


def test_whoever_knows_the_password_begins_anew() -> None:
    attempts = Attempts(Clock())
    for _ in range(TRIES):
        attempts.failed("alice", "office")
    attempts.succeeded("alice", "office")
    assert attempts.wait_s("alice", "office") == 0
