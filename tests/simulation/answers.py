"""The simulated nodes: who answers which request, and what they say of the cluster itself.

Takes the clients' own request structures and gives their response structures.
"""

from collections.abc import Callable
from typing import Any

from aiokafka.errors import (
    CoordinatorNotAvailableError,
    InvalidPartitionsError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from tests.simulation.answers_coordinators import Coordinators
from tests.simulation.answers_records import Records
from tests.simulation.broker import Broker
from tests.simulation.held import HeldFetch
from tests.simulation.protocol import NOBODY, Answer, name_of

UNKNOWN = UnknownTopicOrPartitionError.errno
BY_TOPIC_ID = 12  # version of Metadata
ELECTING_S = 0.1  # what a cluster that elects leaders takes to describe itself


class Answers:
    """The nodes' request handlers."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._records = records = Records(broker)
        coordinators = Coordinators(broker)
        self._told: dict[tuple[object, ...], tuple[Any, bool]] = {}
        self._handlers: dict[str, Callable[[int, str, Any, Answer], None]] = {
            "Produce": records.produce,
            "Fetch": records.fetch,
            "ListOffsets": records.list_offsets,
            "Metadata": self._metadata,
            "CreateTopics": self._create_topics,
            "CreatePartitions": self._create_partitions,
            "FindCoordinator": self._find_coordinator,
            "JoinGroup": coordinators.join,
            "SyncGroup": coordinators.sync,
            "Heartbeat": coordinators.heartbeat,
            "LeaveGroup": coordinators.leave,
            "OffsetCommit": coordinators.commit_offsets,
            "OffsetFetch": coordinators.fetch_offsets,
            "InitProducerId": coordinators.init_producer,
            "AddPartitionsToTxn": coordinators.add_partitions,
            "EndTxn": coordinators.end_transaction,
        }

    def handle(self, node: int, client: str, request: Any, answer: Answer) -> HeldFetch | None:
        """A request has arrived at a node. It answers now, later, or never (when it is down).

        Returns the fetch if that is what it is, and has to wait.
        """
        self._records.held = None
        if self.broker.nodes[node]:
            self._handlers[name_of(request)](node, client, request, answer)
        return self._records.held

    def _metadata(self, node: int, client: str, request: Any, answer: Answer) -> None:
        if request.API_VERSION >= BY_TOPIC_ID:
            answer(self._topic_ids(request))
            return
        asked = None if request.topics is None else tuple(request.topics)
        key = (request.RESPONSE_TYPE, asked, self.broker.version)
        if (
            told := self._told.get(key)
        ) is None:  # asked for all the time, and nearly always the same
            told = self._told[key] = self._description(request)
        response, electing = told
        if electing:
            # aiokafka asks again at once, as long as a partition has no leader: half of all messages of a run.
            self.broker.later(ELECTING_S, lambda: answer(response))
        else:
            answer(response)

    def _description(self, request: Any) -> tuple[Any, bool]:
        """Nodes, partitions of topics and who leads them; whether some have no leader."""
        broker = self.broker
        up = broker.up()
        brokers = [(n, f"node{n}", n, "") for n in up]  # None is hashed by address
        topics: list[Any] = []
        for topic in broker.topics if request.topics is None else request.topics:
            partitions = [
                (0, number, broker.leaders[topic, number], [], [], [])
                for number in range(len(broker.topics.get(topic, ())))
            ]
            topics.append((0 if partitions else UNKNOWN, topic, False, partitions))
        response = request.RESPONSE_TYPE(0, brokers, "simulated", up[0], topics)
        return response, NOBODY in broker.leaders.values()

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
