"""`python -m loadtests.raw '<Reading as JSON>'`: how fast the payments topics can be read at all, in this run.

The consumer that intake has, and nothing done with a record: what any stage costs is to be seen beside this.
"""

import sys
import time

import msgspec
import uvloop
from aiokafka import TopicPartition

from clearing import kafka


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Which topics (one partition each) to read from beginning to end."""

    bootstrap: str
    topics: list[str]


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, in how long, with how much CPU of the reader, and of the broker where it is ours."""

    records: int
    size_bytes: int
    took_s: float
    cpu_s: float
    kafka_cpu_s: float | None = None


async def read(what: Reading) -> Read:
    """Read every record of every topic once."""
    kafka.tune_client()
    partitions = [TopicPartition(topic, 0) for topic in what.topics]
    consumer = kafka.consumer(what.bootstrap, client="loadtest-raw")
    records = size = 0
    async with kafka.started(consumer):
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition, first in (await consumer.beginning_offsets(partitions)).items():
            consumer.seek(partition, first)
        left = {partition for partition, end in ends.items() if end > 0}
        began, cpu = time.monotonic(), time.process_time()
        while left:
            for partition, batch in (await consumer.getmany(*left, timeout_ms=200)).items():
                records += len(batch)
                size += sum(len(record.value or b"") for record in batch)
                if batch and batch[-1].offset + 1 >= ends[partition]:
                    left.discard(partition)
        return Read(
            records=records,
            size_bytes=size,
            took_s=time.monotonic() - began,
            cpu_s=time.process_time() - cpu,
        )


if __name__ == "__main__":
    print(
        msgspec.json.encode(
            uvloop.run(read(msgspec.json.decode(sys.argv[1], type=Reading)))
        ).decode()
    )
