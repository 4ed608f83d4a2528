"""The list of topics against a real broker: applied, kept, grown, and refused where records would be lost."""

import asyncio
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError

from clearing import kafka
from clearing.dev.kafka import EmbeddedKafka
from clearing.names import Topics
from clearing.topics.cluster import apply_plan, plan_cluster
from clearing.topics.contract import Contract, read_contract
from clearing.topics.plan import AddPartitions, Create, SetConfigs

MEMBERS = {"hk": ["BANKAHKH", "BANKBHKH"]}


@pytest.fixture
def topics(topic_prefix: str) -> Topics:
    return Topics(topic_prefix)


@pytest.fixture
def contract() -> Contract:
    """The real one with fewer partitions: a small machine has many tests to run."""
    return msgspec.structs.replace(read_contract(), netting_set_partitions=2)


async def described(bootstrap: str, name: str) -> tuple[int, dict[str, str]]:
    """(number of partitions, configs in force) of a topic."""
    async with kafka.administration(bootstrap) as admin:
        [topic] = await admin.describe_topics([name])
        responses: list[Any] = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name)]
        )
    entries = responses[0].resources[0][4]
    return len(topic["partitions"]), {key: value for key, value, *_ in entries}


async def create(bootstrap: str, name: str, partitions: int, **configs: str) -> None:
    async with kafka.administration(bootstrap) as admin:
        configs = {key.replace("_", "."): value for key, value in configs.items()}
        response: Any = await admin.create_topics(
            [NewTopic(name, partitions, 1, topic_configs=configs)]
        )
        assert [code for _, code, _ in response.topic_errors] == [0]


async def send(bootstrap: str, topic: str, value: bytes, **options: Any) -> None:
    async with kafka.started(kafka.producer(bootstrap, **options)) as producer:
        await producer.send_and_wait(topic, value, partition=0, timestamp_ms=1_000)


async def test_apply_makes_what_is_listed_and_then_nothing_is_left(
    bootstrap: str, topics: Topics, contract: Contract
) -> None:
    done = await apply_plan(bootstrap, topics, MEMBERS, contract=contract)
    assert {type(change) for change in done.changes} == {Create}
    assert len(done.changes) == 18 + 2 + 2  # one for each member: payments and status
    assert not await plan_cluster(bootstrap, topics, MEMBERS, contract=contract)
    partitions, configs = await described(bootstrap, topics.log)
    assert partitions == 2
    assert configs["message.timestamp.type"] == "LogAppendTime"
    assert (configs["retention.ms"], configs["retention.bytes"]) == ("-1", "-1")
    assert (configs["cleanup.policy"], configs["max.message.bytes"]) == ("delete", str(16 << 20))
    partitions, configs = await described(bootstrap, topics.payments("hk", "BANKAHKH"))
    assert (partitions, configs["compression.type"]) == (1, "uncompressed")
    assert (await described(bootstrap, topics.positions))[1]["cleanup.policy"] == "compact"


async def test_without_a_scheme_the_topics_of_members_are_still_looked_after(
    bootstrap: str, topics: Topics, contract: Contract
) -> None:
    await apply_plan(bootstrap, topics, MEMBERS, contract=contract)
    shorter = msgspec.structs.replace(contract.topics["payments"], retention_days=7)
    changed = msgspec.structs.replace(contract, topics={**contract.topics, "payments": shorter})
    wanted = await plan_cluster(bootstrap, topics, contract=changed)
    assert [str(change) for change in wanted.changes] == [
        f"{topics.payments('hk', bank)}: retention.ms {30 * 86_400_000} → {7 * 86_400_000}"
        for bank in MEMBERS["hk"]
    ]


async def test_two_who_apply_at_once_do_not_disturb_one_another(
    bootstrap: str, topics: Topics, contract: Contract
) -> None:
    both = [apply_plan(bootstrap, topics, MEMBERS, contract=contract) for _ in range(2)]
    done = await asyncio.gather(*both)
    assert [plan.refusals for plan in done] == [[], []]
    assert not await plan_cluster(bootstrap, topics, MEMBERS, contract=contract)


async def test_a_config_is_put_right_and_others_set_by_operators_stay(
    bootstrap: str, topics: Topics, contract: Contract
) -> None:
    await create(bootstrap, topics.outcomes, 2, retention_ms="1000", flush_messages="7")
    done = await apply_plan(bootstrap, topics, {}, contract=contract)
    [change] = [change for change in done.changes if isinstance(change, SetConfigs)]
    assert change.name == topics.outcomes
    assert change.changed["retention.ms"] == ("1000", "-1")
    _, configs = await described(bootstrap, topics.outcomes)
    assert (configs["retention.ms"], configs["flush.messages"]) == ("-1", "7")


async def test_more_netting_sets_get_more_partitions(
    bootstrap: str, topics: Topics, contract: Contract
) -> None:
    await apply_plan(bootstrap, topics, {}, contract=contract)
    await send(bootstrap, topics.log, b"before")
    done = await apply_plan(bootstrap, topics, {}, netting_sets=3, contract=contract)
    assert len(done.changes) == 15
    assert all(isinstance(change, AddPartitions) for change in done.changes)
    assert (await described(bootstrap, topics.log))[0] == 3
    # Without the third netting set the partitions stay, and a note says so.
    less = await plan_cluster(bootstrap, topics, {}, contract=contract)
    assert (less.changes, less.refusals, len(less.notes)) == ([], [], 15)


async def test_a_refusal_keeps_everything_as_it_is(
    bootstrap: str, topics: Topics, contract: Contract
) -> None:
    await create(bootstrap, topics.payments("hk", "BANKAHKH"), 3)
    done = await apply_plan(bootstrap, topics, MEMBERS, contract=contract)
    assert len(done.refusals) == 1
    assert "has 3 partitions, but its order needs exactly one" in done.refusals[0]
    async with kafka.administration(bootstrap) as admin:
        assert topics.log not in await admin.list_topics()


async def test_what_would_delete_records_of_the_log_is_refused_once_it_has_some(
    bootstrap: str, topics: Topics, contract: Contract
) -> None:
    await apply_plan(bootstrap, topics, {}, contract=contract)
    shorter = msgspec.structs.replace(contract.topics["log"], retention_days=7)
    changed = replace_topic(contract, "log", shorter)
    assert (await plan_cluster(bootstrap, topics, {}, contract=changed)).refusals == []
    await send(bootstrap, topics.log, b"the first record")
    [refusal] = (await apply_plan(bootstrap, topics, {}, contract=changed)).refusals
    assert "unlimited → 7 days would delete records of a system of record" in refusal
    compacted = msgspec.structs.replace(contract.topics["log"], compacted=True)
    changed = replace_topic(contract, "log", compacted)
    [refusal] = (await plan_cluster(bootstrap, topics, {}, contract=changed)).refusals
    assert "delete → compact would delete all records but the latest of each key" in refusal
    stamped = msgspec.structs.replace(contract.topics["log"], timestamps="create")
    changed = replace_topic(contract, "log", stamped)
    [refusal] = (await plan_cluster(bootstrap, topics, {}, contract=changed)).refusals
    assert "engine time is their stamps" in refusal
    assert (await described(bootstrap, topics.log))[1]["retention.ms"] == "-1"


def replace_topic(contract: Contract, kind: str, spec: object) -> Contract:
    return msgspec.structs.replace(contract, topics={**contract.topics, kind: spec})


async def test_the_broker_stamps_payments_whatever_the_senders_clock_says(
    bootstrap: str, topics: Topics, contract: Contract
) -> None:
    """F12: by a sender's clock of 1970 its records would be deleted at once."""
    await apply_plan(bootstrap, topics, MEMBERS, contract=contract)
    name = topics.payments("hk", "BANKAHKH")
    await send(bootstrap, name, b"{}")
    partition = TopicPartition(name, 0)
    async with kafka.started(kafka.consumer(bootstrap)) as reader:
        reader.assign([partition])
        [record] = [record async for record in kafka.read_to_end(reader, partition)]
    assert record.timestamp > 1_700_000_000_000


async def test_the_broker_unpacks_what_senders_compress_and_refuses_a_bomb(
    kafka: EmbeddedKafka, bootstrap: str, topics: Topics, contract: Contract
) -> None:
    """FAULTS.md, compressed bomb: our readers would unpack it without a bound."""
    await apply_plan(bootstrap, topics, MEMBERS, contract=contract)
    name = topics.payments("hk", "BANKAHKH")
    plain = b"0123456789" * 1_000
    await send(bootstrap, name, plain, compression_type="gzip")
    [segment] = (kafka.data_dir / "data" / f"{name}-0").glob("*.log")
    assert plain in segment.read_bytes()
    limit = contract.topics["payments"].max_message_bytes
    bomb = {"compression_type": "gzip", "max_request_size": 4 * limit}
    with pytest.raises(MessageSizeTooLargeError):
        await send(bootstrap, name, bytes(limit + 1), **bomb)
