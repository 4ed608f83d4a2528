"""`python -m loadtests.listen '<Listening as JSON>'`: a reader of all banks' status topics, and one of outcomes.

It notes when a read_committed reader has each record in hand, and looks into them only at the end: what is measured
has the machine. Prints one line of JSON; columns go to a file.
"""

import asyncio
import sys
import time
from typing import NamedTuple

import msgspec
import numpy as np
import uvloop
from aiokafka import TopicPartition

from clearing import kafka
from clearing.log.records import OUTCOMES_KEY, decode_outcomes

POLL_MS = 100


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """What to read: status topics and the partition of outcomes, from these offsets on, until `rows` payments are
    answered and `grace_s` longer, or until `deadline_s` (epoch). output: where the columns go."""

    bootstrap: str
    banks: list[str]
    status: list[tuple[str, int]]
    outcomes: tuple[str, int, int]
    rows: int
    grace_s: float
    deadline_s: float
    output: str


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """ready_s: when it began to read. finals: settlement batch → when its first and its last bank had read that it
    is final (epoch ms)."""

    ready_s: float
    finals: dict[str, tuple[float, float]]


class _Status(msgspec.Struct):
    source: tuple[str, int, int, int]


class _Message(msgspec.Struct):
    """As much of a status record as is needed here."""

    type: str
    log_offset: int
    statuses: list[_Status] = []
    batch: str = ""


class _Read(NamedTuple):
    bank: int
    heard_ns: int
    stamp_ms: int
    value: bytes


class _Ear:
    def __init__(self, order: Listening) -> None:
        self.order = order
        self.statuses: list[_Read] = []
        self.outcomes: list[_Read] = []
        self.rows = 0
        self.all_heard = asyncio.Event()

    async def status(self, ready: asyncio.Event) -> None:
        places = {
            TopicPartition(topic, 0): (bank, start)
            for bank, (topic, start) in enumerate(self.order.status)
        }
        reader = kafka.consumer(self.order.bootstrap, client="loadtest-bank")
        async with kafka.started(reader):
            reader.assign(list(places))
            for place, (_, start) in places.items():
                reader.seek(place, start)
            ready.set()
            while True:
                batches = await reader.getmany(timeout_ms=POLL_MS)
                now_ns = time.time_ns()
                for place, records in batches.items():
                    bank = places[place][0]
                    for record in records:
                        value = record.value or b""
                        self.statuses.append(_Read(bank, now_ns, record.timestamp, value))
                        self.rows += value.count(b'"source":[')
                if self.rows >= self.order.rows:
                    self.all_heard.set()

    async def committed(self, ready: asyncio.Event) -> None:
        topic, partition, start = self.order.outcomes
        place = TopicPartition(topic, partition)
        reader = kafka.consumer(self.order.bootstrap, client="loadtest-outcomes")
        async with kafka.started(reader):
            reader.assign([place])
            reader.seek(place, start)
            ready.set()
            while True:
                batches = await reader.getmany(timeout_ms=POLL_MS)
                now_ns = time.time_ns()
                for record in batches.get(place, ()):
                    if record.key == OUTCOMES_KEY:
                        value = record.value or b""
                        self.outcomes.append(_Read(0, now_ns, record.timestamp, value))


async def listen(order: Listening) -> Heard:
    """Read until everything is heard or time is up; how much it was is for the caller to judge."""
    kafka.tune_client()
    ear, ready = _Ear(order), (asyncio.Event(), asyncio.Event())
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(ear.status(ready[0])),
            group.create_task(ear.committed(ready[1])),
        ]
        for event in ready:
            await event.wait()
        ready_s = time.time()
        try:
            async with asyncio.timeout(order.deadline_s - time.time()):
                await ear.all_heard.wait()
            await asyncio.sleep(order.grace_s)
        except TimeoutError:
            pass  # fewer rows than asked for are in the file: the caller refuses to make figures of that
        for task in tasks:
            task.cancel()
    return Heard(ready_s=ready_s, finals=_write(ear))


def _write(ear: _Ear) -> dict[str, tuple[float, float]]:
    """One row a payment, one an outcomes record; the finals."""
    decode = msgspec.json.Decoder(_Message).decode
    rows: list[tuple[int, int, int, int, int]] = []
    finals: dict[str, tuple[float, float]] = {}
    for bank, heard_ns, stamp_ms, value in ear.statuses:
        message = decode(value)
        if message.type == "final":
            first, _ = finals.get(message.batch, (heard_ns / 1e6, 0))
            finals[message.batch] = first, heard_ns / 1e6
        rows.extend(
            (bank, status.source[2], heard_ns, stamp_ms, message.log_offset)
            for status in message.statuses
        )
    outcomes = [
        (one.log_offset, stamp_ms, heard_ns, len(one.codes))
        for _, heard_ns, stamp_ms, value in ear.outcomes
        for one in [decode_outcomes(value)]
    ]
    np.savez(
        ear.order.output,
        rows=np.array(rows, np.int64).reshape(-1, 5),
        outcomes=np.array(outcomes, np.int64).reshape(-1, 4),
    )
    return finals


if __name__ == "__main__":
    order = msgspec.json.decode(sys.argv[1], type=Listening)
    print(msgspec.json.encode(uvloop.run(listen(order))).decode())
