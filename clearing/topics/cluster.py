"""A cluster's topics as they are, and the plan carried out: what `clearing topics plan` and `apply` do.

The difference itself is worked out by clearing.topics.plan. Clients come from clearing.kafka.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidPartitionsError,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from clearing.kafka import administration, consumer, started
from clearing.names import PROBE, Topics
from clearing.topics.contract import Contract, Wanted, read_contract, wanted_topics
from clearing.topics.plan import AddPartitions, Change, Create, Existing, Plan, SetConfigs, plan

APPLY_TIMEOUT_S = 60.0
_RETRY_S = 0.2
_SET_ON_TOPIC = 1  # DescribeConfigs' config_source of a topic's own settings

Members = Mapping[str, Sequence[str]]  # netting set → its participants

_log = structlog.get_logger()


async def plan_cluster(
    bootstrap: str,
    topics: Topics,
    members: Members | None = None,
    *,
    netting_sets: int = 0,
    contract: Contract | None = None,
) -> Plan:
    """What has to change on the cluster.

    members: of the scheme (`Scheme.members`); None: those who have topics already. netting_sets: how many numbers
    the directory needs. Raises KafkaError.
    """
    async with administration(bootstrap) as admin:
        return await _plan(admin, bootstrap, topics, members, netting_sets, contract)


async def apply_plan(
    bootstrap: str,
    topics: Topics,
    members: Members | None = None,
    *,
    netting_sets: int = 0,
    contract: Contract | None = None,
) -> Plan:
    """Make the topics as they should be and wait until they are; returns what was done.

    With refusals in the plan nothing is done. Safe to run twice at once. Raises KafkaError where the cluster
    refuses, TimeoutError where it does not follow within APPLY_TIMEOUT_S.
    """
    done: list[Change] = []
    async with administration(bootstrap) as admin, asyncio.timeout(APPLY_TIMEOUT_S):
        current = await _plan(admin, bootstrap, topics, members, netting_sets, contract)
        while current.changes and not current.refusals:
            made = await _carry_out(admin, current)
            done += [change for change in made if change not in done]
            current = await _plan(admin, bootstrap, topics, members, netting_sets, contract)
            if current.changes:
                await asyncio.sleep(_RETRY_S)  # the cluster's metadata follows a moment later
    if done:
        _log.info("topics_applied", changes=len(done))
    return Plan(done, current.refusals, current.notes)


async def _plan(
    admin: AIOKafkaAdminClient,
    bootstrap: str,
    topics: Topics,
    members: Members | None,
    netting_sets: int,
    contract: Contract | None,
) -> Plan:
    contract = contract or read_contract()
    listed: list[dict[str, Any]] = await admin.describe_topics()  # all: naming one would make it
    partitions = {topic["topic"]: topic["partitions"] for topic in listed}
    owned = _members_on(partitions, topics)
    brokers = len((await admin.describe_cluster())["brokers"])
    wanted = wanted_topics(
        contract, topics, owned if members is None else members, netting_sets, brokers
    )
    existing = await _describe(admin, bootstrap, partitions, wanted)
    result = plan(existing, wanted)
    if members is not None:
        result.notes += [
            f"{topics.payments(netting_set, participant)}: not in the scheme; it stays"
            for netting_set, participants in owned.items()
            for participant in participants
            if participant != PROBE and participant not in members.get(netting_set, ())
        ]
    return result


def _members_on(partitions: Mapping[str, object], topics: Topics) -> dict[str, list[str]]:
    """Who has a payments topic on the cluster, by netting set."""
    owned: dict[str, list[str]] = {}
    for name in sorted(partitions):
        if parsed := topics.parse_payments(name):
            owned.setdefault(parsed[0], []).append(parsed[1])
    return owned


async def _describe(
    admin: AIOKafkaAdminClient,
    bootstrap: str,
    partitions: Mapping[str, list[dict[str, Any]]],
    wanted: Sequence[Wanted],
) -> dict[str, Existing]:
    """What there is of the topics wanted. Whether one is empty is asked only where its configs have to change."""
    names = [topic.name for topic in wanted if topic.name in partitions]
    configs, own = await _describe_configs(admin, names) if names else ({}, {})
    differing = [
        topic.name
        for topic in wanted
        if topic.name in configs and not topic.configs.items() <= configs[topic.name].items()
    ]
    empty = await _empty_topics(bootstrap, {name: len(partitions[name]) for name in differing})
    return {
        name: Existing(
            name=name,
            partitions=len(partitions[name]),
            replication=min(len(partition["replicas"]) for partition in partitions[name]),
            configs=configs[name],
            own=own[name],
            empty=name in empty,
        )
        for name in names
        if name in configs
    }


async def _describe_configs(
    admin: AIOKafkaAdminClient, names: Sequence[str]
) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """(configs in force, configs set on the topic itself) by topic; none of one that has just gone."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs: dict[str, dict[str, str]] = {}
    own: dict[str, dict[str, str]] = {}
    responses: list[Any] = await admin.describe_configs(resources)
    for response in responses:
        for code, message, _, name, entries in response.resources:
            if code == UnknownTopicOrPartitionError.errno:
                continue
            _raise_for(code, f"configs of {name}: {message}")
            configs[name] = {key: value for key, value, *_ in entries}
            own[name] = {key: value for key, value, _, at, *_ in entries if at == _SET_ON_TOPIC}
    return configs, own


async def _empty_topics(bootstrap: str, counts: Mapping[str, int]) -> set[str]:
    """Topics that hold no record, committed or not."""
    if not counts:
        return set()
    everything = [TopicPartition(name, n) for name, count in counts.items() for n in range(count)]
    async with started(consumer(bootstrap, isolation_level="read_uncommitted")) as reader:
        first = await reader.beginning_offsets(everything)
        end = await reader.end_offsets(everything)
    full = {partition.topic for partition in everything if end[partition] > first[partition]}
    return counts.keys() - full


async def _carry_out(admin: AIOKafkaAdminClient, wanted: Plan) -> list[Change]:
    """One attempt at every change; those that were made. What somebody else has done meanwhile is no error."""
    made: list[Change] = []
    create = {change.topic.name: change for change in wanted.changes if isinstance(change, Create)}
    if create:
        response: Any = await admin.create_topics(
            [
                NewTopic(t.name, t.partitions, t.replication, topic_configs=t.configs)
                for t in (change.topic for change in create.values())
            ]
        )
        for name, code, message in response.topic_errors:
            if code != TopicAlreadyExistsError.errno:
                _raise_for(code, f"topic {name}: {message}")
                made.append(create[name])
    for change in wanted.changes:
        if isinstance(change, AddPartitions):
            try:
                await admin.create_partitions({change.name: NewPartitions(change.after)})
                made.append(change)
            except InvalidPartitionsError as error:  # as many already, or the next plan tells
                _log.debug("partitions_not_added", error=str(error))
    alter = {change.name: change for change in wanted.changes if isinstance(change, SetConfigs)}
    if alter:
        resources = [
            ConfigResource(ConfigResourceType.TOPIC, name, dict(change.own))
            for name, change in alter.items()
        ]
        responses: list[Any] = await admin.alter_configs(resources)
        for response in responses:
            for code, message, _, name in response.resources:
                _raise_for(code, f"configs of {name}: {message}")
                made.append(alter[name])
    return made


def _raise_for(code: int, what: str) -> None:
    error: type[KafkaError] = for_code(code)
    if code:
        raise error(what)
