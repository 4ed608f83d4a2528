"""`python -m loadtests.publish '<Order as JSON>'`: the banks of a load test as a process of their own.

A plain producer, nothing of clearing.client. Everything is published in one transaction: readers get it all at one
moment, with `hold` not before a line comes on standard input. Says in a line of JSON what was published, and what
must become of it.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import uvloop
from aiokafka import AIOKafkaProducer

from clearing import kafka
from clearing.dev.banks import BATCH_BYTES, send
from clearing.dev.setup import read_scheme, renamed
from clearing.dev.tally import Tally
from clearing.names import Topics
from loadtests.peers.peer import Source
from loadtests.workloads import WORKLOADS, made, turns

TRANSACTION_TIMEOUT_MS = 600_000
Answer = TypeVar("Answer")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to publish: `payments` of a workload, drawn so that `payments_in_all` are within all limits.

    run: as in clearing.dev.setup.Servers. hold: not to be read before it is released. topic: a peer's input, one
    for all banks, instead of their own; then wrong ones follow at the end, that a peer has to refuse.
    """

    bootstrap: str
    prefix: str
    run: str
    scheme: str
    workload: str
    payments: int
    payments_in_all: int
    seed: int
    hold: bool = False
    topic: str = ""


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a Tally, as JSON can carry it. took_s, cpu_s: of making and sending, without the wait."""

    records: int
    rows: int
    size_bytes: int
    took_s: float
    cpu_s: float
    outcomes: dict[str, int]
    reasons: dict[str, int]
    accepted: dict[str, int]
    nets: list[tuple[str, str, int]]

    def tally(self) -> Tally:
        return Tally(
            records=self.records,
            rows=self.rows,
            outcomes=Counter(self.outcomes),
            reasons=Counter(self.reasons),
            accepted=Counter(self.accepted),
            nets=Counter({(bank, asset): net for bank, asset, net in self.nets}),
        )

    def source(self, topic: str) -> Source:
        """The same as a peer's input."""
        return Source(
            topic=topic,
            records=self.records,
            accepted=self.outcomes["accepted"],
            nets=self.nets,
        )


def wrong(value: bytes) -> list[bytes]:
    """What every peer has to refuse: made from one payment that it has accepted before."""
    payment = msgspec.json.decode(value, type=dict[str, str])

    def other(number: int, **changed: str) -> bytes:
        return msgspec.json.encode(payment | {"id": f"{payment['id'][:-4]}{number:04}"} | changed)

    return [
        value,  # the same id again
        value[:-9],
        other(1, creditor="NOSUCHXX"),
        other(2, asset="XAU"),
        other(3, amount="0"),
        other(4, amount="1.0000001"),
        other(5, creditor=payment["debtor"]),
        other(6, amount="99999999999"),  # more than anybody has
    ]


async def publish(order: Order) -> None:
    """Publish it all, and say it; returns when it can be read."""
    scheme = renamed(read_scheme(Path(order.scheme)), order.run)
    workload = WORKLOADS[order.workload]
    netting_set = f"{order.run}-{workload.netting_set}" if order.run else workload.netting_set
    ours = made(workload, scheme, netting_set, order.payments_in_all, order.seed)
    topics = Topics(order.prefix)
    size, value = 0, b""
    began, cpu = time.monotonic(), time.process_time()
    async with kafka.started(_producer(order)) as producer:
        if not order.topic:
            await producer.begin_transaction()
        for stream, values in turns(workload, ours, order.payments):
            await send(producer, order.topic or topics.payments(netting_set, stream.bank), values)
            size, value = size + sum(map(len, values)), values[-1]
        extra = wrong(value) if order.topic else []
        if extra:
            await send(producer, order.topic, extra)
        took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
        plan = Tally(records=len(extra), rows=len(extra))
        for stream in ours:
            plan.add(stream.tally)
        published = Published(
            records=plan.records,
            rows=plan.rows,
            size_bytes=size,
            took_s=took_s,
            cpu_s=cpu_s,
            outcomes=dict(plan.outcomes),
            reasons=dict(plan.reasons),
            accepted=dict(plan.accepted),
            nets=[(bank, asset, net) for (bank, asset), net in plan.nets.items()],
        )
        print(msgspec.json.encode(published).decode(), flush=True)
        if order.hold:
            await asyncio.to_thread(sys.stdin.readline)
        if not order.topic:
            await producer.commit_transaction()


def _producer(order: Order) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=order.bootstrap,
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
        max_request_size=kafka.MAX_RECORD_BYTES,
        request_timeout_ms=kafka.REQUEST_TIMEOUT_MS,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        transactional_id=None if order.topic else f"{order.prefix}loadtest-banks",
    )


class Held(NamedTuple):
    """What is published, and is not to be read before `release`."""

    published: Published
    process: asyncio.subprocess.Process

    async def release(self) -> None:
        """Everything can be read in a moment."""
        assert self.process.stdin is not None, "it was started with a pipe"
        self.process.stdin.write(b"\n")
        await self.process.stdin.drain()


@asynccontextmanager
async def held(order: Order, timeout_s: float) -> AsyncIterator[Held]:
    """A process that has published `order` and holds it back. Raises RuntimeError if it fails, TimeoutError."""
    process = await _spawn("loadtests.publish", msgspec.structs.replace(order, hold=True))
    try:
        assert process.stdout is not None, "it was started with a pipe"
        line = await asyncio.wait_for(process.stdout.readline(), timeout_s)
        if line:
            yield Held(msgspec.json.decode(line, type=Published), process)
        _, error = await asyncio.wait_for(process.communicate(), timeout_s)
        if process.returncode != 0:
            raise RuntimeError(f"the banks ended: {error.decode()[-2_000:]}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def in_process_of_its_own(order: Order, timeout_s: float) -> Published:
    """Publish by a child process. Raises RuntimeError if it fails, TimeoutError if it takes too long."""
    return await run_module("loadtests.publish", order, Published, timeout_s)


async def run_module(
    module: str, argument: msgspec.Struct, answer: type[Answer], timeout_s: float
) -> Answer:
    """Run `python -m module '<argument>'` and read its one line of JSON."""
    process = await _spawn(module, argument)
    try:
        out, error = await asyncio.wait_for(process.communicate(), timeout_s)
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise RuntimeError(f"{module} ended with {process.returncode}: {error.decode()[-2_000:]}")
    return msgspec.json.decode(out, type=answer)


async def _spawn(module: str, argument: msgspec.Struct) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, msgspec.json.encode(argument).decode()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )


if __name__ == "__main__":
    order = msgspec.json.decode(sys.argv[1], type=Order)
    uvloop.run(publish(order))
