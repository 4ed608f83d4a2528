"""What the engine says: outcomes per row, settlement batches, positions, rejected inputs, events.

All are values; clearing.log encodes them. JSON forms are STORED FORMATS with schemas in topics/.
Amounts are decimal strings at the asset's scale, times epoch milliseconds of the log's own time.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from clearing.core.inputs import U8, Bool


class Entry(msgspec.Struct, frozen=True):
    """A participant's line in a batch: net = credits - debits. sent/received: number of payments."""

    participant: str
    net: str
    debits: str
    credits: str
    sent: int
    received: int


class SettlementBatch(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="settlement_batch"
):
    """Entries sum to zero (R1). `hash` is the SHA-256 of this message with hash = ""; `previous` is
    the hash of the batch before in this netting set (R7). kind "funding": prefunding in or out, against
    the account $FUNDING; window is 0. log_first, log_last: offsets of the first and last member record.
    members_root: chain of SHA-256 over the members, see clearing.core.batches.
    """

    id: str
    kind: Literal["net", "funding"]
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
    hash: str = ""


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
    """Latest standing of one account; headroom = prefunded + cap + position - reserved (R8)."""

    netting_set: str
    participant: str
    asset: str
    prefunded: str
    net_debit_cap: str
    position: str
    reserved: str
    headroom: str
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


Event = WindowEvent | CommandEvent | ConfirmationEvent


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
    events: list[Event] = field(default_factory=list[Event])
