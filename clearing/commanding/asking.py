"""Publishes a command and waits for what the engine says of it in the journal."""

import asyncio

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from clearing import kafka
from clearing.config import Settings
from clearing.core.commands import Command
from clearing.core.outputs import CommandEvent
from clearing.failures import Failure
from clearing.log.records import EVENT_KEY, decode_event

Answers = dict[tuple[str, str], CommandEvent]  # by netting set and command id


async def ask(
    settings: Settings,
    command: Command,
    netting_sets: dict[str, int],
    timeout_s: float,
    approved: str = "",
) -> list[CommandEvent]:
    """The answer of every netting set, in the order of their names.

    approved: id of a command that is applied when this one is done; its answer stands behind it. Raises Failure if
    one is missing after timeout_s.
    """
    value = msgspec.json.encode(command)
    consumer = kafka.consumer(settings.bootstrap, client="clearing-commands")
    producer = kafka.producer(settings.bootstrap, client="clearing-commands")
    async with kafka.started(consumer), kafka.started(producer):
        journals = [TopicPartition(settings.topics.journal, p) for p in netting_sets.values()]
        consumer.assign(journals)
        # From the ends as of before publishing: the answer can only stand behind them.
        for journal, end in (await consumer.end_offsets(journals)).items():
            consumer.seek(journal, end)
        for partition in netting_sets.values():
            await producer.send_and_wait(settings.topics.commands, value, partition=partition)
        found: Answers = {}
        missing = set(netting_sets)
        try:
            async with asyncio.timeout(timeout_s):
                while missing:
                    await _read_answers(consumer, {command.id, approved}, found)
                    missing = {
                        name for name in missing if not answered(found, name, command.id, approved)
                    }
        except TimeoutError:
            silent = ", ".join(sorted(missing))
            raise Failure(
                f"the command is published, but no engine has answered for {silent} in {timeout_s:g} s",
                "clearing status (are intake and engine at work?); the command may still be applied",
            ) from None
    wanted = [(name, each) for name in sorted(netting_sets) for each in (command.id, approved)]
    return [found[key] for key in wanted if key in found]


def answered(found: Answers, netting_set: str, command_id: str, approved: str) -> bool:
    """Whether nothing more is to come: of what is approved only if the approval was done."""
    answer = found.get((netting_set, command_id))
    if answer is None:
        return False
    return not approved or answer.status != "DONE" or (netting_set, approved) in found


async def _read_answers(consumer: AIOKafkaConsumer, ids: set[str], found: Answers) -> None:
    for records in (await consumer.getmany(timeout_ms=200)).values():
        for record in records:
            if record.key == EVENT_KEY and record.value:
                event = decode_event(record.value)
                if isinstance(event, CommandEvent) and event.id in ids:
                    found.setdefault((event.netting_set, event.id), event)
