"""The engine's output topics against a replay of its log: every record, byte for byte (R29).

Both sides are kept as 16-byte digests, so that a log of any size can be compared. Of compacted topics the broker
keeps only the last record of a key for sure: there every record must be one the replay made, in order, and the
last of each key must be the same.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from clearing.log.records import OutputRecord, OutputTopic
from clearing.verify.report import Check, Findings

TOPICS: tuple[OutputTopic, ...] = get_args(OutputTopic)
COMPACTED: frozenset[OutputTopic] = frozenset({"windows", "positions"})


DIGEST_BYTES = 16


def digest(key: bytes | None, value: bytes | None) -> bytes:
    """DIGEST_BYTES that stand for a record."""
    hashed = hashlib.blake2b(len(key or b"").to_bytes(4, "big"), digest_size=DIGEST_BYTES)
    hashed.update(key or b"")
    hashed.update(value or b"")
    return hashed.digest()


@dataclass(slots=True)
class TopicDigests:
    """One partition of an output topic: the digests of its records in order, and the last one of each key."""

    all: bytearray = field(default_factory=bytearray)
    offsets: "array[int]" = field(default_factory=lambda: array("q"))  # of what stands in a topic
    last: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])

    def __len__(self) -> int:
        return len(self.all) // DIGEST_BYTES

    def since(self, place: int) -> Iterator[bytes]:
        """Digests from the record at this place on."""
        for at in range(place * DIGEST_BYTES, len(self.all), DIGEST_BYTES):
            yield bytes(self.all[at : at + DIGEST_BYTES])

    def column(self) -> np.ndarray:
        return np.frombuffer(bytes(self.all), np.uint64).reshape(-1, 2)

    def add(
        self, key: bytes | None, value: bytes | None, offset: int | None, *, compacted: bool
    ) -> None:
        one = digest(key, value)
        self.all += one
        if offset is not None:
            self.offsets.append(offset)
        if compacted:
            self.last[key or b""] = one


class OutputDigests:
    """All output topics of one netting set.

    A replay may go on past the place the journal had reached: `mark()` remembers that place. aged: topics that
    may and did let their first records go; there the rest is compared.
    """

    def __init__(self) -> None:
        self.topics: dict[OutputTopic, TopicDigests] = {topic: TopicDigests() for topic in TOPICS}
        self.aged: set[OutputTopic] = set()
        self.marked: dict[OutputTopic, int] | None = None
        self._last_at_mark: dict[OutputTopic, dict[bytes, bytes]] = {}

    def add(
        self,
        topic: OutputTopic,
        key: bytes | None,
        value: bytes | None,
        offset: int | None = None,
    ) -> None:
        """offset: where it stands, of a record that was read."""
        self.topics[topic].add(key, value, offset, compacted=topic in COMPACTED)

    def extend(self, records: Iterable[OutputRecord]) -> None:
        for record in records:
            self.add(record.topic, record.key, record.value)

    def mark(self) -> None:
        """Everything so far must stand in the topics; what comes after may."""
        self.marked = {topic: len(digests) for topic, digests in self.topics.items()}
        self._last_at_mark = {topic: dict(self.topics[topic].last) for topic in COMPACTED}

    def required(self, topic: OutputTopic) -> int:
        """How many records of the topic must be there."""
        return len(self.topics[topic]) if self.marked is None else self.marked[topic]

    def required_last(self, topic: OutputTopic) -> dict[bytes, bytes]:
        return self.topics[topic].last if self.marked is None else self._last_at_mark[topic]


def _compare_all(
    topic: OutputTopic, said: OutputDigests, made: OutputDigests, found: Findings
) -> None:
    has, wanted = said.topics[topic].column(), made.topics[topic].column()
    required = made.required(topic)
    if topic in said.aged:
        gone = required
        if len(has):
            same = np.flatnonzero((wanted == has[0]).all(axis=1))
            gone = int(same[0]) if len(same) else 0
        wanted, required = wanted[gone:], required - gone
    both = min(len(has), len(wanted))
    differ = np.flatnonzero((has[:both] != wanted[:both]).any(axis=1))
    if len(differ) or len(has) > len(wanted):
        place = int(differ[0]) + 1 if len(differ) else None
        if place is None:
            found.add(
                f"{topic}: {len(has):,} records stand there, the replay makes {len(wanted):,}"
            )
        else:
            found.add(f"{topic}: record {place:,} is another one than the replay makes")
    elif len(has) < required:
        found.add(f"{topic}: {len(has):,} records stand there, the replay makes {required:,}")


def _compare_compacted(
    topic: OutputTopic, said: OutputDigests, made: OutputDigests, found: Findings
) -> None:
    later = made.topics[topic].since(0)
    for place, one in enumerate(said.topics[topic].since(0), start=1):
        if not any(one == other for other in later):  # consumes `later`: the order must hold too
            found.add(f"{topic}: record {place:,} is none the replay makes there")
            return
    allowed = set(made.topics[topic].since(made.required(topic)))
    has, wanted = said.topics[topic].last, made.required_last(topic)
    for key in sorted({*has, *wanted}):
        if has.get(key) != wanted.get(key) and has.get(key) not in allowed:
            found.add(f"{topic}: the last record of {key.decode(errors='replace')} is another one")


def check_outputs(
    netting_set: str,
    said: OutputDigests,
    made: OutputDigests,
    transactions: int,
    differences: list[str],
    fault: str = "",
) -> Check:
    """A replay of the log from its first record makes every output again, byte for byte (R29).

    said: what stands in the topics, the journal without its Transactions. differences: where the chain of the
    replay parts from a Transaction. fault: why the replay could not be finished.
    """
    found = Findings()
    if fault:
        found.add(f"the log could not be replayed: {fault}")
    found.extend(differences)
    for topic in TOPICS:
        compare = _compare_compacted if topic in COMPACTED else _compare_all
        compare(topic, said, made, found)
    compared = sum(len(digests) for digests in said.topics.values())
    return found.check(
        "replay gives the same bytes",
        "R29",
        netting_set,
        f"{compared:,} records of {len(TOPICS)} topics byte for byte, "
        f"the hash chain at {transactions:,} transactions",
    )


def check_writer(netting_set: str, said: OutputDigests, made: OutputDigests, fault: str) -> Check:
    """Nobody but the engine wrote to its topics: each record is one it makes, and there as often (R29, R31).

    Whatever the order: that is what the replay holds. fault: why the replay could not be finished.
    """
    found = Findings()
    if fault:
        found.wait_for(
            "the replay could not be finished, so that nobody knows what the engine makes"
        )
    for topic in TOPICS if not fault else ():
        for place in _foreign(said.topics[topic].column(), made.topics[topic].column()).tolist():
            offsets = said.topics[topic].offsets
            where = f" offset {offsets[place]}" if place < len(offsets) else ""
            found.add(f"{topic}{where}: the engine did not write this, or not so often")
    records = sum(len(digests) for digests in said.topics.values())
    return found.check(
        "only the engine wrote its outputs",
        "R29 R31",
        netting_set,
        f"{records:,} records of {len(TOPICS)} topics, each as often as the engine makes it",
    )


def _foreign(has: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Places of records that are made less often than they stand there."""
    if len(has) <= len(wanted) and np.array_equal(has, wanted[: len(has)]):
        return np.empty(0, np.int64)
    made, counts = np.unique(wanted, axis=0, return_counts=True)
    left = {words.tobytes(): int(n) for words, n in zip(made, counts.tolist(), strict=True)}
    foreign: list[int] = []
    for place, words in enumerate(has):
        key = words.tobytes()
        left[key] = left.get(key, 0) - 1
        if left[key] < 0:
            foreign.append(place)
    return np.array(foreign, np.int64)
