"""`python -m loadtests.peers.plain '<Work as JSON>'`: an aiokafka loop, one record at a time, exactly once.

What a good engineer would write in an afternoon: consume, decide, produce, and every 100 ms one transaction with
the offsets in it. State is in memory; after a crash it is made again by reading what was committed.
"""

import asyncio
import sys
import time

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from loadtests.peers.books import Books
from loadtests.peers.serving import Clock, serve
from loadtests.peers.work import COMMIT_INTERVAL_MS, WINDOW_MS, Order, Round, Work

encode = msgspec.json.encode


async def clear(work: Work, order: Order) -> Round:
    """One round, as a process would do it that was just started."""
    group = f"{work.name}-{time.time_ns():x}"
    consumer = AIOKafkaConsumer(
        bootstrap_servers=work.bootstrap,
        group_id=group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=work.bootstrap,
        transactional_id=group,
        max_batch_size=512 << 10,
        linger_ms=20,
        compression_type="lz4",
    )
    await consumer.start()
    await producer.start()
    try:
        return await _loop(work, order, consumer, producer, group)
    finally:
        await producer.stop()
        await consumer.stop()


async def _loop(
    work: Work, order: Order, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, group: str
) -> Round:
    source = TopicPartition(order.input, 0)
    consumer.assign([source])
    books = Books(work.banks, work.assets, {}, {})
    await _recover(consumer, source, books)
    clock = Clock(work, order.records)
    done, last = 0, -1
    next_commit = next_window = 0.0
    await producer.begin_transaction()
    while done < order.records:
        # One record at a time; asked for in lots, as aiokafka's own iterator does inside.
        for record in (await consumer.getmany(source, timeout_ms=100)).get(source, ()):
            if done == 0:
                clock.start()
                next_commit = time.monotonic() + COMMIT_INTERVAL_MS / 1000
                next_window = time.monotonic() + WINDOW_MS / 1000
            status = books.clear(record.value or b"")
            await producer.send(order.statuses, encode(status), key=record.key)
            done, last = done + 1, record.offset
            at_end = done == order.records
            if at_end or time.monotonic() >= next_commit:
                if at_end or time.monotonic() >= next_window:
                    await _settle(books, producer, order.settlements)
                    next_window = time.monotonic() + WINDOW_MS / 1000
                await producer.send_offsets_to_transaction({source: last + 1}, group)
                await producer.commit_transaction()
                clock.committed(done)
                next_commit = time.monotonic() + COMMIT_INTERVAL_MS / 1000
                if at_end:
                    break
                await producer.begin_transaction()
    return clock.round()


async def _recover(consumer: AIOKafkaConsumer, source: TopicPartition, books: Books) -> None:
    """The state that stood behind the last commit: what was decided up to there is decided again, and not said."""
    committed = await consumer.committed(source) or 0
    await consumer.seek_to_beginning(source)
    while await consumer.position(source) < committed:
        for record in (await consumer.getmany(source, timeout_ms=100)).get(source, ()):
            if record.offset < committed:
                books.clear(record.value or b"")
    if committed:
        consumer.seek(source, committed)


async def _settle(books: Books, producer: AIOKafkaProducer, topic: str) -> None:
    batch = books.close()
    if batch is not None:
        await producer.send(topic, encode(batch))


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serve(msgspec.json.decode(sys.argv[1], type=Work), clear))
