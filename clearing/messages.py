"""JSON messages on the wire that are neither commands nor engine outputs: payments in, statuses out.

JSON Schemas and samples in topics/ are generated from these types. Payments are decoded strictly by
clearing.intake; the shapes here say what is allowed, the checks of each field live there.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from clearing.core.faults import HaltKind
from clearing.core.outputs import LinkedLeg


class Leg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the payments that are to settle together or not at all."""

    debtor: str
    creditor: str
    asset: str
    amount: str


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All legs of a trade, delivery versus payment or payment versus payment (R19): every sender declares the same.

    id: UUIDv4 of the trade, the same in each leg's payment. legs: 2 to 16, in any order, no two alike; the
    payment that carries the link is one of them. partial: may be settled in proportional parts (R22).
    In a quoted original it may stand as a receipt tells it: the number of legs, with their terms and which leg it
    is (clearing.core.outputs.LinkedLeg).
    """

    id: str
    legs: list[Leg] | int
    partial: bool = False
    terms: str | UnsetType = UNSET
    leg: int | UnsetType = UNSET


class Payment(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="payment",
):
    """One payment order of `debtor` to `creditor`. Values are strings, but `window`, `link` and `version`.

    id: lower-case UUIDv4 (R40). amount: plain decimal, no sign, no exponent, at most 18 digits.
    value_date: YYYY-MM-DD. end_to_end_id: 1-35 of the ISO 20022 character set. priority: NORM | HIGH | URGT.
    expires_at: RFC 3339 with zone, at most milliseconds; refused (TM01) once the log is past it.
    window: the number of the window it is meant for; refused (TM01) if that is not the open one.
    link: the trade of which it is a leg.
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
    link: Link | UnsetType = UNSET
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
    link: Link | UnsetType = UNSET
    version: int | UnsetType = UNSET


class Return(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="return",
):
    """A payment that gives back what `original` brought, or a part of it (R5, pacs.004).

    debtor and creditor: those of the original, the other way round; the same asset. Several returns of one
    original may not exceed it. original: the message as it was sent, or as its receipt tells it; another spelling
    of the same content will do. reason: 1-4 of [A-Z0-9], of the external code set, e.g. AC04.
    """

    id: str
    debtor: str
    creditor: str
    asset: str
    amount: str
    value_date: str
    end_to_end_id: str
    original: Payment | TokenTransfer
    reason: str
    priority: Literal["NORM", "HIGH", "URGT"] = "NORM"
    expires_at: str | UnsetType = UNSET
    window: int | UnsetType = UNSET
    version: int | UnsetType = UNSET


class Cancellation(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="cancel",
):
    """The debtor of `original` takes it back (R12), or, once it is accepted, asks its creditor for it (R23).

    camt.056. id: of this request, which the answer names. original and reason: as in a return.
    """

    id: str
    original: Payment | TokenTransfer | Return
    reason: str
    version: int | UnsetType = UNSET


class PriorityChange(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="priority",
):
    """`debtor` gives its `payment`, which waits, another priority; it keeps its place in time (R12)."""

    id: str
    debtor: str
    payment: str
    priority: Literal["NORM", "HIGH", "URGT"]
    version: int | UnsetType = UNSET


class Answer(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="answer",
):
    """`debtor`, who was paid, answers `creditor`, who asked for it back by the cancellation `request` (camt.029).

    AGREED moves no money: the return follows as a payment of its own. reason: as in a return, why not.
    """

    id: str
    debtor: str
    creditor: str
    request: str
    decision: Literal["AGREED", "DECLINED"]
    reason: str | UnsetType = UNSET
    version: int | UnsetType = UNSET


Item = Payment | TokenTransfer | Return | Cancellation | PriorityChange | Answer


class Bulk(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="bulk",
):
    """Many messages in one record. count: number of items; control_sum: decimal sum of their amounts (those
    that move no money have none).

    Envelope wrong: the record is rejected as a whole; an item wrong: that item alone.
    """

    id: str
    count: int
    control_sum: str
    items: list[Item]
    version: int | UnsetType = UNSET


Instruction = Item | Bulk


class PaymentStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a payment, or of an instruction about one, to whom sent it. `source`: [topic, partition,
    offset, item] it came from; topic "" where a payment is taken out of its window again (XREC).

    ACSP accepted, PDNG waits (what became of it is told later), RJCT refused or ended, CANC cancelled. amount: of
    a part where `remaining` says how much still waits (R22). return_of: id of the payment it gives back (R5).
    instruction: the type of what was sent if it is no payment: CNCL it was carried out, PDCR the creditor is asked
    (camt.029), RJCT refused; `reference` is the payment it is about, or the cancellation it answers. It has no
    amount, asset or creditor: it moves nothing.
    """

    id: str
    status: Literal["ACSP", "PDNG", "RJCT", "CANC", "CNCL", "PDCR"]
    instruction: Literal["", "cancel", "priority", "answer"] = ""
    reference: str = ""
    end_to_end_id: str = ""
    asset: str = ""
    amount: str = ""
    creditor: str = ""
    window: int = 0
    remaining: str = ""
    return_of: str = ""
    reason: str = ""
    text: str = ""
    repeat: bool = False
    source: tuple[str, int, int, int]


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A payment accepted in the reader's favour; of a part delivered alone `remaining` still waits (R22).

    return_of: id of the reader's own payment that it gives back (R5), reason: why.
    The rest is for a return, which quotes the payment as it was sent: amount_sent where `amount` is a part of it;
    value_date, YYYY-MM-DD, where it is not the UTC date of the record's time_ms; the window it asked for; its link.
    """

    id: str
    debtor: str
    asset: str
    amount: str
    end_to_end_id: str
    window: int = 0
    remaining: str = ""
    return_of: str = ""
    reason: str = ""
    chain_reference: str = ""
    value_date: str = ""
    priority: Literal["NORM", "HIGH", "URGT"] = "NORM"
    expires_at_ms: int = 0
    window_asked: int = 0
    amount_sent: str = ""
    link: LinkedLeg | None = None


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A receipt that is none any more: its payment was taken out of the window as a party could not pay (R25)."""

    id: str
    debtor: str
    asset: str
    amount: str
    end_to_end_id: str
    window: int = 0
    reason: str
    text: str


class CancellationRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The debtor of an accepted payment asks its creditor, the reader, to give it back (R23, camt.056).

    id: of the cancellation, which the answer names. amount, end_to_end_id: of the payment, `original`.
    """

    id: str
    original: str
    debtor: str
    asset: str
    amount: str
    end_to_end_id: str = ""
    reason: str = ""


class CancellationAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the creditor answers to the reader's `request`, a cancellation. AGREED: a return is to follow (R5)."""

    request: str
    decision: Literal["AGREED", "DECLINED"]
    reason: str = ""
    creditor: str = msgspec.field(name="from")


class StatusRecord(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="status"
):
    """One Kafka record of status.<participant>: what one log record meant to that participant.

    (log_offset, index) rises strictly per netting set, over both kinds of record: readers drop what is not
    above the last they have seen (told at least once). index counts the records one log record causes here.
    """

    netting_set: str
    log_offset: int
    index: int
    time_ms: int
    statuses: list[PaymentStatus]
    receipts: list[Receipt]
    requests: list[CancellationRequest] = []
    answers: list[CancellationAnswer] = []
    withdrawn: list[Withdrawal] = []


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


class HaltRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Record of `halts`: a service has stopped for a netting set and waits for a person. Told at least once.

    By key the latest holds; without a value: it has gone beyond. topic, partition, offset: the record that it could
    not pass; offset -1: it is not about one record. times: how often this very place was met, by whatever process,
    first and last by the clock of its host. RETRY: an operator (`retried_by`) has asked for another try.
    """

    netting_set: str
    service: str  # engine, dispatch, intake, sink-<ledger>
    state: Literal["HALTED", "RETRY"] = "HALTED"
    kind: HaltKind
    reason: str  # one sentence: what was expected, what was found
    topic: str
    partition: int
    offset: int
    next_command: str
    runbook: str
    times: int
    first_at_ms: int
    at_ms: int
    owner: str  # host and process, for people
    retried_by: str = ""
