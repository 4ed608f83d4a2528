"""`clearing topics acls`: asks no cluster, and says what it is asked for."""

import json
import shlex
from pathlib import Path

import pytest

from clearing.failures import ExitCode
from clearing.topics.rights import Rule
from tests.cli.run import Runner

SCHEME = str(Path(__file__).parents[2] / "clearing" / "dev" / "demo.toml")


def test_rules_as_commands(run: Runner) -> None:
    ended = run(
        *("topics", "acls", SCHEME, "--role", "sink", "--prefix", "p.", "--bootstrap", "k:9093"),
        *("--principal", "sink=User:CN=sink, O=Clearing"),
    )
    assert ended.code == ExitCode.OK
    lines = [shlex.split(line) for line in ended.out.splitlines()]
    start = ["kafka-acls", "--bootstrap-server", "k:9093", "--add", "--allow-principal"]
    assert all(line[: len(start) + 1] == [*start, "User:CN=sink, O=Clearing"] for line in lines)
    assert ["--operation", "Write", "--topic", "p.confirmations"] in [line[6:] for line in lines]


def test_rules_as_json(run: Runner) -> None:
    rules = json.loads(run("topics", "acls", SCHEME, "--json").out)
    assert {tuple(rule) for rule in rules} == {Rule.__struct_fields__}
    assert {rule["role"] for rule in rules} >= {"intake", "engine", "operator", "participant"}
    bank = next(rule["participant"] for rule in rules if rule["participant"])
    alone = json.loads(run("topics", "acls", SCHEME, "--role", bank, "--json").out)
    assert alone == [rule for rule in rules if rule["participant"] == bank]


@pytest.mark.parametrize(
    "wrong", [("--role", "nobody"), ("--principal", "nobody=User:x"), ("--principal", "engine")]
)
def test_who_is_not_known_is_said(run: Runner, wrong: tuple[str, str]) -> None:
    ended = run("topics", "acls", SCHEME, *wrong)
    assert ended.code == ExitCode.USAGE
    assert wrong[1].partition("=")[0] in ended.err


def test_rules_can_be_had_where_the_cluster_cannot(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who prints them may have no login yet."""
    monkeypatch.setenv("CLEARING_KAFKA_SECURITY", "sasl_ssl")
    assert run("topics", "acls", SCHEME, "--role", "sink").code == ExitCode.OK
