"""What the simulated broker answers to each request of a client: one method a request.

Takes the clients' own request structures and gives their response structures; errors are numbers in them.
"""

from collections.abc import Callable
from typing import Any

from aiokafka import errors
from aiokafka.errors import (
    BrokerResponseError,
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    InvalidPartitionsError,
    NotCoordinatorError,
    NotEnoughReplicasError,
    NotLeaderForPartitionError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from tests.simulation.batches import read_header
from tests.simulation.broker import GROUP, NOBODY, TRANSACTION, Broker
from tests.simulation.groups import Joined, Synced
from tests.simulation.held import HeldFetch
from tests.simulation.partitions import Name, Partition

Answer = Callable[[Any], None]
EARLIEST, LATEST = -2, -1
UNKNOWN = UnknownTopicOrPartitionError.errno
BY_TOPIC_ID = 12  # version of Metadata
NAMES = {
    0: "Produce",
    1: "Fetch",
    2: "ListOffsets",
    3: "Metadata",
    8: "OffsetCommit",
    9: "OffsetFetch",
    10: "FindCoordinator",
    11: "JoinGroup",
    12: "Heartbeat",
    13: "LeaveGroup",
    14: "SyncGroup",
    19: "CreateTopics",
    22: "InitProducerId",
    24: "AddPartitionsToTxn",
    26: "EndTxn",
    37: "CreatePartitions",
}
# What a Kafka 4 broker offers; a client takes the highest that it knows.
VERSIONS = {
    0: (0, 12),
    1: (4, 17),
    2: (1, 10),
    3: (0, 13),
    8: (2, 9),
    9: (1, 9),
    10: (0, 6),
    11: (0, 9),
    12: (0, 4),
    13: (0, 5),
    14: (0, 5),
    19: (2, 7),
    22: (0, 5),
    24: (0, 5),
    26: (0, 5),
    37: (0, 3),
}


def error_code(name: str) -> int:
    """The number of an error by its name in the protocol, as far as aiokafka knows it: NOT_COORDINATOR."""
    return next(c for c in errors.kafka_errors.values() if c.message == name).errno


def name_of(request: Any) -> str:
    """What the protocol calls it: Fetch, EndTxn."""
    return NAMES[request.API_KEY]


class Answers:
    """The nodes' request handlers. delay: see Broker."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.held: HeldFetch | None = None  # of the request that was handled last
        self._handlers: dict[str, Callable[[int, str, Any, Answer], None]] = {
            "Produce": self._produce,
            "Fetch": self._fetch,
            "ListOffsets": self._list_offsets,
            "Metadata": self._metadata,
            "OffsetCommit": self._commit_offsets,
            "OffsetFetch": self._fetch_offsets,
            "FindCoordinator": self._find_coordinator,
            "JoinGroup": self._join,
            "SyncGroup": self._sync,
            "Heartbeat": self._heartbeat,
            "LeaveGroup": self._leave,
            "InitProducerId": self._init_producer,
            "AddPartitionsToTxn": self._add_partitions,
            "EndTxn": self._end_transaction,
            "CreateTopics": self._create_topics,
            "CreatePartitions": self._create_partitions,
        }

    def handle(
        self, node: int, client: str, request: Any, answer: Answer
    ) -> HeldFetch | None:
        """A request has arrived at a node. It answers now, later, or never (when it is down).

        Returns the fetch if that is what it is, and has to wait.
        """
        self.held = None
        if self.broker.nodes[node]:
            self._handlers[name_of(request)](node, client, request, answer)
        return self.held

    def refuse(self, request: Any, error: int) -> Any | None:
        """The answer that carries nothing but this error; None where the protocol has no place for it."""
        kind = request.RESPONSE_TYPE
        match name_of(request):
            case "Produce":
                return kind(_each(request.topics, lambda p: (p[0], error, -1, -1, -1)), 0)
            case "Fetch":
                per = _each(request.topics, lambda p: (p[0], error, -1, -1, -1, [], -1, b""))
                return kind(0, 0, 0, per)
            case "ListOffsets":
                return kind(0, _each(request.topics, lambda p: (p[0], error, -1, -1)))
            case "OffsetCommit":
                return kind(0, _each(request.topics, lambda p: (p[0], error)))
            case "OffsetFetch":
                return kind(0, _each(request.topics, lambda p: (p, -1, "", error)), error)
            case "FindCoordinator":
                return kind(0, error, None, NOBODY, "", NOBODY)
            case "JoinGroup":
                return kind(0, error, -1, "", "", "", [])
            case "SyncGroup":
                return kind(0, error, b"")
            case "InitProducerId":
                return kind(0, error, -1, -1)
            case "AddPartitionsToTxn":
                return kind(0, _each(request.topics, lambda p: (p, error)))
            case "Heartbeat" | "LeaveGroup" | "EndTxn":
                return kind(0, error)
        return None

    # Records

    def _led(self, node: int, name: Name) -> Partition:
        """Raises what a node answers that does not lead the partition."""
        partition = self.broker.partition(name)
        if partition is None:
            raise UnknownTopicOrPartitionError
        if self.broker.leaders[name] != node:
            raise NotLeaderForPartitionError
        return partition

    def _produce(self, node: int, client: str, request: Any, answer: Answer) -> None:
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

    def _fetch(self, node: int, client: str, request: Any, answer: Answer) -> None:
        """Answered when there is something of any partition, or something wrong, or after a while."""
        committed = request.isolation_level == 1
        wanted = [(topic, asked) for topic, per in request.topics for asked in per]

        def reply() -> None:
            answer(self._fetched(node, request, committed))

        def is_due() -> bool:
            return any(self._is_due(node, topic, asked, committed) for topic, asked in wanted)

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
                    raise OffsetOutOfRangeError  # noqa: TRY301  as every other refusal here
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

    def _list_offsets(self, node: int, client: str, request: Any, answer: Answer) -> None:
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

    # The cluster

    def _metadata(self, node: int, client: str, request: Any, answer: Answer) -> None:
        broker = self.broker
        brokers = [(n, f"node{n}", n, "") for n in broker.up()]  # None is hashed by address
        if request.API_VERSION >= BY_TOPIC_ID:
            answer(self._topic_ids(request))
            return
        asked = list(broker.topics) if request.topics is None else request.topics
        topics: list[Any] = []
        for topic in asked:
            partitions = [
                (0, number, broker.leaders[topic, number], [], [], [])
                for number in range(len(broker.topics.get(topic, ())))
            ]
            error = 0 if partitions else UNKNOWN
            topics.append((error, topic, False, partitions))
        controller = broker.up()[0]
        answer(request.RESPONSE_TYPE(0, brokers, "simulated", controller, topics))

    def _topic_ids(self, request: Any) -> Any:
        """The product asks in its own words for the ids of topics (clearing/topic_ids.py); the rest is left out."""
        ids = self.broker.topic_ids
        topics = [
            (0 if name in ids else UNKNOWN, name, ids.get(name, bytes(16)), False, [], 0, {})
            for _, name, _ in request.topics
        ]
        return request.RESPONSE_TYPE(0, [], "simulated", NOBODY, topics, {})

    def _create_topics(self, node: int, client: str, request: Any, answer: Answer) -> None:
        def create(asked: Any) -> tuple[str, int, str | None]:
            name, partitions, _, _, configs = asked
            if name in self.broker.topics:
                return name, TopicAlreadyExistsError.errno, None
            stamped = dict(configs).get("message.timestamp.type") == "LogAppendTime"
            self.broker.create_topic(name, partitions, log_append_time=stamped)
            return name, 0, None

        done = [create(asked) for asked in request.create_topic_requests]
        answer(request.RESPONSE_TYPE(0, done))

    def _create_partitions(self, node: int, client: str, request: Any, answer: Answer) -> None:
        done: list[tuple[str, int, str | None]] = []
        for name, (count, _) in request.topic_partitions:
            if count <= len(self.broker.topics.get(name, ())):
                done.append((name, InvalidPartitionsError.errno, None))
            else:
                self.broker.create_topic(name, count)
                done.append((name, 0, None))
        answer(request.RESPONSE_TYPE(0, done))

    def _find_coordinator(self, node: int, client: str, request: Any, answer: Answer) -> None:
        at = self.broker.coordinator(request.coordinator_type, request.coordinator_key)
        error = CoordinatorNotAvailableError.errno if at == NOBODY else 0
        answer(request.RESPONSE_TYPE(0, error, None, at, f"node{at}", at))

    def _elsewhere(self, node: int, kind: int, key: str) -> int:
        """The error of a node that does not coordinate this (yet), else 0."""
        if self.broker.coordinator(kind, key) != node:
            return NotCoordinatorError.errno
        return CoordinatorLoadInProgressError.errno if self.broker.loads(kind, key) else 0

    # Groups

    def _join(self, node: int, client: str, request: Any, answer: Answer) -> None:
        if error := self._elsewhere(node, GROUP, request.group):
            answer(self.refuse(request, error))
            return

        def joined(result: Joined) -> None:
            error, generation, protocol, leader, member, members = result
            answer(
                request.RESPONSE_TYPE(0, error, generation, protocol, leader, member, list(members))
            )

        self.broker.groups.join(request.group, request, client, joined)

    def _sync(self, node: int, client: str, request: Any, answer: Answer) -> None:
        if error := self._elsewhere(node, GROUP, request.group):
            answer(self.refuse(request, error))
            return

        def synced(result: Synced) -> None:
            answer(request.RESPONSE_TYPE(0, *result))

        self.broker.groups.sync(request.group, request, synced)

    def _heartbeat(self, node: int, client: str, request: Any, answer: Answer) -> None:
        error = self._elsewhere(node, GROUP, request.group) or self.broker.groups.heartbeat(
            request.group, request.generation_id, request.member_id
        )
        answer(request.RESPONSE_TYPE(0, error))

    def _leave(self, node: int, client: str, request: Any, answer: Answer) -> None:
        error = self._elsewhere(node, GROUP, request.group) or self.broker.groups.leave(
            request.group, request.member_id
        )
        answer(request.RESPONSE_TYPE(0, error))

    def _commit_offsets(self, node: int, client: str, request: Any, answer: Answer) -> None:
        group = request.consumer_group
        error = self._elsewhere(node, GROUP, group) or self.broker.groups.may_commit(
            group, request.consumer_group_generation_id, request.consumer_id
        )
        if not error:
            offsets = self.broker.groups.group(group).offsets
            for topic, per in request.topics:
                for number, offset, metadata in per:
                    offsets[topic, number] = (offset, metadata)
        answer(self.refuse(request, error))

    def _fetch_offsets(self, node: int, client: str, request: Any, answer: Answer) -> None:
        group = request.consumer_group
        if error := self._elsewhere(node, GROUP, group):
            answer(self.refuse(request, error))
            return
        offsets = self.broker.groups.group(group).offsets
        found = [
            (topic, [(number, *offsets.get((topic, number), (-1, "")), 0) for number in per])
            for topic, per in request.topics
        ]
        answer(request.RESPONSE_TYPE(0, found, 0))

    # Transactions

    def _init_producer(self, node: int, client: str, request: Any, answer: Answer) -> None:
        identity, transactions = request.transactional_id, self.broker.transactions
        if identity is None:
            answer(request.RESPONSE_TYPE(0, 0, *transactions.new_producer()))
        elif error := self._elsewhere(node, TRANSACTION, identity):
            answer(self.refuse(request, error))
        else:
            try:
                begun = transactions.begin_producer(identity, request.transaction_timeout_ms)
            except BrokerResponseError as refused:
                answer(self.refuse(request, refused.errno))
            else:
                answer(request.RESPONSE_TYPE(0, 0, *begun))

    def _add_partitions(self, node: int, client: str, request: Any, answer: Answer) -> None:
        names = [(topic, number) for topic, numbers in request.topics for number in numbers]
        identity = request.transactional_id
        error = self._elsewhere(node, TRANSACTION, identity)
        if not error and any(self.broker.partition(name) is None for name in names):
            error = UNKNOWN
        if not error:
            try:
                self.broker.transactions.add(
                    identity, request.producer_id, request.producer_epoch, names
                )
            except BrokerResponseError as refused:
                error = refused.errno
        answer(self.refuse(request, error))

    def _end_transaction(self, node: int, client: str, request: Any, answer: Answer) -> None:
        identity = request.transactional_id
        error = self._elsewhere(node, TRANSACTION, identity)
        if not error:
            try:
                self.broker.transactions.end(
                    identity,
                    request.producer_id,
                    request.producer_epoch,
                    commit=bool(request.transaction_result),
                )
            except BrokerResponseError as refused:
                error = refused.errno
        answer(request.RESPONSE_TYPE(0, error))


def _each(topics: Any, make: Callable[[Any], Any]) -> list[tuple[str, list[Any]]]:
    return [(topic, [make(asked) for asked in per]) for topic, per in topics]
