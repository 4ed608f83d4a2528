"""Reads topics as they grow and prints a line for each thing in them. Behind `clearing follow`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiokafka import TopicPartition

from clearing import kafka
from clearing.cli import lines
from clearing.cli.lines import Line
from clearing.cli.session import Session
from clearing.commanding.places import netting_sets
from clearing.failures import Failure
from clearing.metadata import existing
from clearing.names import Topics

_POLL_MS = 500


@dataclass(frozen=True)
class Follow:
    """lines: what a record's (key, value) is as data and for people. whole: the topic has one partition."""

    topic: str
    lines: Callable[[bytes | None, bytes], Iterator[Line]]
    whole: bool = False


def statuses(topics: Topics, participant: str) -> Follow:
    return Follow(topics.status(participant), lines.status_lines, whole=True)


def settlements(topics: Topics) -> Follow:
    return Follow(topics.settlements, lines.settlement_lines)


def rejected(topics: Topics) -> Follow:
    return Follow(topics.rejected, lines.rejected_lines)


def events(topics: Topics) -> Follow:
    return Follow(topics.journal, lines.event_lines)


async def follow(
    session: Session, what: Follow, netting_set: str | None, from_start: bool, count: int | None
) -> None:
    """Print lines until `count` of them, or for ever."""
    settings = session.settings
    directory = {} if what.whole else await netting_sets(settings, netting_set)
    numbers = [0] if what.whole else sorted(directory.values())
    partitions = [TopicPartition(what.topic, number) for number in numbers]
    left = count
    async with kafka.started(
        kafka.consumer(settings.bootstrap, client="clearing-follow", **kafka.AT_A_DISTANCE)
    ) as consumer:
        if not await existing(consumer, [what.topic]):
            raise Failure(f"there is no topic {what.topic}", "clearing scheme load SCHEME")
        consumer.assign(partitions)
        await (consumer.seek_to_beginning if from_start else consumer.seek_to_end)(*partitions)
        while left is None or left > 0:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    for data, text in what.lines(record.key, record.value or b""):
                        if left is not None:
                            if left <= 0:
                                return
                            left -= 1
                        if session.json:
                            session.line(data)
                        else:
                            session.out.print(text, highlight=False, soft_wrap=True)
