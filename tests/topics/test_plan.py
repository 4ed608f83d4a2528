"""Differences between a cluster and the list of topics, and which of them are refused."""

from dataclasses import replace

import msgspec
import pytest

from clearing.kafka import MAX_RECORD_BYTES
from clearing.names import VIEW_NAMES, Topics
from clearing.topics.contract import Contract, TopicSpec, Wanted, read_contract, wanted_topics
from clearing.topics.plan import AddPartitions, Create, Existing, SetConfigs, plan

CONTRACT = read_contract()


def wanted(kind: str = "log", **changes: object) -> Wanted:
    """One topic of the real list, with fields of its spec changed."""
    spec = msgspec.structs.replace(CONTRACT.topics[kind], **changes)
    contract = Contract(netting_set_partitions=4, roles={}, topics={kind: spec})
    return wanted_topics(contract, Topics(), {"hk": ["BANKA"]}, 0, 1)[0]


def existing(topic: Wanted, **changes: object) -> Existing:
    """The topic as it was wanted once."""
    as_wanted = Existing(
        topic.name, topic.partitions, topic.replication, topic.configs, topic.configs, empty=False
    )
    return replace(as_wanted, **changes)


def test_what_is_as_wanted_stays() -> None:
    topics = wanted_topics(CONTRACT, Topics("p-"), {"hk": ["BANKA", "BANKB"]}, 0, 1)
    there = {topic.name: existing(topic) for topic in topics}
    result = plan(there, topics)
    assert not result
    assert (result.changes, result.refusals, result.notes) == ([], [], [])


def test_what_is_missing_is_made() -> None:
    [change] = plan({}, [wanted()]).changes
    assert isinstance(change, Create)
    assert str(change) == "log: create with 4 partitions"


# Each row: what the cluster has, what is listed, and the change or the refusal that comes of it.
@pytest.mark.parametrize(
    ("kind", "before", "after", "empty", "expected"),
    [
        # A system of record loses nothing (F14) …
        ("log", {}, {"retention_days": 30}, False, "refused: retention unlimited → 30 days"),
        (
            "log",
            {"retention_days": 60},
            {"retention_days": 30},
            False,
            "refused: retention 60 days",
        ),
        ("journal", {}, {"retention_days": 30}, False, "refused: retention unlimited → 30 days"),
        ("log", {}, {"compacted": True}, False, "refused: cleanup.policy delete → compact"),
        (
            "log",
            {"timestamps": "create"},
            {},
            False,
            "refused: message.timestamp.type cannot change",
        ),
        (
            "netting_sets",
            {},
            {"compacted": False},
            False,
            "refused: cleanup.policy compact → delete",
        ),
        # … unless there is nothing to lose.
        ("log", {}, {"retention_days": 30}, True, "retention.ms -1 → 2592000000"),
        ("log", {}, {"compacted": True}, True, "cleanup.policy delete → compact"),
        (
            "log",
            {"timestamps": "create"},
            {},
            True,
            "message.timestamp.type CreateTime → LogAppend",
        ),
        # Keeping more loses nothing; of the others old records may go.
        ("log", {"retention_days": 30}, {}, False, "retention.ms 2592000000 → -1"),
        (
            "log",
            {"retention_days": 30},
            {"retention_days": 60},
            False,
            "retention.ms 2592000000 → 5",
        ),
        ("status", {}, {"retention_days": 7}, False, "retention.ms 2592000000 → 604800000"),
        (
            "payments",
            {"timestamps": "create"},
            {},
            False,
            "message.timestamp.type CreateTime → Log",
        ),
        # But a policy takes all that is old, whatever the topic.
        ("status", {}, {"compacted": True}, False, "refused: cleanup.policy delete → compact"),
        ("payments", {"codec": "producer"}, {}, False, "compression.type producer → uncompressed"),
        ("log", {"max_message_bytes": 1}, {}, False, "max.message.bytes 1 → 16777216"),
    ],
)
def test_configs(
    kind: str, before: dict[str, object], after: dict[str, object], empty: bool, expected: str
) -> None:
    topic = wanted(kind, **after)
    result = plan({topic.name: existing(wanted(kind, **before), empty=empty)}, [topic])
    assert bool(result)
    if expected.startswith("refused: "):
        assert result.changes == []
        assert result.refusals[0].startswith(f"{topic.name}: {expected.removeprefix('refused: ')}")
    else:
        assert result.refusals == []
        [change] = result.changes
        assert expected in str(change)


def test_configs_that_operators_set_are_told_again() -> None:
    """AlterConfigs resets what it is not told."""
    topic = wanted()
    short = {**topic.configs, "retention.ms": "1"}
    there = existing(topic, own={"flush.messages": "7", "retention.ms": "1"}, configs=short)
    [change] = plan({topic.name: there}, [topic]).changes
    assert isinstance(change, SetConfigs)
    assert change.own == {"flush.messages": "7", **topic.configs}


def test_partitions_of_netting_sets_grow_and_never_shrink() -> None:
    topic = wanted()
    [change] = plan({topic.name: existing(topic, partitions=2)}, [topic]).changes
    assert change == AddPartitions("log", 2, 4)
    more = plan({topic.name: existing(topic, partitions=9)}, [topic])
    assert (more.changes, more.refusals, len(more.notes)) == ([], [], 1)


@pytest.mark.parametrize("kind", ["payments", "status", "netting_sets"])
def test_where_order_needs_one_partition_more_are_refused(kind: str) -> None:
    topic = wanted(kind)
    result = plan({topic.name: existing(topic, partitions=3)}, [topic])
    assert result.changes == []
    assert "has 3 partitions, but its order needs exactly one" in result.refusals[0]


def test_another_replication_is_noted() -> None:
    topic = replace(wanted(), replication=3)
    result = plan({topic.name: existing(topic, replication=1)}, [topic])
    assert not result
    assert "replication factor 1, 3 wanted" in result.notes[0]


@pytest.mark.parametrize(
    ("brokers", "replicas", "insync"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (9, 3, 2)]
)
def test_replication_follows_the_cluster(brokers: int, replicas: int, insync: int) -> None:
    for topic in wanted_topics(CONTRACT, Topics(), {"hk": ["BANKA"]}, 0, brokers):
        assert topic.replication == replicas
        assert topic.configs["min.insync.replicas"] == str(insync)


def test_a_topic_for_each_member_once() -> None:
    members = {"hk": ["BANKA", "BANKB"], "eu": ["BANKB"]}
    names = [topic.name for topic in wanted_topics(CONTRACT, Topics("p-"), members, 0, 1)]
    assert len(set(names)) == len(names)
    assert {name for name in names if "BANK" in name} == {
        "p-payments.hk.BANKA",
        "p-payments.hk.BANKB",
        "p-payments.eu.BANKB",
        "p-status.BANKA",
        "p-status.BANKB",
    }


def test_the_list_holds_every_topic_the_software_names() -> None:
    """And each under the name the software uses."""
    names = Topics("p-")
    fixed = {
        kind: value
        for kind in dir(Topics)
        if isinstance(getattr(Topics, kind), property)
        and isinstance(value := getattr(names, kind), str)
        and kind != "payments_pattern"
    }
    listed = {
        topic.kind: topic.name for topic in wanted_topics(CONTRACT, names, {"hk": ["BANKA"]}, 0, 1)
    }
    assert listed == fixed | {f"views_{view}": names.view(view) for view in VIEW_NAMES} | {
        "payments": names.payments("hk", "BANKA"),
        "status": names.status("BANKA"),
    }


def test_the_list_keeps_what_the_design_needs() -> None:
    """DESIGN.md §1 and §2; FAULTS.md, compressed bomb."""
    topics = CONTRACT.topics
    assert [kind for kind, spec in topics.items() if spec.keep] == [
        "commands", "log", "outcomes", "settlements", "journal", "netting_sets",
    ]  # fmt: skip
    assert all(topics[kind].retention_days == "unlimited" for kind in topics if topics[kind].keep)
    assert {kind for kind, spec in topics.items() if spec.compacted} == {
        "windows", "positions", "netting_sets", "halts", "heartbeats", "views_windows", "views_batches",
        "views_activity", "views_rejects", "views_audit",
    }  # fmt: skip
    from_outside = ["payments", "commands", "confirmations"]
    assert all(topics[kind].codec == "uncompressed" for kind in from_outside)
    assert all(topics[kind].timestamps == "log append" for kind in [*from_outside, "log"])
    assert topics["log"].max_message_bytes == 16 << 20
    assert max(topics[kind].max_message_bytes for kind in from_outside) <= MAX_RECORD_BYTES


def test_a_list_with_a_mistake_is_refused() -> None:
    fields = msgspec.structs.asdict(CONTRACT.topics["log"])
    with pytest.raises(msgspec.ValidationError, match="unknown field `retention`"):
        msgspec.convert({**fields, "retention": 3}, TopicSpec)
