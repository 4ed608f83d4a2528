"""What a bank writes: payments, trades of linked legs, returns, cancellations, answers; exact amounts, sensible
defaults. Pure but for new ids and the date.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, TypedDict, Unpack

from msgspec import UNSET

from clearing.client.following import Request, Status
from clearing.core.money import parse, show
from clearing.core.outputs import LinkedLeg
from clearing.messages import (
    Answer,
    Bulk,
    Cancellation,
    Item,
    Leg,
    Link,
    Payment,
    PriorityChange,
    Return,
    TokenTransfer,
)

Amount = str | int | Decimal
Priority = Literal["NORM", "HIGH", "URGT"]

NO_REFERENCE = "NOTPROVIDED"  # what ISO 20022 puts where the sender gives no end-to-end id
REQUESTED_BY_CUSTOMER = "CUST"
_MAX_SCALE = 18
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Terms(TypedDict, total=False):
    """What an order may say beyond who pays whom how much; clearing.messages.Payment has each one's rules.

    id: a new UUIDv4 if left out. value_date: today in UTC if left out. expires_at: a datetime must have a zone.
    """

    id: str
    end_to_end_id: str
    value_date: date | str
    priority: Priority
    expires_at: datetime | str
    window: int


class LinkedTerms(Terms, total=False):
    """link: the trade of which the payment is a leg."""

    link: Link


class Fields(LinkedTerms, total=False):
    """chain_reference: makes the payment a token transfer."""

    chain_reference: str


def payment(
    debtor: str, creditor: str, asset: str, amount: Amount, **fields: Unpack[Fields]
) -> Payment | TokenTransfer:
    """A payment order, with a chain reference a token transfer. amount: an exact decimal, never a float.

    Raises TypeError, ValueError on what could only be refused.
    """
    order = Payment(
        id=fields.get("id") or _new_id(),
        debtor=debtor,
        creditor=creditor,
        asset=asset,
        amount=amount_text(amount),
        value_date=_date_text(fields.get("value_date") or datetime.now(UTC).date()),
        end_to_end_id=fields.get("end_to_end_id", NO_REFERENCE),
        priority=fields.get("priority", "NORM"),
        expires_at=_time_text(fields["expires_at"]) if "expires_at" in fields else UNSET,
        window=fields.get("window", UNSET),
        link=fields.get("link", UNSET),
    )
    if "chain_reference" not in fields:
        return order
    return TokenTransfer(**_values(order), chain_reference=fields["chain_reference"])


def dvp(
    seller: str,
    buyer: str,
    *,
    delivery: tuple[str, Amount],
    against: tuple[str, Amount],
    partial: bool = False,
) -> Link:
    """Delivery versus payment: the seller gives `delivery`, the buyer pays `against`, each (asset, amount).

    partial: a part may settle, in proportion on both sides; the rest stays open (R22).
    """
    return link(leg(seller, buyer, *delivery), leg(buyer, seller, *against), partial=partial)


def pvp(one: str, other: str, *, gives: tuple[str, Amount], gets: tuple[str, Amount]) -> Link:
    """Payment versus payment: `one` pays `gives` to the other and is paid `gets`, each (asset, amount)."""
    return link(leg(one, other, *gives), leg(other, one, *gets))


def leg(debtor: str, creditor: str, asset: str, amount: Amount) -> Leg:
    """One of the payments of a trade."""
    return Leg(debtor=debtor, creditor=creditor, asset=asset, amount=amount_text(amount))


def link(*legs: Leg, partial: bool = False, id: str | None = None) -> Link:  # noqa: A002
    """A trade of 2 to 16 legs that settle together or not at all (R19). Its id has to reach the other senders."""
    return Link(id=id or _new_id(), legs=list(legs), partial=partial)


def own_legs(trade: Link, debtor: str, **terms: Unpack[Terms]) -> list[Payment | TokenTransfer]:
    """The payments that `debtor` has to make of a trade. Raises ValueError if there is none.

    A leg that is a token transfer is made by payment(…, link=trade, chain_reference=…).
    """
    legs = trade.legs if isinstance(trade.legs, list) else []  # what a receipt tells has none
    own = [leg for leg in legs if leg.debtor == debtor]
    if not own:
        raise ValueError(f"{debtor} pays no leg of the trade {trade.id}")
    if "id" in terms and len(own) > 1:
        raise ValueError(f"one id for the {len(own)} legs of {debtor}")
    given: Fields = {**terms, "link": trade}
    return [payment(leg.debtor, leg.creditor, leg.asset, leg.amount, **given) for leg in own]


def give_back(
    original: Payment | TokenTransfer,
    amount: Amount | None = None,
    *,
    reason: str,
    **terms: Unpack[Terms],
) -> Return:
    """A return of what `original` brought, or of a part of it (R5).

    original: with the content with which it was accepted; original_of() has it from its receipt. amount: all of
    it if left out. reason: of the external code set, e.g. AC04. end_to_end_id: the original's if left out.
    """
    given: Fields = {"end_to_end_id": original.end_to_end_id, **terms}
    back = payment(
        original.creditor,
        original.debtor,
        original.asset,
        original.amount if amount is None else amount,
        **given,
    )
    values = _values(back)
    del values["link"]
    return Return(**values, original=original, reason=reason)


def original_of(receipt: Status, creditor: str) -> Payment | TokenTransfer:
    """The message that `creditor` has `receipt` of, told so that a return can quote it (R5).

    Of a part of a payment (R22): the whole payment, which can be given back once all of it has come. Raises
    ValueError for what cannot be given back: what was sent, taken back, or is a return itself.
    """
    if not receipt.incoming or receipt.status not in ("ACSP", "ACSC") or receipt.return_of:
        raise ValueError(f"{receipt.id} is no payment that {creditor} has received")
    fields: Fields = {
        "id": receipt.id,
        "end_to_end_id": receipt.end_to_end_id,
        "value_date": receipt.value_date,
        "priority": receipt.priority,
    }
    if receipt.expires_at_ms:
        fields["expires_at"] = _EPOCH + timedelta(milliseconds=receipt.expires_at_ms)
    if receipt.window_asked:
        fields["window"] = receipt.window_asked
    if receipt.link is not None:
        fields["link"] = _told(receipt.link)
    if receipt.chain_reference:
        fields["chain_reference"] = receipt.chain_reference
    amount = receipt.amount_sent or receipt.amount
    return payment(receipt.counterparty, creditor, receipt.asset, amount, **fields)


def _told(link: LinkedLeg) -> Link:
    """In the short form, which only a quoted original may have."""
    return Link(id=link.id, legs=link.legs, partial=link.partial, terms=link.terms, leg=link.leg)


def cancellation(
    original: Payment | TokenTransfer | Return, *, reason: str = REQUESTED_BY_CUSTOMER
) -> Cancellation:
    """Takes back what waits (R12), and asks the creditor for what is accepted (R23)."""
    return Cancellation(id=_new_id(), original=original, reason=reason)


def reprioritisation(debtor: str, payment_id: str, priority: Priority) -> PriorityChange:
    """Another priority for a payment that waits (R12)."""
    return PriorityChange(id=_new_id(), debtor=debtor, payment=payment_id, priority=priority)


def answer(debtor: str, request: Request, *, agreed: bool, reason: str = "") -> Answer:
    """To a request to give a payment back (R23); `debtor`: who was paid and is asked."""
    return Answer(
        id=_new_id(),
        debtor=debtor,
        creditor=request.counterparty,
        request=request.id,
        decision="AGREED" if agreed else "DECLINED",
        reason=reason or UNSET,
    )


def bulk(items: Sequence[Item], *, id: str | None = None) -> Bulk:  # noqa: A002
    """Many messages as one record; the control sum is the exact sum of their amounts."""
    amounts = [item.amount for item in items if isinstance(item, Payment | TokenTransfer | Return)]
    scale = max((len(amount.partition(".")[2]) for amount in amounts), default=0)
    units = [parse(amount, scale) for amount in amounts]
    total = sum(unit for unit in units if unit is not None)
    if None in units:
        raise ValueError(f"{amounts[units.index(None)]!r} is not a decimal amount")
    return Bulk(
        id=id or _new_id(),
        count=len(items),
        control_sum=show(total, scale),
        items=list(items),
    )


def _new_id() -> str:
    return str(uuid.uuid4())


def _values(order: Payment | TokenTransfer) -> dict[str, Any]:
    """The fields of an order, for one of another type."""
    return {name: getattr(order, name) for name in Payment.__struct_fields__}


def _date_text(day: date | str) -> str:
    if isinstance(day, datetime):
        raise TypeError("a value date is a date, not a datetime: whose time zone would it be?")
    return day if isinstance(day, str) else day.isoformat()


def _time_text(at: datetime | str) -> str:
    if isinstance(at, str):
        return at
    if at.tzinfo is None:
        raise ValueError("a time without a zone is refused")
    return at.isoformat(timespec="milliseconds")


def amount_text(amount: Amount) -> str:
    """The decimal string of an amount. Raises TypeError for floats, ValueError for what is no positive decimal."""
    if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
        raise TypeError(f"an amount is a str, int or Decimal, not {type(amount).__name__}")
    text = format(amount, "f") if isinstance(amount, Decimal) else str(amount)
    units = parse(text, _MAX_SCALE)
    if units is None or units <= 0:
        raise ValueError(f"{amount!r} is not a positive decimal amount")
    return text
