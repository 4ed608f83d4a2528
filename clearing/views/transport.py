"""Faust's way to Kafka, made to read what is committed.

Outside of its own `exactly_once`, which must not be used (ops/adr/0018), Faust's consumer is hard-wired to
read_uncommitted: a view would show settlements that were aborted.
"""

from collections.abc import Mapping
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

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """To the first record where nothing is committed, or 0: aiokafka would stay where it has read to.

        Records that were fetched before, and thrown away for the seek's sake, would be lost.
        """
        committed = await super().seek_to_committed()
        anew = [
            partition
            for partition, offset in committed.items()
            if not offset and not self.consumer._is_changelog_tp(partition)
        ]
        if anew:
            await self.call_thread(self._ensure_consumer().seek_to_beginning, *anew)
        return committed


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Back to what is committed, while nothing is handed on.

        After a recovery Faust lets the partitions go, seeks, and then empties the queues: a record that was handed
        on between would be lost. `resume_flow` follows every seek.
        """
        self.stop_flow()
        await super().perform_seek()

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
