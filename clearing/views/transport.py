"""Faust's way to Kafka, made to read what is committed.

Outside of its own `exactly_once`, which must not be used (ops/adr/0018), Faust's consumer is hard-wired to
read_uncommitted: a view would show settlements that were aborted.
"""

from typing import Any

import aiokafka
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

FETCH_WAIT_MS = 100  # Faust's own 1,500 would be the age of every view


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        """Faust's consumer. It reads its settings when it is started, which is later."""
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        """From a record as aiokafka parsed it (clearing.kafka.tune_client), which does not say where it stands."""
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp / 1000,
            record.timestamp_type,
            record.headers,
            record.key,
            record.value,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )


class ReadCommitted(driver.Transport):
    """The transport of an app whose consumer reads what is committed."""

    Consumer = _Consumer
