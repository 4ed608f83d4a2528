"""What every peer is asked to do and what it answers; values only, as they travel between processes."""

from typing import NamedTuple

import msgspec

COMMIT_INTERVAL_MS = 100  # of every peer: Kafka Streams' own with exactly_once_v2
WINDOW_MS = 1_000  # as our assets' windows


class AssetRule(NamedTuple):
    """scale: decimals. floor: how far below zero a net may go within a window, minor units."""

    scale: int
    floor: int


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What does not change between the rounds of a peer. name: its topics and groups begin with it.

    kafka_pid: whose CPU is reported beside the peer's own; 0 where the broker is the user's.
    """

    bootstrap: str
    name: str
    banks: list[str]
    assets: dict[str, AssetRule]
    kafka_pid: int = 0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One round: clear the first `records` of the one partition of `input`; the others are new and empty."""

    input: str
    records: int
    statuses: str
    settlements: str


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """From the first record in hand until the broker has committed the last one. steady_*: its second half, by
    commits. kafka_cpu_s: 0.0 where the broker is the user's. memory_bytes: heap in use, or resident, at the end."""

    payments: int
    seconds: float
    cpu_s: float
    kafka_cpu_s: float
    memory_bytes: int
    steady_payments: int = 0
    steady_seconds: float = 0.0
    steady_cpu_s: float = 0.0


class PeerFailed(Exception):
    """A peer could not be had, ended, or did not do the work: the others go on without it."""
