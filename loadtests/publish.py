"""`python -m loadtests.publish '<Order as JSON>'`: the banks of a load test as a process of their own.

A plain producer, nothing of clearing.client. Prints one line of JSON when every record is acknowledged: what was
published, and what must become of it.
"""

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TypeVar

import msgspec
import uvloop

from clearing.dev.banks import Banks
from clearing.dev.setup import read_scheme, renamed
from clearing.dev.tally import Tally
from clearing.dev.workload import SIMPLE, streams
from clearing.names import Topics

Answer = TypeVar("Answer")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to publish. payments of payments_in_all, which decides how large amounts may be; odd, bulk: see Mix;
    run: as in clearing.dev.setup.Servers; rows_per_s: 0 for as fast as it goes."""

    bootstrap: str
    prefix: str
    run: str
    scheme: str
    payments: int
    payments_in_all: int
    seed: int
    odd: float
    bulk: float
    rows_per_s: float = 0.0


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a Tally, as JSON can carry it."""

    records: int
    rows: int
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


async def publish(order: Order) -> Published:
    """Publish it all; returns when it is acknowledged."""
    scheme = renamed(read_scheme(Path(order.scheme)), order.run)
    made = streams(
        scheme,
        payments=order.payments_in_all,
        seed=order.seed,
        mix=SIMPLE._replace(odd=order.odd, bulk=order.bulk),
    )
    banks = Banks(order.bootstrap, Topics(order.prefix), made, {})
    began, cpu = time.monotonic(), time.process_time()
    await banks.publish(order.payments, order.rows_per_s)
    plan = banks.plan()
    return Published(
        records=plan.records,
        rows=plan.rows,
        took_s=time.monotonic() - began,
        cpu_s=time.process_time() - cpu,
        outcomes=dict(plan.outcomes),
        reasons=dict(plan.reasons),
        accepted=dict(plan.accepted),
        nets=[(bank, asset, net) for (bank, asset), net in plan.nets.items()],
    )


async def in_process_of_its_own(order: Order, timeout_s: float) -> Published:
    """Publish by a child process. Raises RuntimeError if it fails, TimeoutError if it takes too long."""
    return await run_module("loadtests.publish", order, Published, timeout_s)


async def run_module(
    module: str, argument: msgspec.Struct, answer: type[Answer], timeout_s: float
) -> Answer:
    """Run `python -m module '<argument>'` and read its one line of JSON."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, msgspec.json.encode(argument).decode()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    try:
        out, error = await asyncio.wait_for(process.communicate(), timeout_s)
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise RuntimeError(f"{module} ended with {process.returncode}: {error.decode()[-2_000:]}")
    return msgspec.json.decode(out, type=answer)


if __name__ == "__main__":
    order = msgspec.json.decode(sys.argv[1], type=Order)
    print(msgspec.json.encode(uvloop.run(publish(order))).decode())
