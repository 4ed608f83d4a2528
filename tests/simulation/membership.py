"""What the simulated group coordinator keeps, and what it answers: groups, members, generations."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from tests.simulation.partitions import Name

Protocols = list[tuple[str, bytes]]


class Phase(StrEnum):
    EMPTY = "empty"
    PREPARING = "preparing rebalance"
    COMPLETING = "completing rebalance"
    STABLE = "stable"


class Joined(NamedTuple):
    """Answer to JoinGroup. members: (id, instance, metadata), for the leader only."""

    error: int
    generation: int = -1
    protocol: str = ""
    leader: str = ""
    member: str = ""
    members: tuple[tuple[str, str | None, bytes], ...] = ()


class Synced(NamedTuple):
    """Answer to SyncGroup."""

    error: int
    assignment: bytes = b""


@dataclass(slots=True)
class Member:
    id: str
    instance: str | None
    session_s: float
    rebalance_s: float
    protocols: Protocols
    seen_s: float = 0.0
    join: Callable[[Joined], None] | None = None  # waits for the rebalance
    sync: Callable[[Synced], None] | None = None  # waits for the leader
    assignment: bytes = b""

    @property
    def waits(self) -> bool:
        return self.join is not None or self.sync is not None


@dataclass(slots=True)
class Group:
    phase: Phase = Phase.EMPTY
    generation: int = 0
    protocol: str = ""
    leader: str = ""
    members: dict[str, Member] = field(default_factory=dict[str, Member])
    instances: dict[str, str] = field(default_factory=dict[str, str])
    pending: set[str] = field(default_factory=set[str])  # told their id, not joined yet
    offsets: dict[Name, tuple[int, str]] = field(default_factory=dict[Name, tuple[int, str]])
    rebalance: int = 0  # how many have begun: deadlines of older ones mean nothing
