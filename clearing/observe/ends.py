"""Where partitions begin and end, for many at once: first kept offset, last stable one, and the end behind it.

A consumer looks such things up one unknown topic after the other; here they are three requests to each broker.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    NotLeaderForPartitionError,
    for_code,
)
from aiokafka.protocol.offset import OffsetRequest

METADATA_EVERY_S = 10.0
LEADER_TIMEOUT_S, LEADER_POLL_S = 5.0, 0.1
_EARLIEST, _LATEST = -2, -1
_UNCOMMITTED, _COMMITTED = 0, 1


class Extent(NamedTuple):
    """first: of what is kept. stable: nothing from here on is decided, so that nobody reads it yet. end: of all."""

    first: int
    stable: int
    end: int


class Ends:
    """Asks the leaders; who leads what is known for METADATA_EVERY_S, or until one says that it does not."""

    def __init__(self, admin: AIOKafkaAdminClient) -> None:
        self._admin = admin
        self._cluster: ClusterMetadata | None = None
        self._known_at = 0.0

    async def of(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Extent]:
        """Raises KafkaError, of a partition that does not exist too.

        A leader that is only just chosen, of a new topic or after a broker's end, is waited for a while.
        """
        wanted = list(dict.fromkeys(partitions))
        deadline_s = time.monotonic() + LEADER_TIMEOUT_S
        while True:
            try:
                return await self._once(wanted)
            except (LeaderNotAvailableError, NotLeaderForPartitionError):
                self._cluster = None
                if time.monotonic() >= deadline_s:
                    raise
            except KafkaError:
                self._cluster = None
                raise
            await asyncio.sleep(LEADER_POLL_S)

    async def _once(self, wanted: list[TopicPartition]) -> dict[TopicPartition, Extent]:
        first, stable, end = await asyncio.gather(
            self._ask(wanted, _EARLIEST, _UNCOMMITTED),
            self._ask(wanted, _LATEST, _COMMITTED),
            self._ask(wanted, _LATEST, _UNCOMMITTED),
        )
        # The end was asked for at another moment: it is never before what is stable.
        return {p: Extent(first[p], stable[p], max(stable[p], end[p])) for p in wanted}

    async def _ask(
        self, wanted: list[TopicPartition], what: int, isolation: int
    ) -> dict[TopicPartition, int]:
        asked: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        cluster = await self._metadata()
        for partition in wanted:
            leader = cluster.leader_for_partition(partition)
            if leader is None or leader < 0:
                raise LeaderNotAvailableError(f"{partition.topic}-{partition.partition}")
            asked[leader][partition.topic].append((partition.partition, what))
        responses = await asyncio.gather(
            *(
                self._admin._client.send(node, OffsetRequest(-1, isolation, list(topics.items())))
                for node, topics in asked.items()
            )
        )
        found: dict[TopicPartition, int] = {}
        for response in responses:
            for topic, answers in response.topics:
                for number, code, *_, offset in answers:
                    if code:
                        error: type[KafkaError] = for_code(code)
                        raise error(f"{topic}-{number}")
                    found[TopicPartition(topic, number)] = offset
        return found

    async def _metadata(self) -> ClusterMetadata:
        now = time.monotonic()
        if self._cluster is None or now - self._known_at > METADATA_EVERY_S:
            cluster: Any = await self._admin._client.fetch_all_metadata()
            self._cluster, self._known_at = cluster, now
            return cluster
        return self._cluster
