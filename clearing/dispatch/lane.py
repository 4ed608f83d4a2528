"""One netting set: `outcomes` and the `log` partition of the same number, read side by side and told to the banks.

At least once, in the order (log_offset, index). It starts where the group's offset says, looks at the end of each
status topic it is to write to, and leaves out what stands there already.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from clearing import failpoints
from clearing.core.faults import Halt, HaltKind
from clearing.core.outputs import Resolutions, WindowEvent
from clearing.dispatch import metrics
from clearing.dispatch.frames import BankRecord
from clearing.dispatch.outbox import Delivery, Outbox
from clearing.dispatch.resolutions import resolution_records
from clearing.dispatch.statuses import final_records, status_records
from clearing.dispatch.told import Place, StatusTopics
from clearing.halts import as_halt
from clearing.kafka import RawRecord
from clearing.log.records import (
    OUTCOMES_KEY,
    RESOLUTION_KEY,
    WINDOW_KEY,
    UnreadableLog,
    decode_event,
    decode_outcomes,
    decode_resolutions,
    log_offset_of,
    outcomes_header,
)
from clearing.names import Topics
from clearing.reading import bounds

POLL_MS = 500
RECORDS_PER_POLL = 32
_PASSING = (KafkaError, OSError, TimeoutError)

_log = structlog.get_logger()


class Notice(NamedTuple):
    """One record for the status topic of `participant`; number: its index, see clearing.messages.StatusRecord."""

    participant: str
    number: int
    value: bytes | memoryview


class Lane:
    """Tells the banks of one netting set. `run` ends only by cancellation or by an error.

    A reader each: aiokafka fetches nothing from a broker for 100 ms while some of what it has is not consumed,
    and of the log there is always more than outcomes.
    Halt: it must not go on without a person; KafkaError, OSError, TimeoutError: to be begun anew.
    """

    def __init__(
        self,
        outcomes_reader: AIOKafkaConsumer,
        log_reader: AIOKafkaConsumer,
        topics: Topics,
        partition: int,
        statuses: StatusTopics,
        outbox: Outbox,
    ) -> None:
        self.outcomes = TopicPartition(topics.outcomes, partition)
        self.log = TopicPartition(topics.log, partition)
        self.netting_set = ""  # known from the first record on
        self._outcomes_reader = outcomes_reader
        self._log_reader = log_reader
        self._topics = topics
        self._statuses = statuses
        self._outbox = outbox
        self._deliveries: deque[Delivery] = deque()
        self._committable: int | None = None
        self._log_ahead: Iterator[RawRecord] = iter(())
        self._log_offset = -1
        self._answered = -1  # the last log offset whose rows were told of
        self._indexes: defaultdict[str, int] = defaultdict(int)  # next one of _log_offset, by bank
        self._told: dict[str, Place | None] = {}  # at the start of this lane, by bank
        self._without_topic: set[str] = set()
        self._unread = 0

    async def run(self, committed: int | None) -> None:
        """Tell everything from `committed` on, the group's offset in `outcomes`; None: from the first record."""
        reader = self._outcomes_reader
        try:
            await self._position(committed)
            while True:
                batches = await reader.getmany(
                    self.outcomes, timeout_ms=POLL_MS, max_records=RECORDS_PER_POLL
                )
                for record in batches.get(self.outcomes, ()):
                    failpoints.at("dispatch.read")
                    await self._outbox.room()
                    try:
                        await self._tell(record)
                    except _PASSING:
                        raise
                    except Exception as error:
                        raise as_halt(error).at(*self.outcomes, record.offset) from error
                    await asyncio.sleep(0)  # heartbeats and the senders get their turn
                end = reader.last_stable_offset(self.outcomes) or 0
                self._unread = max(0, end - await reader.position(self.outcomes))
        except OffsetOutOfRangeError as error:
            raise Halt(
                HaltKind.LOG_LOST, f"records to be told are gone from the topic: {error}"
            ) from error

    def committable(self) -> int | None:
        """Offset of `outcomes` below which everything is acknowledged; None: nothing was told yet."""
        while self._deliveries and not self._deliveries[0].pending:
            self._committable = self._deliveries.popleft().next_offset
        return self._committable

    def lag(self) -> tuple[int, int | None]:
        """Records of `outcomes` not told yet, and the time (epoch ms) of the oldest of them that was read."""
        oldest = self._deliveries[0].time_ms if self._deliveries else None
        return self._unread + len(self._deliveries), oldest

    async def _position(self, committed: int | None) -> None:
        """Begin with the first record of a log offset, so that its records are numbered as they were before."""
        self._outcomes_reader.assign([self.outcomes])
        self._log_reader.assign([self.log])
        start, end = (await bounds(self._outcomes_reader, [self.outcomes]))[self.outcomes]
        log_start = (await self._log_reader.beginning_offsets([self.log]))[self.log]
        if committed is not None:
            if not start <= committed <= end:
                raise Halt(
                    HaltKind.LOG_LOST,
                    f"{self.outcomes.topic}-{self.outcomes.partition} was told up to {committed}, "
                    f"but holds {start} to {end}: records are lost",
                )
            below = self._statuses.last_below
            last = await below(self.outcomes, committed, lambda record: (_log_offset(record),))
            if last is not None:
                log_start = last[0]
                before = await below(
                    self.outcomes,
                    committed,
                    lambda record: record.offset if _log_offset(record) != log_start else None,
                )
                start = start if before is None else before + 1
        self._outcomes_reader.seek(self.outcomes, start)
        self._log_reader.seek(self.log, log_start)
        _log.info(
            "dispatching", partition=self.outcomes.partition, start=start, committed=committed
        )

    async def _tell(self, record: RawRecord) -> None:
        notices = await self._notices(record)
        await self._look_up({notice.participant for notice in notices})
        # From here on without waiting: all of the record's notices are queued or none.
        delivery = Delivery(record.offset + 1, record.timestamp)
        key = self.netting_set.encode()
        results = {"told": 0, "known": 0, "no_topic": 0}
        for participant, index, value in notices:
            if participant in self._without_topic:
                results["no_topic"] += 1
            elif (self._log_offset, index) <= (self._told[participant] or (-1, 0)):
                results["known"] += 1
            else:
                results["told"] += 1
                self._outbox.put(self._topics.status(participant), key, value, delivery)
        self._deliveries.append(delivery)
        for result, number in results.items():
            metrics.records.labels(self.netting_set, result).inc(number)

    async def _notices(self, record: RawRecord) -> list[Notice]:
        """What an outcomes record has to say to whom, numbered within its log offset."""
        if record.value is None:
            raise UnreadableLog(f"outcomes offset {record.offset} is empty")
        try:
            if record.key == OUTCOMES_KEY:
                return await self._status_notices(record.value)
            if record.key == RESOLUTION_KEY:
                return self._resolution_notices(decode_resolutions(record.value))
            if record.key == WINDOW_KEY:
                event = decode_event(record.value)
                if isinstance(event, WindowEvent):
                    return self._final_notices(event)
        except ValueError as error:  # msgspec's and pyarrow's errors are such
            raise UnreadableLog(
                f"outcomes offset {record.offset} cannot be read: {error}"
            ) from error
        raise UnreadableLog(f"outcomes offset {record.offset} has the unknown kind {record.key!r}")

    async def _status_notices(self, value: bytes) -> list[Notice]:
        header = outcomes_header(value)
        self._advance(header.netting_set, header.log_offset)
        if header.log_offset == self._answered:
            raise Halt(
                HaltKind.FOREIGN_WRITER,
                f"the rows of log offset {header.log_offset} are answered twice: the engine does that once",
            )
        self._answered = header.log_offset
        outcomes = decode_outcomes(value)
        log_value = await self._log_value(header.log_offset)
        with metrics.build_seconds.labels(self.netting_set).time():
            told = status_records(self.netting_set, log_value, outcomes)
        metrics.count(self.netting_set, outcomes.codes)
        return self._numbered(told)

    def _resolution_notices(self, resolutions: Resolutions) -> list[Notice]:
        self._advance(resolutions.netting_set, resolutions.log_offset)
        with metrics.build_seconds.labels(self.netting_set).time():
            told = resolution_records(resolutions, self._indexes)
        codes = np.array([item.code for item in resolutions.items], np.uint8)
        metrics.count(self.netting_set, codes)
        return self._numbered(told)

    def _final_notices(self, event: WindowEvent) -> list[Notice]:
        self._advance(event.netting_set, event.log_offset)
        told = final_records(event, self._indexes)
        status = "ACSC" if event.state == "SETTLED" else "RJCT"
        metrics.finals.labels(self.netting_set, status).inc(len(told))
        return self._numbered(told)

    def _numbered(self, told: list[BankRecord]) -> list[Notice]:
        """With the indexes the records carry: each participant's rise by one from record to record."""
        notices: list[Notice] = []
        for participant, value in told:
            notices.append(Notice(participant, self._indexes[participant], value))
            self._indexes[participant] += 1
        return notices

    def _advance(self, netting_set: str, log_offset: int) -> None:
        """Log offsets rise; a new one begins to count from 0 again."""
        if netting_set != (self.netting_set or netting_set):
            raise Halt(
                HaltKind.FOREIGN_WRITER,
                f"two netting sets in one partition: {self.netting_set}, {netting_set}",
            )
        if log_offset < self._log_offset:
            raise Halt(
                HaltKind.FOREIGN_WRITER,
                f"outcomes go back from log offset {self._log_offset} to {log_offset}",
            )
        if log_offset > self._log_offset:
            self._log_offset = log_offset
            self._indexes.clear()
        self.netting_set = netting_set

    async def _log_value(self, offset: int) -> bytes:
        """Value of the log record the outcomes belong to; skips those nobody is told of."""
        while True:
            for record in self._log_ahead:
                if record.offset == offset and record.value is not None:
                    return record.value
                if record.offset >= offset:
                    raise Halt(
                        HaltKind.LOG_LOST,
                        f"log offset {offset} is gone: its outcomes cannot be told",
                    )
            batches = await self._log_reader.getmany(self.log, timeout_ms=POLL_MS)
            self._log_ahead = iter(batches.get(self.log, ()))

    async def _look_up(self, participants: Iterable[str]) -> None:
        """What those that are new here were told last, and who of them has no topic: he is left out."""
        new = {p for p in participants if p not in self._told}
        if not new:
            return
        existing = await self._statuses.existing(new)
        if existing:
            places = await self._statuses.last_told(existing, self.netting_set)
            self._told |= {participant: places.get(participant) for participant in existing}
        for participant in new - existing - self._without_topic:
            _log.warning(
                "no_status_topic",
                netting_set=self.netting_set,
                topic=self._topics.status(participant),
                log_offset=self._log_offset,
            )
        self._without_topic = (self._without_topic | new) - existing


def _log_offset(record: RawRecord) -> int:
    """Log offset of a record of `outcomes`, of any kind."""
    offset = log_offset_of(record.key, record.value)
    if offset is None:
        raise UnreadableLog(f"outcomes offset {record.offset} is none of ours")
    return offset
