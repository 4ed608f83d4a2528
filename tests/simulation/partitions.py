"""One partition of the simulated broker: batches and markers, idempotence, fencing, the last stable offset.

As a Kafka 4 leader keeps it (storage/ProducerStateManager, UnifiedLog); without replication, compaction, segments.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from aiokafka.errors import (
    DuplicateSequenceNumber,
    InvalidProducerEpoch,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
)

from tests.simulation.batches import marker, placed, read_header, unpacked

Name = tuple[str, int]  # topic, partition
REMEMBERED_BATCHES = 5  # of a producer, by which a repeated one is known
SEQUENCE_MODULUS = 1 << 31


class Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


class Batch(NamedTuple):
    """What stands at [base, next): records, or a marker. producer: -1 without idempotence."""

    base: int
    next: int
    data: bytes
    producer: int
    transactional: bool
    commit: bool | None  # of a marker: what it says


class Aborted(NamedTuple):
    producer: int
    first: int
    marker: int


class Stored(NamedTuple):
    """A record for the world's eyes. fate: committed, aborted, open."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    producer: int
    fate: str


@dataclass(slots=True)
class Producer:
    """What a partition remembers of a producer."""

    epoch: int
    # (first sequence, last sequence, base offset, timestamp), oldest first
    batches: deque[tuple[int, int, int, int]] = field(
        default_factory=lambda: deque(maxlen=REMEMBERED_BATCHES)
    )


class Appended(NamedTuple):
    offset: int
    timestamp: int


class Partition:
    """changed: called after each append, when readers may have something to read."""

    def __init__(
        self, *, log_append_time: bool, max_bytes: int, clock_ms: Callable[[], int]
    ) -> None:
        self.start = 0
        self.end = 0
        self.waiters: dict[int, Callable[[], None]] = {}
        self._log_append_time = log_append_time
        self._max_bytes = max_bytes
        self._clock_ms = clock_ms
        self._batches: list[Batch] = []
        self._bases: list[int] = []
        self._producers: dict[int, Producer] = {}
        self._open: dict[int, int] = {}  # producer → first offset of its transaction
        self._aborted: list[Aborted] = []

    @property
    def stable(self) -> int:
        """Last stable offset: below it every transaction is decided."""
        return min(self._open.values()) if self._open else self.end

    def has_open(self, producer: int, epoch: int) -> bool:
        """Whether a transaction of this producer is under way here (and needs no looking up any more)."""
        known = self._producers.get(producer)
        return producer in self._open and known is not None and known.epoch == epoch

    def append(self, data: bytes) -> Appended:
        """Records from a client. Raises KafkaError as the broker would answer it.

        A batch that stands here already is answered as the first time, and not written again.
        """
        header = read_header(data)
        if len(data) > self._max_bytes:
            raise MessageSizeTooLargeError
        last = -1
        if header.producer >= 0:
            last = (header.sequence + header.records - 1) % SEQUENCE_MODULUS
            repeated = self._check(header.producer, header.epoch, header.sequence, last)
            if repeated is not None:
                return repeated
        now_ms = self._clock_ms()
        timestamp = now_ms if self._log_append_time else header.max_timestamp
        base = self.end
        stored = placed(data, base, now_ms if self._log_append_time else None)
        if header.producer >= 0:
            self._producers[header.producer].batches.append(
                (header.sequence, last, base, timestamp)
            )
            if header.transactional:
                self._open.setdefault(header.producer, base)
        self._put(
            Batch(base, base + header.records, stored, header.producer, header.transactional, None)
        )
        return Appended(base, timestamp if self._log_append_time else -1)

    def _check(self, number: int, epoch: int, first: int, last: int) -> Appended | None:
        producer = self._producers.get(number)
        if producer is None:
            self._producers[number] = Producer(epoch)
            return None
        if epoch < producer.epoch:
            raise InvalidProducerEpoch
        if epoch > producer.epoch:
            if first != 0:
                raise OutOfOrderSequenceNumber
            producer.epoch = epoch
            producer.batches.clear()
            return None
        for sequence, last_sequence, base, timestamp in producer.batches:
            if (sequence, last_sequence) == (first, last):
                return Appended(base, timestamp if self._log_append_time else -1)
        if producer.batches:
            newest = producer.batches[-1][1]
            if first != (newest + 1) % SEQUENCE_MODULUS:
                if last <= newest:
                    raise DuplicateSequenceNumber
                raise OutOfOrderSequenceNumber
        elif first != 0:
            raise OutOfOrderSequenceNumber
        return None

    def mark(self, producer: int, epoch: int, *, commit: bool) -> None:
        """The transaction of a producer ends here; whoever writes with an older epoch is refused from now on."""
        known = self._producers.setdefault(producer, Producer(epoch))
        if epoch > known.epoch:
            known.epoch = epoch
            known.batches.clear()
        base = self.end
        first = self._open.pop(producer, None)
        if first is not None and not commit:
            self._aborted.append(Aborted(producer, first, base))
        data = placed(marker(producer, epoch, commit=commit, time_ms=self._clock_ms()), base, None)
        self._put(Batch(base, base + 1, data, producer, True, commit))

    def _put(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._bases.append(batch.base)
        self.end = batch.next
        self.notify()

    def notify(self) -> None:
        """Whoever waits for something to read looks again."""
        for waiter in list(self.waiters.values()):
            waiter()

    def fetch(
        self, offset: int, max_bytes: int, *, committed: bool
    ) -> tuple[bytes, list[tuple[int, int]]]:
        """Batches from the one that holds `offset`, at least one of them; the aborted transactions among them."""
        limit = self.stable if committed else self.end
        if offset >= limit or not self._batches:
            return b"", []
        at = max(0, bisect_right(self._bases, offset) - 1)
        if self._batches[at].next <= offset:
            at += 1
        chosen: list[bytes] = []
        size, upper = 0, offset
        while at < len(self._batches):
            batch = self._batches[at]
            if batch.base >= limit or (chosen and size + len(batch.data) > max_bytes):
                break
            chosen.append(batch.data)
            size += len(batch.data)
            upper = batch.next
            at += 1
        aborted = [
            (producer, first)
            for producer, first, marker_at in self._aborted
            if committed and marker_at >= offset and first < upper
        ]
        return b"".join(chosen), aborted

    def offset_at(self, timestamp_ms: int) -> Appended | None:
        """The first record that is not older; None if there is none."""
        for batch in self._batches:
            if batch.next > self.start and batch.commit is None:
                for offset, timestamp, _, _ in unpacked(batch.data):
                    if timestamp >= timestamp_ms and offset >= self.start:
                        return Appended(offset, timestamp)
        return None

    def records(self, start: int = 0) -> list[Stored]:
        """Everything that is kept from `start` on, with what became of it. Markers are no records."""
        first = max(start, self.start)
        found: list[Stored] = []
        for batch in self._batches[max(0, bisect_right(self._bases, first) - 1) :]:
            if batch.commit is None:
                fate = self._fate(batch)
                found += [
                    Stored(*record, batch.producer, fate)
                    for record in unpacked(batch.data)
                    if record[0] >= first
                ]
        return found

    def _fate(self, batch: Batch) -> str:
        if not batch.transactional:
            return "committed"
        if batch.base >= self._open.get(batch.producer, self.end):
            return "open"
        of_producer = (a for a in self._aborted if a.producer == batch.producer)
        return (
            "aborted" if any(a.first <= batch.base < a.marker for a in of_producer) else "committed"
        )

    def digest(self, digest: Hash) -> None:
        """Add every byte that stands here."""
        for batch in self._batches:
            digest.update(batch.data)

    def delete_before(self, offset: int) -> None:
        """Retention: what lies below is gone."""
        self.start = max(self.start, min(offset, self.end))
        self.notify()

    def truncate(self, offset: int) -> None:
        """The tail is lost, as after an unclean election; what producers remember of it too."""
        at = bisect_left(self._bases, offset)
        del self._batches[at:], self._bases[at:]
        self.end = self._batches[-1].next if self._batches else 0
        self.start = min(self.start, self.end)
        self._aborted = [a for a in self._aborted if a.marker < self.end]
        self._open = {p: first for p, first in self._open.items() if first < self.end}
        for producer in self._producers.values():
            kept = [known for known in producer.batches if known[2] < self.end]
            producer.batches = deque(kept, maxlen=REMEMBERED_BATCHES)
        self.notify()
