"""`python -m loadtests.raw '<Reading as JSON>'`: how fast the payments topics can be read at all, in this run.

The consumer that intake has, asked as intake asks it, and nothing done with a record: what any stage costs is to be
seen beside this.
"""

import asyncio
import sys
import time

import msgspec
import uvloop
from aiokafka import TopicPartition

from clearing import kafka
from clearing.intake.lane import SOURCE_RECORDS as AT_ONCE
from clearing.intake.worker import FETCH
from clearing.records import warm
from clearing.tuning import tune_memory


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Which topics (one partition each) to read to their ends, from these offsets."""

    bootstrap: str
    starts: dict[str, int]


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, in how long, with how much CPU of the reader."""

    records: int
    size_bytes: int
    seconds: float
    cpu_s: float


async def read(what: Reading) -> Read:
    """Read every record of every topic once."""
    kafka.tune_client()
    tune_memory()
    warm()
    starts = {TopicPartition(topic, 0): offset for topic, offset in what.starts.items()}
    consumer = kafka.consumer(what.bootstrap, client="loadtest-raw", **FETCH)
    records = size = 0
    async with kafka.started(consumer):
        consumer.assign(list(starts))
        ends = await consumer.end_offsets(list(starts))
        for partition, first in starts.items():
            consumer.seek(partition, first)
        left = {partition for partition, end in ends.items() if end > starts[partition]}
        began, cpu = time.monotonic(), time.process_time()
        while left:
            read = [part for each in left for part in consumer.fetched(each, AT_ONCE) or ()]
            if not read:
                await consumer.came(left, timeout_ms=200)
            records += sum(map(len, read))
            size += sum(int((part.end - part.begin).sum()) for part in read)
            await asyncio.sleep(0)  # the consumer fetches in this thread
            # By position: what stands last is the marker of a transaction, and no record.
            left = {each for each in left if consumer.at(each) < ends[each]}
        return Read(
            records=records,
            size_bytes=size,
            seconds=time.monotonic() - began,
            cpu_s=time.process_time() - cpu,
        )


if __name__ == "__main__":
    print(
        msgspec.json.encode(
            uvloop.run(read(msgspec.json.decode(sys.argv[1], type=Reading)))
        ).decode()
    )
