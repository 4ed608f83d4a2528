"""Reads the topics of a netting set for the report of a day: only what lies in it, found by halves.

Journal and settlements first, they say which windows there are and how far the log is done; then outcomes, joined
with the log as both are read; last what waited at the end, from the state as it was then (clearing.asof).
"""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec
from aiokafka import TopicPartition

from clearing.asof import History, TooFar, time_of
from clearing.core.faults import Halt
from clearing.core.outputs import Outcomes, Resolutions, SettlementBatch
from clearing.explain.evidence import closed_at_ms
from clearing.explain.topics import PlaceOf, first_at
from clearing.kafka import RawRecord
from clearing.live import last_transaction
from clearing.log import payments as payment_log
from clearing.log.records import (
    EVENT_KEY,
    OUTCOMES_KEY,
    RESOLUTION_KEY,
    Transaction,
    decode_event,
    decode_outcomes,
    decode_position,
    decode_rejected,
    decode_resolutions,
    decode_settlement,
)
from clearing.messages import HaltRecord
from clearing.names import Topics
from clearing.reading import Reader
from clearing.reports.day import DayFold
from clearing.reports.days import Day
from clearing.reports.exceptions import Halted
from clearing.reports.model import DayReport
from clearing.reports.payments import Waiting
from clearing.verify.sums import VALUE_SCALE

LOOKED_UP = 500  # log records of earlier days that are looked up for when a payment entered

_TIME_MS = re.compile(rb'"time_ms":(\d+)')
_decode_halt = msgspec.json.Decoder(HaltRecord).decode

Tell = Callable[[str], None]


def outcome_time(value: bytes) -> int | None:
    """Engine time of a record of `outcomes`: JSON says it, and so does the header of columns."""
    found = _TIME_MS.search(value)
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Readers:
    """Read side by side, so that they must be three. probe: fetches little."""

    outputs: Reader
    log: Reader
    probe: Reader


class DayCollector:
    """Makes the report of one netting set. history: its past, from which comes what waited."""

    def __init__(
        self,
        readers: Readers,
        topics: Topics,
        netting_set: str,
        partition: int,
        history: History,
        tell: Tell,
    ) -> None:
        self.netting_set = netting_set
        self._readers = readers
        self._topics = topics
        self._partition = partition
        self._history = history
        self._tell = tell
        self._looked_up: dict[int, int | None] = {}

    async def report(self, day: Day) -> DayReport:
        """Raises ValueError on records that are none of ours; KafkaError."""
        said = await last_transaction(self._readers.outputs, self._at(self._topics.journal))
        fold = DayFold(self.netting_set, day, await self._scales(), self._topics)
        if said is not None:
            await self._read_journal(fold, said)
            await self._read_settlements(fold, said)
            await self._read_rows(fold, said)
            await self._read_rejected(fold)
            await self._look_at_waiting(fold, said)
        await self._read_halts(fold)
        return fold.report(said.time_ms if said else None)

    def _at(self, topic: str) -> TopicPartition:
        return TopicPartition(topic, self._partition)

    async def _scales(self) -> dict[str, int]:
        """Decimals of each asset in which somebody has an account."""
        scales: dict[str, int] = {}
        async for records in self._readers.outputs.chunks(self._at(self._topics.positions)):
            for record in records:
                position = decode_position(record.value or b"")
                scales[position.asset] = len(position.prefunded.partition(".")[2])
        return scales

    async def _since(
        self, topic: str, start_ms: int, time: PlaceOf
    ) -> AsyncIterator[tuple[RawRecord, int]]:
        """Records of this time or later, with it."""
        partition, reader = self._at(topic), self._readers.outputs
        at = await first_at(self._readers.probe, partition, start_ms, time)
        end = (await reader.bounds([partition]))[partition][1]
        async for records in reader.chunks(partition, at, end):
            for record in records:
                at_ms = time(record.value or b"")
                if at_ms is not None and at_ms >= start_ms:
                    yield record, at_ms
            self._tell(f"{self.netting_set}, {topic} to offset {records[-1].offset + 1:,}")

    async def _read_journal(self, fold: DayFold, said: Transaction) -> None:
        """The day's events; those behind it as long as a window of the day is not final."""
        day = fold.day
        async for record, at_ms in self._since(self._topics.journal, day.from_ms, time_of):
            if at_ms >= day.to_ms and fold.windows.are_over:
                return
            if record.key == EVENT_KEY:
                event = decode_event(record.value or b"")
                if event.log_offset >= said.next_offset:
                    return  # committed after we began: not of the same moment as the rest
                fold.take_event(event)

    async def _read_settlements(self, fold: DayFold, said: Transaction) -> None:
        topic, last_ms = self._topics.settlements, min(fold.windows.last_ms, said.time_ms)
        async for record, at_ms in self._since(topic, fold.day.from_ms, closed_at_ms):
            if at_ms > last_ms:
                return
            settlement = decode_settlement(record.value or b"")
            if isinstance(settlement, SettlementBatch):
                fold.windows.take_batch(settlement)

    async def _read_rows(self, fold: DayFold, said: Transaction) -> None:
        """Outcomes of the day, each with the log record it is about."""
        log = _Log(self._readers.log, self._at(self._topics.log), said.next_offset)
        async for record, at_ms in self._since(
            self._topics.outcomes, fold.day.from_ms, outcome_time
        ):
            if at_ms >= fold.day.to_ms:
                return
            value = record.value or b""
            if record.key == RESOLUTION_KEY:
                resolutions = decode_resolutions(value)
                if resolutions.log_offset >= said.next_offset:
                    return
                await self._take_resolutions(fold, resolutions)
            elif record.key == OUTCOMES_KEY:
                outcomes = decode_outcomes(value)
                if outcomes.log_offset >= said.next_offset:
                    return
                await _take_outcomes(fold, outcomes, log)

    async def _take_resolutions(self, fold: DayFold, said: Resolutions) -> None:
        for log_offset in sorted(fold.payments.unknown_entries(said)):
            if (entered_ms := await self._stamp(log_offset)) is not None:
                fold.payments.entered_ms[log_offset] = entered_ms
        fold.payments.take_resolutions(said)

    async def _stamp(self, log_offset: int) -> int | None:
        """When a log record entered; None: it is not there, or too many were looked up."""
        if log_offset not in self._looked_up and len(self._looked_up) < LOOKED_UP:
            self._looked_up[log_offset] = None
            log = self._at(self._topics.log)
            async for records in self._readers.probe.chunks(log, log_offset, log_offset + 1):
                self._looked_up[log_offset] = records[0].timestamp
        return self._looked_up.get(log_offset)

    async def _read_rejected(self, fold: DayFold) -> None:
        partition = self._at(self._topics.rejected)
        first, end = (await self._readers.outputs.bounds([partition]))[partition]
        is_cut = 0 < first == end
        async for record, at_ms in self._since(partition.topic, fold.day.from_ms, time_of):
            is_cut = is_cut or 0 < first == record.offset
            if at_ms >= fold.day.to_ms:
                break
            fold.exceptions.take_rejected(decode_rejected(record.value or b""))
        if is_cut:
            fold.limits.append(
                "inputs that could not be read may be missing: their topic has let the first ones go"
            )

    async def _look_at_waiting(self, fold: DayFold, said: Transaction) -> None:
        """What waits at the end of the day, or now."""
        self._tell(f"{self.netting_set}, what waited")
        to_ms = fold.day.to_ms
        try:
            live = await self._history.at(self._readers.outputs, self._readers.probe, to_ms - 1)
            # What its next transaction has of the day: that one ends behind it.
            machine, log = live.machine, self._at(self._topics.log)
            async for record in _flat(
                self._readers.outputs, log, machine.next_offset, said.next_offset
            ):
                if record.timestamp >= to_ms:
                    break
                live.apply(record.key, record.value, record.offset, record.timestamp)
        except (Halt, TooFar) as error:
            fold.limits.append(f"what waited at the end of the day is not known: {error}")
            return
        waiting: list[Waiting] = []
        for item in live.state.waiting.values():
            spec = live.state.assets[item.asset].spec
            entered_ms = live.entered_ms.get(item.log_offset)
            if entered_ms is None:
                entered_ms = await self._stamp(item.log_offset)
            value = item.units * 10 ** (VALUE_SCALE - spec.scale)
            waiting.append(Waiting(live.state.name_of(item.debtor), spec.id, value, entered_ms))
        fold.take_waiting(waiting, min(to_ms, said.time_ms))

    async def _read_halts(self, fold: DayFold) -> None:
        """As far as compaction has left them: the last of each service, and what is over for a while."""
        last: dict[bytes | None, HaltRecord] = {}
        over: list[Halted] = []
        async for record in _flat(self._readers.outputs, self._at(self._topics.halts)):
            if record.value:
                last[record.key] = _decode_halt(record.value)
            elif (ended := last.pop(record.key, None)) is not None:
                over.append(Halted(ended, record.timestamp))
        fold.exceptions.take_halts([*over, *(Halted(record, None) for record in last.values())])


async def _flat(
    reader: Reader, partition: TopicPartition, start: int | None = None, end: int | None = None
) -> AsyncIterator[RawRecord]:
    async for records in reader.chunks(partition, start, end):
        for record in records:
            yield record


class _Log:
    """The log, read along as its outcomes are."""

    def __init__(self, reader: Reader, partition: TopicPartition, end: int) -> None:
        self._reader = reader
        self._partition = partition
        self._end = end
        self._records: AsyncIterator[RawRecord] | None = None

    async def at(self, offset: int) -> RawRecord:
        """The record at this offset; offsets must rise. Raises ValueError if it is not there (F14)."""
        if self._records is None:
            self._records = _flat(self._reader, self._partition, offset, self._end)
        async for record in self._records:
            if record.offset == offset:
                return record
            if record.offset > offset:
                break
        raise ValueError(f"{self._partition.topic} has lost offset {offset}, which has outcomes")


async def _take_outcomes(fold: DayFold, said: Outcomes, log: _Log) -> None:
    record = await log.at(said.log_offset)
    entered = payment_log.unpack(record.value or b"", record.offset, record.timestamp)
    assert entered.payments is not None, "what has outcomes has payments"
    if len(entered.payments) != len(said.codes):
        raise ValueError(f"{len(said.codes)} outcomes for the rows of log offset {said.log_offset}")
    fold.payments.take_rows(entered.payments, entered.sources, said)
