"""What a node answers as coordinator: of groups, and of transactions. Errors are numbers in the answers."""

from typing import Any

from aiokafka.errors import (
    BrokerResponseError,
    CoordinatorLoadInProgressError,
    NotCoordinatorError,
    UnknownTopicOrPartitionError,
)

from tests.simulation.broker import GROUP, TRANSACTION, Broker
from tests.simulation.membership import Joined, Synced
from tests.simulation.protocol import Answer, refuse


class Coordinators:
    """Asked at the wrong node, it says so."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    def _elsewhere(self, node: int, kind: int, key: str) -> int:
        """The error of a node that does not coordinate this (yet), else 0."""
        if self.broker.coordinator(kind, key) != node:
            return NotCoordinatorError.errno
        return CoordinatorLoadInProgressError.errno if self.broker.loads(kind, key) else 0

    def join(self, node: int, client: str, request: Any, answer: Answer) -> None:
        if error := self._elsewhere(node, GROUP, request.group):
            answer(refuse(request, error))
            return

        def joined(result: Joined) -> None:
            error, generation, protocol, leader, member, members = result
            answer(
                request.RESPONSE_TYPE(0, error, generation, protocol, leader, member, list(members))
            )

        self.broker.groups.join(request.group, request, client, joined)

    def sync(self, node: int, client: str, request: Any, answer: Answer) -> None:
        if error := self._elsewhere(node, GROUP, request.group):
            answer(refuse(request, error))
            return

        def synced(result: Synced) -> None:
            answer(request.RESPONSE_TYPE(0, *result))

        self.broker.groups.sync(request.group, request, synced)

    def heartbeat(self, node: int, client: str, request: Any, answer: Answer) -> None:
        error = self._elsewhere(node, GROUP, request.group) or self.broker.groups.heartbeat(
            request.group, request.generation_id, request.member_id
        )
        answer(request.RESPONSE_TYPE(0, error))

    def leave(self, node: int, client: str, request: Any, answer: Answer) -> None:
        error = self._elsewhere(node, GROUP, request.group) or self.broker.groups.leave(
            request.group, request.member_id
        )
        answer(request.RESPONSE_TYPE(0, error))

    def commit_offsets(self, node: int, client: str, request: Any, answer: Answer) -> None:
        group = request.consumer_group
        error = self._elsewhere(node, GROUP, group) or self.broker.groups.may_commit(
            group, request.consumer_group_generation_id, request.consumer_id
        )
        if not error:
            offsets = self.broker.groups.group(group).offsets
            for topic, per in request.topics:
                for number, offset, metadata in per:
                    offsets[topic, number] = (offset, metadata)
        answer(refuse(request, error))

    def fetch_offsets(self, node: int, client: str, request: Any, answer: Answer) -> None:
        group = request.consumer_group
        if error := self._elsewhere(node, GROUP, group):
            answer(refuse(request, error))
            return
        offsets = self.broker.groups.group(group).offsets
        found = [
            (topic, [(number, *offsets.get((topic, number), (-1, "")), 0) for number in per])
            for topic, per in request.topics
        ]
        answer(request.RESPONSE_TYPE(0, found, 0))

    # Transactions

    def init_producer(self, node: int, client: str, request: Any, answer: Answer) -> None:
        identity, transactions = request.transactional_id, self.broker.transactions
        if identity is None:
            answer(request.RESPONSE_TYPE(0, 0, *transactions.new_producer()))
        elif error := self._elsewhere(node, TRANSACTION, identity):
            answer(refuse(request, error))
        else:
            try:
                begun = transactions.begin_producer(identity, request.transaction_timeout_ms)
            except BrokerResponseError as refused:
                answer(refuse(request, refused.errno))
            else:
                answer(request.RESPONSE_TYPE(0, 0, *begun))

    def add_partitions(self, node: int, client: str, request: Any, answer: Answer) -> None:
        names = [(topic, number) for topic, numbers in request.topics for number in numbers]
        identity = request.transactional_id
        error = self._elsewhere(node, TRANSACTION, identity)
        if not error and any(self.broker.partition(name) is None for name in names):
            error = UnknownTopicOrPartitionError.errno
        if not error:
            try:
                self.broker.transactions.add(
                    identity, request.producer_id, request.producer_epoch, names
                )
            except BrokerResponseError as refused:
                error = refused.errno
        answer(refuse(request, error))

    def end_transaction(self, node: int, client: str, request: Any, answer: Answer) -> None:
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
