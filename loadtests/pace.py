"""`python -m loadtests.pace '<Pace as JSON>'`: banks that publish at a steady pace, as a process of their own.

One JSON payment a record, all banks alike. Everything is made before the first is sent, so that little CPU is taken
from what is measured. Prints one line of JSON; when each payment was sent goes to a file of columns.
"""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from clearing import kafka
from clearing.dev.banks import BATCH_BYTES
from clearing.dev.setup import read_scheme, renamed
from clearing.dev.workload import PLAIN, streams
from clearing.names import Topics

TICK_S = 0.005  # what a bank has to send within it leaves together


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """What to publish. payments of payments_in_all, which decides how large amounts may be. start_at_s: epoch; it
    begins later if it is not ready by then. output: where the columns go."""

    bootstrap: str
    prefix: str
    run: str
    scheme: str
    payments: int
    payments_in_all: int
    seed: int
    rate: float
    start_at_s: float
    output: str


class Paced(msgspec.Struct, frozen=True, kw_only=True):
    """How it went. Epoch seconds: of the first record sent, of the last, and of Kafka's last word."""

    banks: list[str]
    began_s: float
    sent_s: float
    acknowledged_s: float


@dataclass(slots=True)
class _Bank:
    name: str
    topic: str
    values: list[bytes]
    sent: int = 0
    moments: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # (how many, ns)
    words: list[tuple[int, asyncio.Future[RecordMetadata]]] = field(
        default_factory=list[tuple[int, asyncio.Future[RecordMetadata]]]
    )

    async def send(self, producer: AIOKafkaProducer, up_to: int) -> None:
        """Hand the producer what is due, as one batch or several."""
        while self.sent < up_to:
            first, now_ns = self.sent, time.time_ns()
            batch = producer.create_batch()
            while self.sent < up_to:
                if batch.append(key=None, value=self.values[self.sent], timestamp=None) is None:
                    break
                self.sent += 1
            assert self.sent > first, "a payment fits no batch"
            self.moments.append((self.sent - first, now_ns))
            word = await producer.send_batch(batch, self.topic, partition=0)
            self.words.append((first, word))

    async def offset(self) -> int:
        """Where the first payment stands. Asserts that the others follow without a hole."""
        base = (await self.words[0][1]).offset
        for first, word in self.words:
            assert (await word).offset == base + first, f"{self.topic}: somebody else writes, too"
        return base


async def pace(order: Pace) -> Paced:
    """Publish it all; returns when it is acknowledged."""
    scheme = renamed(read_scheme(Path(order.scheme)), order.run)
    made = streams(scheme, payments=order.payments_in_all, seed=order.seed, mix=PLAIN)
    topics, number = Topics(order.prefix), len(made)
    banks = [
        _Bank(
            name=stream.bank,
            topic=topics.payments(stream.netting_set, stream.bank),
            values=stream.take(share(order.payments, which, number)),
        )
        for which, stream in enumerate(made)
    ]
    producer = AIOKafkaProducer(
        bootstrap_servers=order.bootstrap,
        client_id="loadtest-pace",
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
    )
    async with kafka.started(producer):
        for bank in banks:
            await producer.partitions_for(bank.topic)
        await asyncio.sleep(max(0.0, order.start_at_s - time.time()))
        began_s = time.time()
        await _keep_pace(producer, banks, order, began_s)
        sent_s = time.time()
        bases = [await bank.offset() for bank in banks if bank.values]
        acknowledged_s = time.time()
    columns = {
        f"sent_ns_{which}": np.repeat(
            np.array([at_ns for _, at_ns in bank.moments], np.int64),
            [count for count, _ in bank.moments],
        )
        for which, bank in enumerate(banks)
    }
    columns["bases"] = np.array(bases, np.int64)
    np.savez(order.output, allow_pickle=False, **columns)
    return Paced(
        banks=[bank.name for bank in banks],
        began_s=began_s,
        sent_s=sent_s,
        acknowledged_s=acknowledged_s,
    )


async def _keep_pace(
    producer: AIOKafkaProducer, banks: list[_Bank], order: Pace, began_s: float
) -> None:
    """Payment k is due at k / rate, and its bank's is the k-th in turn."""
    sent = 0
    while sent < order.payments:
        due = min(order.payments, int((time.time() - began_s) * order.rate) + 1)
        if due > sent:
            for which, bank in enumerate(banks):
                await bank.send(producer, share(due, which, len(banks)))
            sent = due
        await asyncio.sleep(max(TICK_S, began_s + sent / order.rate - time.time()))


def share(payments: int, which: int, banks: int) -> int:
    """How many of the first `payments` are this bank's."""
    return (payments - which + banks - 1) // banks


if __name__ == "__main__":
    order = msgspec.json.decode(sys.argv[1], type=Pace)
    print(msgspec.json.encode(uvloop.run(pace(order))).decode())
