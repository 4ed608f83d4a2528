"""Rows of the console's pages: what the topics say, with what only makes sense at the moment of looking."""

from typing import Any

import msgspec

from clearing.core.outputs import Position
from clearing.messages import HaltRecord
from clearing.observe.report import Service
from clearing.observe.transactions import OpenTransaction
from clearing.views.model import (
    ActivityView,
    AuditView,
    BatchView,
    Heartbeat,
    LagSample,
    Outlook,
    Probe,
    StageLag,
    WindowView,
)


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """Every answer's frame. data_ms: the newest thing that went in, None: nothing is there yet. stale: Kafka cannot
    be read. read_to: log offset (excluded) per netting set, None: not known."""

    now_ms: int
    as_of_ms: int | None
    data_ms: int | None
    stale: bool
    notes: list[str]
    read_to: dict[str, int | None]
    data: Any


class WindowRow(WindowView, frozen=True, kw_only=True):
    """cutoff_in_s: until the schedule closes it, below 0: due; None: closed by command only, or closed."""

    cutoff_in_s: float | None


class PositionRow(Position, frozen=True, kw_only=True):
    """used: share of what may be used (prefunded + cap − reserved) that the position has used; None: nothing may.

    status: of the participant, None: not known yet.
    """

    used: float | None
    status: str | None


class HeartbeatRow(Heartbeat, frozen=True, kw_only=True):
    """late: it should have said something. ended: it had said that it stops."""

    age_ms: int
    late: bool
    ended: bool


class ServiceCounts(msgspec.Struct, frozen=True, kw_only=True):
    ready: int
    late: int
    halted: int
    stopping: int


class NettingSetRow(msgspec.Struct, frozen=True, kw_only=True):
    """A netting set in one line. queued: value by asset. near_cap: accounts that have used 80 % and more.

    rejected_cut: more were rejected than are kept.
    """

    netting_set: str
    time_ms: int | None
    log_offset: int | None
    queued_payments: int | None
    queued: dict[str, str]
    near_cap: int | None
    proposals: int
    rejected_last_hour: int | None
    rejected_cut: bool
    accepted_last_minute: int | None
    refused_last_minute: int | None
    queued_last_minute: int | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """sentence: the answer to the first question. stages: one each stage and netting set, the worst of it."""

    sentence: str
    verdict: str
    outlooks: list[Outlook]
    probe: Probe | None
    clock_skew_ms: float | None
    stages: list[StageLag]
    lag_at_ms: int | None
    windows: list[WindowRow]
    halts: list[HaltRecord]
    netting_sets: list[NettingSetRow]
    services: ServiceCounts | None


class Windows(msgspec.Struct, frozen=True):
    windows: list[WindowRow]


class Positions(msgspec.Struct, frozen=True):
    positions: list[PositionRow]


class Batches(msgspec.Struct, frozen=True):
    batches: list[BatchView]
    more: bool


class Activity(msgspec.Struct, frozen=True):
    activity: list[ActivityView]
    reasons: dict[str, int]


class StageSample(msgspec.Struct, frozen=True):
    records: int | None
    seconds: float | None


class LagPoint(msgspec.Struct, frozen=True, kw_only=True):
    at_ms: int
    clock_skew_ms: float | None
    round_trip_ms: float | None
    stages: dict[str, StageSample]


class LagHistory(msgspec.Struct, frozen=True):
    samples: list[LagPoint]
    last: LagSample | None


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """groups, transactions: None where Kafka was not asked, or did not answer."""

    services: list[HeartbeatRow] | None
    groups: list[Service] | None
    transactions: list[OpenTransaction] | None
    halts: list[HaltRecord] | None
    unreadable: list[str]


class ProposalRow(msgspec.Struct, frozen=True, kw_only=True):
    """mine: who looks has proposed it: may withdraw it, and not approve it."""

    netting_set: str
    proposal: str
    hash: str
    by: str
    time_ms: int
    log_offset: int
    command: msgspec.Raw
    described: str
    mine: bool
    cli: str


class Proposals(msgspec.Struct, frozen=True):
    proposals: list[ProposalRow]


class ChainCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the hashes of what is shown follow one another."""

    ok: bool
    entries: int
    last: str
    detail: str


class Audit(msgspec.Struct, frozen=True):
    audit: list[AuditView]
    more: bool
    chain: dict[str, ChainCheck]


class RejectRow(msgspec.Struct, frozen=True, kw_only=True):
    """offset: in `rejected`. source_offset: of the record that could not be read, in `topic`."""

    netting_set: str
    offset: int
    log_offset: int
    row: int
    topic: str
    partition: int
    source_offset: int
    item: int
    reason: str
    text: str
    detail: str
    hash: str
    id: str
    time_ms: int
    participant: str | None
    redrivable: bool
    why_not: str
    redrive: "RedriveState | None"


class RedriveState(msgspec.Struct, frozen=True, kw_only=True):
    proposal: str
    state: str  # PROPOSED, APPROVED
    by: str


class RejectGroup(msgspec.Struct, frozen=True, kw_only=True):
    """participants: how many of each; "" where it is nobody's."""

    reason: str
    text: str
    count: int
    participants: dict[str, int]
    first_ms: int
    last_ms: int


class Rejects(msgspec.Struct, frozen=True):
    rejected: list[RejectRow]
    groups: list[RejectGroup]
    more: bool
