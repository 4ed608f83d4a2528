"""Reads what verification is about from Kafka, one netting set at a time, and hands it to the checks.

The order of reading makes a live system verifiable: ends of the sources first, then the journal, then the other
outputs, then the log. Whatever was added meanwhile lies behind the place the journal had reached, the goal.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from aiokafka import TopicPartition

from clearing.core.outputs import (
    CommandEvent,
    Event,
    LedgerAccount,
    Outcomes,
    Position,
    ProposalEvent,
    Rejected,
    Resolutions,
    Settlement,
    SettlementBatch,
    ShortfallEvent,
    WindowEvent,
)
from clearing.kafka import RawRecord
from clearing.log.records import (
    RESOLUTION_KEY,
    TRANSACTION_KEY,
    WINDOW_KEY,
    OutputTopic,
    Transaction,
    UnreadableLog,
    decode_event,
    decode_outcomes,
    decode_position,
    decode_rejected,
    decode_resolutions,
    decode_settlement,
    decode_transaction,
)
from clearing.log.records import read as read_record
from clearing.names import Topics
from clearing.reading import Reader
from clearing.replay import Replay
from clearing.verify.journal import JournalOrder
from clearing.verify.outputs import OutputDigests
from clearing.verify.sources import ControlComparison, SourceComparison
from clearing.verify.spooled import Shelf
from clearing.verify.tables import Bank, LogTable, Rows, SaidOutcomes

Note = Callable[[str], None]

FLOOR_RECORDS = 10_000
MAY_AGE: tuple[OutputTopic, ...] = ("rejected",)  # output topics that keep records for a time only


T = TypeVar("T")


def _outcomes(record: RawRecord) -> Outcomes | Resolutions | Event:
    """What the topic `outcomes` has: outcomes of rows, resolutions, events of windows."""
    value = record.value or b""
    if record.key == RESOLUTION_KEY:
        return decode_resolutions(value)
    return decode_event(value) if record.key == WINDOW_KEY else decode_outcomes(value)


def _value(decode: Callable[[bytes], T]) -> Callable[[RawRecord], T]:
    return lambda record: decode(record.value or b"")


def silent(_: str) -> None:
    """Nobody wants to know how far it is."""


@dataclass(slots=True)
class Said:
    """What the engine's topics hold of one netting set, up to the goal: the next log offset of its journal."""

    goal: int = 0
    transactions: list[Transaction] = field(default_factory=list[Transaction])
    outcomes: SaidOutcomes = field(default_factory=SaidOutcomes)
    resolutions: list[Resolutions] = field(default_factory=list[Resolutions])
    settlements: list[tuple[int, Settlement]] = field(default_factory=list[tuple[int, Settlement]])
    windows: list[WindowEvent] = field(default_factory=list[WindowEvent])
    commands: list[CommandEvent] = field(default_factory=list[CommandEvent])
    proposals: list[ProposalEvent] = field(default_factory=list[ProposalEvent])
    shortfalls: list[ShortfallEvent] = field(default_factory=list[ShortfallEvent])
    positions: list[Position] = field(default_factory=list[Position])
    rejected: list[Rejected] = field(default_factory=list[Rejected])
    digests: OutputDigests = field(default_factory=OutputDigests)
    journal: JournalOrder = field(default_factory=JournalOrder)
    unreadable: list[str] = field(default_factory=list[str])

    def cut(self, settlements: int) -> None:
        """Leave out settlements behind the goal: all but the first so many."""
        del self.settlements[settlements:]

    @property
    def batches(self) -> list[SettlementBatch]:
        return [message for _, message in self.settlements if isinstance(message, SettlementBatch)]

    @property
    def scales(self) -> dict[str, int]:
        """Scale of every asset that has an account."""
        return {m.asset: m.scale for _, m in self.settlements if isinstance(m, LedgerAccount)}

    @property
    def settlements_end(self) -> int:
        """Offset in the topic behind the last settlement."""
        return self.settlements[-1][0] + 1 if self.settlements else 0


@dataclass(slots=True)
class Logged:
    """What a replay of the log gives. compared: transactions that agree, differences: where others do not.

    pending: records behind the goal that were there when we began.
    """

    table: LogTable
    made: OutputDigests
    compared: int = 0
    differences: list[str] = field(default_factory=list[str])
    pending: int = 0
    fault: str = ""


class _Header(msgspec.Struct):
    netting_set: str
    log_offset: int


_decode_header = msgspec.json.Decoder(_Header).decode


async def told_from(reader: Reader, topics: Topics, names: set[str]) -> dict[Bank, int]:
    """Log offset from behind which a status topic that has let its first records go is complete, by bank.

    Banks whose topic has everything are left out. Looks at the first FLOOR_RECORDS that are kept: a netting set
    none of them speaks of has no floor, and its bank is then told apart as told too little.
    """
    owned = [name for name in names if name.startswith(topics.status(""))]
    partitions = [TopicPartition(name, 0) for name in sorted(owned)]
    floors: dict[Bank, int] = {}
    for partition, (first, end) in (await reader.bounds(partitions)).items():
        if first == 0:
            continue
        participant = partition.topic.removeprefix(topics.status(""))
        left = FLOOR_RECORDS
        async for records in reader.chunks(partition, first, end):
            for record in records[:left]:
                with suppress(msgspec.MsgspecError):  # told as unreadable when it is compared
                    header = _decode_header(record.value or b"")
                    floors.setdefault((header.netting_set, participant), header.log_offset)
            left -= len(records)
            if left <= 0:
                break
    return floors


class Collector:
    """Reads one netting set. marks: ends of its sources when the verification began."""

    def __init__(
        self, reader: Reader, topics: Topics, netting_set: str, partition: int, note: Note
    ) -> None:
        self.reader = reader
        self.topics = topics
        self.netting_set = netting_set
        self.partition = partition
        self.note = note
        self.marks: dict[TopicPartition, int] = {}
        self._log_mark = 0
        self._shelf = Shelf()
        self._names: set[str] = set()

    async def mark(self, all_topics: set[str]) -> None:
        """Remember how far the sources and the log go now: everything before must be accounted for."""
        self._names = all_topics
        owned = [name for name in sorted(all_topics) if self._feeds(name)]
        sources = [TopicPartition(name, 0) for name in owned]
        sources += [
            TopicPartition(name, self.partition)
            for name in (self.topics.commands, self.topics.confirmations)
        ]
        ends = await self.reader.bounds(sources)
        self.marks = {source: end for source, (_, end) in ends.items()}
        log = self._at(self.topics.log)
        self._log_mark = (await self.reader.bounds([log]))[log][1]

    def _is_source(self, at: TopicPartition) -> bool:
        """Whether records of this partition may stand in this netting set's log."""
        if at.topic in (self.topics.commands, self.topics.confirmations):
            return at.partition == self.partition
        return at.partition == 0 and self._feeds(at.topic) and at.topic in self._names

    def _feeds(self, topic: str) -> bool:
        parsed = self.topics.parse_payments(topic)
        return parsed is not None and parsed[0] == self.netting_set

    def _at(self, topic: str) -> TopicPartition:
        return TopicPartition(topic, self.partition)

    async def read_outputs(self) -> Said:
        """Everything the engine has said, the journal first: it names the goal."""
        said = Said()
        self.note(f"{self.netting_set}: reading outputs")
        for topic in MAY_AGE:
            partition = self._at(getattr(self.topics, topic))
            if (await self.reader.bounds([partition]))[partition][0] > 0:
                said.digests.aged.add(topic)
        await self._read_journal(said)
        if said.transactions:
            said.goal = said.transactions[-1].next_offset
        async for _, told in self._read("outcomes", said, _outcomes):
            if told.log_offset < said.goal:
                if isinstance(told, Outcomes):
                    said.outcomes.append(told)
                elif isinstance(told, Resolutions):
                    said.resolutions.append(self._shelf.resolutions(told))
        async for record, settlement in self._read("settlements", said, _value(decode_settlement)):
            said.settlements.append((record.offset, self._shelf.settlement(settlement)))
        async for _ in self._read("windows", said, _value(decode_event)):
            pass  # compared as bytes only: the journal says the same, and more
        latest: dict[bytes | None, Position] = {}
        async for record, position in self._read("positions", said, _value(decode_position)):
            latest[record.key] = position
        said.positions = list(latest.values())
        async for _, rejected in self._read("rejected", said, _value(decode_rejected)):
            if rejected.log_offset < said.goal:
                said.rejected.append(rejected)
        return said

    async def _read(
        self, topic: OutputTopic, said: Said, decode: Callable[[RawRecord], T]
    ) -> AsyncIterator[tuple[RawRecord, T]]:
        """Records of an output topic, decoded; what is none of the engine's is noted."""
        async for records in self.reader.chunks(self._at(getattr(self.topics, topic))):
            for record in records:
                said.digests.add(topic, record.key, record.value, record.offset)
                try:
                    decoded = decode(record)
                except (ValueError, KeyError, TypeError) as error:
                    said.unreadable.append(f"{topic} offset {record.offset}: {error}")
                else:
                    yield record, decoded

    async def _read_journal(self, said: Said) -> None:
        async for records in self.reader.chunks(self._at(self.topics.journal)):
            for record in records:
                try:
                    self._journal(said, record)
                except ValueError as error:
                    said.unreadable.append(f"journal offset {record.offset}: {error}")

    def _journal(self, said: Said, record: RawRecord) -> None:
        key, value = record.key, record.value or b""
        if key == TRANSACTION_KEY:
            transaction = decode_transaction(value)
            said.transactions.append(transaction)
            said.journal.transaction(transaction)
            return
        said.digests.add("journal", key, value, record.offset)
        event = decode_event(value)
        said.journal.event(event)
        match event:
            case WindowEvent():
                said.windows.append(self._shelf.lines(event))
            case CommandEvent():
                said.commands.append(event)
            case ProposalEvent():
                said.proposals.append(event)
            case ShortfallEvent():
                said.shortfalls.append(event)
            case _:
                pass  # deadlocks are explanations, answers to confirmations are in the log

    async def read_log(self, said: Said) -> Logged:
        """Run the whole log through a machine, and lay out what lies before the goal as a table."""
        logged = Logged(LogTable(self.netting_set), OutputDigests())
        replay = Replay(self.netting_set, said.transactions)
        log = self._at(self.topics.log)
        first, end = (await self.reader.bounds([log]))[log]
        if first > 0:
            logged.fault = f"the log begins at offset {first}: its first records are lost (F14)"
        async for records in self.reader.chunks(log, first, end):
            for record in records:
                key, value = record.key, record.value or b""
                if record.offset >= said.goal:
                    if logged.made.marked is None:
                        logged.made.mark()
                    logged.pending += record.offset < self._log_mark
                if not logged.fault:
                    try:
                        made = replay.apply(key, value, record.offset, record.timestamp)
                        logged.made.extend(made)
                    except Exception as error:
                        # Halt and UnreadableLog are foreseen; of damaged bytes anything may come.
                        # Whatever it was: this log cannot be replayed, and that is the finding.
                        logged.fault = f"log offset {record.offset}: {error!r}"
                if record.offset < said.goal:
                    try:
                        logged.table.add(read_record(key, value, record.offset, record.timestamp))
                    except (UnreadableLog, IndexError) as error:
                        logged.table.gaps.append(f"log offset {record.offset}: {error!r}")
            self.note(f"{self.netting_set}: replaying the log, offset {records[-1].offset + 1:,}")
        replay.finish()
        logged.compared, logged.differences = replay.compared, replay.differences
        if logged.made.marked is not None:
            said.cut(logged.made.marked["settlements"])
        return logged

    async def compare_sources(
        self, table: LogTable, rows: Rows
    ) -> tuple[list[SourceComparison], list[ControlComparison]]:
        """Every source of this netting set against the log, also those that only the log knows."""
        named = {TopicPartition(*source) for source in table.covered}
        foreign = {source for source in named if not self._is_source(source)}
        for topic, partition in sorted(foreign):
            table.gaps.append(
                f"the log names {topic}-{partition} as a source, which is no source of this netting set"
            )
        sources = {*self.marks, *named} - foreign
        payments: list[SourceComparison] = []
        control: list[ControlComparison] = []
        done = 0
        for source, (first, end) in sorted((await self.reader.bounds(sources)).items()):
            mark = self.marks.get(source, end)
            if self._feeds(source.topic):
                comparison = SourceComparison(table, rows, source, first, mark)
                payments.append(comparison)
            else:
                comparison = ControlComparison(table, source, first, mark)
                control.append(comparison)
            async for records in self.reader.chunks(source, first, end):
                comparison.feed(records)
                done += len(records)
                self.note(f"{self.netting_set}: comparing sources, {done:,} records")
            comparison.finish()
        return payments, control
