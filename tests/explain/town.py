"""A netting set with queues, links and every way to settle, in memory: its log as a file, its topics as lists.

Banks speak JSON as they do in life; intake's packing and the engine's core make the rest.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from aiokafka import TopicPartition

from clearing import logfile
from clearing.core.commands import CloseWindow, Confirmation, ControlMessage, RegisterPair
from clearing.core.outputs import SettlementBatch
from clearing.core.registry import BisModel
from clearing.intake.packing import SourceRecord
from clearing.log import control
from clearing.log.records import TRANSACTION_KEY, OutputRecord, Transaction, decode_settlement
from clearing.logfile import LogFileRecord
from clearing.names import Topics
from clearing.reading import Bounds
from clearing.simulate import Simulation
from tests.core.build import NOON_MS, opening
from tests.core.scenes import BYPASS, DROP, FIFO, GROSS, PAIRS, RECAST, WATERFALL, asset

BANKS = A, B, C, D = ("ALPHA", "BRAVO", "CHARLIE", "DELTA")
DATE = "2024-10-04"

ASSETS = (
    asset(queue=FIFO, on_shortfall=WATERFALL),
    asset("BYP", queue=BYPASS),
    asset("BOND", queue=FIFO, model=GROSS),
    asset("PAIR", model=PAIRS),
    asset("HARD", queue=FIFO, at_cutoff=DROP, on_shortfall=RECAST),
    asset("PLAIN"),
)

Message = dict[str, Any]


class Record(NamedTuple):
    """What a reader uses of a Kafka record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


@dataclass
class Lists:
    """Topics as lists of records, and the reader's interface over them; `read` counts records handed out."""

    partitions: dict[TopicPartition, list[Record]] = field(
        default_factory=dict[TopicPartition, list[Record]]
    )
    ends: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])
    read: dict[str, int] = field(default_factory=dict[str, int])
    chunk_records: int = 7

    def add(self, topic: str, key: bytes | None, value: bytes | None, time_ms: int) -> None:
        partition = TopicPartition(topic, 0)
        offset = self.ends.get(partition, 0)
        self.partitions.setdefault(partition, []).append(Record(offset, time_ms, key, value))
        self.ends[partition] = offset + 1

    def marker(self, topic: str) -> None:
        """A transaction marker takes an offset and is no record."""
        partition = TopicPartition(topic, 0)
        self.ends[partition] = self.ends.get(partition, 0) + 1

    async def topics(self) -> set[str]:
        return {partition.topic for partition in self.ends}

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Bounds:
        return {
            partition: (self._first(partition), self._end(partition)) for partition in partitions
        }

    def _first(self, partition: TopicPartition) -> int:
        records = self.partitions.get(partition, [])
        return records[0].offset if records else self._end(partition)

    def _end(self, partition: TopicPartition) -> int:
        return self.ends.get(partition, 0)

    async def chunks(
        self, partition: TopicPartition, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Sequence[Record]]:
        records = [
            record
            for record in self.partitions.get(partition, [])
            if (start is None or record.offset >= start) and (end is None or record.offset < end)
        ]
        for at in range(0, len(records), self.chunk_records):
            chunk = records[at : at + self.chunk_records]
            self.read[partition.topic] = self.read.get(partition.topic, 0) + len(chunk)
            yield chunk


class Town(Simulation):
    """One netting set, four banks, whole amounts. Nothing is confirmed but by `post` or `refuse`."""

    def __init__(self, held: str = "0", cap: str = "0", **accounts: Any) -> None:
        super().__init__("hk", NOON_MS, [self._observed], confirm=False)
        self.records: list[LogFileRecord] = []
        self.outputs: list[list[OutputRecord]] = []
        self.lists = Lists()
        self.batches: list[SettlementBatch] = []
        self.numbered = 0
        self._sequence = 0
        for message in opening(BANKS, ASSETS, cap=cap, held=held, **accounts):
            self.do(message)
        for delivery in ("BOND", "BYP"):
            model = BisModel.GROSS_NET if delivery == "BOND" else BisModel.NET_NET
            self.do(
                RegisterPair(
                    id=f"pair-{delivery}", by="op", delivery=delivery, payment="HKD", model=model
                )
            )
        self.post()

    # --- what banks and operators do ---------------------------------------------------------------------

    def order(self, number: int, debtor: str, creditor: str, amount: int, **fields: Any) -> Message:
        """A payment that is not sent yet."""
        return {
            "type": "payment",
            "id": str(uuid(number)),
            "debtor": debtor,
            "creditor": creditor,
            "asset": "HKD",
            "amount": str(amount),
            "value_date": DATE,
            "end_to_end_id": f"E{number}",
        } | fields

    def send(self, message: Message, owner: str = "") -> Message:
        """Publish and log it."""
        quoted = message.get("original", message)
        self.pay(owner or message.get("debtor") or quoted["debtor"], msgspec.json.encode(message))
        self.flush()
        return message

    def pays(self, number: int, debtor: str, creditor: str, amount: int, **fields: Any) -> Message:
        return self.send(self.order(number, debtor, creditor, amount, **fields))

    def cancel(self, number: int, original: Message) -> Message:
        return self.send(
            {"type": "cancel", "id": str(uuid(number)), "original": original, "reason": "CUST"}
        )

    def do(self, message: ControlMessage) -> None:
        if isinstance(message, Confirmation):
            self.confirmation(message)
        else:
            self.command(message)

    def close(self, asset: str = "") -> list[SettlementBatch]:
        """Close windows; the batches that left."""
        known = len(self.batches)
        self.numbered += 1
        self.do(CloseWindow(id=f"close-{self.numbered}", by="op", asset=asset))
        return self.batches[known:]

    def post(self, *batches: SettlementBatch) -> None:
        """The ledger's yes; without batches: to all there are."""
        for batch in batches or tuple(self.batches):
            self._answer(batch, "POSTED")

    def refuse(self, batch: SettlementBatch, reason: str = "no money", **short: str) -> None:
        self._answer(batch, "REFUSED", reason=reason, short=short)

    def _answer(self, batch: SettlementBatch, status: Any, **fields: Any) -> None:
        self.do(
            Confirmation(
                ledger=batch.ledger, batch=batch.id, hash=batch.hash, status=status, **fields
            )
        )

    # --- what there is of it ------------------------------------------------------------------------------

    def _observed(self, record: LogFileRecord, outputs: Sequence[OutputRecord]) -> None:
        lists, topics = self.lists, self.topics
        self.records.append(record)
        self.outputs.append(list(outputs))
        lists.add(topics.log, record.key, record.value, record.time_ms)
        for output in outputs:
            lists.add(getattr(topics, output.topic), output.key, output.value, record.time_ms)
            if output.topic == "settlements":
                message = decode_settlement(output.value)
                if isinstance(message, SettlementBatch):
                    self.batches.append(message)
        self._commit()

    def _commit(self) -> None:
        """Each log record is a transaction of the engine."""
        self._sequence += 1
        machine, topics = self.machine, self.topics
        transaction = Transaction(
            netting_set="hk",
            next_offset=machine.next_offset,
            sequence=self._sequence,
            chain=machine.chain.hex(),
            time_ms=machine.state.counters.time_ms,
            snapshot="",
            engine="test",
            owner="test",
            records=machine.records,
        )
        self.lists.add(topics.journal, TRANSACTION_KEY, msgspec.json.encode(transaction), 0)
        for topic in (topics.journal, topics.outcomes, topics.settlements):
            self.lists.marker(topic)

    def publish(self, topic: str, partition: int, value: bytes | None) -> SourceRecord:
        record = super().publish(topic, partition, value)
        self.lists.add(topic, None, value, self.now_ms)
        return record

    def lag(self, count: int) -> None:
        """The engine has not committed what the last so many log records caused."""
        journal = TopicPartition(self.topics.journal, 0)
        kept = self.lists.partitions[journal]
        goal = self.machine.next_offset - count
        places = [
            i
            for i, record in enumerate(kept)
            if record.key == TRANSACTION_KEY
            and msgspec.json.decode(record.value or b"")["next_offset"] <= goal
        ]
        del kept[places[-1] + 1 :]
        self.lists.ends[journal] = kept[-1].offset + 2

    def tick(self) -> None:
        self.append(control.KEY, control.TICK)

    def save(self, path: Path) -> Path:
        self.flush()
        logfile.write(path, "hk", self.records)
        return path


def uuid(number: int) -> UUID:
    """Any UUIDv4."""
    return UUID(f"00000000-0000-4000-8000-{number:012d}")


def trade(number: int, *legs: Message, partial: bool = False) -> list[Message]:
    """The payments as legs of one link (R19)."""
    terms = [
        {name: leg[name] for name in ("debtor", "creditor", "asset", "amount")} for leg in legs
    ]
    link = {"id": str(uuid(number)), "legs": terms, "partial": partial}
    return [leg | {"link": link} for leg in legs]


__all__ = ["BANKS", "A", "B", "C", "D", "Lists", "Topics", "Town", "trade", "uuid"]
