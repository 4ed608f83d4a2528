"""What must hold when a simulated run is over: all is as the banks planned, in every topic and in the ledger.

Black-box, but for the ledger's own account of when it committed what. Every finding is a sentence.
"""

from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from clearing.core.commands import Confirmation
from clearing.core.outputs import SettlementBatch
from clearing.dev.proof import differences
from clearing.kafka import RawRecord
from clearing.log.records import decode_settlement
from clearing.reading import Bounds
from clearing.verify.ledger import LedgerBooks
from clearing.verify.report import Report
from clearing.verify.run import verify_topics
from tests.simulation.broker import Broker
from tests.simulation.stage import Stage

CHUNK_RECORDS = 64

_decode_confirmation = msgspec.json.Decoder(Confirmation).decode


class BrokerReader:
    """clearing.reading.Reader over what the simulated broker shows a read_committed reader."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def topics(self) -> set[str]:
        return set(self._broker.topics)

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Bounds:
        return {p: (0, self._broker.stable_end(p.topic, p.partition)) for p in partitions}

    async def chunks(
        self, partition: TopicPartition, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Sequence[RawRecord]]:
        records = self._broker.read(partition.topic, partition.partition, start or 0)
        if end is not None:
            records = [record for record in records if record.offset < end]
        for at in range(0, len(records), CHUNK_RECORDS):
            yield records[at : at + CHUNK_RECORDS]


def verified(stage: Stage) -> Report:
    """`clearing verify` over the simulated topics and ledger, in real time."""

    async def books(netting_set: str) -> LedgerBooks:
        return stage.server.books.of(netting_set)

    reader = BrokerReader(stage.simulation.broker)
    return _result(verify_topics(reader, stage.town.topics, stage.town.directory, books))


def _result(verification: Coroutine[Any, Any, Report]) -> Report:
    """Run what never has to wait for anything, as all that it reads is here."""
    try:
        verification.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("the verification waits for something")


def shown(report: Report) -> list[str]:
    return [
        f"{check.scope}: {check.name} ({check.rule}): {line}"
        for check in report.checks
        for line in (*check.differences, *check.pending)
    ]


def audit(stage: Stage) -> list[str]:
    """Everything that is not as it should be; empty if all is. After the run has drained."""
    report = verified(stage)
    town = stage.town
    return [
        *safety(stage),
        *shown(report),
        *differences(town.plan(), report, town.watch.progress, town.scales, town.listener.told),
    ]


def safety(stage: Stage) -> list[str]:
    """What must hold at any moment, drained or not."""
    found = [f"halted: {reason}" for reason in stage.trace.halts]
    found += [
        f"ended by itself: {name}: {error!r}"
        for name, error in stage.errors
        if name == "banks" or not _is_foreseen(error)
    ]
    found += stage.server.books.broken
    for number in stage.town.directory.values():
        found += _journal_is_whole(stage, number)
        found += _ledger_is_the_topic(stage, number)
        found += _confirmed_is_posted(stage, number)
    return found


def _is_foreseen(error: BaseException | None) -> bool:
    """A service may give up on Kafka: its supervisor starts it again. Anything else is a bug."""
    return isinstance(error, KafkaError | TimeoutError | OSError)


def _journal_is_whole(stage: Stage, number: int) -> list[str]:
    """Every transaction follows on the one before: nobody else wrote in between (F3)."""
    made = [sequence for sequence, _ in stage.town.watch.progress.transactions.get(number, [])]
    if made != list(range(1, len(made) + 1)):
        return [f"partition {number}: the journal's transactions are numbered {made}"]
    return []


def _ledger_is_the_topic(stage: Stage, number: int) -> list[str]:
    """The ledger holds the batches of the topic, each once, each as it stands there; nothing that was aborted."""
    broker, topics = stage.simulation.broker, stage.town.topics
    sent: dict[int, SettlementBatch] = {}
    for record in broker.read(topics.settlements, number):
        message = decode_settlement(record.value or b"")
        if isinstance(message, SettlementBatch):
            sent[record.offset] = message
    found: list[str] = []
    for (_, name), shelf in stage.server.books.shelves.items():
        if stage.town.directory[name] != number:
            continue
        offsets = [batch.row["source_offset"] for batch in shelf.batches]
        if offsets != sorted(set(offsets)):
            found.append(f"{name}: batches are posted in the order of offsets {offsets}")
        for batch in shelf.batches:
            row = batch.row
            meant = sent.get(row["source_offset"])
            if meant is None or (meant.id, meant.hash) != (row["id"], row["hash"]):
                found.append(
                    f"{name}: batch {row['id']} of offset {row['source_offset']} is not in the topic"
                )
    return found


def _confirmed_is_posted(stage: Stage, number: int) -> list[str]:
    """No confirmation without a commit before it."""
    broker, topics = stage.simulation.broker, stage.town.topics
    first: dict[tuple[str, str, str], float] = {}
    for commit in stage.server.books.commits:
        for batch in commit.batches:
            first.setdefault(batch, commit.at_s)
    found: list[str] = []
    for record in broker.read(topics.confirmations, number):
        said = _decode_confirmation(record.value or b"")
        posted_s = first.get((said.batch, said.hash, said.status))
        if posted_s is None or stage.seconds_of(record.timestamp) < posted_s - 0.001:
            found.append(f"batch {said.batch} was confirmed {said.status} before it was committed")
    return found
