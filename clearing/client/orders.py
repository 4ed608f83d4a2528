"""Payment orders as a bank writes them: sensible defaults, exact amounts. Pure but for new ids and the date."""

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal, TypedDict, Unpack

from msgspec import UNSET, structs

from clearing.core.money import parse, show
from clearing.messages import Bulk, Payment, TokenTransfer

Amount = str | int | Decimal

NO_REFERENCE = "NOTPROVIDED"  # what ISO 20022 puts where the sender gives no end-to-end id
_MAX_SCALE = 18


class Fields(TypedDict, total=False):
    """What an order may say beyond who pays whom how much; clearing.messages.Payment has each one's rules.

    id: a new UUIDv4 if left out. value_date: today in UTC if left out. expires_at: a datetime must have a zone.
    chain_reference: makes the payment a token transfer.
    """

    id: str
    end_to_end_id: str
    value_date: date | str
    priority: Literal["NORM", "HIGH", "URGT"]
    expires_at: datetime | str
    window: int
    chain_reference: str


def payment(
    debtor: str, creditor: str, asset: str, amount: Amount, **fields: Unpack[Fields]
) -> Payment | TokenTransfer:
    """A payment order, with a chain reference a token transfer. amount: an exact decimal, never a float.

    Raises TypeError, ValueError on what could only be refused.
    """
    order = Payment(
        id=fields.get("id") or str(uuid.uuid4()),
        debtor=debtor,
        creditor=creditor,
        asset=asset,
        amount=amount_text(amount),
        value_date=_date_text(fields.get("value_date") or datetime.now(UTC).date()),
        end_to_end_id=fields.get("end_to_end_id", NO_REFERENCE),
        priority=fields.get("priority", "NORM"),
        expires_at=_time_text(fields["expires_at"]) if "expires_at" in fields else UNSET,
        window=fields.get("window", UNSET),
    )
    if "chain_reference" not in fields:
        return order
    return TokenTransfer(**structs.asdict(order), chain_reference=fields["chain_reference"])


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


def bulk(items: Sequence[Payment | TokenTransfer], *, id: str | None = None) -> Bulk:  # noqa: A002
    """Many payments as one record; the control sum is the exact sum of their amounts."""
    scale = max((len(item.amount.partition(".")[2]) for item in items), default=0)
    units = [parse(item.amount, scale) for item in items]
    total = sum(unit for unit in units if unit is not None)
    if None in units:
        raise ValueError(f"{items[units.index(None)].amount!r} is not a decimal amount")
    return Bulk(
        id=id or str(uuid.uuid4()),
        count=len(items),
        control_sum=show(total, scale),
        items=list(items),
    )
