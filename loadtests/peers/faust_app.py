"""`python -m loadtests.peers.faust_app '<Work as JSON>'`: the same work as a Faust app: an agent and two tables.

At least once: Faust's own exactly_once loses and duplicates (ops/adr/0018-views.md), so it need not pay for it.
One round only: a Faust app is made once in a process.
"""

import asyncio
import sys
import time
from typing import Any

import faust
import msgspec
from faust.types import TP

from loadtests.peers.books import Books
from loadtests.peers.serving import Clock, serve
from loadtests.peers.work import COMMIT_INTERVAL_MS, WINDOW_MS, Order, Round, Work

POLL_S = 0.02
encode = msgspec.json.encode


class Clearing(faust.App):
    """Faust's app, leaving no files behind."""

    def _create_directories(self) -> None:
        """Tables are in memory and in Kafka."""


def build(work: Work, order: Order, clock: Clock) -> Clearing:
    """The app; nothing starts before `start()`."""
    app = Clearing(
        f"{work.name}-{time.time_ns():x}",
        broker=[f"aiokafka://{server.strip()}" for server in work.bootstrap.split(",")],
        autodiscover=False,
        store="memory://",
        topic_partitions=1,
        topic_replication_factor=1,
        broker_commit_interval=COMMIT_INTERVAL_MS / 1000,
        consumer_auto_offset_reset="earliest",
        producer_acks=-1,
        producer_linger=0.02,
        producer_compression_type="lz4",
        stream_wait_empty=False,
    )
    seen: Any = app.Table("ids", default=bool, partitions=1)
    nets: Any = app.Table("nets", default=int, partitions=1)
    payments = app.topic(order.input, value_type=bytes, value_serializer="raw")
    statuses = app.topic(order.statuses, value_serializer="raw")
    settlements = app.topic(order.settlements, value_serializer="raw")
    books = Books(work.banks, work.assets, seen, nets)

    @app.agent(payments)
    async def clear(stream: Any) -> None:
        done, next_window = 0, 0.0
        async for value in stream:
            if done == 0:
                clock.start()
                next_window = time.monotonic() + WINDOW_MS / 1000
            await statuses.send(value=encode(books.clear(value)))
            done += 1
            if done == order.records or time.monotonic() >= next_window:
                if (batch := books.close()) is not None:
                    await settlements.send(value=encode(batch))
                next_window = time.monotonic() + WINDOW_MS / 1000

    return app


async def clear(work: Work, order: Order) -> Round:
    """One round: until the offset of the last record is committed."""
    clock = Clock(work, order.records)
    app = build(work, order, clock)
    source = TP(order.input, 0)
    await app.start()
    consumer: Any = app.consumer
    try:
        done = 0
        while done < order.records:
            await asyncio.sleep(POLL_S)
            if app._crashed.is_set():
                raise app.crash_reason or RuntimeError("the app ended without a reason")
            committed = consumer._committed_offset[source] or 0
            if committed > done:
                clock.committed(done := committed)
        return clock.round()
    finally:
        await app.stop()


if __name__ == "__main__":
    asyncio.run(serve(msgspec.json.decode(sys.argv[1], type=Work), clear))
