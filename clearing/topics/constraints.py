"""What the JSON Schemas say beyond the types: alphabets, amounts, dates, bounds.

Laid over the generated schemas instead of into the types: msgspec would check a pattern on every payment, and
intake checks the same over columns. Tests hold the two together. Patterns are in the language of ECMA-262.
"""

from typing import Any

from clearing.core.commands import (
    AbortWindow,
    Approve,
    CloseWindow,
    Command,
    Confirmation,
    Fund,
    OpenAccount,
    Redrive,
    RegisterPair,
    ReleaseQueued,
    SetBilateralLimit,
    SetCollateral,
    SetPool,
    SetShortLimit,
    SettleWindow,
    SetValuation,
    Withdraw,
)
from clearing.core.inputs import Kind, Reject
from clearing.core.money import MAX_DIGITS, MAX_SCALE
from clearing.core.outputs import (
    CommandEvent,
    DeadlockEvent,
    Entry,
    LinkedLeg,
    ProposalEvent,
    Rejected,
    Resolution,
    SettlementBatch,
    ShortfallEvent,
    WaitsFor,
    WindowEvent,
)
from clearing.core.registry import AssetSpec
from clearing.core.windows import WindowState
from clearing.log.payments import PRIORITIES
from clearing.log.records import Transaction
from clearing.messages import (
    Answer,
    Bulk,
    Cancellation,
    CancellationAnswer,
    CancellationRequest,
    FinalRecord,
    Leg,
    Link,
    Payment,
    PaymentStatus,
    PriorityChange,
    Receipt,
    Return,
    TokenTransfer,
    Withdrawal,
)
from clearing.messages_views import (
    ActivityView,
    AuditView,
    BankShare,
    BatchView,
    Heartbeat,
    Outlook,
    RejectView,
    Served,
    StageLag,
    WindowView,
)
from clearing.names import ASSET, NETTING_SET, PARTICIPANT

Constraint = dict[str, Any]

MAX_BULK_ITEMS = 50_000
MIN_LEGS, MAX_LEGS = 2, 16
MAX_WINDOW = 2**31 - 1

_UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_PLAIN_AMOUNT = r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
# At most 18 digits, of which a zero before the point is none; not zero.
_PAYMENT_AMOUNT = (
    rf"(?=[0-9.]*[1-9])(?:0\.[0-9]{{1,{MAX_DIGITS}}}"
    rf"|(?=(?:\.?[0-9]){{1,{MAX_DIGITS}}}$)[1-9][0-9]*(?:\.[0-9]+)?)"
)
_TEXT = (
    r"[A-Za-z0-9/?:().,'+-](?:[A-Za-z0-9/?:().,'+ -]*[A-Za-z0-9/?:().,'+-])?"  # no blank at an end
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"


def _text(pattern: str, **more: object) -> Constraint:
    return {"pattern": f"^{pattern}$", **more}


def _or_empty(constraint: Constraint) -> Constraint:
    """The same, or "" where there is none."""
    return {**constraint, "pattern": f"^(?:{constraint['pattern'][1:-1]})?$"}


def _list_of(item: Constraint, minimum: int = 0) -> Constraint:
    """A list of texts."""
    return {"items": {"type": "string", **item}, **({"minItems": minimum} if minimum else {})}


def _amounts_of(names: Constraint) -> Constraint:
    """An object whose keys are names and whose values are amounts."""
    return {"propertyNames": names, "additionalProperties": {"type": "string", **_AMOUNT}}


def _from(minimum: int, maximum: int | None = None) -> Constraint:
    return {"minimum": minimum} if maximum is None else {"minimum": minimum, "maximum": maximum}


_ID = _text(_UUID4)
_NAME = _text(PARTICIPANT.pattern)
_ASSET = _text(ASSET.pattern)
_AMOUNT = _text(_PLAIN_AMOUNT)
_SIGNED = _text(f"-?{_PLAIN_AMOUNT}")
_SHA256 = _text("[0-9a-f]{64}")
_SHA256_START = _text("[0-9a-f]{32}")
_XXH3_128 = _text("[0-9a-f]{32}")
_REASON = _text("[A-Z0-9]{4}")
_GIVEN_REASON = _text("[A-Z0-9]{1,4}")  # by a bank
_PARTY = _text(f"(?:{PARTICIPANT.pattern}|[$](?:FUNDING|COLLATERAL|POOL))")
_COMMAND_ID = _text("[A-Za-z0-9._:-]{1,64}")
_WHO = _text("[!-~]{1,64}")

# By the name of a field, wherever it stands …
BY_NAME: dict[str, Constraint] = {
    "asset": _ASSET,
    "batch": _SHA256_START,
    "by": _WHO,
    "closed_at_ms": _from(0),
    "count": _from(1, MAX_BULK_ITEMS),
    "counterparty": _NAME,
    "creditor": _NAME,
    "credits": _AMOUNT,
    "debits": _AMOUNT,
    "debtor": _NAME,
    "epoch": _from(0),
    "gross": _AMOUNT,
    "hash": _SHA256,
    "headroom": _SIGNED,
    "id": _ID,
    "ledger": _text(NETTING_SET.pattern),
    "log_first": _from(0),
    "log_last": _from(0),
    "log_offset": _from(0),
    "net": _SIGNED,
    "net_debit_cap": _AMOUNT,
    "netting_set": _text(NETTING_SET.pattern),
    "opened_at_ms": _from(0),
    "overdraft": _AMOUNT,
    "participant": _NAME,
    "partition": _from(0),
    "payments": _from(0),
    "position": _SIGNED,
    "prefunded": _SIGNED,
    "price": _AMOUNT,
    "queued": _AMOUNT,
    "queued_payments": _from(0),
    "received": _from(0),
    "reserved": _AMOUNT,
    "scale": _from(0, MAX_SCALE),
    "sent": _from(0),
    "short_limit": _AMOUNT,
    "time_ms": _from(0),
    "version": _from(1),
    "window": _from(0),
}

_VERSION: Constraint = {"const": 1}
_INSTRUCTION: dict[str, Constraint] = {
    "amount": _text(_PAYMENT_AMOUNT),
    "value_date": _text("[0-9]{4}-[0-9]{2}-[0-9]{2}", format="date"),
    "end_to_end_id": _text(_TEXT, maxLength=35),
    "expires_at": _text(
        rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,3}})?"
        rf"(?:Z|(?!-00:00)[+-]{_CLOCK})",
        format="date-time",
    ),
    "window": _from(1, MAX_WINDOW),
    "version": _VERSION,
}

# A link declares its legs; or, only within a quoted original, it has what a receipt tells of it.
_DECLARED: Constraint = {"properties": {"legs": {"type": "array"}, "terms": False, "leg": False}}
_TOLD: Constraint = {"properties": {"legs": {"type": "integer"}}, "required": ["terms", "leg"]}
_DECLARES: Constraint = {"properties": {"link": _DECLARED}}

# … but for these types, where it means something else or more. Commands inherit from Command.
BY_TYPE: dict[type, dict[str, Constraint]] = {
    Leg: {"amount": _INSTRUCTION["amount"]},
    Link: {
        "legs": {
            "minItems": MIN_LEGS,
            "maxItems": MAX_LEGS,
            "uniqueItems": True,
            **_from(MIN_LEGS, MAX_LEGS),
        },
        "terms": _SHA256_START,
        "leg": _from(0, MAX_LEGS - 1),
    },
    LinkedLeg: {
        "terms": _SHA256_START,
        "leg": _from(0, MAX_LEGS - 1),
        "legs": _from(MIN_LEGS, MAX_LEGS),
    },
    Payment: _INSTRUCTION,
    TokenTransfer: _INSTRUCTION | {"chain_reference": _text("[A-Za-z0-9:/._-]+", maxLength=200)},
    Return: _INSTRUCTION | {"reason": _GIVEN_REASON},
    Cancellation: {"reason": _GIVEN_REASON, "version": _VERSION},
    PriorityChange: {"payment": _ID, "version": _VERSION},
    Answer: {"request": _ID, "reason": _GIVEN_REASON, "version": _VERSION},
    Bulk: {
        "control_sum": _text(_PLAIN_AMOUNT, maxLength=64),
        "items": {
            "minItems": 1,
            "maxItems": MAX_BULK_ITEMS,
            "allOf": [{"items": _DECLARES}],
        },
        "version": _VERSION,
    },
    Command: {"id": _COMMAND_ID},
    AssetSpec: {
        "id": _ASSET,
        "every_s": _from(0),
        "max_amount": _or_empty(_AMOUNT),
        "value_days_ahead": _from(0),
    },
    OpenAccount: {"prefunded": _AMOUNT},
    Fund: {"amount": _SIGNED},
    SetBilateralLimit: {"limit": _AMOUNT},
    SetCollateral: {"amount": _AMOUNT},
    SetPool: {"amount": _AMOUNT},
    SetValuation: {"haircut_bp": _from(0, 10_000)},
    SetShortLimit: {"limit": _AMOUNT},
    RegisterPair: {"delivery": _ASSET, "payment": _ASSET},
    CloseWindow: {"asset": _or_empty(_ASSET)},
    SettleWindow: {"window": _from(1)},
    AbortWindow: {"window": _from(1)},
    ReleaseQueued: {"payments": _list_of(_ID, 1)},
    Redrive: {"hash": _XXH3_128, "offset": _from(0)},
    Approve: {"proposal": _COMMAND_ID},
    Withdraw: {"proposal": _COMMAND_ID},
    Confirmation: {"short": _amounts_of(_NAME)},
    Reject: {"hash": _XXH3_128, "id": _or_empty(_ID), "item": _from(-1), "code": _from(10, 39)},
    Entry: {
        "participant": _PARTY,
        "counterparty": _or_empty(_NAME),
        "payment": _or_empty(_ID),
        "set_off": _or_empty(_SIGNED),
    },
    SettlementBatch: {
        "id": _SHA256_START,
        "sequence": _from(1),
        "payments": _from(1),
        "members_root": _SHA256,
        "previous": _SHA256,
        "entries": {"minItems": 2},
        "part": _from(1),
        "parts": _from(1),
        "linked": _list_of(_SHA256_START),
    },
    Rejected: {
        "id": _or_empty(_ID),
        "hash": _XXH3_128,
        "reason": _REASON,
        "item": _from(-1),
        "row": _from(0),
        "offset": _from(0),
    },
    WindowEvent: {
        "state": {"enum": [state.value for state in WindowState]},
        "batch": _or_empty(_SHA256_START),
        "hash": _or_empty(_SHA256),
        "window": _from(1),
        "cutoff_ms": _from(0),
    },
    CommandEvent: {"id": _COMMAND_ID},
    DeadlockEvent: {
        "payments": _from(1),
        "value": _AMOUNT,
        "extra_participant": _or_empty(_NAME),
        "extra_asset": _or_empty(_ASSET),
        "extra": _or_empty(_AMOUNT),
        "all_extra": _amounts_of(_NAME),
    },
    WaitsFor: {"payment": _ID, "lacks": _AMOUNT, "waits_for": _list_of(_NAME)},
    ShortfallEvent: {
        "window": _from(1),
        "shortfall": _AMOUNT,
        "collateral": _AMOUNT,
        "pool": _AMOUNT,
        "survivors": _amounts_of(_NAME),
    },
    ProposalEvent: {"proposal": _COMMAND_ID},
    Resolution: {
        "code": _from(0, 99),
        "kind": _from(0, max(Kind)),  # 0 and row -1: of what is taken back, not known any more
        "amount": _AMOUNT,
        "remaining": _or_empty(_AMOUNT),
        "return_of": _or_empty(_ID),
        "row": _from(-1),
        "value_date": _from(0),
        "priority": _from(0, len(PRIORITIES) - 1),
        "expires_at_ms": _from(0),
        "window_asked": _from(0, MAX_WINDOW),
        "amount_sent": _or_empty(_AMOUNT),
        "how": {"enum": ["", "SINGLE", "BILATERAL", "MULTILATERAL", "LINK", "PARTIAL", "OPERATOR"]},
    },
    Transaction: {
        "next_offset": _from(0),
        "sequence": _from(0),
        "records": _from(0),
        "chain": _SHA256,
    },
    PaymentStatus: {
        "id": _or_empty(_ID),
        "asset": _or_empty(_ASSET),
        "creditor": _or_empty(_NAME),
        "amount": _or_empty(_AMOUNT),
        "reason": _or_empty(_REASON),
        "reference": _or_empty(_ID),
        "return_of": _or_empty(_ID),
        "remaining": _or_empty(_AMOUNT),
    },
    Receipt: {
        "amount": _AMOUNT,
        "return_of": _or_empty(_ID),
        "reason": _or_empty(_GIVEN_REASON),
        "remaining": _or_empty(_AMOUNT),
        "value_date": _or_empty(_text("[0-9]{4}-[0-9]{2}-[0-9]{2}")),
        "expires_at_ms": _from(0),
        "window_asked": _from(0, MAX_WINDOW),
        "amount_sent": _or_empty(_AMOUNT),
    },
    Withdrawal: {"amount": _AMOUNT, "reason": _REASON},
    CancellationRequest: {
        "original": _ID,
        "amount": _AMOUNT,
        "reason": _or_empty(_GIVEN_REASON),
    },
    CancellationAnswer: {"request": _ID, "from": _NAME, "reason": _or_empty(_GIVEN_REASON)},
    FinalRecord: {"window": _from(1)},
    Served: {"epoch": _from(0), "next_offset": _from(0)},
    Heartbeat: {"version": {}},
    WindowView: {
        "state": {"enum": [state.value for state in WindowState]},
        "batch": _or_empty(_SHA256_START),
        "hash": _or_empty(_SHA256),
        "window": _from(1),
        "sequence": _from(1),
    },
    BatchView: {
        # Of a batch of which only the answer is known so far (sequence 0) all but the id is empty.
        "id": _SHA256_START,
        "asset": _or_empty(_ASSET),
        "ledger": _text(f"(?:{NETTING_SET.pattern})?"),
        "version": _from(0),
        "hash": _or_empty(_SHA256),
        "previous": _or_empty(_SHA256),
        "linked": _list_of(_SHA256_START),
        "offset": _from(-1),
    },
    ActivityView: {
        name: _from(0)
        for name in (
            "accepted",
            "queued",
            "refused",
            "repeated",
            "instructions",
            "released",
            "ended",
        )
    },
    RejectView: {"offset": _from(0)},
    AuditView: {
        "id": _COMMAND_ID,
        "number": _from(1),
        "content_hash": _or_empty(_SHA256),
        "previous": _SHA256,
    },
    StageLag: {"records": _from(0), "bank": _or_empty(_NAME)},
    BankShare: {"bank": _NAME, "share": _from(0, 1)},
    Outlook: {"window": _from(1)},
}

# Over whole objects of a type, …
OBJECTS: dict[type, Constraint] = {Link: {"anyOf": [_DECLARED, _TOLD]}}
# … and over messages as they are sent, but not where another one quotes them.
SENT: dict[type, Constraint] = {Payment: _DECLARES, TokenTransfer: _DECLARES}


def constraint_of(kind: type, name: str) -> Constraint:
    """What a field of a type has to obey beyond its own type; {} where there is nothing."""
    for base in kind.__mro__:
        if name in (own := BY_TYPE.get(base, {})):
            return own[name]
    return BY_NAME.get(name, {})
