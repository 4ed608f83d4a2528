"""The lane against a consumer and a log that misbehave on purpose: what no real broker does when asked."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    KafkaConnectionError,
    KafkaError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from clearing.intake.lane import SOURCE_RECORDS, Lane
from clearing.intake.packing import SourceRecord
from clearing.intake.sources import PASSING, Source, SourceStopped, Stop, first_offset, stopped_by
from clearing.log import payments
from clearing.records import Records
from tests.intake.build import payment, raw

A, B = TopicPartition("payments.hk.AA", 0), TopicPartition("payments.hk.BB", 0)


class FakeConsumer:
    """Records by partition, handed out as clearing.kafka's does; `errors` are raised once they are reached."""

    def __init__(self) -> None:
        self.records: dict[TopicPartition, list[SourceRecord]] = {A: [], B: []}
        self.errors: dict[TopicPartition, Exception] = {}
        self.positions = {A: 0, B: 0}
        self.more = asyncio.Event()

    def publish(self, partition: TopicPartition, count: int) -> None:
        kept = self.records[partition]
        first = kept[-1].offset + 1 if kept else self.positions[partition]
        kept += [SourceRecord(n, raw(payment()), 1_000) for n in range(first, first + count)]
        self.more.set()

    def fetched(self, partition: TopicPartition, max_records: int) -> list[Records] | None:
        taken = self._taken(partition, max_records)
        return None if taken is None else [Records.of(taken)]

    def _taken(self, partition: TopicPartition, max_records: int) -> list[SourceRecord] | None:
        if taken := self.records[partition][:max_records]:
            del self.records[partition][:max_records]
            self.positions[partition] = taken[-1].offset + 1
            return taken
        if partition in self.errors:
            raise self.errors[partition]
        return None

    async def came(self, partitions: list[TopicPartition], timeout_ms: int) -> None:
        if any(self.records[place] or place in self.errors for place in partitions):
            return
        self.more.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.more.wait(), timeout_ms / 1000)

    def at(self, partition: TopicPartition) -> int:
        return self.positions[partition]

    def assignment(self) -> set[TopicPartition]:
        return {A, B}

    def highwater(self, partition: TopicPartition) -> int:
        kept = self.records[partition]
        return kept[-1].offset + 1 if kept else self.positions[partition]


class FakeLog:
    """A producer that answers when the test says so."""

    def __init__(self) -> None:
        self.sent: list[tuple[payments.OpenedBatch, asyncio.Future[object]]] = []
        self.on_sent = asyncio.Event()

    async def send(
        self, topic: str, value: bytes, *, key: bytes, partition: int
    ) -> asyncio.Future[object]:
        assert (topic, key, partition) == ("log", payments.KEY, 3)
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.sent.append((payments.open_batch(value), answer))
        self.on_sent.set()
        return answer

    async def record(self, index: int) -> tuple[payments.OpenedBatch, asyncio.Future[object]]:
        """The log record of that number, as soon as it is sent."""
        while len(self.sent) <= index:
            self.on_sent.clear()
            await asyncio.wait_for(self.on_sent.wait(), 10)
        return self.sent[index]


class Rig:
    def __init__(self) -> None:
        self.consumer = FakeConsumer()
        self.log = FakeLog()
        self.acknowledged = {A: 0, B: 0}
        self.stopped: dict[TopicPartition, Stop] = {}
        self.lane = Lane(
            name="hk",
            log=TopicPartition("log", 3),
            consumer=self.consumer,  # type: ignore[arg-type]
            producer=self.log,  # type: ignore[arg-type]
            acknowledged=self.acknowledged,
            on_stopped=lambda partition, why: self.stopped.update({partition: why.reason}),
        )
        for partition in (A, B):
            self.lane.add(Source(partition, False, 0, 0))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.lane.run())
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, KafkaError, AssertionError):
                await task

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while True:
                if holds():
                    return
                await asyncio.sleep(0.01)


async def test_one_log_record_is_in_flight_and_the_next_is_ready_behind_it() -> None:
    """A lost record in the middle would be a gap: the next one leaves only after the log's word."""
    rig = Rig()
    rig.consumer.publish(A, SOURCE_RECORDS + 952)
    async with rig.running():
        first, answer = await rig.log.record(0)
        await rig.until(lambda: not rig.consumer.records[A])  # the rest is read, but not sent
        assert len(rig.log.sent) == 1
        assert rig.acknowledged == {A: 0, B: 0}
        answer.set_result(None)
        second, _ = await rig.log.record(1)
    assert rig.acknowledged == {A: SOURCE_RECORDS, B: 0}
    spans = [[(s.topic, s.start, s.end) for s in record.sources] for record in (first, second)]
    assert spans == [
        [(A.topic, 0, SOURCE_RECORDS)],
        [(A.topic, SOURCE_RECORDS, SOURCE_RECORDS + 952)],
    ]


async def test_the_last_log_record_before_a_silence_is_acknowledged_too() -> None:
    """The group learns of it without waiting for somebody to publish again."""
    rig = Rig()
    rig.consumer.publish(A, 1500)
    async with rig.running():
        _, answer = await rig.log.record(0)
        answer.set_result(None)
        await rig.until(lambda: rig.acknowledged[A] == 1500)


async def test_what_comes_while_a_log_record_is_on_its_way_goes_together() -> None:
    rig = Rig()
    rig.consumer.publish(A, 1)
    async with rig.running():
        _, answer = await rig.log.record(0)
        rig.consumer.publish(B, 1)
        rig.consumer.publish(A, 2)
        answer.set_result(None)
        second, _ = await rig.log.record(1)
    assert [(s.topic, s.start, s.end) for s in second.sources] == [
        (A.topic, 1, 3),
        (B.topic, 0, 1),
    ]


async def test_a_flood_leaves_room_for_the_others() -> None:
    """F18: whoever publishes little is in the next log record, however much another one publishes."""
    rig = Rig()
    rig.consumer.publish(A, 2 * SOURCE_RECORDS)
    rig.consumer.publish(B, 1)
    async with rig.running():
        first, _ = await rig.log.record(0)
    rows = first.numbers("source").tolist()
    assert len(rows) == SOURCE_RECORDS + 1
    assert {first.sources[row].topic for row in rows} == {A.topic, B.topic}


async def test_a_refused_log_record_ends_the_lane_and_nothing_behind_it_was_sent() -> None:
    rig = Rig()
    rig.consumer.publish(A, SOURCE_RECORDS + 952)
    async with rig.running() as task:
        _, answer = await rig.log.record(0)
        answer.set_exception(KafkaConnectionError("test"))
        with pytest.raises(KafkaConnectionError):
            await asyncio.wait_for(task, 10)
    assert len(rig.log.sent) == 1
    assert rig.acknowledged == {A: 0, B: 0}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OffsetOutOfRangeError({A: 1}), Stop.POSITION_GONE),
        (TopicAuthorizationFailedError(A.topic), Stop.FORBIDDEN),
        (CorruptRecordException("x"), Stop.UNDECODABLE),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "header"), Stop.UNDECODABLE),
        (RuntimeError("decompression failed"), Stop.UNDECODABLE),
    ],
)
async def test_a_source_that_cannot_be_read_stops_alone(error: Exception, reason: Stop) -> None:
    """F14."""
    rig = Rig()
    rig.consumer.errors[A] = error
    async with rig.running() as task:
        await rig.until(lambda: A in rig.stopped)
        rig.consumer.publish(B, 2)
        record, answer = await rig.log.record(0)
        answer.set_result(None)
        await rig.until(lambda: rig.acknowledged[B] == 2)
        assert not task.done()
    assert rig.stopped == {A: reason}
    assert [span.topic for span in record.sources] == [B.topic]


async def test_an_error_of_the_connection_is_the_sessions() -> None:
    rig = Rig()
    rig.consumer.errors[A] = KafkaConnectionError("test")
    async with rig.running() as task:
        with pytest.raises(KafkaConnectionError):
            await asyncio.wait_for(task, 10)
    assert rig.stopped == {}


async def test_a_position_that_moves_by_itself_is_a_bug_that_stops_everything() -> None:
    """Nothing else may read or skip on our behalf: spans would claim what nobody has seen."""
    rig = Rig()
    rig.consumer.positions[A] = 1
    async with rig.running() as task:
        with pytest.raises(AssertionError, match="by itself"):
            await asyncio.wait_for(task, 10)


async def test_finish_counts_what_was_on_its_way() -> None:
    """At a rebalance: acknowledged in time is acknowledged; what is not will be read again."""
    rig = Rig()
    rig.consumer.publish(A, 10)
    async with rig.running() as task:
        _, answer = await rig.log.record(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert not answer.cancelled()
        await rig.lane.finish(timeout_s=0.01)
        assert rig.acknowledged == {A: 0, B: 0}
        answer.set_result(None)
        await rig.lane.finish(timeout_s=1)
    assert rig.acknowledged == {A: 10, B: 0}


async def test_lag_counts_what_the_log_has_not() -> None:
    rig = Rig()
    rig.consumer.publish(A, 10)
    async with rig.running():
        _, answer = await rig.log.record(0)
        rig.consumer.publish(B, 5)
        await rig.until(lambda: rig.consumer.highwater(B) == 5)
        assert rig.lane.lag(now_ms=3_500) == (15, 2.5)
        answer.set_result(None)
        _, answer = await rig.log.record(1)
        answer.set_result(None)
        await rig.until(lambda: rig.acknowledged[B] == 5)
        assert rig.lane.lag(now_ms=3_500) == (0, 0.0)


@pytest.mark.parametrize(
    ("committed", "acknowledged", "first", "end", "expected"),
    [
        (None, None, 0, 0, 0),
        (None, None, 0, 9, 0),
        (None, None, 5, 9, Stop.START_UNKNOWN),
        (None, 7, 5, 9, 7),  # the log has it, only the commit was lost
        (4, None, 0, 9, 4),
        (4, 7, 0, 9, 7),
        (8, 7, 0, 9, 8),  # another worker went on meanwhile
        (9, None, 0, 9, 9),
        (5, None, 5, 9, 5),
        (4, None, 5, 9, Stop.BELOW_START),
        (10, None, 0, 9, Stop.BEYOND_END),
        (None, 10, 0, 9, Stop.BEYOND_END),  # topic recreated: its commits went with it
    ],
)
def test_where_a_source_begins(
    committed: int | None, acknowledged: int | None, first: int, end: int, expected: int | Stop
) -> None:
    """F14: behind what the log has, at the beginning if there was nothing; never a silent reset."""
    if isinstance(expected, Stop):
        with pytest.raises(SourceStopped) as stopped:
            first_offset(committed, acknowledged, first, end)
        assert stopped.value.reason == expected
        assert expected not in PASSING
    else:
        assert first_offset(committed, acknowledged, first, end) == expected


def test_only_what_is_a_sources_own_stops_a_source() -> None:
    why = SourceStopped(Stop.NO_LOG_PARTITION, "x")
    assert stopped_by(why) is why
    assert stopped_by(KafkaError("x")) is None
