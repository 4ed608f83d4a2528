"""Halts told where operators look: the topic `halts`, a metric, a log line. Used by every service alike.

A netting set that halts stands still in its process until an operator says `clearing retry`; a successor meets the
same place once, loudly, and counts. Never on the path of money: without the topic everything else goes on.
"""

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

import msgspec
import structlog
from aiokafka import TopicPartition
from prometheus_client import Gauge

from clearing import kafka
from clearing.config import Settings
from clearing.core.faults import Halt, HaltKind
from clearing.heartbeats import vitals
from clearing.looking import Looks
from clearing.messages import HaltRecord
from clearing.runbooks import next_command, retry_command, runbook

LOOK_TIMEOUT_S = 3.0  # a take-over waits no longer than this to learn what had halted
WRITE_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 2.0
RETRY_POLL_S = 2.0
AGAIN_S_FIRST, AGAIN_S_MAX = 1.0, 30.0
# What is not met again by itself: a successor waits for a person too, instead of going on as if nothing were.
WAITS_EVERYWHERE = (HaltKind.FOREIGN_WRITER,)

halted = Gauge(
    "clearing_halted",
    "1: stands still, a person has to look; see `clearing status`",
    ["service", "netting_set", "kind"],
)

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode
decode_halt = msgspec.json.Decoder(HaltRecord).decode


def halt_key(partition: int, service: str, source: TopicPartition | None = None) -> bytes:
    """Key of a record of `halts`. source: the one source partition that intake cannot read on, None: all of it."""
    of_source = f"|{source.topic}-{source.partition}" if source else ""
    return f"{partition}|{service}{of_source}".encode()


def as_halt(error: Exception) -> Halt:
    """Any error as a halt: what nobody foresaw is a bug, which is no better a reason to go on."""
    if isinstance(error, Halt):
        return error
    where = _where(error.__traceback__)
    if isinstance(error, AssertionError):
        return Halt(HaltKind.INVARIANT, f"an assertion does not hold in {where}: {error}")
    text = " ".join(str(error).split())
    return Halt(HaltKind.BUG, f"{type(error).__name__} in {where}: {text}")


def _where(trace: TracebackType | None) -> str:
    """The innermost line of ours."""
    where = "an unknown place"
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.startswith("clearing."):
            where = f"{module} line {trace.tb_lineno}"
        trace = trace.tb_next
    return where


class HaltTopic:
    """Reads and writes `halts`."""

    def __init__(self, settings: Settings, looks: Looks) -> None:
        self._bootstrap = settings.bootstrap
        self._topic = settings.topics.halts
        self._looks = looks

    async def read(self, partition: int, timeout_s: float) -> dict[bytes, HaltRecord]:
        """What stands in one partition, by key. Raises KafkaError, OSError, TimeoutError."""
        assigned = TopicPartition(self._topic, partition)
        found: dict[bytes, HaltRecord] = {}
        async with asyncio.timeout(timeout_s), self._looks.at(self._topic) as reader:
            reader.assign([assigned])
            async for record in kafka.read_to_end(reader, assigned):
                key = record.key or b""
                found.pop(key, None)
                if record.value:
                    try:
                        found[key] = decode_halt(record.value)
                    except msgspec.DecodeError as error:
                        _log.warning("foreign_halt_record", offset=record.offset, error=str(error))
        return found

    async def write(self, partition: int, records: Mapping[bytes, HaltRecord | None]) -> None:
        """Write records, None: a tombstone. Raises KafkaError, OSError, TimeoutError."""
        await self.read(partition, WRITE_TIMEOUT_S)  # the topic is there
        producer = kafka.producer(self._bootstrap, client="clearing-halts")
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await producer.start()
                for key, record in records.items():
                    value = _encode(record) if record else None
                    await producer.send_and_wait(self._topic, value, key, partition)
        finally:
            await kafka.discard(producer, CLOSE_TIMEOUT_S)


class Halts:
    """What one service process knows and tells of halts.

    service: engine, dispatch, intake, sink-<ledger>. topic: the one it works on, a partition for each netting set.
    looks: for whatever else the service looks at now and then.
    No method raises, whatever is wrong with the topic: it is told again later, or not known.
    """

    def __init__(self, settings: Settings, service: str, topic: str) -> None:
        self.service = service
        self._work = topic
        self._owner = f"{settings.instance or socket.gethostname()}:{os.getpid()}"
        self.looks = Looks(settings.bootstrap, f"clearing-{service}-looks")
        self._topic = HaltTopic(settings, self.looks)
        self._standing: dict[bytes, HaltRecord] = {}  # as read or told last
        self._met_here: set[bytes] = set()
        self._clearing: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()

    async def before_serving(self, partition: int) -> None:
        """Say what had halted there before. Returns once it may be tried: what this process itself has met, or
        what would not be met again, waits for an operator."""
        key = halt_key(partition, self.service)
        try:
            record = (await self._topic.read(partition, LOOK_TIMEOUT_S)).get(key)
        except Exception as error:
            _log.warning("halts_unread", partition=partition, error=repr(error))
            record = self._standing.get(key)
        if record is None:
            self._standing.pop(key, None)
            return
        self._standing[key] = record
        waits = record.state == "HALTED" and (
            key in self._met_here or record.kind in WAITS_EVERYWHERE
        )
        self.warn(record, tried_again=not waits)
        if waits:
            with self._standing_still(key, record):
                await self._until_retried(partition, key, record)

    def warn(self, record: HaltRecord, *, tried_again: bool) -> None:
        """Say what stood there before, whoever met it."""
        _log.warning("halted_before", tried_again=tried_again, **_facts(record))

    async def stand_still(self, netting_set: str, partition: int, error: Exception) -> None:
        """Say why, tell it, and wait: returns when an operator has asked for another try."""
        key = halt_key(partition, self.service)
        halt = as_halt(error).at(self._work, partition)
        record = self.record(netting_set, key, halt)
        unforeseen = halt.kind in (HaltKind.BUG, HaltKind.INVARIANT)
        _log.critical("halted", **_facts(record), exc_info=error if unforeseen else None)
        self._met_here.add(key)
        with self._standing_still(key, record):
            await self._tell(partition, key, record)
            await self._until_retried(partition, key, record)

    @contextmanager
    def _standing_still(self, key: bytes, record: HaltRecord) -> Iterator[None]:
        """Metric and heartbeat say so meanwhile."""
        gauge = halted.labels(self.service, record.netting_set, record.kind.value)
        vitals.stands_still(key)
        try:
            with gauge.track_inprogress():
                yield
        finally:
            vitals.goes_on(key)

    def record(self, netting_set: str, key: bytes, halt: Halt) -> HaltRecord:
        """The record of a halt, counted on from the one that stands. It stands from now on."""
        now_ms = time.time_ns() // 1_000_000
        assert halt.place is not None
        topic, partition, offset = halt.place
        before = self._standing.get(key)
        if before and (before.kind, before.topic, before.partition, before.offset) != (
            halt.kind,
            topic,
            partition,
            offset,
        ):
            before = None
        record = HaltRecord(
            netting_set=netting_set,
            service=self.service,
            kind=halt.kind,
            reason=halt.reason,
            topic=topic,
            partition=partition,
            offset=offset,
            next_command=next_command(halt.kind, self.service, netting_set),
            runbook=runbook(halt.kind),
            times=before.times + 1 if before else 1,
            first_at_ms=before.first_at_ms if before else now_ms,
            at_ms=now_ms,
            owner=self._owner,
        )
        self._standing[key] = record
        return record

    async def _until_retried(self, partition: int, key: bytes, record: HaltRecord) -> None:
        while True:
            await asyncio.sleep(RETRY_POLL_S)
            try:
                found = (await self._topic.read(partition, WRITE_TIMEOUT_S)).get(key)
            except Exception as error:
                _log.warning("halts_unread", partition=partition, error=repr(error))
                continue
            if found is None or found.state == "RETRY":
                break
        self._met_here.discard(key)
        if found is None:
            del self._standing[key]
        else:
            self._standing[key] = found
        _log.warning("tried_again", by=found.retried_by if found else "", **_facts(record))

    async def _tell(self, partition: int, key: bytes, record: HaltRecord) -> None:
        """Until it is acknowledged, or overtaken by a later word on the same."""
        again_s = AGAIN_S_FIRST
        while self._standing.get(key) is record:
            try:
                async with self._writing:
                    await self._topic.write(partition, {key: record})
                    return
            except Exception as error:
                _log.error("halt_not_told", error=repr(error), again_in_s=again_s)
            await asyncio.sleep(again_s)
            again_s = min(2 * again_s, AGAIN_S_MAX)

    def passed(self, partition: int, next_offset: int) -> None:
        """The service has gone on to `next_offset` of the topic it works on: a halt below is over."""
        key = halt_key(partition, self.service)
        record = self._standing.get(key)
        if record is not None and (record.topic != self._work or record.offset < next_offset):
            self.over(partition, key)

    def over(self, partition: int, key: bytes) -> None:
        """What stands under this key has ended: say so, in the background."""
        record = self._standing.pop(key, None)
        if record is not None:
            self._met_here.discard(key)
            _log.info("halt_is_over", **_facts(record))
            task = asyncio.create_task(self._clear(partition, key))
            self._clearing.add(task)
            task.add_done_callback(self._clearing.discard)

    async def _clear(self, partition: int, key: bytes) -> None:
        again_s = AGAIN_S_FIRST
        while key not in self._standing:
            try:
                async with self._writing:
                    if key not in self._standing:
                        await self._topic.write(partition, {key: None})
                    return
            except Exception as error:
                _log.warning("halt_not_cleared", error=repr(error), again_in_s=again_s)
            await asyncio.sleep(again_s)
            again_s = min(2 * again_s, AGAIN_S_MAX)

    async def close(self) -> None:
        for task in list(self._clearing):
            task.cancel()
        await asyncio.gather(*self._clearing, return_exceptions=True)
        await self.looks.close()


def _facts(record: HaltRecord) -> dict[str, object]:
    """As they are logged."""
    return {
        "netting_set": record.netting_set,
        "kind": record.kind.value,
        "reason": record.reason,
        "place": f"{record.topic}/{record.partition}/{record.offset}",
        "times": record.times,
        "first_at_ms": record.first_at_ms,
        "owner": record.owner,
        "next_command": record.next_command,
        "then": retry_command(record.netting_set),
        "runbook": record.runbook,
    }
