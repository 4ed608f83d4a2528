"""What a message of a payments topic must say, by its type: the object of a parsed record to a Row.

Pure. Payments, returns, and what is said about them: cancellations, changes of priority, answers. Which fields
there are stands here; what may stand in each, in clearing.intake.fields.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from clearing.core.inputs import Decision, Kind
from clearing.core.reasons import Code
from clearing.intake import fields
from clearing.intake.fields import Link, Reference, Row
from clearing.intake.links import link_of, told_link_of
from clearing.intake.strict import Number, Unreadable

Document = dict[str, Any]  # whose shape has been checked

_PAYMENT = (
    "type",
    "id",
    "debtor",
    "creditor",
    "asset",
    "amount",
    "value_date",
    "end_to_end_id",
)
_PAYMENT_OPTIONAL = ("priority", "expires_at", "window", "version")
# What a message may quote: a return gives back what was paid, a cancellation takes back what moves money.
_RETURNABLE = ("payment", "token_transfer")
_CANCELLABLE = (*_RETURNABLE, "return")
WITHOUT_AMOUNT = ("cancel", "priority", "answer")
_DECISIONS = {"AGREED": Decision.AGREED, "DECLINED": Decision.DECLINED}


def check(document: dict[str, object]) -> Row | Unreadable:
    """A Row, or the first of: FIELD / VERSION, ID, CHARACTER, AMOUNT_…, DATE_SYNTAX, FIELD (priority, window),
    then what is wrong with its link or with the original it quotes, LEGS, QUOTED.
    """
    row = _check(document)
    return row._replace(id=fields.readable_id(document)) if isinstance(row, Unreadable) else row


def has_amount(document: dict[str, object]) -> bool:
    """Does a control sum count it? What only speaks about a payment has no amount."""
    return document.get("type") not in WITHOUT_AMOUNT


def _check(document: dict[str, object], *, quoted: bool = False) -> Row | Unreadable:
    name = document.get("type")
    if not isinstance(name, str):
        return Unreadable(Code.FIELD, "type is missing or no string")
    form = _FORMS.get(name)
    if form is None:
        return Unreadable(Code.VERSION, "type is none that is known here")
    fault = fields.version_fault(document)
    fault = fault or fields.shape_fault(document, form.required, form.optional)
    if fault is not None:
        return fault
    row = fields.id_fault(cast(str, document["id"])) or form.read(document)
    if isinstance(row, Unreadable) or "link" not in document:
        return row
    link = _link(document, quoted=quoted)
    return _within("link", link) if isinstance(link, Unreadable) else row._replace(link=link)


def _link(document: Document, *, quoted: bool) -> Link | Unreadable:
    """Declared with all its legs; in what is quoted also as a receipt tells it."""
    link = document["link"]
    if not isinstance(link, dict):
        return Unreadable(Code.FIELD, "no JSON object")
    return told_link_of(link) if quoted and "terms" in link else link_of(link, document)


def _payment(document: Document) -> Row | Unreadable:
    return _money(document, Kind.PAYMENT)


def _token_transfer(document: Document) -> Row | Unreadable:
    return _money(document, Kind.TOKEN_TRANSFER)


def _money(document: Document, kind: Kind) -> Row | Unreadable:
    """What all that moves money has."""
    if fault := _text_fault(document):
        return fault
    amount = fields.positive_amount_of(document["amount"])
    if isinstance(amount, Unreadable):
        return amount
    value_date = fields.days_of(document["value_date"])
    if value_date is None:
        return Unreadable(Code.DATE_SYNTAX, "value_date is no day as YYYY-MM-DD")
    expires_at_ms = fields.instant_ms_of(document["expires_at"]) if "expires_at" in document else 0
    if expires_at_ms is None:
        detail = "expires_at is no RFC 3339 time with zone and at most milliseconds"
        return Unreadable(Code.DATE_SYNTAX, detail)
    priority = fields.priority_of(document.get("priority", fields.NORMAL))
    if isinstance(priority, Unreadable):
        return priority
    window = document.get("window")
    number = fields.window_of(window.text) if isinstance(window, Number) else None
    if number is None and "window" in document:
        return Unreadable(Code.FIELD, "window is no number of a window")
    return Row(
        kind=kind,
        id=fields.id_bytes(document["id"]),
        debtor=document["debtor"],
        creditor=document["creditor"],
        asset=document["asset"],
        amount=amount[0],
        decimals=amount[1],
        value_date=value_date,
        priority=priority,
        end_to_end_id=document["end_to_end_id"],
        chain_reference=document.get("chain_reference", ""),
        expires_at_ms=expires_at_ms,
        window=number or 0,
        reason=document.get("reason", ""),
    )


def _text_fault(document: Document) -> Unreadable | None:
    """CHARACTER where an identifier has a character or a length that is not allowed."""
    fault = fields.party_fault(document, "debtor", "creditor")
    fault = fault or fields.asset_fault(document["asset"])
    fault = fault or fields.end_to_end_fault(document["end_to_end_id"])
    if fault is None and "chain_reference" in document:
        fault = fields.chain_reference_fault(document["chain_reference"])
    if fault is None and "reason" in document:
        fault = fields.reason_fault(document["reason"])
    return fault


def _return(document: Document) -> Row | Unreadable:
    """R5: the original's parties the other way round, in its asset. What is left of it the engine knows."""
    row = _money(document, Kind.RETURN)
    if isinstance(row, Unreadable):
        return row
    original = _quoted(document["original"], _RETURNABLE)
    if isinstance(original, Unreadable):
        return original
    reverse = original.creditor, original.debtor, original.asset
    if (row.debtor, row.creditor, row.asset) != reverse:
        detail = "the return is not between the original's parties, reversed, in its asset"
        return Unreadable(Code.QUOTED, detail)
    return row._replace(reference=Reference(original.id, quoted=original))


def _cancellation(document: Document) -> Row | Unreadable:
    if fault := fields.reason_fault(document["reason"]):
        return fault
    original = _quoted(document["original"], _CANCELLABLE)
    if isinstance(original, Unreadable):
        return original
    return Row(
        kind=Kind.CANCEL,
        id=fields.id_bytes(document["id"]),
        debtor=original.debtor,
        creditor=original.creditor,
        asset=original.asset,
        amount=original.amount,
        decimals=original.decimals,
        value_date=original.value_date,
        end_to_end_id=original.end_to_end_id,
        reference=Reference(original.id, quoted=original),
        reason=document["reason"],
    )


def _quoted(document: object, allowed: tuple[str, ...]) -> Row | Unreadable:
    """The original a message quotes, read as if it had come by itself."""
    if not isinstance(document, dict):
        return Unreadable(Code.FIELD, "original is no JSON object")
    name = document.get("type")
    if isinstance(name, str) and name in _FORMS and name not in allowed:
        return Unreadable(Code.QUOTED, f"original is no {' or '.join(allowed)}")
    original = _check(document, quoted=True)
    return _within("original", original) if isinstance(original, Unreadable) else original


def _priority_change(document: Document) -> Row | Unreadable:
    fault = fields.party_fault(document, "debtor")
    fault = fault or fields.id_fault(document["payment"], "payment")
    if fault is not None:
        return fault
    priority = fields.priority_of(document["priority"])
    if isinstance(priority, Unreadable):
        return priority
    return Row(
        kind=Kind.PRIORITY,
        id=fields.id_bytes(document["id"]),
        debtor=document["debtor"],
        priority=priority,
        reference=Reference(fields.id_bytes(document["payment"])),
    )


def _answer(document: Document) -> Row | Unreadable:
    fault = fields.party_fault(document, "debtor", "creditor")
    if fault is None and "reason" in document:
        fault = fields.reason_fault(document["reason"])
    fault = fault or fields.id_fault(document["request"], "request")
    if fault is not None:
        return fault
    decision = _DECISIONS.get(document["decision"])
    if decision is None:
        return Unreadable(Code.FIELD, f"decision is none of {', '.join(_DECISIONS)}")
    return Row(
        kind=Kind.ANSWER,
        id=fields.id_bytes(document["id"]),
        debtor=document["debtor"],
        creditor=document["creditor"],
        reference=Reference(fields.id_bytes(document["request"]), decision=decision),
        reason=document.get("reason", ""),
    )


def _within(what: str, fault: Unreadable) -> Unreadable:
    return fault._replace(detail=f"{what}: {fault.detail}")


class _Form(NamedTuple):
    """A type of message: its fields (the required ones in the order in which a missing one is named)."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Document], Row | Unreadable]


_FORMS: dict[str, _Form] = {
    "payment": _Form(_PAYMENT, (*_PAYMENT_OPTIONAL, "link"), _payment),
    "token_transfer": _Form(
        (*_PAYMENT, "chain_reference"), (*_PAYMENT_OPTIONAL, "link"), _token_transfer
    ),
    "return": _Form((*_PAYMENT, "original", "reason"), _PAYMENT_OPTIONAL, _return),
    "cancel": _Form(("type", "id", "original", "reason"), ("version",), _cancellation),
    "priority": _Form(
        ("type", "id", "debtor", "payment", "priority"), ("version",), _priority_change
    ),
    "answer": _Form(
        ("type", "id", "debtor", "creditor", "request", "decision"), ("reason", "version"), _answer
    ),
}
