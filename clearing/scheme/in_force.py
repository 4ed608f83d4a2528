"""When what was published is in force: the engine has answered every command, in its journal."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from clearing import kafka
from clearing.config import Settings
from clearing.core.outputs import CommandEvent
from clearing.failures import Failure
from clearing.log.records import EVENT_KEY, decode_event
from clearing.scheme.directory import read_directory, read_values

TIMEOUT_S = 120.0
POLL_MS = 100

Tell = Callable[[int, int], None]  # how many are answered, and of how many


class _Command(msgspec.Struct):
    id: str


def silent(_: int, __: int) -> None:
    """Nobody wants to know how far it is."""


async def journal_ends(settings: Settings) -> dict[int, int]:
    """Where the netting sets' journals end, by partition: answers to what is published from now on stand behind."""
    try:
        directory = await read_directory(settings.bootstrap, settings.topics)
    except UnknownTopicOrPartitionError:
        return {}  # no scheme was ever loaded
    journals = [TopicPartition(settings.topics.journal, number) for number in directory.values()]
    if not journals:
        return {}
    async with kafka.started(
        kafka.consumer(settings.bootstrap, client="clearing-scheme")
    ) as reader:
        ends = await reader.end_offsets(journals)
    return {journal.partition: end for journal, end in ends.items()}


async def in_force(
    settings: Settings,
    partitions: Mapping[str, int],
    timeout_s: float = TIMEOUT_S,
    *,
    only: Mapping[str, Iterable[str]] | None = None,
    since: Mapping[int, int] | None = None,
    tell: Tell = silent,
) -> list[CommandEvent]:
    """Wait until the engine has answered the commands of these netting sets; what it says of each.

    Services that are ready may read payments a while before commands that are older: another intake may have their
    partition. Banks that publish earlier are refused as unknown.

    partitions: by netting set. only: ids of commands by netting set; None: all that were ever published. since:
    where to begin in the journal, by partition; elsewhere with its first record. Raises Failure, with the netting
    sets in which commands have no answer, after timeout_s.
    """
    missing = {name: set(only.get(name, ()) if only else ()) for name in partitions}
    found: list[CommandEvent] = []
    journals = {TopicPartition(settings.topics.journal, n): name for name, n in partitions.items()}
    try:
        async with (
            asyncio.timeout(timeout_s),
            kafka.started(kafka.consumer(settings.bootstrap, client="clearing-scheme")) as reader,
        ):
            if only is None:
                for name, number in partitions.items():
                    values = await read_values(reader, settings.topics.commands, number)
                    missing[name] = {_identity(value) for value in values if value}
            published = sum(map(len, missing.values()))
            await _begin(reader, journals, since or {})
            while left := sum(map(len, missing.values())):
                tell(published - left, published)
                for journal, records in (await reader.getmany(timeout_ms=POLL_MS)).items():
                    name = journals[journal]
                    answers = [a for a in map(_answer, records) if a and a.id in missing[name]]
                    missing[name] -= {each.id for each in answers}
                    found += answers
            return found
    except TimeoutError:
        silent_ones = ", ".join(f"{name} ({len(ids)})" for name, ids in missing.items() if ids)
        raise Failure(
            f"commands are published, but no engine has answered in {timeout_s:g} s: "
            f"{silent_ones or 'Kafka is slow'}",
            "clearing status (are intake and engine at work?); they are applied as soon as these are",
        ) from None


async def _begin(
    reader: AIOKafkaConsumer, journals: Mapping[TopicPartition, str], since: Mapping[int, int]
) -> None:
    reader.assign(list(journals))
    from_the_first = [each for each in journals if each.partition not in since]
    if from_the_first:
        await reader.seek_to_beginning(*from_the_first)
    for each in journals:
        if each.partition in since:
            reader.seek(each, since[each.partition])


def _identity(value: bytes) -> str:
    return msgspec.json.decode(value, type=_Command).id


def _answer(record: kafka.RawRecord) -> CommandEvent | None:
    event = decode_event(record.value or b"") if record.key == EVENT_KEY else None
    return event if isinstance(event, CommandEvent) else None
