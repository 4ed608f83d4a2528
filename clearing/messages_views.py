"""What the views say: JSON values of the topics `heartbeats` and `views.*`, and their keys. STORED FORMATS.

clearing.heartbeats and clearing.views write them; the console, `clearing top`, `clearing status` and anybody else
read them (as clearing.views.model). They are projections, rebuilt at will: nothing decides anything by them.

Money is a decimal string at its asset's scale, a time epoch milliseconds. None: unknown, never zero. `offset` is
the last offset of the source topic that a value has seen: a fold skips what is not above it.
"""

from typing import Literal

import msgspec

from clearing.core.outputs import Rejected

HeartbeatState = Literal["starting", "ready", "halted", "stopping"]
StageStatus = Literal["OK", "SLOW", "STALLED", "STOPPED", "REWOUND", "HUNG_TXN"]
Verdict = Literal["ON_TIME", "AT_RISK", "WILL_MISS", "NO_CUTOFF", "UNKNOWN"]

AUDIT_START = "0" * 64  # `previous` of the first AuditView of a netting set
LAG_KEY = b"lag"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What a service process says of one netting set that it serves.

    epoch: of its fencing, by which a successor is told from a predecessor (engine: the producer's epoch; sink: that
    of its ledger); None where nothing is fenced. next_offset: of the topic it works on; None: not known yet.
    """

    epoch: int | None = None
    owned_since_ms: int
    next_offset: int | None = None


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A service process lives: one record every 2 s, keyed by process. By its own host's clock.

    instance: the name it was given among its peers, "" if none. netting_sets: those it serves now. details: what
    only this kind of service has to say, e.g. of the engine {"hk.sequence": "1412"}. All of it for people to see.
    """

    service: str  # intake, engine, dispatch, sink, views, console
    instance: str
    host: str
    pid: int
    version: str
    started_at_ms: int
    at_ms: int
    state: HeartbeatState
    netting_sets: dict[str, Served] = {}
    details: dict[str, str] = {}


class LedgerFinality(msgspec.Struct, frozen=True, kw_only=True):
    """Where a window stands at one ledger. at_ms: engine time of the last change of it.

    batches: how many parts went there; posted: how many of them it has confirmed.
    """

    state: Literal["PENDING", "POSTED", "REFUSED", "FINAL"]
    at_ms: int
    batches: int = 1
    posted: int = 0
    reason: str = ""


class WindowView(msgspec.Struct, frozen=True, kw_only=True):
    """One window of an asset, from its opening to its finality (R4).

    state: OPEN, PROCESSING, CLOSED, PENDING_SETTLEMENT, SETTLED, ABORTED or FAILED. opened_at_ms, closed_at_ms,
    settled_at_ms: None: not, or not known. cutoff_ms: None where only a command closes it. payments, gross: None
    while it is open (only the engine knows). batch, sequence, hash: of its first part. offset: of the journal.
    """

    netting_set: str
    asset: str
    window: int
    state: str
    version: int
    opened_at_ms: int | None
    closed_at_ms: int | None
    cutoff_ms: int | None
    payments: int | None
    gross: str | None
    batch: str
    sequence: int | None
    hash: str
    settled_at_ms: int | None
    finality: dict[str, LedgerFinality] = {}
    reason: str = ""
    offset: int


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement batch without its entries, which stand in `settlements` at `offset` of `partition`.

    state: PENDING, POSTED (its ledger has it), REFUSED, FINAL (with all it is linked to), or ABORTED. answered_ms:
    engine time of the last change of it, None: no answer yet. sequence 0: the answer was seen before the batch
    itself, which follows at once: leave such a record out.
    """

    netting_set: str
    sequence: int
    id: str
    kind: Literal["net", "gross", "funding"]
    asset: str
    ledger: str
    window: int
    version: int
    part: int
    parts: int
    closed_at_ms: int
    payments: int
    gross: str
    entries: int
    linked: list[str]
    previous: str
    hash: str
    topic: str
    partition: int
    offset: int
    state: Literal["PENDING", "POSTED", "REFUSED", "FINAL", "ABORTED"] = "PENDING"
    answered_ms: int | None = None
    reason: str = ""


class ActivityView(msgspec.Struct, frozen=True, kw_only=True):
    """What became of payments in one minute of engine time. `minute_ms`: its beginning.

    accepted, queued, refused: rows as they came in, repeats apart; refused counts unreadable ones and refused
    instructions too. instructions: those that were carried out. released, ended: payments that waited and left
    their queue, accepted or not. by_reason: ISO code → how many were refused or ended. offset: of `outcomes`.
    """

    netting_set: str
    minute_ms: int
    accepted: int = 0
    queued: int = 0
    refused: int = 0
    repeated: int = 0
    instructions: int = 0
    released: int = 0
    ended: int = 0
    by_reason: dict[str, int] = {}
    log_offset_first: int
    log_offset_last: int
    offset: int


class RejectView(msgspec.Struct, frozen=True, kw_only=True):
    """An input that could not be read; `offset`: where it stands in `rejected`. The last 1,000 of a netting set.

    rejected: as the engine said it, with where the bytes stand (topic, partition, offset, item).
    """

    netting_set: str
    partition: int
    offset: int
    rejected: Rejected


class AuditView(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person did, number `number` (from 1) of a netting set, chained by hash. From the journal alone.

    command: of a command its name, of a proposal the JSON of what is proposed. status: DONE, REFUSED, REPEATED;
    PROPOSED, APPROVED, WITHDRAWN. hash: SHA-256, hexadecimal, over the JSON of this with hash "" and offset 0 (see
    clearing.views.audit). offset: of the journal.
    """

    netting_set: str
    number: int
    time_ms: int
    log_offset: int
    kind: Literal["command", "proposal"]
    id: str
    by: str
    command: str
    status: str
    reason: str
    content_hash: str  # of a proposal: what an approval is bound to; else ""
    previous: str
    hash: str
    offset: int


class StageLag(msgspec.Struct, frozen=True, kw_only=True):
    """How far one reader is behind on one partition, in everything an operator asks for.

    records: between it and the last stable end, without markers as far as they are known. seconds: age of the
    oldest record it has not read. money: value that waits there, asset → amount; money_is_estimate: by the mean of
    what was read last. velocity_per_s: records it reads in a second. retention_used: 0..1 of the retention time
    that the oldest unread record has used up. culprit: who keeps the last stable offset back, "" if nobody does.
    """

    stage: str  # intake, engine, dispatch, sink, …
    group: str
    netting_set: str
    topic: str
    partition: int
    bank: str = ""
    records: int | None
    seconds: float | None
    money: dict[str, str] = {}
    money_is_estimate: bool = False
    velocity_per_s: float | None = None
    drain_s: float | None = None
    retention_used: float | None = None
    status: StageStatus
    culprit: str = ""


class BankShare(msgspec.Struct, frozen=True, kw_only=True):
    """Share of one bank in a backlog, 0..1."""

    bank: str
    share: float


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """Will the open window of an asset get everything in that waits for it? `sentence` is the answer for people."""

    netting_set: str
    asset: str
    window: int | None
    cutoff_ms: int | None
    cutoff_in_s: float | None
    backlog: dict[str, str] = {}
    backlog_records: int | None
    top_banks: list[BankShare] = []
    drain_s: float | None
    verdict: Verdict
    sentence: str


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """The last probe that was sent the whole way round. seen_at_ms None: not back. lost: how many never came."""

    sent_at_ms: int
    seen_at_ms: int | None
    round_trip_ms: float | None
    lost: int = 0


class LagSample(msgspec.Struct, frozen=True, kw_only=True):
    """Once a second in `views.lag`. clock_skew_ms: this host's clock less the broker's, None: not known."""

    at_ms: int
    clock_skew_ms: float | None
    stages: list[StageLag] = []
    outlooks: list[Outlook] = []
    probe: Probe | None = None


def heartbeat_key(beat: Heartbeat) -> bytes:
    """service|instance, or service|host-pid of a process without a name among its peers."""
    return f"{beat.service}|{beat.instance or f'{beat.host}-{beat.pid}'}".encode()


def window_key(netting_set: str, asset: str, window: int) -> bytes:
    return f"{netting_set}|{asset}|{window}".encode()


def batch_key(netting_set: str, batch: str) -> bytes:
    return f"{netting_set}|{batch}".encode()


def activity_key(netting_set: str, minute_ms: int) -> bytes:
    return f"{netting_set}|{minute_ms}".encode()


def reject_key(netting_set: str, offset: int) -> bytes:
    return f"{netting_set}|{offset}".encode()


def audit_key(netting_set: str, number: int) -> bytes:
    return f"{netting_set}|{number}".encode()


encode = msgspec.json.Encoder().encode
decode_heartbeat = msgspec.json.Decoder(Heartbeat).decode
decode_window = msgspec.json.Decoder(WindowView).decode
decode_batch = msgspec.json.Decoder(BatchView).decode
decode_activity = msgspec.json.Decoder(ActivityView).decode
decode_reject = msgspec.json.Decoder(RejectView).decode
decode_audit = msgspec.json.Decoder(AuditView).decode
decode_lag = msgspec.json.Decoder(LagSample).decode
