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


async def ask(
    settings: Settings, command: Command, netting_sets: dict[str, int], timeout_s: float
) -> list[CommandEvent]:
    """The answer of every netting set. Raises Failure if one is missing after timeout_s."""
    value = msgspec.json.encode(command)
    consumer = kafka.consumer(settings.bootstrap, client="clearing-cli")
    producer = kafka.producer(settings.bootstrap, client="clearing-cli")
    async with kafka.started(consumer), kafka.started(producer):
        journals = [TopicPartition(settings.topics.journal, p) for p in netting_sets.values()]
        consumer.assign(journals)
        # From the ends as of before publishing: the answer can only stand behind them.
        for journal, end in (await consumer.end_offsets(journals)).items():
            consumer.seek(journal, end)
        for partition in netting_sets.values():
            await producer.send_and_wait(settings.topics.commands, value, partition=partition)
        answers: dict[str, CommandEvent] = {}
        try:
            async with asyncio.timeout(timeout_s):
                while len(answers) < len(netting_sets):
                    answers |= await _answers(consumer, command.id)
        except TimeoutError:
            silent = ", ".join(sorted(netting_sets.keys() - answers.keys()))
            raise Failure(
                f"the command is published, but no engine has answered for {silent} in {timeout_s:g} s",
                "clearing status (are intake and engine at work?); the command may still be applied",
            ) from None
    return [answers[name] for name in sorted(answers)]


async def _answers(consumer: AIOKafkaConsumer, command_id: str) -> dict[str, CommandEvent]:
    found: dict[str, CommandEvent] = {}
    for records in (await consumer.getmany(timeout_ms=200)).values():
        for record in records:
            if record.key == EVENT_KEY and record.value:
                event = decode_event(record.value)
                if isinstance(event, CommandEvent) and event.id == command_id:
                    found.setdefault(event.netting_set, event)
    return found
