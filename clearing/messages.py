"""JSON messages on the wire that are neither commands nor engine outputs: payments in, statuses out.

JSON Schemas and samples in topics/ are generated from these types. Payments are decoded strictly by
clearing.intake; the shapes here say what is allowed, the checks of each field live there.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType


class Payment(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="payment",
):
    """One payment order of `debtor` to `creditor`. All values are strings but `version` and `window`.

    id: lower-case UUIDv4 (R40). amount: plain decimal, no sign, no exponent, at most 18 digits.
    value_date: YYYY-MM-DD. end_to_end_id: 1-35 of the ISO 20022 character set. priority: NORM | HIGH | URGT.
    expires_at: RFC 3339 with zone, at most milliseconds; refused (TM01) once the log is past it.
    window: the number of the window it is meant for; refused (TM01) if that is not the open one.
    """

    id: str
    debtor: str
    creditor: str
    asset: str
    amount: str
    value_date: str
    end_to_end_id: str
    priority: Literal["NORM", "HIGH", "URGT"] = "NORM"
    expires_at: str | UnsetType = UNSET
    window: int | UnsetType = UNSET
    version: int | UnsetType = UNSET


class TokenTransfer(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="token_transfer",
):
    """A transfer of tokens: a payment with a reference to its chain, e.g. eip155:1:0x…:0."""

    id: str
    debtor: str
    creditor: str
    asset: str
    amount: str
    value_date: str
    end_to_end_id: str
    chain_reference: str
    priority: Literal["NORM", "HIGH", "URGT"] = "NORM"
    expires_at: str | UnsetType = UNSET
    window: int | UnsetType = UNSET
    version: int | UnsetType = UNSET


class Bulk(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="bulk",
):
    """Many payments in one record. count: number of items; control_sum: decimal sum of their amounts.

    Envelope wrong: the record is rejected as a whole; an item wrong: that item alone.
    """

    id: str
    count: int
    control_sum: str
    items: list[Payment | TokenTransfer]
    version: int | UnsetType = UNSET


Instruction = Payment | TokenTransfer | Bulk


class PaymentStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one payment its debtor sent. `source`: [topic, partition, offset, item] it came from."""

    id: str
    status: Literal["ACSP", "PDNG", "RJCT", "CANC"]
    end_to_end_id: str = ""
    asset: str = ""
    amount: str = ""
    creditor: str = ""
    window: int = 0
    reason: str = ""
    text: str = ""
    repeat: bool = False
    source: tuple[str, int, int, int]


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A payment accepted in the reader's favour."""

    id: str
    debtor: str
    asset: str
    amount: str
    end_to_end_id: str
    window: int = 0
    chain_reference: str = ""


class StatusRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="status"):
    """One Kafka record of status.<participant>: what one log record meant to that participant.

    (log_offset, index) rises strictly per netting set, over both kinds of record: readers drop what is not
    above the last they have seen (told at least once). index counts the records one log record causes here.
    """

    netting_set: str
    log_offset: int
    index: int
    time_ms: int
    statuses: list[PaymentStatus] = []
    receipts: list[Receipt] = []


class FinalRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="final"):
    """One Kafka record of status.<participant>: a window this participant took part in has ended.

    ACSC: every ACSP payment of (asset, window), sent or received, is now final. RJCT: the ledger refused the
    batch; the payments stay irrevocable and unsettled until operators settle the window again.
    """

    netting_set: str
    log_offset: int
    index: int
    time_ms: int
    asset: str
    window: int
    version: int
    status: Literal["ACSC", "RJCT"]
    reason: str = ""
    batch: str
    hash: str
    net: str
    debits: str
    credits: str
    sent: int
    received: int


StatusMessage = StatusRecord | FinalRecord


class DirectoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Record of `netting-sets`: the partition of a netting set in every topic that has one for each."""

    netting_set: str
    partition: int
