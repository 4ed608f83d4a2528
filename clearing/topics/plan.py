"""The difference between a cluster and the topics wanted, and what of it would lose data: refused, with the reason.

Pure: clearing.topics.cluster describes the cluster and carries a plan out. Nothing here ever deletes a topic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clearing.topics.contract import DAY_MS, Wanted


@dataclass(frozen=True, slots=True)
class Existing:
    """A topic as it is. configs: all, in force; own: those set on the topic itself. empty: holds no record."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]
    own: Mapping[str, str]
    empty: bool


@dataclass(frozen=True, slots=True)
class Create:
    topic: Wanted

    def __str__(self) -> str:
        count = self.topic.partitions
        return f"{self.topic.name}: create with {count} partition{'s' if count > 1 else ''}"


@dataclass(frozen=True, slots=True)
class AddPartitions:
    name: str
    before: int
    after: int

    def __str__(self) -> str:
        return f"{self.name}: partitions {self.before} → {self.after}"


@dataclass(frozen=True, slots=True)
class SetConfigs:
    """changed: config → (before, after). own: all that the topic has of its own afterwards, since Kafka's
    AlterConfigs resets whatever it is not told."""

    name: str
    changed: Mapping[str, tuple[str, str]]
    own: Mapping[str, str]

    def __str__(self) -> str:
        changed = ", ".join(f"{key} {old} → {new}" for key, (old, new) in self.changed.items())
        return f"{self.name}: {changed}"


Change = Create | AddPartitions | SetConfigs


@dataclass(slots=True)
class Plan:
    """refusals: differences that would lose data; nothing is applied as long as there are any.
    notes: differences that stay, and what a person may do about them."""

    changes: list[Change] = field(default_factory=list[Change])
    refusals: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])

    def __bool__(self) -> bool:
        return bool(self.changes or self.refusals)


def plan(existing: Mapping[str, Existing], wanted: Sequence[Wanted]) -> Plan:
    """What has to change, in the order of `wanted`."""
    result = Plan()
    for topic in wanted:
        found = existing.get(topic.name)
        if found is None:
            result.changes.append(Create(topic))
            continue
        _partitions(found, topic, result)
        _configs(found, topic, result)
        if found.replication != topic.replication:
            result.notes.append(
                f"{topic.name}: replication factor {found.replication}, {topic.replication} wanted:"
                " kafka-reassign-partitions changes it"
            )
    return result


def _partitions(found: Existing, topic: Wanted, result: Plan) -> None:
    if found.partitions == topic.partitions:
        return
    if topic.spec.partitions == "one":
        result.refusals.append(
            f"{topic.name}: has {found.partitions} partitions, but its order needs exactly one, and Kafka"
            " cannot take partitions away: make the topic anew, once nobody needs what it holds"
        )
    elif found.partitions < topic.partitions:
        # No key decides about these partitions: the directory does. So more of them move nothing.
        result.changes.append(AddPartitions(topic.name, found.partitions, topic.partitions))
    else:
        result.notes.append(
            f"{topic.name}: has {found.partitions} partitions, {topic.partitions} would do: they stay,"
            " taking partitions away would lose what they hold"
        )


def _configs(found: Existing, topic: Wanted, result: Plan) -> None:
    changed = {
        key: (found.configs.get(key, ""), value)
        for key, value in topic.configs.items()
        if found.configs.get(key) != value
    }
    losses = [] if found.empty else list(_losses(found, topic, changed))
    if losses:
        result.refusals.extend(f"{topic.name}: {loss}" for loss in losses)
    elif changed:
        own = {**found.own, **topic.configs}
        result.changes.append(SetConfigs(topic.name, changed, own))


def _losses(
    found: Existing, topic: Wanted, changed: Mapping[str, tuple[str, str]]
) -> Sequence[str]:
    """Why a change of configs would lose records that are there, or what they mean."""
    reasons: list[str] = []
    if "cleanup.policy" in changed:
        old, new = changed["cleanup.policy"]
        kept = "the latest of each key" if new == "compact" else "what is young enough"
        reasons.append(f"cleanup.policy {old} → {new} would delete all records but {kept}")
    if "retention.ms" in changed and topic.spec.keep:
        old, new = (int(value or -1) for value in changed["retention.ms"])
        if new != -1 and (old == -1 or new < old):
            reasons.append(
                f"retention {_days(old)} → {_days(new)} would delete records of a system of record"
            )
    if "message.timestamp.type" in changed and topic.kind == "log":
        reasons.append(
            "message.timestamp.type cannot change once there are records: engine time is their stamps"
        )
    return reasons


def _days(retention_ms: int) -> str:
    return "unlimited" if retention_ms == -1 else f"{retention_ms / DAY_MS:g} days"
