"""What the doctor asks, check by check: Kafka, ledger, disks. It changes nothing; clearing.doctor.rules judge."""

import asyncio
import shutil
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import asyncpg
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import DescribeAclsRequest

from clearing import __version__
from clearing.config import Settings
from clearing.doctor import rules
from clearing.doctor.facts import Acl, Broker, Disk, Partition
from clearing.doctor.finding import Finding, failed, passed, warned
from clearing.doctor.log_dirs import broker_disks
from clearing.failures import Failure
from clearing.halts import decode_halt
from clearing.ledgers.schema import check_version, head_version
from clearing.messages import HaltRecord
from clearing.observe.sampler import Sampler
from clearing.observe.transactions import open_transactions
from clearing.observe.views import Latest
from clearing.reading import Partitions
from clearing.scheme.directory import read_directory
from clearing.topics.cluster import plan_cluster
from clearing.views.model import Heartbeat, LagSample, decode_heartbeat, decode_lag

LEDGER_TIMEOUT_S = 5
LAG_FRESH_S = 60.0
LAG_LOOKS, LAG_LOOK_S = 12, 1.0  # behaviour shows only over a while
_SECURITY_DISABLED = 54
_ANY = 1
_TOPIC = 2


class Given(NamedTuple):
    """What a check may ask with; clients are the doctor's own."""

    settings: Settings
    admin: AIOKafkaAdminClient
    reader: Partitions
    sampler: Sampler


Check = Callable[[Given], Awaitable[list[Finding]]]


async def brokers(given: Given) -> list[Finding]:
    """Who answers, who leads, which replicas are in sync."""
    cluster = await given.admin.describe_cluster()
    found = [Broker(one["node_id"], one["host"], one["port"]) for one in cluster["brokers"]]
    listed: list[dict[str, Any]] = await given.admin.describe_topics()
    partitions = [
        Partition(
            topic["topic"],
            one["partition"],
            one["leader"],
            len(one["replicas"]),
            len(one["isr"]),
        )
        for topic in listed
        if given.settings.topics.contains(topic["topic"])
        for one in topic["partitions"]
    ]
    return [rules.brokers(found, cluster["controller_id"]), rules.partitions(partitions)]


async def topics(given: Given) -> list[Finding]:
    """What `clearing topics plan` would change."""
    settings = given.settings
    directory = await read_directory(settings.bootstrap, settings.topics)
    plan = await plan_cluster(
        settings.bootstrap, settings.topics, netting_sets=max(directory.values(), default=-1) + 1
    )
    return rules.topics(plan)


async def transactions(given: Given) -> list[Finding]:
    """The brokers' settings, and transactions that nobody ends."""
    cluster = await given.admin.describe_cluster()
    ids = [one["node_id"] for one in cluster["brokers"]]
    configs = await _broker_configs(given.admin, ids[0])
    now_ms = int(time.time() * 1000)
    hanging = await open_transactions(given.admin, given.settings.topics, now_ms)
    return [
        *rules.transaction_settings(configs, len(ids)),
        rules.open_transactions(hanging, given.settings.bootstrap),
    ]


async def acls(given: Given) -> list[Finding]:
    """Asked for all rules about topics; a broker without an authorizer says that security is off."""
    request = DescribeAclsRequest(_TOPIC, None, _ANY, None, None, _ANY, _ANY)  # pyright: ignore[reportArgumentType]
    response: Any = await given.admin._send_request(request)
    topics = given.settings.topics
    written = (topics.outcomes, topics.settlements, topics.journal, topics.positions)
    if response.error_code == _SECURITY_DISABLED:
        return rules.acls(None, written)
    if response.error_code:
        error: type[KafkaError] = for_code(response.error_code)
        raise error(response.error_message)
    found = [
        Acl(principal, type_, name, pattern, operation, permission)
        for type_, name, pattern, allowed in response.resources
        for principal, _, operation, permission in allowed
    ]
    return rules.acls(found, written)


async def clocks(given: Given) -> list[Finding]:
    """As the views' probe saw it last."""
    sample = await _latest_lag(given)
    return rules.clocks(sample.clock_skew_ms if sample else None)


async def lag(given: Given) -> list[Finding]:
    """Who does not get on shows over a window: until nobody has anything left, or it is full."""
    sample = await given.sampler.sample()
    for _ in range(LAG_LOOKS):
        if not any(one.records for one in sample.stages if one.stage != "queue"):
            break
        await asyncio.sleep(LAG_LOOK_S)
        sample = await given.sampler.sample()
    return rules.lag(sample.stages)


async def disks(given: Given) -> list[Finding]:
    """The brokers' folders, and that of snapshots as seen from here."""
    cluster = await given.admin.describe_cluster()
    ids = [one["node_id"] for one in cluster["brokers"]]
    found = await broker_disks(given.admin, ids)
    folder = given.settings.snapshot_folder
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    found.append(Disk(f"snapshots, {given.settings.snapshot_folder}", usage.total, usage.free))
    return rules.disks(found)


async def ledger(given: Given) -> list[Finding]:
    """Whether it answers, has our schema, and how far it has posted."""
    dsn = given.settings.dsn
    if not dsn:
        return [
            warned("ledger", "none is given", "--dsn postgresql://…, if it is the built-in one")
        ]
    connection = await asyncpg.connect(dsn, timeout=LEDGER_TIMEOUT_S)
    try:
        await check_version(connection)
        rows = await connection.fetch(
            "SELECT ledger, netting_set, sequence, owner FROM clearing.progress ORDER BY 1, 2"
        )
    except Failure as error:
        return [failed("ledger", error.message, error.hint)]
    finally:
        await connection.close()
    posted = ", ".join(f"{row['netting_set']} to batch {row['sequence']}" for row in rows)
    return [passed("ledger", f"schema {head_version()}; posted: {posted or 'nothing yet'}")]


async def services(given: Given) -> list[Finding]:
    """Who lives by its heartbeat, and what has halted."""
    beats, halts = await _heartbeats(given), await _halts(given)
    return rules.services(beats, halts, int(time.time() * 1000))


async def versions(given: Given) -> list[Finding]:
    """Of all that live, and of this program."""
    now_ms = time.time() * 1000
    beats = await _heartbeats(given)
    late_ms = rules.HEARTBEAT_LATE_S * 1000
    return [rules.versions(__version__, [one for one in beats if now_ms - one.at_ms <= late_ms])]


CHECKS: Mapping[str, Check] = {
    "brokers": brokers,
    "topics": topics,
    "transactions": transactions,
    "acls": acls,
    "clocks": clocks,
    "lag": lag,
    "disk": disks,
    "ledger": ledger,
    "services": services,
    "versions": versions,
}


async def _broker_configs(admin: AIOKafkaAdminClient, broker: int) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.BROKER, str(broker))
    responses: list[Any] = await admin.describe_configs([resource])
    found: dict[str, str] = defaultdict(str)
    for response in responses:
        for code, message, _, _, entries in response.resources:
            if code:
                error: type[KafkaError] = for_code(code)
                raise error(message)
            found |= {key: value for key, value, *_ in entries if value is not None}
    return found


async def _heartbeats(given: Given) -> list[Heartbeat]:
    return await _all(given, given.settings.topics.heartbeats, decode_heartbeat)


async def _halts(given: Given) -> list[HaltRecord]:
    return await _all(given, given.settings.topics.halts, decode_halt)


async def _all(given: Given, topic: str, decode: Callable[[bytes], Any]) -> list[Any]:
    """The latest of each key of a compacted topic; nothing where it does not exist."""
    numbers = await _partitions_of(given.admin, topic)
    return await Latest(topic, decode).refresh(given.reader, numbers)


async def _latest_lag(given: Given) -> LagSample | None:
    """What views said last, unless it is old."""
    topic = given.settings.topics.view("lag")
    newest: LagSample | None = None
    for number in await _partitions_of(given.admin, topic):
        place = TopicPartition(topic, number)
        first, end = (await given.reader.bounds([place]))[place]
        async for records in given.reader.chunks(place, max(first, end - 4), end):
            for record in records:
                newest = decode_lag(record.value or b"")
    if newest is None or time.time() * 1000 - newest.at_ms > LAG_FRESH_S * 1000:
        return None
    return newest


async def _partitions_of(admin: AIOKafkaAdminClient, topic: str) -> list[int]:
    """Asked for by name it might be made; so all are listed."""
    listed: list[dict[str, Any]] = await admin.describe_topics()
    return [
        one["partition"] for each in listed if each["topic"] == topic for one in each["partitions"]
    ]
