"""How far a run has come, read from the topics alone: what is in the log, cleared, waiting, batched, confirmed.

For the demo, load tests and drills. It believes no service's own counters: they begin at zero after a kill.
"""

import asyncio
from collections import Counter
from decimal import Decimal

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from clearing import kafka
from clearing.core.commands import Confirmation, SetStatus
from clearing.core.inputs import U8, Bool
from clearing.core.money import parse
from clearing.core.outputs import (
    CommandEvent,
    DeadlockEvent,
    Event,
    ProposalEvent,
    Resolution,
    Resolutions,
    SettlementBatch,
    ShortfallEvent,
    WindowEvent,
)
from clearing.core.reasons import FIRST_REFUSAL, FIRST_REJECT, Code
from clearing.dev.news import news_of, release_text, status_text
from clearing.dev.probes import ProbeRows
from clearing.dev.progress import Progress, Queued, Release
from clearing.log import control, payments
from clearing.log.records import (
    EVENT_KEY,
    OUTCOMES_KEY,
    RESOLUTION_KEY,
    TRANSACTION_KEY,
    decode_event,
    decode_outcomes,
    decode_position,
    decode_resolutions,
    decode_settlement,
    decode_transaction,
)
from clearing.names import PROBE, Topics, owner_of

POLL_MS = 100

# How a payment ends that has waited, as in dev.tally; with any other code its link could not be completed.
_ENDS = {
    Code.ACCEPTED: "accepted",
    Code.CANCELLED: "cancelled",
    Code.EXPIRED: "expired",
    Code.CUTOFF: "dropped",
    Code.DEBTOR_DEFAULTED: "defaulted",
    Code.CREDITOR_DEFAULTED: "defaulted",
}


class Watch:
    """Follows log, outcomes, settlements and journal of some partitions from where they end at its start."""

    def __init__(
        self, bootstrap: str, topics: Topics, partitions: list[int], scales: dict[str, int]
    ) -> None:
        self._bootstrap = bootstrap
        self._partitions = partitions
        self._scales = scales
        self.progress = Progress()
        self._marks: dict[tuple[str, int], int] = {}
        self._probes = ProbeRows()
        self._changes: dict[str, SetStatus] = {}  # by id, until it is known what became of them
        self._release: Release | None = None  # the last one, until the next log record
        self._readers = {
            topics.log: self._log,
            topics.outcomes: self._outcomes,
            topics.settlements: self._settlements,
            topics.positions: self._positions,
            topics.journal: self._journal,
        }

    async def run(self, started: asyncio.Event) -> None:
        """Until cancelled; sets `started` once nothing can be missed any more."""
        reader = kafka.consumer(self._bootstrap, client="clearing-watch")
        async with kafka.started(reader):
            followed = [
                TopicPartition(topic, partition)
                for topic in self._readers
                for partition in self._partitions
            ]
            reader.assign(followed)
            await _seek_to_end(reader, followed)
            started.set()
            while True:
                batches = await reader.getmany(timeout_ms=POLL_MS, max_records=500)
                for partition, records in batches.items():
                    for record in records:
                        self.take(partition.topic, partition.partition, record)
                    await asyncio.sleep(0)

    def take(self, topic: str, partition: int, record: kafka.RawRecord) -> None:
        """Count one record of a topic."""
        self._readers[topic](partition, record)

    def _log(self, partition: int, record: kafka.RawRecord) -> None:
        value = record.value or b""
        self.progress.log_bytes += len(value)
        if record.key == control.KEY:
            for item in control.unpack(value, record.offset, record.timestamp).control:
                if isinstance(item.message, Confirmation):
                    self._confirmation(item.message)
                elif isinstance(item.message, SetStatus):
                    self._changes[item.message.id] = item.message
            return
        opened = payments.open_batch(value)
        offsets, source = opened.numbers("source_offset"), opened.numbers("source")
        probes = [n for n, span in enumerate(opened.sources) if owner_of(span.topic) == PROBE]
        early = self._probes.logged(partition, record.offset, np.isin(source, probes))
        self.progress.outcomes.subtract(_count(early.codes, early.repeat) if early else {})
        for number, span in enumerate(opened.sources):
            if number in probes:
                continue
            key = (span.topic, span.partition)
            mark = self._marks.get(key, span.start)
            self.progress.logged += int(np.count_nonzero((source == number) & (offsets >= mark)))
            self._marks[key] = max(mark, span.end)

    def _confirmation(self, answer: Confirmation) -> None:
        refused = (answer.reason or answer.status) if answer.status == "REFUSED" else ""
        self.progress.confirm(answer.batch, refused)

    def _outcomes(self, partition: int, record: kafka.RawRecord) -> None:
        if record.key == RESOLUTION_KEY:
            self._resolutions(decode_resolutions(record.value or b""))
            return
        self._tell_release()
        if record.key != OUTCOMES_KEY:
            return
        outcomes = decode_outcomes(record.value or b"")
        outcomes = self._probes.without(partition, outcomes)
        self.progress.outcomes.update(_count(outcomes.codes, outcomes.repeat))
        marks = self.progress.cleared_at.setdefault(partition, [])
        before = marks[-1][1] if marks else 0
        rows = int(np.count_nonzero(outcomes.codes != Code.ALREADY_READ))
        marks.append((record.offset, before + rows))

    def _resolutions(self, resolutions: Resolutions) -> None:
        """What waited has left or ended; of a partial delivery the rest waits on."""
        outcomes, releases = self.progress.outcomes, self.progress.releases
        for one in resolutions.items:
            if one.code == Code.RECAST:
                outcomes["accepted"] -= 1
                outcomes["recast"] += 1
            elif not one.remaining:
                outcomes["queued"] -= 1
                outcomes[_ENDS.get(Code(one.code), "link_refused")] += 1
            if one.how in ("BILATERAL", "MULTILATERAL"):
                place = resolutions.netting_set, resolutions.log_offset, one.how
                if place not in releases:
                    self._tell_release()
                    releases[place] = self._release = Release(*place)
                releases[place].add(one, self._units(one))

    def _tell_release(self) -> None:
        """It is whole when something else comes after it: a large one takes several records."""
        if self._release is not None:
            self._release.is_whole = True
            self.progress.news.append(release_text(self._release, self._scales))
            self._release = None

    def _units(self, one: Resolution) -> int:
        units = parse(one.amount, self._scales[one.asset])
        assert units is not None, f"{one.amount!r} was released of {one.asset}"
        return units

    def _settlements(self, partition: int, record: kafka.RawRecord) -> None:
        message = decode_settlement(record.value or b"")
        if isinstance(message, SettlementBatch):
            self.progress.add_batch(message)

    def _journal(self, partition: int, record: kafka.RawRecord) -> None:
        if record.key == TRANSACTION_KEY:
            transaction = decode_transaction(record.value or b"")
            pid = int(transaction.owner.rpartition(":")[2])
            made = self.progress.transactions.setdefault(partition, [])
            made.append((transaction.sequence, pid))
        if record.key != EVENT_KEY:
            return
        self._event(decode_event(record.value or b""))

    def _event(self, event: Event) -> None:
        progress = self.progress
        match event:
            case WindowEvent() if event.payments:
                window = (event.netting_set, event.asset, event.window)
                progress.windows[window] = event.state
                if event.state == "SETTLED":
                    progress.settled_at[window] = event.log_offset
                progress.finals += sum(not e.participant.startswith("$") for e in event.entries)
            case DeadlockEvent():
                progress.deadlocks.append(event)
            case ShortfallEvent():
                progress.shortfalls.append(event)
            case CommandEvent():
                progress.commands[event.id] = event
                change = self._changes.pop(event.id, None)
                if change is not None and event.status == "DONE":
                    progress.news.append(status_text(change))
            case ProposalEvent():
                progress.proposals[event.proposal] = event
            case _:
                pass
        if said := news_of(event):
            progress.news.append(said)

    def _positions(self, partition: int, record: kafka.RawRecord) -> None:
        position = decode_position(record.value or b"")
        place = position.netting_set, position.participant, position.asset
        if position.queued_payments:
            queued = Queued(position.queued_payments, Decimal(position.queued))
            self.progress.queues[place] = queued
        else:
            self.progress.queues.pop(place, None)


def _count(codes: U8, repeat: Bool) -> Counter[str]:
    """How many rows became what, as dev.tally names it."""
    read = codes != Code.ALREADY_READ
    first = read & ~repeat
    masks = {
        "repeated": read & repeat,
        "accepted": first & (codes == Code.ACCEPTED),
        "queued": first & (codes == Code.QUEUED),
        "done": first & (codes == Code.DONE),
        "requested": first & (codes == Code.REQUESTED),
        "rejected": first & (codes >= FIRST_REJECT) & (codes < FIRST_REFUSAL),
        "refused": first & (codes >= FIRST_REFUSAL),
    }
    return Counter({name: int(np.count_nonzero(mask)) for name, mask in masks.items()})


async def _seek_to_end(reader: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
    for partition, end in (await reader.end_offsets(partitions)).items():
        reader.seek(partition, end)
