"""Waits until the engine is where the log ended: in a running installation something is always on its way."""

import asyncio
import time

import msgspec
from aiokafka import TopicPartition

from clearing.live import last_transaction
from clearing.names import Topics
from clearing.reading import Reader

POLL_S = 0.1


async def until_reached(reader: Reader, topics: Topics, partition: int, patience_s: float) -> None:
    """Until the engine of a netting set has processed the log up to where it ends now, but no longer than
    patience_s. What keeps it from that is for the verification to find."""
    log, journal = (TopicPartition(topic, partition) for topic in (topics.log, topics.journal))
    goal = (await reader.bounds([log]))[log][1]
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            last = await last_transaction(reader, journal)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        if last is not None and last.next_offset >= goal:
            return
        await asyncio.sleep(POLL_S)
