"""`python -m loadtests.transactions '<Trying as JSON>'`: how many empty transactions a broker does a second.

One after the other, over one partition, without a record: what every cycle of the engine pays at least.
"""

import asyncio
import sys
import time

import msgspec
import uvloop
from aiokafka import TopicPartition

from clearing import kafka

COMMIT_TIMEOUT_S = 30.0


class Trying(msgspec.Struct, frozen=True, kw_only=True):
    """topic: of one partition; nothing is written to it. name: of the transactions."""

    bootstrap: str
    topic: str
    name: str
    seconds: float


class Transactions(msgspec.Struct, frozen=True, kw_only=True):
    """How many, in how long, with how much CPU of the client."""

    transactions: int
    seconds: float
    cpu_s: float


async def attempt(what: Trying) -> Transactions:
    """Begin and commit for so long."""
    kafka.tune_client()
    partition = [TopicPartition(what.topic, 0)]
    producer = kafka.producer(what.bootstrap, transactional_id=what.name)
    async with kafka.started(producer):
        await kafka.end_over(producer, partition, COMMIT_TIMEOUT_S, commit=True)
        done, began, cpu = 0, time.monotonic(), time.process_time()
        while time.monotonic() - began < what.seconds:
            await kafka.end_over(producer, partition, COMMIT_TIMEOUT_S, commit=True)
            await asyncio.sleep(0)
            done += 1
        return Transactions(
            transactions=done,
            seconds=time.monotonic() - began,
            cpu_s=time.process_time() - cpu,
        )


if __name__ == "__main__":
    trying = msgspec.json.decode(sys.argv[1], type=Trying)
    print(msgspec.json.encode(uvloop.run(attempt(trying))).decode())
