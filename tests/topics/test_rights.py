"""What topics.toml means as rules for a cluster. That all works under them: tests/integration/test_security.py."""

from collections.abc import Iterator

import pytest

from clearing.names import Topics
from clearing.topics.contract import read_contract
from clearing.topics.rights import OPERATIONS, Rule, rules

TOPICS = Topics("p.")
MEMBERS = {"hk": ["ALPHA", "BRAVO"], "cn": ["BRAVO"]}
RULES = rules(read_contract(), TOPICS, MEMBERS, {"engine": "User:CN=engine", "BRAVO": "User:b"})


def who(operation: str, topic: str) -> set[str]:
    """Roles, or participants, that may do something with a topic."""
    return {
        rule.participant or rule.role
        for rule in RULES
        if rule.resource == "topic" and operation in rule.operations and _is_about(rule, topic)
    }


def _is_about(rule: Rule, topic: str) -> bool:
    return topic.startswith(rule.name) if rule.prefixed else topic == rule.name


@pytest.mark.parametrize(
    ("topic", "writers"),
    [
        (TOPICS.log, {"intake", "engine"}),
        *(
            (topic, {"engine"})
            for topic in (
                *(TOPICS.outcomes, TOPICS.settlements, TOPICS.journal),
                *(TOPICS.positions, TOPICS.windows, TOPICS.rejected),
            )
        ),
        (TOPICS.commands, {"operator", "console"}),
        (TOPICS.confirmations, {"sink", "ledger"}),
        (TOPICS.netting_sets, {"operator"}),
        (TOPICS.status("ALPHA"), {"dispatch"}),
        (TOPICS.payments("hk", "ALPHA"), {"ALPHA", "console"}),
        (TOPICS.payments("hk", "BRAVO"), {"BRAVO", "console"}),
        (TOPICS.payments("cn", "BRAVO"), {"BRAVO", "console"}),
        (TOPICS.payments("cn", "ALPHA"), {"console"}),  # it is no member there
        (TOPICS.payments("hk", "PROBE"), {"views", "console"}),
    ],
)
def test_who_writes(topic: str, writers: set[str]) -> None:
    assert who("Write", topic) == writers


def test_a_participant_reads_its_own_statuses_and_the_cut_offs() -> None:
    assert who("Read", TOPICS.status("ALPHA")) & set(MEMBERS["hk"]) == {"ALPHA"}
    reads = {
        rule.name for rule in RULES if rule.participant == "ALPHA" and rule.operations == ["Read"]
    }
    assert reads == {TOPICS.status("ALPHA"), TOPICS.windows}


def test_nobody_deletes_a_topic_and_only_operators_change_them() -> None:
    assert {name for rule in RULES for name in rule.operations} <= OPERATIONS.keys()
    assert "Delete" not in OPERATIONS
    for operation in ("Alter", "AlterConfigs"):
        assert {rule.role for rule in RULES if operation in rule.operations} == {"operator"}


def test_every_rule_is_of_this_installation() -> None:
    assert all(rule.name.startswith("p.") for rule in RULES if rule.resource != "cluster")


def test_principals_are_named_or_as_the_role() -> None:
    assert {(rule.participant or rule.role, rule.principal) for rule in RULES} >= {
        ("engine", "User:CN=engine"),
        ("intake", "User:intake"),
        ("ALPHA", "User:ALPHA"),
        ("BRAVO", "User:b"),
    }


def test_every_topic_has_roles_that_there_are() -> None:
    contract = read_contract()
    for spec in contract.topics.values():
        assert {*spec.written_by, *spec.read_by} <= contract.roles.keys(), spec.name
        assert spec.written_by, spec.name


def commands(role: str) -> Iterator[str]:
    return (rule.command() for rule in RULES if rule.role == role)


def test_rules_as_options_of_kafkas_tool() -> None:
    assert (
        "--add --allow-principal User:sink --operation Read --group p.clearing-sink- "
        "--resource-pattern-type prefixed"
    ) in commands("sink")
    assert (
        "--add --allow-principal User:operator --operation Describe --operation DescribeConfigs --cluster"
    ) in commands("operator")
    assert (
        "--add --allow-principal User:CN=engine --operation Describe --operation Write "
        "--transactional-id p.clearing- --resource-pattern-type prefixed"
    ) in commands("engine")
