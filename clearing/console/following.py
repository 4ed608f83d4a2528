"""Keeps the board up with its topics: one consumer, read on for as long as the console runs.

A topic that does not exist yet is waited for, never asked for (asking may make it). Without Kafka the board stands
still and says so.
"""

import asyncio
import time

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from clearing import kafka
from clearing.config import Settings
from clearing.console.board import LAG_SAMPLES, Board
from clearing.names import Topics

POLL_MS = 250
FIRST_LOOK_S, LOOK_S = (
    0.3,
    5.0,
)  # for topics and netting sets that are new, and whether Kafka still answers
LOOK_TIMEOUT_S = 4.0
STALE_S = 12.0
RETRY_S = 2.0

_log = structlog.get_logger()


class Following:
    """The board's reader. `reached_s`: when Kafka last answered, on the monotonic clock; None: never yet.

    missing: topics of the board that do not exist. client: its name towards Kafka.
    """

    def __init__(self, settings: Settings, board: Board, client: str = "clearing-console") -> None:
        self._settings = settings
        self._client = client
        self._topics: Topics = settings.topics
        self._board = board
        self._next: dict[TopicPartition, int] = {}
        self.reached_s: float | None = None
        self.missing: set[str] = set(board.topics)
        self.is_caught_up = asyncio.Event()  # all there was at the start has been read once
        self.changed = asyncio.Event()

    @property
    def is_stale(self) -> bool:
        return self.reached_s is None or time.monotonic() > self.reached_s + STALE_S

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            reading = kafka.consumer(self._settings.bootstrap, client=self._client)
            try:
                async with kafka.started(reading):
                    await self._follow(reading)
            except (KafkaError, TimeoutError, OSError) as error:
                _log.warning("console_cannot_read", error=repr(error))
            await asyncio.sleep(RETRY_S)

    async def _follow(self, reading: AIOKafkaConsumer) -> None:
        look_at_s = 0.0
        while True:
            if time.monotonic() >= look_at_s:
                await self._look(reading)
                again_s = LOOK_S if self.is_caught_up.is_set() else FIRST_LOOK_S
                look_at_s = time.monotonic() + again_s
            if not reading.assignment():
                await asyncio.sleep(POLL_MS / 1000)
                continue
            if await self._read(reading):
                look_at_s = 0.0  # a netting set is new

    async def _look(self, reading: AIOKafkaConsumer) -> None:
        """Which partitions there are to be read. Raises KafkaError, TimeoutError where Kafka does not answer."""
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            existing = await reading.topics()
            self.missing = {topic for topic in self._board.topics if topic not in existing}
            wanted = {
                TopicPartition(topic, number)
                for topic in self._board.topics
                if topic in existing
                for number in self._numbers(topic)
            }
            if wanted != reading.assignment():
                await self._assign(reading, wanted)
            if wanted:  # known from the broker, not from what was fetched before
                ends = await reading.end_offsets(list(wanted))
                if all(self._next.get(each, 0) >= end for each, end in ends.items()):
                    self._have_caught_up()
        self.reached_s = time.monotonic()

    def _numbers(self, topic: str) -> list[int]:
        return [0] if topic in self._board.single else sorted(self._board.directory.values())

    def _have_caught_up(self) -> None:
        if self._board.directory or self._topics.netting_sets in self.missing:
            self.is_caught_up.set()

    async def _assign(self, reading: AIOKafkaConsumer, wanted: set[TopicPartition]) -> None:
        """New partitions from their beginning, of the lag only its last samples; the others where they stood."""
        reading.assign(list(wanted))
        firsts = await reading.beginning_offsets(list(wanted))
        ends = await reading.end_offsets(list(wanted))
        for each in wanted:
            first, end = firsts[each], ends[each]
            at = self._next.get(each, -1)
            if (
                not first <= at <= end
            ):  # new to us, or not what it was: retention, or a topic made anew
                at = max(first, end - LAG_SAMPLES) if self._is_lag(each) else first
            self._next[each] = at
            reading.seek(each, at)

    def _is_lag(self, partition: TopicPartition) -> bool:
        return partition.topic == self._topics.view("lag")

    async def _read(self, reading: AIOKafkaConsumer) -> bool:
        """Take what has come. Whether the directory has grown."""
        known = len(self._board.directory)
        batches = await reading.getmany(timeout_ms=POLL_MS)
        for partition, records in batches.items():
            for record in records:
                where = f"{partition.topic}-{partition.partition} offset {record.offset}"
                self._board.take(partition.topic, where, record.key, record.value, record.timestamp)
            self.reached_s = time.monotonic()
        for partition in reading.assignment():  # markers move it too
            self._next[partition] = await reading.position(partition)
        if batches:
            self.changed.set()
        return len(self._board.directory) > known
