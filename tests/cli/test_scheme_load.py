"""`clearing scheme load`: what it says of commands, proposals and what waits for approval (R33)."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import msgspec
import pytest

from clearing.core.commands import ControlMessage, Propose
from clearing.core.outputs import CommandEvent
from clearing.failures import ExitCode
from clearing.scheme import in_force, load
from clearing.scheme.changes import find_changes
from clearing.scheme.load import LoadReport
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse
from clearing.scheme.standing import Published
from clearing.topics.plan import Plan
from tests.cli.run import Runner

TODAY = date(2026, 3, 2)
SCHEME = """
name = "Strict"
[netting_sets.main]
four_eyes = true
[assets.HKD]
netting_set = "main"
issuer = "HKMA"
ledger = "postgres"
scale = 2
kind = "cash"
accounts = { net_debit_cap = "100" }
[participants.BANKA]
[participants.BANKB]
accounts.HKD.net_debit_cap = "90"
"""


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The topic of commands, as loading leaves it; no Kafka."""
    values: list[bytes] = []

    async def run(settings: object, scheme: Scheme, by: str) -> LoadReport:
        before = Published("main")
        for value in values:
            before.apply_record(value)
        changes = find_changes(scheme, before, by, TODAY)
        values.extend(msgspec.json.encode(command) for command in changes.commands)
        return LoadReport(Plan(), {"main": 0}, [changes])

    monkeypatch.setattr(load, "load", run)
    return values


def load_scheme(run: Runner, folder: Path, text: str, *options: str) -> tuple[str, str]:
    file = folder / "scheme.toml"
    file.write_text(text)
    assert isinstance(parse(text), Scheme)
    ended = run("scheme", "load", file, "--by", "alice", *options)
    assert ended.code == ExitCode.OK, ended.err
    return ended.out, " ".join(ended.err.split())


def test_the_first_load_proposes_nothing(
    run: Runner, published: list[bytes], tmp_path: Path
) -> None:
    out, err = load_scheme(run, tmp_path, SCHEME)
    assert out.splitlines()[-1] == "command main: four eyes: a second person has to approve"
    assert "approve" not in err
    assert load_scheme(run, tmp_path, SCHEME) == ("", "nothing differs")


def test_what_is_proposed_is_told_with_how_to_approve_it(
    run: Runner, published: list[bytes], tmp_path: Path
) -> None:
    load_scheme(run, tmp_path, SCHEME)
    changed = SCHEME.replace('"90"', '"200"')
    out, err = load_scheme(run, tmp_path, changed)
    assert out == (
        "propose main: account of BANKB in HKD: net debit cap 90.00 → 200.00,"
        " overdraft 90.00 → 200.00\n"
    )
    [proposal] = [one for one in map(_decoded, published) if isinstance(one, Propose)]
    hint = f"clearing command approve {proposal.id} --netting-set main"
    assert "main: 1 waits for somebody else to approve:" in err
    assert hint in err
    out, err = load_scheme(run, tmp_path, changed)
    assert out.startswith("waits   main: account of BANKB in HKD")
    assert err.startswith("nothing differs main: 1 waits")
    assert hint in err


def test_proposals_as_data(run: Runner, published: list[bytes], tmp_path: Path) -> None:
    load_scheme(run, tmp_path, SCHEME)
    changed = SCHEME.replace('"100"', '"200"').replace('"90"', '"200"')
    first, again = (json.loads(load_scheme(run, tmp_path, changed, "--json")[0]) for _ in range(2))
    assert [c["command"]["type"] for c in first["commands"]] == ["propose", "propose"]
    assert [p["proposal"] for p in first["proposals"]] == [
        c["command"]["id"] for c in first["commands"]
    ]
    assert all(p["proposal"] == f"p-{p['hash'][:16]}" for p in first["proposals"])
    assert (again["commands"], again["proposals"]) == ([], first["proposals"])


def test_waiting_says_what_the_engine_has_refused(
    run: Runner, published: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Mapping[str, list[str]] | None] = []

    async def ends(_: object) -> dict[int, int]:
        return {0: 7}

    async def answered(
        settings: object,
        partitions: object,
        timeout_s: float,
        *,
        only: Mapping[str, list[str]] | None = None,
        since: Mapping[int, int] | None = None,
        tell: object,
    ) -> list[CommandEvent]:
        asked.append(only)
        assert since == (None if only is None else {0: 7})
        ids = only["main"] if only else []
        return [
            CommandEvent(
                netting_set="main",
                log_offset=n,
                time_ms=1,
                id=each,
                by="alice",
                command="open_account",
                status="DONE" if n else "REFUSED",
                reason="" if n else "NOPE",
            )
            for n, each in enumerate(ids)
        ]

    monkeypatch.setattr(in_force, "journal_ends", ends)
    monkeypatch.setattr(in_force, "in_force", answered)
    (tmp_path / "scheme.toml").write_text(SCHEME)
    ended = run("scheme", "load", tmp_path / "scheme.toml", "--wait")
    assert ended.code == ExitCode.FAILED
    count, first = len(published), json.loads(published[0])
    assert f"REFUSED main: open_account {first['id']}: NOPE" in ended.out
    assert f"the engine has answered {count} commands, {count - 1} are done" in ended.err
    again = run("scheme", "load", tmp_path / "scheme.toml", "--wait")
    assert (again.code, asked[-1]) == (ExitCode.OK, None)  # of all before
    assert "nothing differs" in again.err


def _decoded(value: bytes) -> object:
    return msgspec.json.decode(value, type=ControlMessage)
