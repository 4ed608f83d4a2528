"""How a peer in Python answers: rounds asked for on standard input, one line of JSON each, and the clock it has."""

import asyncio
import os
import resource
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from loadtests.meter import cpu_seconds
from loadtests.peers.work import Order, Round, Work

Clear = Callable[[Work, Order], Awaitable[Round]]


class _Sample(NamedTuple):
    done: int
    at_s: float
    cpu_s: float
    kafka_cpu_s: float


class Clock:
    """Samples at the first record, at the commit that passes the half, and at the last commit."""

    def __init__(self, work: Work, payments: int) -> None:
        self._kafka_pid = work.kafka_pid
        self._payments = payments
        self._first: _Sample | None = None
        self._half: _Sample | None = None
        self._end: _Sample | None = None

    def start(self) -> None:
        """The first record is in hand."""
        self._first = self._sample(0)

    def committed(self, done: int) -> None:
        """So many records are committed by now."""
        if self._half is None and 2 * done >= self._payments:
            self._half = self._sample(done)
        if done >= self._payments:
            self._end = self._sample(done)

    def round(self) -> Round:
        first, half, end = self._first, self._half, self._end
        assert first is not None, "no record was read"
        assert half is not None, "nothing was committed"
        assert end is not None, "not everything was committed"
        return Round(
            payments=end.done,
            seconds=end.at_s - first.at_s,
            cpu_s=end.cpu_s - first.cpu_s,
            kafka_cpu_s=end.kafka_cpu_s - first.kafka_cpu_s,
            memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            steady_payments=end.done - half.done,
            steady_seconds=end.at_s - half.at_s,
            steady_cpu_s=end.cpu_s - half.cpu_s,
        )

    def _sample(self, done: int) -> _Sample:
        kafka = cpu_seconds(self._kafka_pid) if self._kafka_pid else 0.0
        return _Sample(done, time.monotonic(), time.process_time(), kafka)


async def serve(work: Work, clear: Clear) -> None:
    """Answer each line `clear INPUT N STATUSES SETTLEMENTS` until standard input ends."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        os._exit(0)  # whoever started us is gone, or wants no more

    threading.Thread(target=listen, daemon=True).start()
    while True:
        _, source, records, statuses, settlements = (await lines.get()).split()
        order = Order(
            input=source, records=int(records), statuses=statuses, settlements=settlements
        )
        answer = await clear(work, order)
        print(msgspec.json.encode(answer).decode(), flush=True)
