"""The Faust app of the views: an agent for each of the engine's topics, a table for each view, lag once a second.

Records of journal, settlements, rejected and outcomes go through clearing.views.projection into tables, whose
changelogs are the topics views.*. At least once, and every fold drops what it has seen: the same values come out.
"""

from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any

import faust
from faust.auth import Credentials, SASLCredentials, SSLCredentials
from faust.types import EventT
from faust.types.transports import ProducerT, TransportT

from clearing import security
from clearing.config import Settings
from clearing.heartbeats import vitals
from clearing.kafka import MAX_RECORD_BYTES
from clearing.security import Security
from clearing.views import metrics
from clearing.views.fold import Change
from clearing.views.lag import LagTimer, OpenSampler, open_sampler
from clearing.views.projection import Projection, Record
from clearing.views.tables import RAW, make_tables
from clearing.views.transport import ReadCommitted

# Folded in one go, and written once however often a value changed meanwhile.
BATCH_RECORDS = 1_000
BATCH_S = 0.2
BUFFERED_RECORDS = 1_024  # of a topic, read and not folded
BUFFERED_CHANGES = 4_096
SESSION_TIMEOUT_S, HEARTBEAT_INTERVAL_S = 10.0, 2.0
COMMIT_INTERVAL_S = 2.0
LINGER_S = 0.02


class ViewsApp(faust.App):
    """Faust's app, reading what is committed, and leaving no files behind."""

    def _new_transport(self) -> TransportT:
        return ReadCommitted(self.conf.broker_consumer, self)

    def _new_producer(self) -> ProducerT:
        """One that holds what one batch of every topic may change before it makes the folds wait."""
        producer = super()._new_producer()
        producer.buffer.max_messages = BUFFERED_CHANGES
        return producer

    def _create_directories(self) -> None:
        """Tables are in memory and in Kafka."""


def build_app(settings: Settings, sampler: OpenSampler = open_sampler) -> ViewsApp:
    """The app of an installation; nothing starts before `start()`. sampler: opens what samples lag."""
    topics = settings.topics
    app = ViewsApp(
        topics.group("views"),
        broker=[f"aiokafka://{server.strip()}" for server in settings.bootstrap.split(",")],
        broker_credentials=_credentials(security.in_use()),
        origin="clearing.views",
        autodiscover=False,
        processing_guarantee="at_least_once",
        store="memory://",
        broker_client_id="clearing-views",
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=HEARTBEAT_INTERVAL_S,
        broker_commit_interval=COMMIT_INTERVAL_S,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.instance or None,
        producer_acks=-1,
        producer_linger=LINGER_S,
        producer_compression_type="zstd",
        producer_max_request_size=MAX_RECORD_BYTES,
        stream_buffer_maxsize=BUFFERED_RECORDS,
        stream_wait_empty=True,
        table_standby_replicas=0,
        topic_allow_declare=False,  # `clearing topics apply` makes them, with the settings of the contract
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.sensors.add(metrics.PrometheusSensor())
    tables = make_tables(app, topics)
    projection = Projection({**tables})

    async def recovered() -> None:
        for netting_set in projection.netting_sets:
            vitals.leaves(netting_set)
        projection.forget()

    for table in tables.values():
        table.on_recover(recovered)

    def apply(last: Record, changes: list[Change]) -> None:
        for change in changes:
            tables[change.view].put(last.partition, change)
            metrics.changes.labels(change.view).inc()
        netting_set = projection.netting_set_of(last.partition)
        if netting_set and last.topic == topics.journal:
            vitals.reached(netting_set, last.offset + 1)

    for topic, fold in (
        (topics.journal, projection.journal),
        (topics.settlements, projection.settlements),
        (topics.rejected, projection.rejected),
        (topics.outcomes, projection.outcomes),
    ):
        app.agent(app.topic(topic, **RAW), name=f"fold.{topic}")(partial(_folding, fold, apply))
    app.service(LagTimer(app, settings, sampler, beacon=app.beacon))  # pyright: ignore[reportArgumentType]  an instance is as good
    return app


def _credentials(secured: Security) -> Credentials | None:
    """How Kafka is reached, in Faust's words."""
    if secured.sasl:
        return SASLCredentials(
            mechanism=secured.mechanism,
            username=secured.user,
            password=secured.password,
            ssl_context=secured.context if secured.tls else None,
        )
    return SSLCredentials(secured.context) if secured.tls else None


async def _folding(
    fold: Callable[[list[Record]], list[Change]],
    apply: Callable[[Record, list[Change]], None],
    stream: Any,  # Faust's types do not know take_events
) -> None:
    """An agent: take what has come, fold it, write what has changed."""
    async for events in stream.take_events(BATCH_RECORDS, within=BATCH_S):
        read = [_record(event) for event in events]
        with metrics.fold_seconds.labels(read[0].topic).time():
            read.sort(key=lambda record: record.partition)
            for _, grouped in groupby(read, key=lambda record: record.partition):
                records = list(grouped)
                apply(records[-1], fold(records))


def _record(event: EventT) -> Record:
    message = event.message
    return Record(message.topic, message.partition, message.offset, message.key, message.value)
