"""Carries time into an idle log: when something is due and no record brings the broker's time, write a tick.

Which time it is, the broker alone says, by its stamps; this host's wall clock is never looked at (F12): between two
stamps the monotonic clock tells how far the broker's must have come.
"""

import asyncio
import time

from aiokafka import AIOKafkaProducer, TopicPartition

from clearing import kafka
from clearing.engine import metrics
from clearing.log import control

MIN_INTERVAL_S = 0.02
# A tick that brings what is due stands in the log, and is not read: another one would not be either. Until this is
# over: a log may lose its end.
AGAIN_S = 1.0
IDLE_POLL_MS = 500
SEND_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 3.0


class Ticker:
    """Of one log partition, for as long as its engine owns it."""

    def __init__(self, bootstrap: str, log: TopicPartition) -> None:
        self._bootstrap = bootstrap
        self._log = log
        self._producer: AIOKafkaProducer | None = None
        self._last_s = 0.0
        # The broker's clock minus our monotonic one; None until a tick has asked: what is read may be old.
        self._ahead_ms: float | None = None
        self._brought_ms = 0  # stamp of the last tick

    def heard(self, stamp_ms: int) -> None:
        """A record was read: the broker's clock is at least there."""
        if self._ahead_ms is not None:
            self._ahead_ms = max(self._ahead_ms, stamp_ms - _monotonic_ms())

    def wait_ms(self, due_ms: int) -> int:
        """How long to poll the log before looking again whether something is due."""
        if not due_ms or due_ms <= self._brought_ms:
            return IDLE_POLL_MS
        return int(min(IDLE_POLL_MS, max(MIN_INTERVAL_S * 1000, self._left_ms(due_ms))))

    async def tick_if(self, due_ms: int, netting_set: str) -> None:
        """Write a tick if something is due, and learn the broker's time from it."""
        if not due_ms or self._left_ms(due_ms) > 0:
            return
        pause_s = AGAIN_S if due_ms <= self._brought_ms else MIN_INTERVAL_S
        if time.monotonic() - self._last_s < pause_s:
            return
        self._last_s = time.monotonic()
        if self._producer is None:
            self._producer = kafka.producer(self._bootstrap, client="clearing-ticker")
            await self._producer.start()
        sent = await self._producer.send(
            self._log.topic, control.TICK, control.KEY, self._log.partition
        )
        # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the result.
        async with asyncio.timeout(SEND_TIMEOUT_S):
            stored = await sent
        # Also where that is earlier than was thought: the broker's clock was set back, and time stands still
        # until it has come as far again.
        self._brought_ms = stored.timestamp
        self._ahead_ms = stored.timestamp - _monotonic_ms()
        metrics.ticks.labels(netting_set).inc()

    def _left_ms(self, due_ms: int) -> float:
        """Until the broker's clock says `due_ms`, 0 if that is not known."""
        return 0.0 if self._ahead_ms is None else due_ms - _monotonic_ms() - self._ahead_ms

    async def close(self) -> None:
        if self._producer is not None:
            await kafka.discard(self._producer, CLOSE_TIMEOUT_S)


def _monotonic_ms() -> float:
    return time.monotonic() * 1000
