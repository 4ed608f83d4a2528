"""What can be told of one payment, as values: `clearing explain --json` prints them as they are.

Amounts are decimal strings, times epoch milliseconds of the log's own time. Data only.
"""

from typing import Literal

import msgspec


class Place(msgspec.Struct, frozen=True):
    """A log record and its time."""

    log_offset: int
    time_ms: int


class LinkTerms(msgspec.Struct, frozen=True, kw_only=True):
    """leg: which of `legs` this row is, from 0 in their canonical order."""

    id: str
    leg: int
    legs: int
    partial: bool


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a row, as banks are told (R41). code: of clearing.core.reasons. detail: of the unreadable.

    repeat: the id had been there with the same content, this is its outcome again (R28).
    """

    code: str
    status: str
    reason: str = ""
    text: str = ""
    detail: str = ""
    repeat: bool = False
    window: int = 0


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of the log. entered_ms: stamp of its log record. source: topic, partition, offset, item.

    reference: the payment that a return gives back, that is cancelled or gets another priority; of an answer the
    cancellation. decision: AGREED or DECLINED. given_reason: the ISO code its sender gave. outcome: None while the
    engine has not come to it.
    """

    kind: str
    id: str
    log_offset: int
    row: int
    time_ms: int
    source: tuple[str, int, int, int]
    debtor: str = ""
    creditor: str = ""
    asset: str = ""
    amount: str = ""
    value_date: str = ""
    priority: str = ""
    end_to_end_id: str = ""
    chain_reference: str = ""
    expires_at_ms: int = 0
    window: int = 0
    reference: str = ""
    decision: str = ""
    given_reason: str = ""
    link: LinkTerms | None = None
    outcome: Outcome | None = None

    @property
    def place(self) -> Place:
        return Place(self.log_offset, self.time_ms)


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a batch that holds the payment: net of a participant, against a counterparty where it names one."""

    participant: str
    net: str
    counterparty: str = ""


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A settlement batch that holds, or held, the payment. lines: of its two parties.

    state: PENDING_SETTLEMENT, POSTED (its ledger has it, others it is bound to are not final), SETTLED, FAILED or
    ABORTED; `answered`: where the ledger's answer entered.
    """

    id: str
    hash: str
    kind: str
    ledger: str
    sequence: int
    version: int
    part: int
    parts: int
    payments: int
    sent: Place
    state: str
    answered: Place | None = None
    reason: str = ""
    linked: list[str] = []
    lines: list[Line] = []


class Release(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The payment, or a part of it (R22), was accepted: from there on it is irrevocable (R23).

    how: AT_ONCE with its own row, else SINGLE, BILATERAL, MULTILATERAL, LINK, PARTIAL or OPERATOR.
    together_with: payments released as one with it. by: who released it by a command. remaining: what still waits.
    final: the ledgers have confirmed its window. taken_out: the window was recast without it (R25).
    """

    how: str
    at: Place
    amount: str
    window: int
    remaining: str = ""
    together_with: list[str] = []
    by: str = ""
    batches: list[Batch] = []
    final: Place | None = None
    taken_out: Place | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """It waited, and ended without having been accepted."""

    at: Place
    outcome: Outcome


class Binding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that keeps a payment from leaving.

    limit: LIQUIDITY, NET_DEBIT_CAP, BILATERAL_LIMIT, VALUE_CHECK; SUSPENDED (`participant` is); FIFO (`payment` is
    right before it, `lacks` is the value of all that are); LINK (legs are missing). participant: whose limit it
    is. payment: the one that does not fit. lacks: how much more it would take, in `asset`.
    """

    limit: str
    participant: str = ""
    counterparty: str = ""
    asset: str = ""
    payment: str = ""
    lacks: str = ""


class WaitsOn(msgspec.Struct, frozen=True, kw_only=True):
    """An account cannot pay before another one does.

    why "money": payments that wait there would bring `amount`; "limit": they would give a bilateral limit back as
    much; "group": legs of the same link wait there (R20).
    """

    participant: str
    asset: str
    waits_for: str
    in_asset: str
    amount: str
    why: Literal["money", "limit", "group"]


class WaitingNow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why it waits, as of the log record the engine has come to (R16).

    position: 1 is the next to leave, of `queued` in its account's queue; 0: it stands in none, for legs of its link
    are missing. ahead: payments before it. remaining: what still waits of it. policy: FIFO or BYPASS_FIFO.
    headroom: of its account (R8). binds: what keeps it, the first thing first. frees: with this much more on its
    account it leaves at once; "" where liquidity alone does not free it. circle: who wait for one another with it.
    """

    position: int
    queued: int
    remaining: str
    policy: str
    headroom: str
    ahead: list[str] = []
    missing_legs: list[int] = []
    binds: list[Binding] = []
    frees: str = ""
    waits_for: list[WaitsOn] = []
    circle: list[str] = []


class DeadlockTold(msgspec.Struct, frozen=True, kw_only=True):
    """At this cut-off nothing could leave, and the payment was first in its queue (R16)."""

    at: Place
    lacks: str
    limit: str
    waits_for: list[str]


class LegTerms(msgspec.Struct, frozen=True):
    """A leg as every sender of the link declares it."""

    asset: str
    debtor: str
    creditor: str
    amount: str


class Leg(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A leg of the link: its row, and how it stands. Without a row it has not arrived.

    declared: of one that has not, where the message of one that has is still kept.
    """

    leg: int
    status: str = ""
    row: Row | None = None
    declared: LegTerms | None = None


class Finality(msgspec.Struct, frozen=True, kw_only=True):
    """R23: ENTERED <= IRREVOCABLE <= FINAL. Of a payment delivered in parts only when all of it is."""

    entered: Place
    irrevocable: Place | None
    final: Place | None


class Story(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The life of a payment, or of an instruction about one, up to log offset `read_to` (excluded).

    status: as of now, in ISO 20022's words (R41): RCVD not come to by the engine, PDNG, ACSP, ACSC, RJCT, CANC; of
    an instruction CNCL, PDCR, RJCT. row: with which it entered. again: other rows with its id, of no effect.
    original: what an instruction or a return is about. about: returns of it, cancellations, priorities, answers.
    """

    netting_set: str
    id: str
    read_to: int
    status: str
    finality: Finality
    row: Row
    again: list[Row] = []
    original: Row | None = None
    waiting: WaitingNow | None = None
    deadlocks: list[DeadlockTold] = []
    releases: list[Release] = []
    ended: Ended | None = None
    legs: list[Leg] = []
    about: list[Row] = []
    returned: str = ""
