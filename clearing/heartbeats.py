"""A service says every 2 s that it lives and what it serves: the topic `heartbeats`, one key a process.

Vitals is written by the services wherever a metric is, and costs as little; `beating` is the process's, which sends
it. Never in the way of the service: without the topic, or without Kafka, everything else goes on.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaProducer

from clearing import __version__, kafka
from clearing.config import Settings
from clearing.messages_views import Heartbeat, HeartbeatState, Served, encode, heartbeat_key
from clearing.metadata import existing

INTERVAL_S = 2.0
SEND_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
AGAIN_S_FIRST, AGAIN_S_MAX = 2.0, 30.0

_log = structlog.get_logger()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Vitals:
    """What this process does now. Calls come from one event loop."""

    def __init__(self) -> None:
        self.is_ready = False
        self.is_stopping = False
        self.details: dict[str, str] = {}
        self._served: dict[str, Served] = {}
        self._standing: set[object] = set()

    @property
    def state(self) -> HeartbeatState:
        if self.is_stopping:
            return "stopping"
        if self._standing:
            return "halted"
        return "ready" if self.is_ready else "starting"

    @property
    def served(self) -> dict[str, Served]:
        return dict(self._served)

    def serves(
        self, netting_set: str, *, epoch: int | None = None, next_offset: int | None = None
    ) -> None:
        """It serves a netting set from now on. epoch: of its fencing."""
        self._served[netting_set] = Served(
            epoch=epoch, owned_since_ms=_now_ms(), next_offset=next_offset
        )

    def reached(self, netting_set: str, next_offset: int) -> None:
        """It has gone on, in the topic it works on. Begins to serve it if it did not."""
        known = self._served.get(netting_set)
        if known is None:
            self.serves(netting_set, next_offset=next_offset)
        elif known.next_offset != next_offset:
            self._served[netting_set] = Served(
                epoch=known.epoch, owned_since_ms=known.owned_since_ms, next_offset=next_offset
            )

    def leaves(self, netting_set: str) -> None:
        """It serves it no more."""
        self._served.pop(netting_set, None)

    def stands_still(self, where: object) -> None:
        """It has halted there, and waits for a person; `goes_on` ends that."""
        self._standing.add(where)

    def goes_on(self, where: object) -> None:
        self._standing.discard(where)


vitals = Vitals()  # of this process, as its metrics are


def beat(service: str, settings: Settings, started_at_ms: int, source: Vitals) -> Heartbeat:
    """What there is to say now."""
    return Heartbeat(
        service=service,
        instance=settings.instance,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=__version__,
        started_at_ms=started_at_ms,
        at_ms=_now_ms(),
        state=source.state,
        netting_sets=source.served,
        details=dict(source.details),
    )


@asynccontextmanager
async def beating(
    service: str, settings: Settings, source: Vitals = vitals, interval_s: float = INTERVAL_S
) -> AsyncIterator[None]:
    """Send heartbeats while the block runs, and at its end that the process stops. Raises nothing of its own."""
    started_at_ms = _now_ms()
    task = asyncio.create_task(
        _send_regularly(service, settings, started_at_ms, source, interval_s)
    )
    try:
        yield
    finally:
        source.is_stopping = True
        await kafka.ended([task])


async def _send_regularly(
    service: str, settings: Settings, started_at_ms: int, source: Vitals, interval_s: float
) -> None:
    """Until cancelled; with new clients after an error, less and less often while nothing comes of it."""
    again_s = AGAIN_S_FIRST
    while True:
        producer = kafka.producer(settings.bootstrap, client=f"clearing-heartbeats-{service}")
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await producer.start()
                there = await existing(producer, [settings.topics.heartbeats])
            if not there:
                # Sending to it by name might make it, with wrong settings.
                _log.info("no_heartbeats", reason=f"{settings.topics.heartbeats} does not exist")
            else:
                while True:
                    await _send(producer, beat(service, settings, started_at_ms, source), settings)
                    again_s = AGAIN_S_FIRST
                    await asyncio.sleep(interval_s)
        except asyncio.CancelledError:
            await _send_last(producer, beat(service, settings, started_at_ms, source), settings)
            raise
        except Exception as error:  # nothing that depends on heartbeats may stop a service
            _log.info("heartbeat_not_sent", error=repr(error), again_in_s=again_s)
        finally:
            await kafka.discard(producer, CLOSE_TIMEOUT_S)
        await asyncio.sleep(again_s)
        again_s = min(2 * again_s, AGAIN_S_MAX)


async def _send(producer: AIOKafkaProducer, said: Heartbeat, settings: Settings) -> None:
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await producer.send_and_wait(
            settings.topics.heartbeats, encode(said), key=heartbeat_key(said), partition=0
        )


async def _send_last(producer: AIOKafkaProducer, said: Heartbeat, settings: Settings) -> None:
    """That it stops, if Kafka takes it at once; readers see by its age what has ended otherwise."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            if settings.topics.heartbeats in producer.client.cluster.topics():
                await _send(producer, said, settings)
    except Exception as error:
        _log.debug("last_heartbeat_not_sent", error=repr(error))
