"""The engine's output topics against a replay of its log: every record, byte for byte (R29).

Both sides are kept as 16-byte digests, so that a log of any size can be compared. Of compacted topics the broker
keeps only the last record of a key for sure: there every record must be one the replay made, in order, and the
last of each key must be the same.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import get_args

from clearing.log.records import OutputRecord, OutputTopic
from clearing.verify.report import Check, Findings

TOPICS: tuple[OutputTopic, ...] = get_args(OutputTopic)
COMPACTED: frozenset[OutputTopic] = frozenset({"windows", "positions"})


def digest(key: bytes | None, value: bytes | None) -> bytes:
    """16 bytes that stand for a record."""
    hashed = hashlib.blake2b(len(key or b"").to_bytes(4, "big"), digest_size=16)
    hashed.update(key or b"")
    hashed.update(value or b"")
    return hashed.digest()


@dataclass(slots=True)
class TopicDigests:
    """One partition of an output topic, in order: a digest per record, and the last one of each key."""

    all: list[bytes] = field(default_factory=list[bytes])
    last: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])

    def add(self, key: bytes | None, value: bytes | None, *, compacted: bool) -> None:
        one = digest(key, value)
        self.all.append(one)
        if compacted:
            self.last[key or b""] = one


class OutputDigests:
    """All output topics of one netting set."""

    def __init__(self) -> None:
        self.topics: dict[OutputTopic, TopicDigests] = {topic: TopicDigests() for topic in TOPICS}

    def add(self, topic: OutputTopic, key: bytes | None, value: bytes | None) -> None:
        self.topics[topic].add(key, value, compacted=topic in COMPACTED)

    def extend(self, records: Iterable[OutputRecord]) -> None:
        for record in records:
            self.add(record.topic, record.key, record.value)


def _first_difference(said: list[bytes], made: list[bytes]) -> str:
    for place, (one, other) in enumerate(zip(said, made, strict=False)):
        if one != other:
            return f"record {place + 1} is another one"
    return f"{len(said):,} records stand there, the replay makes {len(made):,}"


def _compare_compacted(topic: str, said: TopicDigests, made: TopicDigests, found: Findings) -> None:
    later = iter(made.all)
    for place, one in enumerate(said.all, start=1):
        if not any(one == other for other in later):  # consumes `later`: the order must hold too
            found.add(f"{topic}: record {place} is none the replay makes there")
            break
    for key in sorted({*said.last, *made.last}):
        if said.last.get(key) != made.last.get(key):
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
    compared = 0
    for topic in TOPICS:
        one, other = said.topics[topic], made.topics[topic]
        compared += len(one.all)
        if topic in COMPACTED:
            _compare_compacted(topic, one, other, found)
        elif one.all != other.all:
            found.add(f"{topic}: {_first_difference(one.all, other.all)}")
    return found.check(
        "replay gives the same bytes",
        "R29",
        netting_set,
        f"{compared:,} records of {len(TOPICS)} topics byte for byte, "
        f"the hash chain at {transactions:,} transactions",
    )
