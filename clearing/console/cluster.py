"""What only Kafka itself knows: the members of the services' groups, and transactions that hold readers up."""

import asyncio
import time
from typing import NamedTuple

import structlog
from aiokafka.errors import KafkaError

from clearing import kafka
from clearing.config import Settings
from clearing.observe.groups import service_groups, services
from clearing.observe.report import Service
from clearing.observe.transactions import OpenTransaction, open_transactions

TIMEOUT_S = 8.0
AGAIN_S = 2.0

_log = structlog.get_logger()


class Standing(NamedTuple):
    """At one moment."""

    groups: list[Service]
    transactions: list[OpenTransaction]


class Cluster:
    """Asked at most every AGAIN_S, whoever looks; one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._asking = asyncio.Lock()
        self._asked_s = 0.0
        self._known: Standing | None = None

    async def now(self) -> Standing | None:
        """None: Kafka did not answer in time."""
        async with self._asking:
            if not self._asked_s or time.monotonic() - self._asked_s > AGAIN_S:
                self._known = await self._ask()
                self._asked_s = time.monotonic()
            return self._known

    async def _ask(self) -> Standing | None:
        topics = self._settings.topics
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                kafka.administration(self._settings.bootstrap) as admin,
            ):
                groups = await services(admin, await service_groups(admin, topics))
                at_ms = int(time.time() * 1000)
                return Standing(groups, await open_transactions(admin, topics, at_ms))
        except (KafkaError, TimeoutError, OSError) as error:
            _log.warning("cluster_not_asked", error=repr(error))
            return None
