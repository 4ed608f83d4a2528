"""Forget all views, so that the next start builds them again from the engine's topics: `clearing views --rebuild`.

What is forgotten is told as such, key by key (readers see it go), and the group's offsets go back to the beginning.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CommitFailedError, UnknownMemberIdError

from clearing import kafka
from clearing.config import Settings
from clearing.failures import ExitCode, Failure
from clearing.names import VIEW_NAMES, ViewName
from clearing.reading import bounds
from clearing.views.faust_app import SESSION_TIMEOUT_S
from clearing.views.worker import require_topics

FOLDED: tuple[ViewName, ...] = tuple(view for view in VIEW_NAMES if view != "lag")
RETRY_S = 3.0


async def forget_views(
    settings: Settings,
    tell: Callable[[str], None] = lambda said: None,
    patience_s: float = SESSION_TIMEOUT_S + 5,
) -> dict[str, int]:
    """How many values of each view were forgotten. Samples of lag stay: they are not built from anything.

    patience_s: a process that had a name among its peers is a member of the group for a while after its end.
    Raises Failure if views run, whose tables would write on as if nothing were.
    """
    topics = settings.topics
    await require_topics(settings.bootstrap, topics)
    reader = kafka.consumer(settings.bootstrap, client="clearing-views-rebuild")
    group = kafka.consumer(
        settings.bootstrap, group=topics.group("views"), client="clearing-views-rebuild"
    )
    producer = kafka.producer(settings.bootstrap, client="clearing-views-rebuild")
    async with kafka.started(reader), kafka.started(group), kafka.started(producer):
        sources = [topics.journal, topics.settlements, topics.rejected, topics.outcomes]
        await _begin_anew(group, await _partitions(producer, sources), tell, patience_s)
        forgotten: dict[str, int] = {}
        for view in FOLDED:
            partitions = await _partitions(producer, [topics.view(view)])
            forgotten[view] = sum([await _forget(reader, producer, one) for one in partitions])
            tell(f"{view}: {forgotten[view]:,} values forgotten")
    return forgotten


async def _partitions(producer: AIOKafkaProducer, topics: Iterable[str]) -> list[TopicPartition]:
    return [
        TopicPartition(topic, number)
        for topic in topics
        for number in sorted(await producer.partitions_for(topic))
    ]


async def _begin_anew(
    group: AIOKafkaConsumer,
    sources: list[TopicPartition],
    tell: Callable[[str], None],
    patience_s: float,
) -> None:
    """The group's offsets back to the first record that is kept; Kafka refuses it while somebody is a member."""
    group.assign(sources)
    starts = {partition: first for partition, (first, _) in (await bounds(group, sources)).items()}
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            await group.commit(starts)
        except (CommitFailedError, UnknownMemberIdError) as error:
            if time.monotonic() >= deadline_s:
                raise Failure(
                    "the views are running",
                    "stop `clearing views` first, then again",
                    ExitCode.USAGE,
                ) from error
            tell("waiting for the last process of the views to be gone")
            await asyncio.sleep(RETRY_S)
        else:
            return


async def _forget(
    reader: AIOKafkaConsumer, producer: AIOKafkaProducer, partition: TopicPartition
) -> int:
    """A record without a value for every key of a partition that has one."""
    reader.assign([partition])
    kept: dict[bytes, None] = {}
    async for record in kafka.read_to_end(reader, partition):
        key = record.key or b""
        kept.pop(key, None)
        if record.value is not None:
            kept[key] = None
    sent = [await producer.send(partition.topic, None, key, partition.partition) for key in kept]
    for acknowledged in sent:
        await acknowledged
    return len(sent)
