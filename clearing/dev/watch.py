"""How far a run has come, read from the topics alone: what is in the log, cleared, batched, confirmed.

For the demo, load tests and drills. It believes no service's own counters: they begin at zero after a kill.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from clearing import kafka
from clearing.core.commands import Confirmation
from clearing.core.outputs import SettlementBatch, WindowEvent
from clearing.core.reasons import FIRST_REFUSAL, FIRST_REJECT, Code
from clearing.log import control, payments
from clearing.log.records import (
    EVENT_KEY,
    OUTCOMES_KEY,
    TRANSACTION_KEY,
    decode_event,
    decode_outcomes,
    decode_settlement,
    decode_transaction,
)
from clearing.names import Topics

POLL_MS = 100


@dataclass(slots=True)
class Progress:
    """Rows are payments, each item of a bulk counted; what intake wrote twice counts once.

    windows: (netting set, asset, number) → its latest state, without those that nobody used.
    """

    logged: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])  # as in workload.Tally
    batches: dict[str, SettlementBatch] = field(default_factory=dict[str, SettlementBatch])
    confirmed: set[str] = field(default_factory=set[str])
    windows: dict[tuple[str, str, int], str] = field(default_factory=dict)
    refused_batches: dict[str, str] = field(default_factory=dict[str, str])  # id → reason
    log_bytes: int = 0
    # By partition: (sequence, pid of the engine) of each transaction; (outcomes offset, rows up to there).
    transactions: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    cleared_at: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    @property
    def cleared(self) -> int:
        return self.outcomes.total()

    @property
    def unconfirmed(self) -> int:
        """Batches that wait for their ledger."""
        return len(self.batches.keys() - self.confirmed)

    @property
    def settled(self) -> int:
        """Windows with payments that are SETTLED."""
        return sum(state == "SETTLED" for state in self.windows.values())

    @property
    def all_settled(self) -> bool:
        """Every accepted payment is in a batch, every batch is confirmed, every window settled."""
        in_batches = sum(b.payments for b in self.batches.values() if b.kind == "net")
        return (
            in_batches >= self.outcomes["accepted"]
            and self.unconfirmed == 0
            and set(self.windows.values()) <= {"SETTLED"}
        )

    def engine(self, partition: int) -> int:
        """Process id of the engine that wrote the last transaction of a partition, 0 if there is none."""
        made = self.transactions.get(partition)
        return made[-1][1] if made else 0


class Watch:
    """Follows log, outcomes, settlements and journal of some partitions from where they end at its start."""

    def __init__(self, bootstrap: str, topics: Topics, partitions: list[int]) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._partitions = partitions
        self.progress = Progress()
        self._marks: dict[tuple[str, int], int] = {}

    async def run(self, started: asyncio.Event) -> None:
        """Until cancelled; sets `started` once nothing can be missed any more."""
        reader = kafka.consumer(self._bootstrap, client="clearing-watch")
        async with kafka.started(reader):
            followed = {
                TopicPartition(topic, partition): apply
                for topic, apply in (
                    (self._topics.log, self._log),
                    (self._topics.outcomes, self._outcomes),
                    (self._topics.settlements, self._settlements),
                    (self._topics.journal, self._journal),
                )
                for partition in self._partitions
            }
            reader.assign(list(followed))
            await _seek_to_end(reader, list(followed))
            started.set()
            while True:
                batches = await reader.getmany(timeout_ms=POLL_MS, max_records=200)
                for partition, records in batches.items():
                    for record in records:
                        followed[partition](partition.partition, record)
                    await asyncio.sleep(0)

    def _log(self, partition: int, record: kafka.RawRecord) -> None:
        value = record.value or b""
        self.progress.log_bytes += len(value)
        if record.key == control.KEY:
            for item in control.unpack(value, record.offset, record.timestamp).control:
                if isinstance(item.message, Confirmation):
                    self._confirmation(item.message)
            return
        opened = payments.open_batch(value)
        offsets, source = opened.numbers("source_offset"), opened.numbers("source")
        for number, span in enumerate(opened.sources):
            key = (span.topic, span.partition)
            mark = self._marks.get(key, span.start)
            self.progress.logged += int(np.count_nonzero((source == number) & (offsets >= mark)))
            self._marks[key] = max(mark, span.end)

    def _confirmation(self, answer: Confirmation) -> None:
        self.progress.confirmed.add(answer.batch)
        if answer.status == "REFUSED":
            self.progress.refused_batches[answer.batch] = answer.reason

    def _outcomes(self, partition: int, record: kafka.RawRecord) -> None:
        if record.key != OUTCOMES_KEY:
            return
        outcomes = decode_outcomes(record.value or b"")
        codes, count = outcomes.codes, self.progress.outcomes
        first = ~outcomes.repeat & (codes != Code.ALREADY_READ)
        count["repeated"] += int(np.count_nonzero(outcomes.repeat))
        count["accepted"] += int(np.count_nonzero(first & (codes == Code.ACCEPTED)))
        unread = first & (codes >= FIRST_REJECT) & (codes < FIRST_REFUSAL)
        count["rejected"] += int(np.count_nonzero(unread))
        count["refused"] += int(np.count_nonzero(first & (codes >= FIRST_REFUSAL)))
        marks = self.progress.cleared_at.setdefault(partition, [])
        before = marks[-1][1] if marks else 0
        marks.append((record.offset, before + int(np.count_nonzero(codes != Code.ALREADY_READ))))

    def _settlements(self, partition: int, record: kafka.RawRecord) -> None:
        message = decode_settlement(record.value or b"")
        if isinstance(message, SettlementBatch):
            self.progress.batches[message.id] = message

    def _journal(self, partition: int, record: kafka.RawRecord) -> None:
        if record.key == TRANSACTION_KEY:
            transaction = decode_transaction(record.value or b"")
            pid = int(transaction.owner.rpartition(":")[2])
            made = self.progress.transactions.setdefault(partition, [])
            made.append((transaction.sequence, pid))
        if record.key != EVENT_KEY:
            return
        event = decode_event(record.value or b"")
        if isinstance(event, WindowEvent) and event.payments:
            window = (event.netting_set, event.asset, event.window)
            self.progress.windows[window] = event.state


async def _seek_to_end(reader: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
    for partition, end in (await reader.end_offsets(partitions)).items():
        reader.seek(partition, end)
