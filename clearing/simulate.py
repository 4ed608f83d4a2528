"""The data path in memory: sources → intake's packing → log → machine → ledgers. No Kafka, no clock.

Deterministic: the same scheme, events and start give the same log and the same outputs, byte for byte, as the live
engine gives for that log (R29). What the log appends itself in Kafka, offsets and times, comes from the events.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from clearing.core.commands import Command, Confirmation
from clearing.core.inputs import SourceSpan
from clearing.core.outputs import LedgerAccount, SettlementBatch
from clearing.engine.machine import Machine
from clearing.intake.packing import SourceRecord, pack_control, pack_payments
from clearing.log import control, payments
from clearing.log.records import OutputRecord, decode_settlement
from clearing.logfile import LogFileRecord
from clearing.names import Topics
from clearing.records import Records

RECORDS_PER_PACK = 2_000
STEP_MS = 1

# A log record, and what it caused.
Observer = Callable[[LogFileRecord, Sequence[OutputRecord]], None]


class LedgerAnswer(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="ledger",
):
    """How the ledger of an asset answers, other than by posting every batch at once.

    REFUSED: the next batch, for `reason`; short: who cannot pay and how much each lacks (R25). WAITS: nothing is
    answered until it says POSTED, which answers everything that waits. kind: of the batch that is refused.
    """

    asset: str
    answer: Literal["REFUSED", "WAITS", "POSTED"]
    short: dict[str, str] = {}
    reason: str = ""
    kind: Literal["window", "funding"] = "window"


@dataclass(slots=True)
class Ledgers:
    """Posts every batch in its turn, but for what was said of its asset. posts: without a word of an asset."""

    posts: bool = True
    _silent: dict[str, bool] = field(default_factory=dict[str, bool])
    _refusals: deque[LedgerAnswer] = field(default_factory=deque[LedgerAnswer])
    _unanswered: list[SettlementBatch] = field(default_factory=list[SettlementBatch])

    def hear(self, answer: LedgerAnswer) -> None:
        """From here on."""
        if answer.answer == "REFUSED":
            self._refusals.append(answer)
        else:
            self._silent[answer.asset] = answer.answer == "WAITS"

    def take(self, batch: SettlementBatch) -> None:
        self._unanswered.append(batch)

    def answer(self) -> Confirmation | None:
        """What they say next of a batch they have; None if they say nothing now."""
        for batch in self._unanswered:
            if not self._silent.get(batch.asset, not self.posts):
                self._unanswered.remove(batch)
                return self._judged(batch)
        return None

    def _judged(self, batch: SettlementBatch) -> Confirmation:
        kind = "funding" if batch.kind == "funding" else "window"
        refusal = next(
            (r for r in self._refusals if (r.asset, r.kind) == (batch.asset, kind)), None
        )
        if refusal is not None:
            self._refusals.remove(refusal)
        return Confirmation(
            ledger=batch.ledger,
            batch=batch.id,
            hash=batch.hash,
            status="REFUSED" if refusal else "POSTED",
            reason=refusal.reason if refusal else "",
            epoch=1,
            short=refusal.short if refusal else {},
        )


@dataclass(slots=True)
class Simulation:
    """One netting set. ends: of the sources, by topic and partition. The log and its outputs go to `observers`.

    confirm: the ledgers post every batch at once. now_ms: time stamp of the next log record.
    """

    netting_set: str
    now_ms: int
    observers: Sequence[Observer] = ()
    confirm: bool = True
    partition: int = 0
    topics: Topics = field(default_factory=Topics)
    machine: Machine = field(init=False)
    ends: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    _waiting: dict[str, list[SourceRecord]] = field(default_factory=dict[str, list[SourceRecord]])
    _ledgers: Ledgers = field(init=False)
    _is_posting: bool = False

    def __post_init__(self) -> None:
        self.machine = Machine(self.netting_set)
        self._ledgers = Ledgers(self.confirm)

    def pay(self, owner: str, value: bytes | None) -> None:
        """A record in the owner's payments topic. Consecutive ones share a log record, as in life."""
        topic = self.topics.payments(self.netting_set, owner)
        self._waiting.setdefault(topic, []).append(self.publish(topic, 0, value))
        if sum(map(len, self._waiting.values())) >= RECORDS_PER_PACK:
            self.flush()

    def command(self, value: bytes | Command) -> None:
        """A record in the topic of commands."""
        self._control(self.topics.commands, value if isinstance(value, bytes) else _encode(value))

    def confirmation(self, value: bytes | Confirmation) -> None:
        """A ledger's answer."""
        data = value if isinstance(value, bytes) else _encode(value)
        self._control(self.topics.confirmations, data)

    def ledger_answers(self, answer: LedgerAnswer) -> None:
        """From here on the ledger of an asset answers so."""
        self.flush()
        self._ledgers.hear(answer)
        self._post(())

    def pass_time(self, until_ms: int) -> None:
        """Let the log's time reach this instant; what is due on the way happens when it is due.

        Time that is past already changes nothing: the log's time does not go back.
        """
        self.flush()
        while (due_ms := self.machine.state.next_due_ms()) and due_ms < until_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self.append(control.KEY, control.TICK)
        self.now_ms = max(self.now_ms, until_ms)

    def finish(self) -> None:
        """Let everything through, and the last positions be written."""
        self.flush()
        state = self.machine.state
        if state.dirty.any():
            self.pass_time(state.counters.positions_at_ms + state.positions_interval_ms)
            self.append(control.KEY, control.TICK)

    def flush(self) -> None:
        """Bring what was published into the log."""
        if self._waiting:
            spans = [
                (
                    SourceSpan(topic, 0, records[0].offset, records[-1].offset + 1),
                    [Records.of(records)],
                )
                for topic, records in self._waiting.items()
            ]
            self._waiting = {}
            for value in pack_payments(spans):
                self.append(payments.KEY, value)

    def _control(self, topic: str, value: bytes) -> None:
        self.flush()
        record = self.publish(topic, self.partition, value)
        span = SourceSpan(topic, self.partition, record.offset, record.offset + 1)
        for packed in pack_control([(span, [Records.of([record])])]):
            self.append(control.KEY, packed)

    def publish(self, topic: str, partition: int, value: bytes | None) -> SourceRecord:
        """The next record of a source; it is not read by this."""
        offset = self.ends.get((topic, partition), 0)
        self.ends[(topic, partition)] = offset + 1
        return SourceRecord(offset, value)

    def append(self, key: bytes, value: bytes) -> None:
        """One more record of the log, and what follows from it; then the ledgers have their turn."""
        record = LogFileRecord(key, value, self.machine.next_offset, self.now_ms)
        self.now_ms += STEP_MS
        outputs = self.machine.apply(*record)
        for observe in self.observers:
            observe(record, outputs)
        self._post(outputs)

    def _post(self, outputs: Iterable[OutputRecord]) -> None:
        for output in outputs:
            if output.topic == "settlements":
                message = decode_settlement(output.value)
                if not isinstance(message, LedgerAccount):
                    self._ledgers.take(message)
        if self._is_posting:
            return  # an answer may bring more batches: the loop below has them next
        self._is_posting = True
        try:
            while answer := self._ledgers.answer():
                self.confirmation(answer)
        finally:
            self._is_posting = False


_encode = msgspec.json.Encoder().encode


def run_log(
    netting_set: str, records: Iterable[LogFileRecord], observers: Sequence[Observer]
) -> Machine:
    """A log as it was saved, through a machine of its own. Raises Halt, UnreadableLog."""
    machine = Machine(netting_set)
    for record in records:
        outputs = machine.apply(*record)
        for observe in observers:
            observe(record, outputs)
    return machine
