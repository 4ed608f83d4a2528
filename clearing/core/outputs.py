"""What the engine says: outcomes per row, settlement batches, positions, rejected inputs, events.

All are values; clearing.log encodes them. JSON forms are STORED FORMATS with schemas in topics/.
Amounts are decimal strings at the asset's scale, times epoch milliseconds of the log's own time.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from clearing.core.inputs import U8, Bool


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A participant's line in a batch: net = credits - debits + set_off. sent/received: number of payments.

    counterparty: of NET BILATERAL and GROSS lines. payment: id of the payment, of GROSS lines.
    set_off: what R18 took off the pair's obligation; "" where nothing was.
    """

    participant: str
    net: str
    debits: str
    credits: str
    sent: int
    received: int
    counterparty: str = ""
    payment: str = ""
    set_off: str = ""


class SettlementBatch(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="settlement_batch",
):
    """Entries sum to zero (R1). `hash` is the SHA-256 of this message with hash = ""; `previous` is the hash of the
    batch before in this netting set (R7). log_first, log_last: offsets of the first and last member record.
    members_root: chain of SHA-256 over the window's members, see clearing.core.batches.

    kind "funding": prefunding in or out, against the account $FUNDING; window is 0. kind "gross": a pair of entries
    a payment; a window may then have several parts. linked: batches that are final together with it (R20).
    """

    id: str
    kind: Literal["net", "gross", "funding"]
    netting_set: str
    sequence: int
    asset: str
    code: str
    issuer: str
    ledger: str
    scale: int
    window: int
    version: int
    opened_at_ms: int
    closed_at_ms: int
    payments: int
    gross: str
    entries: list[Entry]
    log_first: int
    log_last: int
    members_root: str
    previous: str
    hash: str
    part: int = 1
    parts: int = 1
    linked: list[str] = []


class LedgerAccount(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="ledger_account"
):
    """An account the ledger must have before the next batch; `overdraft`: how far it may go below zero."""

    netting_set: str
    asset: str
    ledger: str
    scale: int
    participant: str
    overdraft: str


Settlement = SettlementBatch | LedgerAccount


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Latest standing of one account; headroom = prefunded + cap + position - reserved (R8).

    queued: value of its payments that wait; queued_payments: their number.
    """

    netting_set: str
    participant: str
    asset: str
    prefunded: str
    net_debit_cap: str
    position: str
    reserved: str
    headroom: str
    queued: str
    queued_payments: int
    window: int
    log_offset: int
    time_ms: int


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An input that could not be read: why, where it came from and the hash of its bytes."""

    netting_set: str
    log_offset: int
    row: int
    topic: str
    partition: int
    offset: int
    item: int
    reason: str
    text: str
    detail: str
    hash: str
    id: str
    time_ms: int


class WindowEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="window"):
    """A window changed its state (R4), or its cut-off: an open window then says OPEN again.

    `entries` only where banks are told: SETTLED and FAILED. cutoff_ms, opened_at_ms: only of open windows;
    cutoff_ms is 0 where only a command closes it.
    """

    netting_set: str
    log_offset: int
    time_ms: int
    asset: str
    window: int
    version: int
    state: str
    batch: str = ""
    hash: str = ""
    payments: int = 0
    gross: str = "0"
    reason: str = ""
    opened_at_ms: int = 0
    cutoff_ms: int = 0
    entries: list[Entry] = []


class CommandEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="command"):
    """What became of a command: done, or refused and why."""

    netting_set: str
    log_offset: int
    time_ms: int
    id: str
    by: str
    command: str
    status: Literal["DONE", "REFUSED", "REPEATED"]
    reason: str = ""


class ConfirmationEvent(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="confirmation"
):
    """What became of a ledger's confirmation."""

    netting_set: str
    log_offset: int
    time_ms: int
    batch: str
    status: Literal["DONE", "REPEATED", "REFUSED"]
    reason: str = ""


class WaitsFor(msgspec.Struct, frozen=True, kw_only=True):
    """A participant whose queue is blocked, what its first payment lacks, and whose payments would bring it.

    Where the value check binds (R10), `lacks` is zero: no amount of one asset says what is missing.
    """

    participant: str
    asset: str
    payment: str
    lacks: str
    limit: (
        str  # what binds: LIQUIDITY, NET_DEBIT_CAP, BILATERAL_LIMIT, VALUE_CHECK, SUSPENDED, LINK
    )
    waits_for: list[str] = []


class DeadlockEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="deadlock"):
    """Nothing of the queue of an asset could leave at its cut-off (R16).

    waits: who waits for whom. extra: the smallest extra liquidity with which something can leave, of
    `extra_participant` in `extra_asset` (linked assets wait for each other); with very long queues the smallest
    that was found in time. all_extra: what each would need for everything to leave, participant → amount.
    """

    netting_set: str
    log_offset: int
    time_ms: int
    asset: str
    payments: int
    value: str
    waits: list[WaitsFor]
    extra_participant: str = ""
    extra_asset: str = ""
    extra: str = ""
    all_extra: dict[str, str] = {}


class ShortfallEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="shortfall"):
    """Who pays what a participant could not (R25): collateral + pool + survivors = shortfall, exactly."""

    netting_set: str
    log_offset: int
    time_ms: int
    asset: str
    window: int
    version: int  # of the batch that settles it
    participant: str
    shortfall: str
    collateral: str
    pool: str
    survivors: dict[str, str] = {}


class ProposalEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="proposal"):
    """A command waits for another pair of eyes (R33), was approved, or withdrawn. hash: SHA-256 of its content."""

    netting_set: str
    log_offset: int
    time_ms: int
    proposal: str
    hash: str
    by: str
    state: Literal["PROPOSED", "APPROVED", "WITHDRAWN"]
    command: str  # JSON


Event = (
    WindowEvent | CommandEvent | ConfirmationEvent | DeadlockEvent | ShortfallEvent | ProposalEvent
)


class LinkedLeg(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which leg of which link a payment is: number `leg` of `legs`, in canonical order. terms: the first 16 bytes
    of the SHA-256 over what was declared of the link, hexadecimal.
    """

    id: str
    terms: str
    leg: int
    legs: int
    partial: bool = False


class Resolution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a payment that waited; or, code RECAST, of one that was accepted: of those kind is 0, row -1,
    log_offset that of the record that accepted it, and source and texts are not known any more.

    code: see clearing.core.reasons. log_offset, row, source: where it entered. how: SINGLE, BILATERAL,
    MULTILATERAL, LINK, PARTIAL or OPERATOR for a release. amount: what was released or has ended;
    remaining: what still waits of a partial delivery (R22). window: that accepted it. return_of: id of what a
    return gives back. source: topic, partition, offset, item.
    What the payment said when it was sent: value_date in days since 1970-01-01, priority, expires_at_ms,
    window_asked, link; amount_sent where `amount` is a part of it.
    """

    id: str
    code: int
    kind: int
    debtor: str
    creditor: str
    asset: str
    amount: str
    log_offset: int
    row: int
    source: tuple[str, int, int, int]
    end_to_end_id: str = ""
    chain_reference: str = ""
    how: str = ""
    window: int = 0
    remaining: str = ""
    return_of: str = ""
    value_date: int = 0
    priority: int = 0
    expires_at_ms: int = 0
    window_asked: int = 0
    amount_sent: str = ""
    link: LinkedLeg | None = None


class Resolutions(msgspec.Struct, frozen=True, kw_only=True):
    """What one log record did to payments of earlier rows, in the order in which it did."""

    netting_set: str
    log_offset: int
    time_ms: int
    items: list[Resolution]


@dataclass(slots=True)
class Outcomes:
    """Row i of the log record at `log_offset` became codes[i]; repeat[i]: the original outcome again (R28).

    windows: number of the open window per asset at that moment, for assets with an accepted row.
    """

    log_offset: int
    time_ms: int
    codes: U8
    repeat: Bool
    windows: dict[str, int]


@dataclass(slots=True)
class Outputs:
    """Everything one log record caused."""

    outcomes: Outcomes | None = None
    settlements: list[Settlement] = field(default_factory=list[Settlement])
    positions: list[Position] = field(default_factory=list[Position])
    rejected: list[Rejected] = field(default_factory=list[Rejected])
    resolutions: list[Resolution] = field(default_factory=list[Resolution])
    events: list[Event] = field(default_factory=list[Event])
