"""Faults that stop a netting set: something is wrong that must not be papered over (FAULTS.md F14, R1, R29).

Each has a kind, one sentence and a place. What to do about a kind is clearing.runbooks and a page of ops/runbooks.
"""

from enum import StrEnum
from typing import NamedTuple


class HaltKind(StrEnum):
    """Closed set; stored and shown: a name once given stays. Each has a page: ops/runbooks/<kind>.md."""

    GAP = "gap"  # the log goes on beyond records of a source that it does not have
    LOG_LOST = "log_lost"  # records that are still needed are gone: a tail lost, retention passed
    CHAIN = "chain"  # hashes or numbers do not follow on one another
    INVARIANT = "invariant"  # the books do not agree, or a batch is none that they can give
    UNREADABLE = "unreadable"  # a record of our own topics that is damaged, or of a newer version
    FOREIGN_WRITER = "foreign_writer"  # somebody else writes what only the owner may write
    LEDGER_CONFLICT = "ledger_conflict"  # the ledger holds something else, or forbids a posting
    REFUSED = "refused"  # Kafka refuses for good what has to be written
    SOURCE = "source"  # a source partition that cannot be read on
    BUG = "bug"  # an error that nobody foresaw


class Place(NamedTuple):
    """The record that could not be passed; offset -1: it is not about one record."""

    topic: str
    partition: int
    offset: int


class Halt(Exception):
    """The netting set stops here and does nothing more. The reason is one sentence: expected, found, where.

    place: filled in by the shell that knows it, where who raises does not (`at`).
    """

    def __init__(self, kind: HaltKind, reason: str, place: Place | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.place = place

    def at(self, topic: str, partition: int, offset: int = -1) -> "Halt":
        """Itself, with this place if it has none yet."""
        self.place = self.place or Place(topic, partition, offset)
        return self
