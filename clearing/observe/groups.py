"""Who is at work: members of the services' consumer groups, and what the groups have committed."""

from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from clearing.names import Topics
from clearing.observe.report import Member, Service

SERVICES = (
    "intake",
    "engine",
    "dispatch",
    "sink",
)  # groups of sinks carry their ledger: sink-<ledger>


async def service_groups(client: AIOKafkaAdminClient, topics: Topics) -> dict[str, list[str]]:
    """Groups of each service that exist."""
    existing = sorted(group for group, *_ in await client.list_consumer_groups())
    return {
        service: [
            group
            for group in existing
            if group == topics.group(service) or group.startswith(f"{topics.group(service)}-")
        ]
        for service in SERVICES
    }


async def services(client: AIOKafkaAdminClient, groups: dict[str, list[str]]) -> list[Service]:
    """Each service with its members; one nobody ever started has no group and no members."""
    result: list[Service] = []
    for service in SERVICES:
        for group in groups[service]:
            responses: list[Any] = await client.describe_consumer_groups([group])
            for response in responses:
                _, _, state, _, _, members, *_ = response.groups[0]
                who = [_member(member) for member in members]
                result.append(Service(name=service, group=group, state=state, members=who))
        if not groups[service]:
            result.append(Service(name=service, group="", state="Never started", members=[]))
    return result


def _member(described: tuple[object, ...]) -> Member:
    _, client, host, _, assignment, *_ = described
    assigned = 0
    if isinstance(assignment, bytes) and assignment:
        parts = ConsumerProtocolMemberAssignment.decode(assignment).assignment
        assigned = sum(len(partitions) for _, partitions in parts)
    return Member(client=str(client), host=str(host).removeprefix("/"), assigned=assigned)


async def committed(client: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """Offsets a group has committed; partitions without one are left out."""
    offsets = await client.list_consumer_group_offsets(group)
    return {partition: found.offset for partition, found in offsets.items() if found.offset >= 0}
