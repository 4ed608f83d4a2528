"""A consumer is stopped while its broker is away: whoever stops it goes on (F5, F11)."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import ConsumerStoppedError

from clearing import kafka
from tests.faults.conftest import Observe
from tests.faults.harness import until
from tests.faults.proxied import broker_behind_proxy


async def test_whoever_stops_a_reader_of_a_broker_that_is_away_is_not_cancelled_by_it(
    tmp_path: Path, observed: Observe
) -> None:  # F5 F11
    async with broker_behind_proxy(tmp_path) as (broker, proxy):
        async with kafka.administration(broker.bootstrap) as admin:
            await admin.create_topics([NewTopic("log", 1, 1)])
        reader = kafka.consumer(proxy.bootstrap)
        async with kafka.started(reader):
            partition = TopicPartition("log", 0)
            reader.assign([partition])
            reader.seek(partition, 0)
            async with kafka.started(kafka.producer(broker.bootstrap)) as producer:
                await producer.send_and_wait("log", b"one")
            assert await reader.getmany(partition, timeout_ms=10_000)
            fetcher = reader._fetcher
            assert fetcher is not None
            fetcher._retry_backoff = 60.0
            await proxy.cut()
            waiting = fetcher._pending_tasks
            await until(
                lambda: any(_waits_to_be_tried_again(task) for task in waiting), "a fetch to fail"
            )
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        with pytest.raises(ConsumerStoppedError):
            await reader.getmany(partition)
    observed(
        "F11",
        "a reader stopped while the broker is away",
        1,
        "stops; its owner goes on and tries again",
    )


def _waits_to_be_tried_again(task: "asyncio.Task[object]") -> bool:
    awaited: object = task.get_coro()
    while awaited is not None and getattr(awaited, "__name__", "") != "sleep":
        awaited = getattr(awaited, "cr_await", None)
    return awaited is not None
