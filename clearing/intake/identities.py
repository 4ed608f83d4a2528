"""Which topics the sources are: their ids as this process saw them first, for as long as it runs.

A topic that is deleted and made again keeps its name, but its offsets begin anew; Kafka forgets what the group
had committed of it. The group's metadata carries the id too, for the processes after this one.
"""

import asyncio
from collections.abc import Collection, Iterable

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from clearing.intake.sources import SourceStopped, recreated
from clearing.topic_ids import topic_ids

ATTEMPTS = 5  # a broker that was asked may be restarting: the next one is asked
RETRY_S = 0.2


class Identities:
    """Outlives the sessions of a worker."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, topic: str) -> str:
        """Its id as it was seen first, "" if that is not known."""
        return self._known.get(topic, "")

    async def recognise(
        self, consumer: AIOKafkaConsumer, topics: Iterable[str]
    ) -> dict[str, SourceStopped]:
        """Learn the ids of new topics; those that are not what they were, and why. Raises KafkaError."""
        wanted = sorted(topics)
        if not wanted:
            return {}
        found = await _ids(consumer, wanted)
        strangers: dict[str, SourceStopped] = {}
        for topic, now in found.items():
            before = self._known.setdefault(topic, now)
            if now != before:
                strangers[topic] = recreated(topic, before, now)
        return strangers

    async def require(
        self, consumer: AIOKafkaConsumer, read_as: Collection[tuple[str, str]]
    ) -> dict[str, SourceStopped]:
        """Topics that are not the one that this process knows, or that the group has read, and why.

        read_as: (topic, id that the group has read it as, "" if unknown) for each partition. Raises KafkaError.
        """
        strangers = await self.recognise(consumer, {topic for topic, _ in read_as})
        for topic, before in read_as:
            now = self.of(topic)
            if before and now and before != now and topic not in strangers:
                self._known[topic] = before
                strangers[topic] = recreated(topic, before, now)
        return strangers


async def _ids(consumer: AIOKafkaConsumer, topics: list[str]) -> dict[str, str]:
    for _ in range(ATTEMPTS - 1):
        try:
            return await topic_ids(consumer._client, topics)
        except KafkaError:
            await asyncio.sleep(RETRY_S)
    return await topic_ids(consumer._client, topics)
