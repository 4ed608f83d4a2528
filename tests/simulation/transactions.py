"""The simulated broker's transaction coordinator: epochs, fencing, states, markers that follow a moment later.

As Kafka 4's TransactionCoordinator answers clients of the first transaction protocol, which aiokafka speaks: its
requests carry no epoch bump of their own, and PRODUCER_FENCED reaches them as INVALID_PRODUCER_EPOCH.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from aiokafka.errors import (
    ConcurrentTransactions,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTransactionTimeout,
    InvalidTxnState,
)

from tests.simulation.partitions import Name

CLEANUP_INTERVAL_S = 10.0  # transaction.abort.timed.out.transaction.cleanup.interval.ms
LONGEST_TIMEOUT_MS = 900_000  # transaction.max.timeout.ms
EPOCH_LIMIT = (1 << 15) - 2

Mark = Callable[[Name, int, int, bool], None]
Later = Callable[[float, Callable[[], None]], object]


class State(StrEnum):
    EMPTY = "empty"
    ONGOING = "ongoing"
    PREPARE_COMMIT = "prepare commit"
    PREPARE_ABORT = "prepare abort"
    COMPLETE_COMMIT = "complete commit"
    COMPLETE_ABORT = "complete abort"


_PREPARING = (State.PREPARE_COMMIT, State.PREPARE_ABORT)


@dataclass(slots=True)
class Transactional:
    """What is known of a transactional id. missing: partitions whose marker is not written yet."""

    producer: int
    epoch: int
    timeout_ms: int
    state: State = State.EMPTY
    partitions: dict[Name, None] = field(default_factory=dict[Name, None])
    missing: dict[Name, None] = field(default_factory=dict[Name, None])
    began_s: float = 0.0
    history: list[str] = field(default_factory=list[str])


class Transactions:
    """mark: writes a marker (partition, producer, epoch, commit). later: runs something so many seconds later.

    marker_delay_s: how long each marker takes to its partition, asked for each.
    """

    def __init__(
        self,
        now_s: Callable[[], float],
        later: Later,
        mark: Mark,
        marker_delay_s: Callable[[], float],
    ) -> None:
        self.by_id: dict[str, Transactional] = {}
        self._now_s = now_s
        self._later = later
        self._mark = mark
        self._marker_delay_s = marker_delay_s
        self._next_producer = 1000
        self._cleaning = False

    def new_producer(self) -> tuple[int, int]:
        """Id and epoch of a producer that is idempotent and no more."""
        self._next_producer += 1
        return self._next_producer, 0

    def begin_producer(self, identity: str, timeout_ms: int) -> tuple[int, int]:
        """InitProducerId: fences who held the identity before and ends what he left open. Raises KafkaError."""
        if not 0 < timeout_ms <= LONGEST_TIMEOUT_MS:
            raise InvalidTransactionTimeout
        known = self.by_id.get(identity)
        if known is None:
            known = self.by_id[identity] = Transactional(*self.new_producer(), timeout_ms)
            return known.producer, known.epoch
        if known.state in _PREPARING:
            raise ConcurrentTransactions
        if known.state is State.ONGOING:
            known.epoch += 1
            self._end(known, commit=False)
            raise ConcurrentTransactions
        if known.epoch >= EPOCH_LIMIT:
            known.producer, known.epoch = self.new_producer()
        else:
            known.epoch += 1
        known.state = State.EMPTY
        known.timeout_ms = timeout_ms
        return known.producer, known.epoch

    def add(self, identity: str, producer: int, epoch: int, partitions: Iterable[Name]) -> None:
        """AddPartitionsToTxn. Raises KafkaError."""
        known = self._known(identity, producer, epoch)
        if known.state in _PREPARING:
            raise ConcurrentTransactions
        if known.state is not State.ONGOING:
            known.state = State.ONGOING
            known.partitions = {}
            known.began_s = self._now_s()
            self._clean_later()
        known.partitions |= dict.fromkeys(partitions)

    def verify(self, identity: str, producer: int, epoch: int, partition: Name) -> None:
        """What a partition asks before the first batch of a transaction (KIP-890). Raises KafkaError."""
        known = self._known(identity, producer, epoch)
        if known.state in _PREPARING:
            raise ConcurrentTransactions
        if known.state is not State.ONGOING or partition not in known.partitions:
            raise InvalidTxnState

    def end(self, identity: str, producer: int, epoch: int, *, commit: bool) -> None:
        """EndTxn: decided when this returns; the markers follow. Raises KafkaError.

        Said twice it is answered as the first time, as long as no other transaction has begun.
        """
        known = self._known(identity, producer, epoch)
        match known.state:
            case State.ONGOING:
                self._end(known, commit=commit)
            case State.PREPARE_COMMIT | State.PREPARE_ABORT:
                if commit == (known.state is State.PREPARE_COMMIT):
                    raise ConcurrentTransactions
                raise InvalidTxnState
            case State.COMPLETE_COMMIT | State.COMPLETE_ABORT:
                if commit != (known.state is State.COMPLETE_COMMIT):
                    raise InvalidTxnState
            case State.EMPTY:
                raise InvalidTxnState

    def _known(self, identity: str, producer: int, epoch: int) -> Transactional:
        known = self.by_id.get(identity)
        if known is None or known.producer != producer:
            raise InvalidProducerIdMapping
        if known.epoch != epoch:
            raise InvalidProducerEpoch
        return known

    def _end(self, known: Transactional, *, commit: bool) -> None:
        known.state = State.PREPARE_COMMIT if commit else State.PREPARE_ABORT
        known.history.append(f"{known.epoch} {'commit' if commit else 'abort'}")
        known.missing = dict(known.partitions)
        known.partitions = {}
        for partition in list(known.missing):
            self._later(
                self._marker_delay_s(), self._marking(known, partition, known.epoch, commit)
            )
        self._complete_if_marked(known)

    def _marking(
        self, known: Transactional, partition: Name, epoch: int, commit: bool
    ) -> Callable[[], None]:
        producer = known.producer

        def write() -> None:
            self._mark(partition, producer, epoch, commit)
            del known.missing[partition]
            self._complete_if_marked(known)

        return write

    def _complete_if_marked(self, known: Transactional) -> None:
        if not known.missing:
            committed = known.state is State.PREPARE_COMMIT
            known.state = State.COMPLETE_COMMIT if committed else State.COMPLETE_ABORT

    def _clean_later(self) -> None:
        if not self._cleaning:
            self._cleaning = True
            self._later(CLEANUP_INTERVAL_S, self._clean)

    def _clean(self) -> None:
        """Abort what has taken longer than its timeout, and lock its producer out."""
        self._cleaning = False
        for known in self.by_id.values():
            if known.state is not State.ONGOING:
                continue
            if self._now_s() - known.began_s > known.timeout_ms / 1000:
                known.epoch += 1
                self._end(known, commit=False)
            else:
                self._clean_later()
