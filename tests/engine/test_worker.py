"""Who serves what when the group deals its partitions anew; tasks that a library does not let end (F3)."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest
from aiokafka import TopicPartition

from clearing import kafka
from clearing.config import Settings
from clearing.engine import ticker, worker
from clearing.engine.processor import Ticker

PARTITIONS = {TopicPartition("clearing.log", number) for number in (0, 1)}


async def swallow_the_first(_: object = None) -> None:
    """As a client of aiokafka does that is cancelled while it closes."""
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(60)
    await asyncio.sleep(60)


async def test_a_task_that_lost_its_cancellation_is_cancelled_again() -> None:
    stubborn = [asyncio.create_task(swallow_the_first()) for _ in range(2)]
    done = asyncio.create_task(asyncio.sleep(0, "done"))
    await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        results = await kafka.ended([*stubborn, done], again_s=0.01)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2 + [str]
    assert all(task.cancelled() for task in stubborn)


async def test_nothing_to_end_is_ended() -> None:
    assert await kafka.ended([]) == []


async def test_nothing_is_served_while_the_group_deals_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # F3
    """Two tasks of one process on one netting set would fence one another for ever."""
    begun: list[int] = []
    may_end = asyncio.Event()

    async def serve(self: Any, partition: int) -> None:
        begun.append(partition)
        try:
            await asyncio.sleep(60)
        finally:
            await may_end.wait()  # closing its clients takes a while

    monkeypatch.setattr(worker._Engine, "_serve", serve)
    engine = worker._Engine(Settings(), Mock())
    engine._directory = {0: "east", 1: "west"}
    await engine.on_partitions_assigned(PARTITIONS)
    await engine.serve_assigned()
    await asyncio.sleep(0)
    assert begun == [0, 1]

    revoking = asyncio.create_task(engine.on_partitions_revoked(PARTITIONS))
    await asyncio.sleep(0)
    await engine.serve_assigned()
    await asyncio.sleep(0)
    assert begun == [0, 1]
    assert not revoking.done()
    may_end.set()
    await revoking

    await engine.on_partitions_assigned({TopicPartition("clearing.log", 1)})
    await engine.serve_assigned()
    await asyncio.sleep(0)
    assert begun == [0, 1, 1]
    await engine.stop_all()


async def test_a_tick_that_is_answered_in_the_turn_in_which_it_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # F3
    sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    class Producer:
        async def start(self) -> None: ...

        async def send(self, *_: object) -> asyncio.Future[Any]:
            return sent

    monkeypatch.setattr(kafka, "producer", lambda *_, **__: Producer())
    task = asyncio.create_task(Ticker("", TopicPartition("clearing.log", 0)).tick_if(1, "east"))
    await asyncio.sleep(0.01)
    assert not task.done()
    sent.set_result(Mock(timestamp=1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_tick_that_stands_in_the_log_is_not_written_again_while_nothing_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader that stands still for seconds must not fill the log with ticks, fifty a second."""
    now_s, stamps = 100.0, [50_000]
    written: list[int] = []

    class Producer:
        async def start(self) -> None: ...

        async def send(self, *_: object) -> asyncio.Future[Any]:
            written.append(stamps[-1])
            stored = asyncio.get_running_loop().create_future()
            stored.set_result(Mock(timestamp=stamps[-1]))
            return stored

    monkeypatch.setattr(kafka, "producer", lambda *_, **__: Producer())
    clock = Mock(monotonic=lambda: now_s)
    monkeypatch.setattr(ticker, "time", clock)
    ticks = Ticker("", TopicPartition("clearing.log", 0))

    await ticks.tick_if(50_100, "east")  # to learn what time it is
    assert written == [50_000]
    assert ticks.wait_ms(50_100) == 100
    now_s, stamps = now_s + 0.1, [50_100]
    await ticks.tick_if(50_100, "east")
    assert written == [50_000, 50_100]
    assert ticks.wait_ms(50_100) == ticker.IDLE_POLL_MS
    for _ in range(30):  # it is not read
        now_s += ticker.MIN_INTERVAL_S
        await ticks.tick_if(50_100, "east")
    assert written == [50_000, 50_100]
    now_s, stamps = now_s + ticker.AGAIN_S, [51_700]
    await ticks.tick_if(50_100, "east")  # the log may have lost its end
    assert written == [50_000, 50_100, 51_700]
    now_s, stamps = now_s + 0.1, [51_800]
    await ticks.tick_if(51_800, "east")  # the next thing is due: at once
    assert written[-1] == 51_800
