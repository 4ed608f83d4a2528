"""What a node answers to those who write and read records. Errors are numbers in the answers."""

from typing import Any

from aiokafka.errors import (
    BrokerResponseError,
    ConcurrentTransactions,
    NotEnoughReplicasError,
    NotLeaderForPartitionError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)

from tests.simulation.batches import read_header
from tests.simulation.broker import Broker
from tests.simulation.held import HeldFetch
from tests.simulation.partitions import Name, Partition
from tests.simulation.protocol import Answer

EARLIEST, LATEST = -2, -1


class Records:
    """held: the fetch that was handled last, if it has to wait."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.held: HeldFetch | None = None

    def _led(self, node: int, name: Name) -> Partition:
        """Raises what a node answers that does not lead the partition."""
        partition = self.broker.partition(name)
        if partition is None:
            raise UnknownTopicOrPartitionError
        if self.broker.leaders[name] != node:
            raise NotLeaderForPartitionError
        return partition

    def produce(self, node: int, client: str, request: Any, answer: Answer) -> None:
        def append(topic: str, asked: Any) -> tuple[int, int, int, int, int]:
            number, data = asked
            try:
                partition = self._led(node, (topic, number))
                self._verify(request.transactional_id, (topic, number), partition, data)
                offset, timestamp = partition.append(bytes(data))
            except BrokerResponseError as error:
                return number, error.errno, -1, -1, -1
            return number, 0, offset, timestamp, partition.start

        done = [(topic, [append(topic, p) for p in asked]) for topic, asked in request.topics]
        answer(request.RESPONSE_TYPE(done, 0))

    def _verify(self, identity: str | None, name: Name, partition: Partition, data: bytes) -> None:
        header = read_header(data)
        if not header.transactional or partition.has_open(header.producer, header.epoch):
            return
        assert identity is not None
        try:
            self.broker.transactions.verify(identity, header.producer, header.epoch, name)
        except ConcurrentTransactions as error:
            raise NotEnoughReplicasError from error  # what older clients know to try again

    def fetch(self, node: int, client: str, request: Any, answer: Answer) -> None:
        """Answered when there is something of any partition, or something wrong, or after a while. Who wants more
        than a byte waits out his time, for there is never so much here."""
        committed = request.isolation_level == 1
        wanted = [(topic, asked) for topic, per in request.topics for asked in per]

        def reply() -> None:
            answer(self._fetched(node, request, committed))

        def is_due() -> bool:
            return any(self._is_due(node, topic, asked, committed) for topic, asked in wanted)

        if request.min_bytes > 1:
            self.broker.later(request.max_wait_time / 1000, reply)
            return
        if is_due():
            reply()
            return
        positions = {(topic, asked[0]): asked[2] for topic, asked in wanted}
        partitions = [self.broker.topics[topic][number] for topic, number in positions]
        self.held = HeldFetch(self.broker, partitions, positions, is_due, reply)

    def _is_due(self, node: int, topic: str, asked: Any, committed: bool) -> bool:
        try:
            partition = self._led(node, (topic, asked[0]))
        except BrokerResponseError:
            return True
        offset = asked[2]
        limit = partition.stable if committed else partition.end
        return offset < limit or not partition.start <= offset <= partition.end

    def _fetched(self, node: int, request: Any, committed: bool) -> Any:
        def one(topic: str, asked: Any) -> tuple[Any, ...]:
            number, _, offset, _, max_bytes = asked
            try:
                partition = self._led(node, (topic, number))
                if not partition.start <= offset <= partition.end:
                    raise OffsetOutOfRangeError
            except BrokerResponseError as error:
                return number, error.errno, -1, -1, -1, [], -1, b""
            data, aborted = partition.fetch(offset, max_bytes, committed=committed)
            return (
                number,
                0,
                partition.end,
                partition.stable,
                partition.start,
                aborted,
                -1,
                data,
            )

        found = [(topic, [one(topic, asked) for asked in per]) for topic, per in request.topics]
        return request.RESPONSE_TYPE(0, 0, 0, found)

    def list_offsets(self, node: int, client: str, request: Any, answer: Answer) -> None:
        def one(topic: str, asked: Any) -> tuple[int, int, int, int]:
            number, timestamp = asked
            try:
                partition = self._led(node, (topic, number))
            except BrokerResponseError as error:
                return number, error.errno, -1, -1
            if timestamp == EARLIEST:
                return number, 0, -1, partition.start
            if timestamp == LATEST:
                end = partition.stable if request.isolation_level == 1 else partition.end
                return number, 0, -1, end
            found = partition.offset_at(timestamp)
            return (number, 0, found.timestamp, found.offset) if found else (number, 0, -1, -1)

        found = [(topic, [one(topic, asked) for asked in per]) for topic, per in request.topics]
        answer(request.RESPONSE_TYPE(0, found))
