"""What an operator is shown: services, windows, positions, queues, lag. Values only, collected beside."""

import msgspec

from clearing.core.outputs import (
    DeadlockEvent,
    Position,
    ProposalEvent,
    ShortfallEvent,
    WindowEvent,
)
from clearing.messages import HaltRecord
from clearing.observe.transactions import OpenTransaction
from clearing.views.model import Outlook


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A process that has joined the group of its service. assigned: partitions it was given."""

    client: str
    host: str
    assigned: int


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A service by its consumer group. state: as the broker calls it: Stable, PreparingRebalance, Empty, Dead."""

    name: str
    group: str
    state: str
    members: list[Member]


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stage is behind what it reads.

    lag_records: records that are there and not processed; at most, where markers lie between them.
    lag_seconds: age of the oldest of them by the broker's time stamp, 0 without one, None if it is unknown.
    """

    stage: str
    scope: str  # netting set; for intake the topic that is furthest behind
    lag_records: int
    lag_seconds: float | None
    partitions: int = 1


class OpenWindow(msgspec.Struct, frozen=True, kw_only=True):
    """cutoff_in_s: seconds until the schedule closes it, below 0: due, None: closed by command only."""

    netting_set: str
    asset: str
    window: int
    opened_at_ms: int
    cutoff_ms: int
    cutoff_in_s: float | None


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """at_ms: clock of this host. ended: latest events of windows that are no longer open, newest first.

    deadlocks: the latest of each asset in which payments wait now. shortfalls: newest first. proposals: open ones.
    halts: what has stopped and waits for a person. unreadable: records that are none of ours, a sentence each.
    unknown: what could not be learned and why, a sentence each: a list that is empty then says nothing.
    open_transactions: those that hold up whoever reads what they write to, oldest first. outlooks: of every open
    window, whether it gets in what waits for it.
    What is from the journal (deadlocks to proposals, `ended`) is from its last records only.
    """

    bootstrap: str
    at_ms: int
    netting_sets: dict[str, int]
    services: list[Service]
    lags: list[Lag]
    windows: list[OpenWindow]
    ended: list[WindowEvent]
    positions: list[Position]
    deadlocks: list[DeadlockEvent] = []
    shortfalls: list[ShortfallEvent] = []
    proposals: list[ProposalEvent] = []
    halts: list[HaltRecord] = []
    unreadable: list[str] = []
    unknown: list[str] = []
    open_transactions: list[OpenTransaction] = []
    outlooks: list[Outlook] = []
