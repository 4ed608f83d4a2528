"""A consumer of very many partitions, asked for one at a time, whose fetches wait for more while much comes.

aiokafka's fetches are answered as soon as there is one byte, and `getmany` looks through all that has come.
"""

import asyncio
from collections.abc import Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import consumer as aiokafka_consumer
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult
from aiokafka.errors import IllegalStateError

from clearing.fetching import get_columns
from clearing.records import Records
from clearing.security import explained

# What comes while a log record is on its way goes with the next one: each costs intake, engine, broker and dispatch
# as much as thousands of payments, whatever is in it. So a fetch behind one that has brought something is answered
# when there is as much as it would bring of one partition, or after so long: the longer the more there was. (If it
# wanted more, a partition alone would wait in vain.) Behind a silence the first byte is enough.
GATHER_MS = 10
GATHER_MOST_MS = 50
TWICE_AS_LONG_BYTES = 512 << 10  # for so much in the answer before


class PacedFetcher(Fetcher):
    """gathers: whether its fetches wait for more."""

    gathers = False

    def __init__(self, *given: Any, **settings: Any) -> None:
        super().__init__(*given, **settings)
        self._brought: dict[int, int] = {}  # bytes in the last answer, by node

    def _get_actions_per_node(self, assignment: Any) -> Any:
        actions = super()._get_actions_per_node(assignment)
        if self.gathers:
            for node, request in actions[0]:
                if brought := self._brought.get(node):
                    request._max_wait_ms = gather_ms(brought)
                    request._min_bytes = self._max_partition_fetch_bytes
        return actions

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: Any) -> bool:
        came = await super()._proc_fetch_request(assignment, node_id, request)
        asked = (
            TopicPartition(topic, number) for topic, per in request.topics for number, *_ in per
        )  # nothing of them was there when it was asked for
        self._brought[node_id] = sum(
            _bytes(self._records[partition]) for partition in asked if partition in self._records
        )
        return came


def gather_ms(brought: int) -> int:
    """How long a fetch waits for more, if the last one has brought so many bytes."""
    return min(GATHER_MS + GATHER_MS * brought // TWICE_AS_LONG_BYTES, GATHER_MOST_MS)


def _bytes(found: FetchResult | FetchError) -> int:
    """Of what has come of a partition; an error is something too."""
    records = found._partition_records if isinstance(found, FetchResult) else None
    return records._records.size_in_bytes() if records is not None else 1


class Consumer(AIOKafkaConsumer):
    """aiokafka's, which can also be asked for one partition among very many.

    gathers: whether it waits for more while much comes, for the sake of fewer and larger answers; where aiokafka
    is as it is (no fetch_at_a_pace()) it does not, and all else is the same.
    """

    def __init__(self, *topics: str, gathers: bool = False, **settings: Any) -> None:
        super().__init__(*topics, **settings)
        self._gathers = gathers

    async def start(self) -> None:
        async with explained(self._client):
            await super().start()
        if isinstance(self._fetcher, PacedFetcher):
            self._fetcher.gathers = self._gathers

    def fetched(self, partition: TopicPartition, max_records: int) -> list[Records] | None:
        """What has come of a partition, at most so many records, in parts of which none is empty; None: nothing.

        Never waits, raises like getmany(). That one looks through everything there is of all partitions: who asks
        for n of them in turn has n² looks. An empty list: its position has moved all the same, over transaction
        markers.
        """
        if not self._subscription.is_assigned(partition):
            raise IllegalStateError(f"{partition} is not assigned")
        fetcher = self._fetcher
        assert fetcher is not None, "it is started before it is read from"
        found = fetcher._records.get(partition)
        if found is None or self._subscription.reassignment_in_progress:
            return None
        records: list[Records] = []
        if isinstance(found, FetchResult):
            records = get_columns(found, max_records)
            if found.has_more():
                return records
        del fetcher._records[partition]
        fetcher._notify(fetcher._wait_consume_future)  # it is asked for in the next fetch again
        if isinstance(found, FetchError):
            found.check_raise()
        return records

    async def came(self, partitions: Collection[TopicPartition], timeout_ms: int) -> None:
        """Wait until something has come of one of the partitions, but no longer than so. Nothing is taken.

        Raises what concerns the whole consumer, like getmany(); an error of one partition is something that came.
        """
        coordinator, fetcher = self._coordinator, self._fetcher
        assert coordinator is not None, "it is started before it is read from"
        assert fetcher is not None, "like its coordinator"
        coordinator.check_errors()
        with self._subscription.fetch_context():
            if self._subscription.reassignment_in_progress:
                await self._subscription.wait_for_assignment()
            if not fetcher._records.keys().isdisjoint(partitions):
                return
            waiter = fetcher._create_fetch_waiter()
            try:
                await asyncio.wait([waiter], timeout=timeout_ms / 1000)
                if waiter.done():
                    waiter.result()
            finally:
                waiter.cancel()

    def at(self, partition: TopicPartition) -> int:
        """The offset of its next record. Raises IllegalStateError where it has none, being reassigned."""
        subscription = self._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        state = assignment.state_value(partition) if assignment is not None else None
        if state is None or not state.has_valid_position:
            raise IllegalStateError(f"{partition} has no position")
        return state.position


def fetch_at_a_pace() -> None:
    """Process-wide. A consumer makes what it finds under this name."""
    aiokafka_consumer.Fetcher = PacedFetcher
