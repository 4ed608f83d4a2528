"""What a verification says: one Check per claim, and the Report that is ok only if every claim holds.

A check never says ok without saying how much it compared. "behind" means that nothing is wrong in what
is there, but not all of it is there yet: the proof is not complete.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from clearing.verify.anomalies import ANSWERS

Verdict = Literal["ok", "behind", "FAILED"]

DIFFERENCES_SHOWN = 10


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One claim. `compared`: a sentence with numbers. differences: the first of them; pending: not there yet."""

    name: str
    rule: str
    scope: str  # netting set, or what else the claim is about
    compared: str
    differences: list[str] = []
    differences_count: int = 0
    pending: list[str] = []
    anomalies: list[str] = []  # that it would find, see clearing.verify.anomalies

    @property
    def verdict(self) -> Verdict:
        if self.differences_count:
            return "FAILED"
        return "behind" if self.pending else "ok"


class Findings:
    """Collects differences while a check compares: counts all, keeps the first ones."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self.count = 0
        self.pending: list[str] = []

    def add(self, difference: str, count: int = 1) -> None:
        """Note a difference that stands for `count` of its kind."""
        self.count += count
        if len(self.first) < DIFFERENCES_SHOWN:
            self.first.append(difference)

    def extend(self, differences: Iterable[str]) -> None:
        for difference in differences:
            self.add(difference)

    def join(self, other: "Findings") -> None:
        """All of another one's."""
        for difference in other.first:
            self.add(difference)
        self.count += other.count - len(other.first)
        self.pending += other.pending

    def wait_for(self, what: str) -> None:
        self.pending.append(what)

    def check(self, name: str, rule: str, scope: str, compared: str) -> Check:
        return Check(
            name=name,
            rule=rule,
            anomalies=list(ANSWERS.get(name, ())),
            scope=scope,
            compared=compared,
            differences=self.first,
            differences_count=self.count,
            pending=self.pending,
        )


What = Literal["payments", "instructions", "probes"]


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """R30 for one asset of one netting set: what entered and what it is now, by count and by value.

    Counts are rows: a bulk has one per item, or one if it is rejected as a whole. Values are decimal strings.
    Every row is one thing: accepted (at once, or since), queued (it still waits), or it waited and has ended:
    cancelled by its sender, expired, dropped at a cut-off, defaulted, link_refused; recast: taken out of its window
    again. refused, repeated. rejected: what intake could not read; its value is what could be made out of it
    anyway. Of a payment delivered in part, the value delivered is accepted and the rest queued.

    what: "instructions" are about payments and move nothing: done, or requested of somebody else; "probes" are such
    of nobody, refused once and then repeated. Their asset is "". asset "" of payments: not even the asset could be
    made out.
    """

    netting_set: str
    asset: str
    what: What = "payments"
    entered: int
    accepted: int = 0
    queued: int = 0
    cancelled: int = 0
    expired: int = 0
    dropped: int = 0
    defaulted: int = 0
    link_refused: int = 0
    recast: int = 0
    refused: int = 0
    rejected: int = 0
    repeated: int = 0
    done: int = 0
    requested: int = 0
    entered_value: str = "0"
    accepted_value: str = "0"
    queued_value: str = "0"
    cancelled_value: str = "0"
    expired_value: str = "0"
    dropped_value: str = "0"
    defaulted_value: str = "0"
    link_refused_value: str = "0"
    recast_value: str = "0"
    refused_value: str = "0"
    rejected_value: str = "0"
    repeated_value: str = "0"


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of a partition: all committed records from first_offset to before end_offset.

    sha256: of three digests one after the other, SHA-256 each: over the records' heads (offset, time stamp in epoch
    milliseconds, lengths of key and value, -1 where there is none; 64 bits big-endian each), over all keys, over
    all values, in the order of the partition.
    """

    topic: str
    partition: int
    first_offset: int
    end_offset: int
    records: int
    bytes: int
    sha256: str


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What was verified, when and with what. bootstrap as it was given; ledger: "" without one; versions: of
    software by name. began_at, ended_at: ISO 8601, UTC."""

    bootstrap: str
    topic_prefix: str
    cluster_id: str
    ledger: str
    netting_sets: list[str]
    versions: dict[str, str]
    began_at: str
    ended_at: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was compared. took_ms: how long it took.

    coverage: what was read, by topic and partition. limits: what was not checked, a sentence each. subject: None
    where topics were handed in without a cluster.
    """

    checks: list[Check]
    flows: list[Flow]
    batches: int
    took_ms: int
    coverage: list[Coverage] = []
    limits: list[str] = []
    subject: Subject | None = None

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.verdict == "ok" for check in self.checks)

    @property
    def failed(self) -> bool:
        return any(check.verdict == "FAILED" for check in self.checks)
