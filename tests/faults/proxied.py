"""A broker behind a proxy, and what tests of bad networks ask again and again."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from clearing import kafka
from clearing.config import Settings
from clearing.dev.drill import Drill
from clearing.dev.kafka import NODE_ID, EmbeddedKafka
from clearing.dev.proxy import KafkaProxy
from clearing.dev.proxy_rules import Api, Exchange
from tests.faults.harness import settings_of, until

# For a machine with much else to do; on a quiet one nothing takes seconds.
PATIENCE_S = 120.0
COUNTS = {"intake": 1, "engine": 1, "dispatch": 1, "sink": 1}


@asynccontextmanager
async def broker_behind_proxy(
    folder: Path, **settings: object
) -> AsyncIterator[tuple[EmbeddedKafka, KafkaProxy]]:
    """A broker of one's own: to be stopped, killed, cut off."""
    authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
    secured = {"authorizer.class.name": authorizer, "allow.everyone.if.no.acl.found": "true"}
    async with (
        KafkaProxy() as proxy,
        EmbeddedKafka(
            folder / "kafka", heap_mib=512, settings=secured | settings, proxy_port=proxy.port
        ) as kafka,
    ):
        proxy.upstream = kafka.behind_proxy
        yield kafka, proxy


def both_settings(
    kafka: EmbeddedKafka, proxy: KafkaProxy, dsn: str, folder: Path
) -> tuple[Settings, Settings]:
    """For banks and auditors, who go straight to the broker; for the services, which do not."""
    straight = settings_of(kafka.bootstrap, dsn, "", folder)
    return straight, msgspec.structs.replace(straight, bootstrap=proxy.bootstrap)


def engine_of(netting_set: str) -> str:
    """Client id of who owns a netting set."""
    return f"clearing-engine-{netting_set}"


class Pace:
    """How far a netting set has got, to wait until it goes on."""

    def __init__(self, drill: Drill, netting_set: str) -> None:
        self._made = drill.watch.progress.transactions
        self.partition = drill.partitions[netting_set]
        self._name = netting_set

    @property
    def sequence(self) -> int:
        """Of the last transaction that a read_committed reader has seen."""
        made = self._made.get(self.partition)
        return made[-1][0] if made else 0

    async def goes_on(self, by: int = 3, timeout_s: float = PATIENCE_S) -> None:
        goal = self.sequence + by
        await until(lambda: self.sequence >= goal, f"{self._name} to go on", timeout_s)


def log_of(drill: Drill, name: str) -> str:
    return drill.services[name].log.read_text("utf-8")


async def until_said(drill: Drill, name: str, what: str, since: int = 0) -> None:
    await until(lambda: what in log_of(drill, name)[since:], f"{name} to say {what!r}", PATIENCE_S)


async def bounds(bootstrap: str, partition: TopicPartition) -> tuple[int, int]:
    """The last stable offset, up to which read_committed readers get, and the end."""
    ends: list[int] = []
    for level in ("read_committed", "read_uncommitted"):
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level=level) as reader:
            ends.append((await reader.end_offsets([partition]))[partition])
    return ends[0], ends[1]


def error_codes(exchange: Exchange) -> set[int]:
    """What the broker said, of each partition where it says so."""
    response = exchange.decode_response()
    match exchange.request.api:
        case Api.PRODUCE:
            return {code for _, partitions in response.topics for _, code, *_ in partitions}
        case Api.ADD_PARTITIONS_TO_TXN:
            return {code for _, partitions in response.errors for _, code in partitions}
        case _:
            return {response.error_code}


async def run_clearing(settings: Settings, *arguments: str) -> None:
    """The command as a user runs it; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clearing", *arguments, "--bootstrap", settings.bootstrap),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


# Kafka's numbers: a topic by its very name; any, read, write; deny, allow.
_TOPIC, _LITERAL, _ANY, _READ, _WRITE, _DENY, _ALLOW = 2, 3, 1, 3, 4, 2, 3


async def forbid_writing(bootstrap: str, topic: str) -> None:
    """To everybody, from now on; reading stays allowed."""
    async with kafka.administration(bootstrap) as admin:
        for operation, permission in ((_READ, _ALLOW), (_WRITE, _DENY)):
            rule = (_TOPIC, topic, _LITERAL, "User:*", "*", operation, permission)
            response = await admin._client.send(NODE_ID, CreateAclsRequest(*rule))
            assert [code for code, *_ in response.creation_responses] == [0]


async def allow_writing(bootstrap: str, topic: str) -> None:
    async with kafka.administration(bootstrap) as admin:
        every: Any = None
        rule = (_TOPIC, topic, _LITERAL, every, every, _ANY, _ANY)
        response = await admin._client.send(NODE_ID, DeleteAclsRequest(*rule))
        assert [code for code, *_ in response.filter_responses] == [0]
