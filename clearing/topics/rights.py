"""Who may do what on the cluster: the rules (ACLs) that topics.toml means for an installation.

From there, and nowhere else: `clearing topics acls` prints them, and the tests run a cluster by them.
"""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

import msgspec

from clearing.names import Topics
from clearing.topics.contract import Contract, TopicSpec

PARTICIPANT = "participant"
_RIGHT = re.compile(
    r"(?P<operations>\w+(?:, \w+)*) "
    r"(?:(?P<whole>topics|cluster)|(?P<resource>topic|group|transactional-id) (?P<name>\S+))"
)

Resource = Literal["topic", "group", "transactional-id", "cluster"]
# Kafka's numbers, as its protocol has them.
RESOURCES: Mapping[Resource, int] = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
LITERAL, PREFIXED = 3, 4
ALLOW = 3
OPERATIONS = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Alter": 7,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
}  # Read and Write include Describe

Members = Mapping[str, Sequence[str]]  # netting set → its participants
Place = tuple[Resource, str, bool]  # what, its name, whether all names that begin so


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a cluster's ACLs. participant: "" of other roles. prefixed: all names that begin with `name`."""

    role: str
    participant: str
    principal: str
    operations: list[str]
    resource: Resource
    name: str
    prefixed: bool

    def command(self) -> str:
        """The options of Kafka's own tool, kafka-acls, that make it so."""
        words = ["--add", "--allow-principal", self.principal]
        for operation in self.operations:
            words += ["--operation", operation]
        words += ["--cluster"] if self.resource == "cluster" else [f"--{self.resource}", self.name]
        if self.prefixed:
            words += ["--resource-pattern-type", "prefixed"]
        return shlex.join(words)


def rules(
    contract: Contract, topics: Topics, members: Members, principals: Mapping[str, str]
) -> list[Rule]:
    """Every rule of an installation, role by role, each participant by itself.

    principals: whom a role, or a participant by its name, logs in as; not named: User:<role>, User:<participant>.
    """
    found: list[Rule] = []
    for role in contract.roles:
        everybody = sorted({name for each in members.values() for name in each})
        for name in everybody if role == PARTICIPANT else [""]:
            allowed: defaultdict[Place, set[str]] = defaultdict(set)
            for place, operations in _of_role(contract, role, topics, members, name):
                allowed[place].update(operations)
            principal = principals.get(name or role, f"User:{name or role}")
            found += [
                Rule(
                    role=role,
                    participant=name,
                    principal=principal,
                    operations=sorted(operations),
                    resource=resource,
                    name=what,
                    prefixed=prefixed,
                )
                for (resource, what, prefixed), operations in allowed.items()
            ]
    return found


def _of_role(
    contract: Contract, role: str, topics: Topics, members: Members, participant: str
) -> Iterator[tuple[Place, list[str]]]:
    for spec in contract.topics.values():
        for operation, roles in (("Write", spec.written_by), ("Read", spec.read_by)):
            if role in roles:
                for place in _topic(spec, topics, members, participant):
                    yield place, [operation]
    for right in contract.roles[role].rights:
        matched = _RIGHT.fullmatch(right)
        assert matched is not None, f"topics.toml: no right of {role}: {right}"
        operations = matched["operations"].split(", ")
        for place in _places(matched, contract, topics, members):
            yield place, operations


def _topic(spec: TopicSpec, topics: Topics, members: Members, participant: str) -> Iterator[Place]:
    """Where each participant has its own: that of the one, or of all of them."""
    if "{" not in spec.name:
        yield "topic", topics.prefix + spec.name, False
    elif not participant:
        yield "topic", topics.prefix + spec.name.partition("{")[0], True
    else:
        names = {
            spec.name.format(netting_set=netting_set, participant=participant)
            for netting_set, participants in members.items()
            if participant in participants
        }
        for name in sorted(names):
            yield "topic", topics.prefix + name, False


def _places(
    right: re.Match[str], contract: Contract, topics: Topics, members: Members
) -> Iterator[Place]:
    if right["whole"] == "cluster":
        yield "cluster", "kafka-cluster", False
    elif right["whole"] == "topics":
        for spec in contract.topics.values():
            yield from _topic(spec, topics, members, "")
    else:
        resource, name = cast(Resource, right["resource"]), right["name"]
        for filled in sorted({name.format(netting_set=each) for each in members} or {name}):
            yield resource, topics.prefix + filled.removesuffix("*"), filled.endswith("*")
