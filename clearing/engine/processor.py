"""The engine's loop for one netting set: fence → recover → (poll → step → transact)*. DESIGN.md §2, in this order.

It owns nothing by being assigned: only a transactional producer that has fenced its predecessors may write.
Any doubt (timeout, disconnect, failed send) throws the producer away; the journal says what became of it.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)
from aiokafka.structs import RecordMetadata
from msgspec.json import encode

from clearing import __version__, failpoints, kafka
from clearing.core.faults import Halt, HaltKind, Place
from clearing.engine import metrics
from clearing.engine.hanging import WRITTEN
from clearing.engine.machine import Machine
from clearing.engine.ownership import Ownership
from clearing.engine.past import look_back
from clearing.engine.recovery import off_the_chain, recover
from clearing.engine.snapshots import SnapshotStore, snapshot_name
from clearing.engine.telemetry import count
from clearing.engine.ticker import Ticker
from clearing.engine.torn import Seen, unseen
from clearing.halts import as_halt
from clearing.heartbeats import vitals
from clearing.log.records import TRANSACTION_KEY, OutputRecord, Transaction
from clearing.metadata import learn
from clearing.names import Topics
from clearing.reading import readers

TRANSACTION_TIMEOUT_MS = 30_000
COMMIT_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 3.0
# Of the log in one answer. What has come together shares a transaction, and each of those costs the engine and the
# broker as much as thousands of payments: one that is behind needs few.
LOG_FETCH_BYTES = 8 << 20
LOG_FETCH: dict[str, Any] = {
    "max_partition_fetch_bytes": LOG_FETCH_BYTES,
    "fetch_max_bytes": LOG_FETCH_BYTES,
}
RECORDS_PER_CYCLE = 24  # log records in one transaction: bounds memory, and what a doubt costs
# And the longest it steps before it commits: a cycle that outlives the group's session would be lost with it, and
# the next owner would meet the same work. Which records share a transaction changes nothing in them.
CYCLE_S = 1.0
SNAPSHOT_EVERY_RECORDS = 2_000
# Replayed so many, an engine writes a snapshot at once: killed soon again and again, it would else replay more each
# time, and in the end more than it has time for.
SNAPSHOT_AFTER_REPLAY_RECORDS = 200
RETRY_S_FIRST, RETRY_S_MAX = 0.5, 5.0

_log = structlog.get_logger()


class Fenced(Exception):
    """Another owner has taken the netting set."""


class Processor:
    """Serves one netting set until it is cancelled, fenced (Fenced) or halts (Halt; any other error is a bug).

    passed: told the next log offset whenever it has gone on, for those who remember where it had halted.
    machine: one to begin with if it proves right (see `recover`); then where this processor stands.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Topics,
        netting_set: str,
        partition: int,
        store: SnapshotStore,
        snapshot_every_s: float = 60.0,
        passed: Callable[[int], None] = lambda next_offset: None,
        machine: Machine | None = None,
    ) -> None:
        self.bootstrap = bootstrap
        self.topics = topics
        self.netting_set = netting_set
        self.partition = partition
        self.store = store
        self.snapshot_every_s = snapshot_every_s
        self.log = TopicPartition(topics.log, partition)
        self.written = {
            topic: TopicPartition(getattr(topics, topic), partition) for topic in WRITTEN
        }
        self.journal = self.written["journal"]
        self._client = f"clearing-engine-{netting_set}"
        self.machine = machine
        self._passed = passed
        self._sequence = 0
        self._snapshot = ""  # latest complete one
        self._snapshot_at: tuple[float, int] = (
            0.0,
            0,
        )  # monotonic time and records at the latest begun
        self._writing: asyncio.Task[str] | None = None

    async def run(self) -> None:
        """Own, again after every doubt; less and less often while nothing comes of it."""
        retry_s = RETRY_S_FIRST
        while True:
            sequence = self._sequence
            try:
                await self._own()
            except (ProducerFenced, InvalidProducerEpoch) as error:
                metrics.fenced.labels(self.netting_set).inc()
                raise Fenced(str(error)) from error
            except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
                raise Halt(
                    HaltKind.REFUSED,
                    f"Kafka refuses what the engine has to write for {self.netting_set} as too large: {error}",
                ) from error
            except (KafkaError, TimeoutError, OSError) as error:
                metrics.doubts.labels(self.netting_set).inc()
                _log.warning("doubt", netting_set=self.netting_set, error=repr(error))
            finally:
                metrics.owned.labels(self.netting_set).set(0)
                vitals.leaves(self.netting_set)
            retry_s = RETRY_S_FIRST if self._sequence > sequence + 1 else retry_s
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, RETRY_S_MAX)

    async def _own(self) -> None:
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            producer = await stack.enter_async_context(self._fenced_producer())
            topics = [partition.topic for partition in self.written.values()]
            async with readers(self.bootstrap, self._client, topics) as both:
                past = await look_back(both, producer, self.written)
            _log.info("recovering", netting_set=self.netting_set)
            failpoints.at("engine.recover.journal_read")
            reader = await stack.enter_async_context(self._reader())
            machine = await recover(
                reader,
                self.log,
                self.journal,
                past.whole,
                self.netting_set,
                self.store,
                self._give_machine_away(),
            )
            self.machine = machine
            transaction = past.shown[-1] if past.shown else None
            self._sequence = transaction.sequence if transaction else 0
            self._snapshot = transaction.snapshot if transaction else ""
            replayed = machine.records - machine.loaded_records
            is_due = replayed >= SNAPSHOT_AFTER_REPLAY_RECORDS
            at_s = time.monotonic() - (self.snapshot_every_s if is_due else 0)
            self._snapshot_at = (at_s, machine.records)
            metrics.recoveries.labels(self.netting_set).inc()
            metrics.recovery_seconds.labels(self.netting_set).set(time.monotonic() - began)
            metrics.owned.labels(self.netting_set).set(1)
            assert producer._txn_manager is not None, "a producer with a transactional id has one"
            vitals.serves(
                self.netting_set,
                epoch=producer._txn_manager.producer_epoch,
                next_offset=machine.next_offset,
            )
            self._passed(machine.next_offset)
            _log.info(
                "serving",
                netting_set=self.netting_set,
                next_offset=machine.next_offset,
                recovery_s=round(time.monotonic() - began, 3),
            )
            failpoints.at("engine.recover.replayed")
            ownership = Ownership(past.ends)
            if past.torn:
                await self._complete(machine, reader, producer, ownership, past.seen, transaction)
            await self._serve(machine, reader, producer, ownership)

    def _give_machine_away(self) -> Machine | None:
        """The one it has, without keeping it: there may be no memory for two."""
        machine, self.machine = self.machine, None
        return machine

    @asynccontextmanager
    async def _fenced_producer(self) -> AsyncIterator[AIOKafkaProducer]:
        """Starting it aborts the predecessor's open transaction and locks it out. Never aborts or flushes at the
        end: what is open then is for the successor's fencing to abort."""
        producer = kafka.producer(
            self.bootstrap,
            client=self._client,
            transactional_id=self.topics.transactional_id(self.netting_set),
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        )
        failpoints.at("engine.fencing")
        try:
            # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the result.
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                await producer.start()
                await learn(producer, (partition.topic for partition in self.written.values()))
            failpoints.at("engine.fenced")
            yield producer
        finally:
            await kafka.discard(producer, CLOSE_TIMEOUT_S)

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[AIOKafkaConsumer]:
        """Of the log."""
        reader = kafka.consumer(self.bootstrap, client=self._client, **LOG_FETCH)
        async with kafka.started(reader, self.log.topic):
            reader.assign([self.log])
            yield reader

    async def _complete(
        self,
        machine: Machine,
        reader: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        ownership: Ownership,
        seen: Seen,
        shown: Transaction | None,
    ) -> None:
        """Write the rest of a transaction of which readers have seen a part, and nothing of that twice.

        shown: the journal's last one: maybe the one itself. Raises Halt if it was another than the log gives.
        """
        _log.error("torn_transaction", netting_set=self.netting_set, seen=sorted(seen))
        names = {topic: partition.topic for topic, partition in self.written.items()}
        goal = shown.next_offset if shown else 0
        outputs: list[OutputRecord] = []
        async for record in kafka.read_to_end(reader, self.log, machine.next_offset):
            outputs += unseen(seen, await self._apply(machine, record), names)
            await asyncio.sleep(0)
            if shown and machine.next_offset == goal and machine.chain.hex() != shown.chain:
                raise off_the_chain(machine, self.journal, [shown])
            if not seen and machine.next_offset >= goal:
                break
        for topic, rest in seen.items():
            raise Halt(
                HaltKind.FOREIGN_WRITER,
                f"{topic} offset {rest[0].offset} is behind the journal's last transaction, and nothing in the log "
                f"causes it",
                Place(topic, self.partition, rest[0].offset),
            )
        ownership.check(await self._transact(producer, machine, outputs, ownership))
        self._passed(machine.next_offset)

    async def _serve(
        self,
        machine: Machine,
        reader: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        ownership: Ownership,
    ) -> None:
        """The main path: everything a cycle's log records caused goes into one transaction."""
        reader.seek(self.log, machine.next_offset)
        ticker = Ticker(self.bootstrap, self.log)
        try:
            while True:
                wait_ms = ticker.wait_ms(machine.state.next_due_ms())
                batches = await reader.getmany(
                    self.log, timeout_ms=wait_ms, max_records=RECORDS_PER_CYCLE
                )
                read = batches.get(self.log, [])
                if not read:
                    await ticker.tick_if(machine.state.next_due_ms(), self.netting_set)
                    continue
                ticker.heard(read[-1].timestamp)
                failpoints.at("engine.read")
                with metrics.step_seconds.labels(self.netting_set).time():
                    records, outputs = await self._step(machine, read)
                failpoints.at("engine.applied")
                stored = await self._transact(producer, machine, outputs, ownership)
                ownership.check(stored)
                self._passed(machine.next_offset)
                vitals.reached(self.netting_set, machine.next_offset)
                count(self.netting_set, machine, outputs, len(records))
                end = reader.highwater(self.log) or machine.next_offset
                metrics.lag_records.labels(self.netting_set).set(max(0, end - machine.next_offset))
                metrics.lag_seconds.labels(self.netting_set).set(
                    max(0.0, time.time() - records[-1].timestamp / 1000)
                )
                self._snapshot_if_due(machine)
                if len(records) < len(read):
                    reader.seek(self.log, machine.next_offset)
        finally:
            await ticker.close()

    async def _step(
        self, machine: Machine, records: Sequence[kafka.RawRecord]
    ) -> tuple[Sequence[kafka.RawRecord], list[OutputRecord]]:
        """Apply these records, or the first of them if they take long; those, and what they caused."""
        outputs: list[OutputRecord] = []
        began_s = time.monotonic()
        for number, record in enumerate(records, 1):
            outputs += await self._apply(machine, record)
            await asyncio.sleep(0)  # heartbeats and the producer get their turn
            if time.monotonic() - began_s > CYCLE_S:
                return records[:number], outputs
        return records, outputs

    async def _apply(self, machine: Machine, record: kafka.RawRecord) -> list[OutputRecord]:
        """What a log record causes. A bug or a broken invariant leaves the state behind, for people to look at."""
        try:
            return machine.apply(record.key, record.value, record.offset, record.timestamp)
        except Exception as error:
            self.machine = None  # half changed maybe: nobody is to go on with it
            halt = as_halt(error).at(self.log.topic, self.partition, record.offset)
            if halt.kind not in (HaltKind.INVARIANT, HaltKind.BUG):
                raise halt from error
            name = f"halted-{record.offset}"
            try:
                path = await asyncio.to_thread(self.store.write_halted, name, machine.dump())
                _log.error("state_kept", netting_set=self.netting_set, path=str(path))
            except Exception as fault:  # the halt counts, not its dump
                _log.error("no_state_dump", netting_set=self.netting_set, error=repr(fault))
            raise halt from error

    async def _transact(
        self,
        producer: AIOKafkaProducer,
        machine: Machine,
        outputs: list[OutputRecord],
        ownership: Ownership,
    ) -> list[RecordMetadata]:
        """Outputs and the journal's Transaction, all or nothing; where they stand. Raises on any doubt."""
        self._collect_snapshot()
        self._sequence += 1
        transaction = Transaction(
            netting_set=self.netting_set,
            next_offset=machine.next_offset,
            sequence=self._sequence,
            chain=machine.chain.hex(),
            time_ms=machine.state.counters.time_ms,
            snapshot=self._snapshot,
            engine=__version__,
            owner=f"{socket.gethostname()}:{os.getpid()}",
            records=machine.records,
            ends=self._ends(ownership, outputs),
        )
        journal = OutputRecord("journal", TRANSACTION_KEY, encode(transaction))
        written = [
            kafka.TopicRecord(
                getattr(self.topics, record.topic), self.partition, record.key, record.value
            )
            for record in (*outputs, journal)
        ]
        with metrics.transaction_seconds.labels(self.netting_set).time():
            stored = await kafka.transact(producer, written, COMMIT_TIMEOUT_S)
        metrics.transactions.labels(self.netting_set).inc()
        return stored

    def _ends(self, ownership: Ownership, outputs: Sequence[OutputRecord]) -> dict[str, int]:
        """Of all topics but the journal, behind these records."""
        ends = ownership.ends(self.written[record.topic] for record in outputs)
        known = {topic: ends.get(self.written[topic]) for topic in WRITTEN[:-1]}
        return {topic: end for topic, end in known.items() if end is not None}

    def _snapshot_if_due(self, machine: Machine) -> None:
        """Freeze the state now, write it aside; the next transaction after that names it in the journal."""
        at_s, at_records = self._snapshot_at
        new_records = machine.records - at_records
        due = new_records >= SNAPSHOT_EVERY_RECORDS or (
            new_records > 0 and time.monotonic() - at_s >= self.snapshot_every_s
        )
        if not due or self._writing is not None:
            return
        self._snapshot_at = (time.monotonic(), machine.records)
        name = snapshot_name(machine)
        try:
            chunks = machine.frozen()
        except Exception as error:  # clearing goes on without: a snapshot only shortens a restart
            _log.error("snapshot_failed", netting_set=self.netting_set, error=repr(error))
            return

        async def write() -> str:
            await asyncio.to_thread(self.store.write, name, chunks)
            return name

        self._writing = asyncio.create_task(write())

    def _collect_snapshot(self) -> None:
        if self._writing is None or not self._writing.done():
            return
        task, self._writing = self._writing, None
        if (error := task.exception()) is not None:
            # Clearing goes on without: a snapshot only shortens a restart.
            _log.error("snapshot_failed", netting_set=self.netting_set, error=repr(error))
            return
        self._snapshot = task.result()
        metrics.snapshots.labels(self.netting_set).inc()
