"""The probe: a message of no value that goes the whole way round, and how long that takes (ops/adr/0019-probe.md).

Published like any bank's, read by intake, refused by the engine, told by dispatch in a status topic: where it comes
back everything on the way works. It is an instruction about a payment that never was: it has no amount, and no
account, queue, window or batch ever hears of it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from clearing import kafka
from clearing.config import Settings
from clearing.messages import PriorityChange, StatusMessage, StatusRecord
from clearing.names import PROBE
from clearing.topics.contract import read_contract, wanted_topics
from clearing.views.model import Probe

LOST_AFTER_S = 30.0
_POLL_MS = 250
_AGAIN_S = 5.0

# Always the same one: the engine remembers one id, and from the second time on repeats its answer (R28).
MESSAGE = PriorityChange(
    id="0b5e11e5-0000-4000-8000-70726f626501",
    debtor=PROBE,
    payment="0b5e11e5-0000-4000-8000-70726f626502",
    priority="NORM",
)

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(StatusMessage).decode


class Flights:
    """Probes on their way, of all netting sets. Pure: told when one was sent and when one came back."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, int], int] = {}  # payments topic, offset → sent at
        self._back: dict[str, Probe] = {}  # by payments topic
        self.lost = 0

    def sent(self, topic: str, offset: int, at_ms: int) -> None:
        self._sent[topic, offset] = at_ms

    def seen(self, topic: str, offset: int, at_ms: int) -> None:
        """One that nobody waits for, any more or here, says nothing."""
        sent_ms = self._sent.pop((topic, offset), None)
        if sent_ms is not None:
            took = max(0, at_ms - sent_ms)
            self._back[topic] = Probe(
                sent_at_ms=sent_ms, seen_at_ms=at_ms, round_trip_ms=took, lost=0
            )

    def expire(self, at_ms: int) -> None:
        """What is not back LOST_AFTER_S after it was sent is lost; what its netting set said before is no news."""
        for (topic, offset), sent_ms in list(self._sent.items()):
            if at_ms - sent_ms > LOST_AFTER_S * 1000:
                del self._sent[topic, offset]
                self.lost += 1
                self._back[topic] = Probe(sent_at_ms=sent_ms, seen_at_ms=None, round_trip_ms=None)

    @property
    def latest(self) -> Probe | None:
        """Of the netting set that took longest, or did not answer at all; None: no probe has ended yet."""
        if not self._back:
            return None
        slowest = max(self._back.values(), key=_took)
        return msgspec.structs.replace(slowest, lost=self.lost)


def _took(probe: Probe) -> float:
    return float("inf") if probe.round_trip_ms is None else probe.round_trip_ms


class RoundTrip:
    """Sends probes and sees them come back. Built by `round_trip()`, which runs it."""

    def __init__(
        self, settings: Settings, producer: AIOKafkaProducer, admin: AIOKafkaAdminClient
    ) -> None:
        self.netting_sets: Sequence[str] = ()
        self.clock_skew_ms: float | None = None
        self._topics, self._every_s = settings.topics, settings.probe_every_s
        self._producer, self._admin = producer, admin
        self._flights = Flights()
        self._made: set[str] = set()

    @property
    def latest(self) -> Probe | None:
        return self._flights.latest

    async def run(self, reader: AIOKafkaConsumer) -> None:
        """Until it is cancelled. reader: of no group. Raises KafkaError."""
        status = TopicPartition(self._topics.status(PROBE), 0)
        assigned, due = False, 0.0
        while True:
            now = time.monotonic()
            if now >= due and self.netting_sets:
                await self._make_topics()
                if not assigned:
                    reader.assign([status])
                    await reader.seek_to_end(status)
                    assigned = True
                await self._send()
                due = now + self._every_s
            if not assigned:
                await asyncio.sleep(_POLL_MS / 1000)
                continue
            batches = await reader.getmany(status, timeout_ms=_POLL_MS)
            at_ms = _now_ms()
            for record in batches.get(status, ()):
                self._take(record.value or b"", at_ms)
            self._flights.expire(at_ms)

    async def _send(self) -> None:
        """One to each netting set. When the log-append stamp comes back, the broker's clock is known too."""
        for netting_set in self.netting_sets:
            topic = self._topics.payments(netting_set, PROBE)
            sent_ms = _now_ms()
            stored = await self._producer.send_and_wait(topic, _encode(MESSAGE), partition=0)
            self._flights.sent(topic, stored.offset, sent_ms)
            if stored.timestamp_type == 1:
                self.clock_skew_ms = (sent_ms + _now_ms()) / 2 - stored.timestamp

    def _take(self, value: bytes, at_ms: int) -> None:
        message = _decode(value)
        if isinstance(message, StatusRecord):
            for status in message.statuses:
                topic, _, offset, _ = status.source
                self._flights.seen(topic, offset, at_ms)

    async def _make_topics(self) -> None:
        """As topics.toml wants a participant's, for netting sets that have none yet. Raises KafkaError."""
        missing = [name for name in self.netting_sets if name not in self._made]
        if not missing:
            return
        brokers = len((await self._admin.describe_cluster())["brokers"])
        wanted = wanted_topics(
            read_contract(), self._topics, {name: [PROBE] for name in missing}, 0, brokers
        )
        ours = {self._topics.status(PROBE), *(self._topics.payments(n, PROBE) for n in missing)}
        response: Any = await self._admin.create_topics(
            [
                NewTopic(one.name, one.partitions, one.replication, topic_configs=one.configs)
                for one in wanted
                if one.name in ours
            ]
        )
        for name, code, message in response.topic_errors:
            if code and code != TopicAlreadyExistsError.errno:
                error: type[KafkaError] = for_code(code)
                raise error(f"topic {name}: {message}")
        self._made.update(missing)


def _now_ms() -> int:
    return int(time.time() * 1000)


@contextlib.asynccontextmanager
async def round_trip(settings: Settings) -> AsyncIterator[RoundTrip]:
    """A probe at work; it begins anew after any error of Kafka's, for then it has something to tell."""
    bootstrap = settings.bootstrap
    async with contextlib.AsyncExitStack() as clients:
        admin = await clients.enter_async_context(kafka.administration(bootstrap))
        producer = await clients.enter_async_context(
            kafka.started(kafka.producer(bootstrap, client="clearing-probe"))
        )
        trip = RoundTrip(settings, producer, admin)
        task = asyncio.create_task(_keep_running(trip, bootstrap))
        try:
            yield trip
        finally:
            await kafka.ended([task])


async def _keep_running(trip: RoundTrip, bootstrap: str) -> None:
    while True:
        try:
            reader = kafka.consumer(bootstrap, client="clearing-probe", fetch_max_wait_ms=_POLL_MS)
            async with kafka.started(reader):
                await trip.run(reader)
        except (KafkaError, OSError, msgspec.MsgspecError) as error:
            _log.warning("probe_failed", error=repr(error))
            await asyncio.sleep(_AGAIN_S)
