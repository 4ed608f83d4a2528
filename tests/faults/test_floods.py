"""One bank sends nearly all of the load, or rubbish: its own share is what it gets, the others hardly notice (F18).

Real services. Intake stands still while the flood and the others' payments are published, then goes on: what is
measured is who is let through when, from the log's order and as a ratio of times of the same run.
"""

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import MessageSizeTooLargeError
from msgspec.json import encode

from clearing import kafka
from clearing.client import Bank
from clearing.intake.lane import SOURCE_RECORDS
from clearing.log import payments
from tests.faults.conftest import Observe
from tests.faults.harness import settings_of, soon
from tests.faults.test_halts import Hall, hall

FLOOD = 12 * SOURCE_RECORDS
OTHERS = 60  # payments of a bank that behaves; the last of them is their 99th percentile
HUGE_BYTES = 6 << 20
TIMES_SLOWER = 12.0  # at most, next to a flood
GARBAGE = b'{"type": "payment", "id": "' + bytes(180)


@dataclass
class Flooded:
    """What a bank that behaves met. ahead: rows of the flood that the log has before its last payment."""

    p99_s: float
    ahead: int


class Town:
    """ALPHHKHH floods, BETAHKHH pays, in netting set east."""

    def __init__(self, here: Hall, flooder: Bank, other: Bank) -> None:
        self._here = here
        self._flooder = flooder
        self._other = other
        topics, number = here.settings.topics, here.numbers["east"]
        self._log = TopicPartition(topics.log, number)
        self.topic = topics.payments("east", "ALPHHKHH")

    @contextmanager
    def _intake_stands_still(self) -> Iterator[None]:
        self._here.services.pause("intake-1")
        try:
            yield
        finally:
            self._here.services.resume("intake-1")

    async def others_pay(self, flood: list[bytes]) -> Flooded:
        """How long a bank's payments take that were published behind a flood."""
        start = await self._end()
        orders = [self._other.payment("GAMMHKHH", "HKD", "1.00") for _ in range(OTHERS)]
        waiting = {order.id for order in orders}
        took_s: list[float] = []
        statuses = self._other.statuses(incoming=False)
        first = asyncio.ensure_future(
            anext(statuses)
        )  # its reader is there before anything is told
        with self._intake_stands_still():
            await self._publish(flood)
            await self._other.publish(orders)
            resumed_s = time.monotonic()
        async with asyncio.timeout(120):
            status = await first
            while True:
                if status.id in waiting:
                    waiting.remove(status.id)
                    took_s.append(time.monotonic() - resumed_s)
                if not waiting:
                    break
                status = await anext(statuses)
        await self._until_logged(start, len(flood) + OTHERS)
        p99_s = sorted(took_s)[math.ceil(0.99 * len(took_s)) - 1]
        return Flooded(p99_s, await self._ahead(start))

    async def _publish(self, values: list[bytes]) -> None:
        async with kafka.started(
            kafka.producer(self._here.settings.bootstrap, linger_ms=5, max_batch_size=1 << 18)
        ) as producer:
            sent = [await producer.send(self.topic, value, partition=0) for value in values]
            await asyncio.gather(*sent)

    async def _end(self) -> int:
        async with kafka.started(kafka.consumer(self._here.settings.bootstrap)) as reader:
            return (await reader.end_offsets([self._log]))[self._log]

    async def _rows(self, start: int) -> list[str]:
        """The topic of each row that the log has from offset `start` on, in order."""
        async with kafka.started(kafka.consumer(self._here.settings.bootstrap)) as reader:
            reader.assign([self._log])
            found = [r async for r in kafka.read_to_end(reader, self._log, start)]
        rows: list[str] = []
        for record in found:
            if record.key == payments.KEY:
                opened = payments.open_batch(record.value or b"")
                rows += [opened.sources[n].topic for n in opened.numbers("source").tolist()]
        return rows

    async def _until_logged(self, start: int, count: int) -> None:
        async def logged() -> bool:
            return len(await self._rows(start)) >= count

        await soon(logged, "intake to have read the flood", timeout_s=120)

    async def _ahead(self, start: int) -> int:
        rows = await self._rows(start)
        last = max(n for n, topic in enumerate(rows) if topic != self.topic)
        return sum(topic == self.topic for topic in rows[:last])

    def payments(self, count: int) -> list[bytes]:
        return [encode(self._flooder.payment("GAMMHKHH", "HKD", "0.01")) for _ in range(count)]

    async def oversized(self) -> None:
        """What is larger than a record may be never gets in: its sender is told."""
        producer = kafka.producer(self._here.settings.bootstrap, max_request_size=64 << 20)
        async with kafka.started(producer):
            with pytest.raises(MessageSizeTooLargeError):
                await producer.send_and_wait(self.topic, bytes(17 << 20), partition=0)


@pytest.mark.thorough
async def test_who_floods_is_held_to_his_share_and_the_others_hardly_notice(
    bootstrap: str,
    fresh_dsn: str,
    topic_prefix: str,
    tmp_path: Path,
    rounds: int,
    observed: Observe,
) -> None:  # F18
    settings = settings_of(bootstrap, fresh_dsn, topic_prefix, tmp_path)
    async with (
        hall(settings, tmp_path) as here,
        Bank(bootstrap, "ALPHHKHH", "east", topic_prefix) as flooder,
        Bank(bootstrap, "BETAHKHH", "east", topic_prefix) as other,
    ):
        assert await here.pays("east", "HKD") == "ACSP"
        town = Town(here, flooder, other)
        worst: dict[str, tuple[float, int]] = {}
        for _ in range(rounds):
            quiet = await town.others_pay([])
            floods = {
                "payments": town.payments(FLOOD),
                "records that cannot be read": [GARBAGE] * FLOOD,
                "huge records that cannot be read": [GARBAGE * (HUGE_BYTES // len(GARBAGE))] * 6,
            }
            for what, flood in floods.items():
                found = await town.others_pay(flood)
                ratio = found.p99_s / quiet.p99_s
                assert ratio < TIMES_SLOWER, (what, found, quiet)
                assert found.ahead <= len(flood) / 2, (what, found)
                before = worst.get(what, (0.0, 0))
                worst[what] = max(before[0], ratio), max(before[1], found.ahead)
            await town.oversized()
        assert await here.pays("west", "EUR") == "ACSP"
        assert all(here.services[name].restarts == 0 for name in here.services.names)
    for what, (ratio, ahead) in worst.items():
        observed(
            "F18",
            f"one bank sends {FLOOD if 'huge' not in what else 6} {what}, 99 % of the load",
            rounds,
            f"others' p99 {ratio:.1f} times that without; at most {ahead} rows of it before theirs",
        )
    observed(
        "F18",
        "records over the topic's limit",
        rounds,
        "refused by the broker, to their sender alone",
    )
