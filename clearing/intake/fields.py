"""The fields of one payment or token transfer, checked exactly: the authority on what intake accepts.

Pure. Takes the object of a parsed record, gives a Row or an Unreadable. Only syntax: whether a participant,
asset, scale or date suits the scheme is the engine's to say. clearing.intake.columns does the same over columns.
"""

import re
from datetime import UTC, date, datetime
from typing import NamedTuple

from clearing import names
from clearing.core import money
from clearing.core.reasons import Code
from clearing.intake.strict import Number, Unreadable
from clearing.log.payments import PAYMENT, PRIORITIES, TOKEN_TRANSFER

VERSION = "1"
KINDS = {"payment": PAYMENT, "token_transfer": TOKEN_TRANSFER}
REQUIRED = (
    "type",
    "id",
    "debtor",
    "creditor",
    "asset",
    "amount",
    "value_date",
    "end_to_end_id",
)  # in the order in which a missing one is named
OPTIONAL = ("priority", "expires_at", "window", "version")
NORMAL = PRIORITIES[0]
PRIORITY_INDEX = {name: index for index, name in enumerate(PRIORITIES)}

# One alphabet each, for both paths: a plain subset of Python's and RE2's language.
END_TO_END = r"[A-Za-z0-9/?:().,'+-](?:[A-Za-z0-9/?:().,'+ -]*[A-Za-z0-9/?:().,'+-])?"
END_TO_END_MAX = 35
CHAIN_REFERENCE = r"[A-Za-z0-9:/._-]+"
CHAIN_REFERENCE_MAX = 200
AMOUNT = r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
MAX_WINDOW = 2**31 - 1

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
_END_TO_END = re.compile(END_TO_END, re.ASCII)
_CHAIN_REFERENCE = re.compile(CHAIN_REFERENCE, re.ASCII)
_AMOUNT = re.compile(AMOUNT, re.ASCII)
_COUNT = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,3})?"
    r"(?:Z|(?!-00:00)[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    re.ASCII,
)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row(NamedTuple):
    """One readable payment, its values as clearing.log.payments.RowBatch holds them."""

    id: bytes
    debtor: str
    creditor: str
    asset: str
    amount: int
    decimals: int
    value_date: int
    priority: int
    kind: int
    end_to_end_id: str
    chain_reference: str
    expires_at_ms: int
    window: int


def amount_of(text: object) -> tuple[int, int] | Unreadable:
    """(units, decimals) of a plain decimal string: "12.50" is (1250, 2). Zero is readable, 19 digits are not."""
    if not isinstance(text, str) or _AMOUNT.fullmatch(text) is None:
        return Unreadable(Code.AMOUNT_SYNTAX, "amount is not a plain decimal string")
    whole, _, fraction = text.partition(".")
    if len(whole.lstrip("0")) + len(fraction) > money.MAX_DIGITS:
        return Unreadable(Code.AMOUNT_RANGE, f"amount has more than {money.MAX_DIGITS} digits")
    return int(whole + fraction), len(fraction)


def days_of(text: str) -> int | None:
    """Days since 1970-01-01 of YYYY-MM-DD, None if there is no such day."""
    if _DATE.fullmatch(text) is None:
        return None
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH_DAY
    except ValueError:
        return None


def instant_ms_of(text: str) -> int | None:
    """Epoch milliseconds of an RFC 3339 time with zone, at most milliseconds; None if it is not one.

    Never below 1, for 0 means "does not expire": what expired by 1970 has expired.
    """
    if _INSTANT.fullmatch(text) is None:
        return None
    try:
        instant = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    elapsed = instant - _EPOCH
    return max(1, elapsed.days * 86_400_000 + elapsed.seconds * 1000 + elapsed.microseconds // 1000)


def window_of(text: str) -> int | None:
    """Number of a window, 1 to 2^31 - 1, from the text of a JSON number."""
    if _COUNT.fullmatch(text) is None or int(text) > MAX_WINDOW:
        return None
    return int(text)


def readable_id(fields: dict[str, object]) -> str:
    """The payment's id if it is a valid one, else ""."""
    value = fields.get("id")
    return value if isinstance(value, str) and UUID4.fullmatch(value) else ""


def kind_of(fields: dict[str, object]) -> int | Unreadable:
    """Column `kind` by type and version, FIELD or VERSION if this is none we know."""
    name = fields.get("type")
    if not isinstance(name, str):
        return Unreadable(Code.FIELD, "type is missing or no string")
    if name not in KINDS:
        return Unreadable(Code.VERSION, "type is none that is known here")
    return version_fault(fields) or KINDS[name]


def version_fault(fields: dict[str, object]) -> Unreadable | None:
    if "version" in fields and fields["version"] != Number(VERSION):
        return Unreadable(Code.VERSION, f"version is not {VERSION}")
    return None


def _shape_fault(fields: dict[str, object], kind: int) -> Unreadable | None:
    """Unknown, missing or wrongly typed fields. An amount of any type is left to amount_of."""
    required = (*REQUIRED, "chain_reference") if kind == TOKEN_TRANSFER else REQUIRED
    if not fields.keys() <= {*required, *OPTIONAL}:
        return Unreadable(Code.FIELD, "an unknown field")
    for name in required:
        if name not in fields:
            return Unreadable(Code.FIELD, f"{name} is missing")
    for name, value in fields.items():
        if name not in ("amount", "window", "version") and not isinstance(value, str):
            return Unreadable(Code.FIELD, f"{name} is no string")
    return None


def _text_fault(fields: dict[str, str]) -> Unreadable | None:
    """CHARACTER where an identifier has a character or a length that is not allowed."""
    for name in ("debtor", "creditor"):
        if names.PARTICIPANT.fullmatch(fields[name]) is None:
            return Unreadable(Code.CHARACTER, f"{name} is not 2-35 of [A-Z0-9_-]")
    if names.ASSET.fullmatch(fields["asset"]) is None:
        return Unreadable(Code.CHARACTER, "asset is not 1-35 of [A-Za-z0-9_-]")
    end_to_end = fields["end_to_end_id"]
    if len(end_to_end) > END_TO_END_MAX or _END_TO_END.fullmatch(end_to_end) is None:
        detail = f"end_to_end_id is not 1-{END_TO_END_MAX} of the ISO 20022 character set"
        return Unreadable(Code.CHARACTER, detail)
    reference = fields.get("chain_reference")
    if reference is not None and (
        len(reference) > CHAIN_REFERENCE_MAX or _CHAIN_REFERENCE.fullmatch(reference) is None
    ):
        detail = f"chain_reference is not 1-{CHAIN_REFERENCE_MAX} of [A-Za-z0-9:/._-]"
        return Unreadable(Code.CHARACTER, detail)
    return None


def check(fields: dict[str, object]) -> Row | Unreadable:
    """A Row, or the first of: FIELD / VERSION, ID, CHARACTER, AMOUNT_…, DATE_SYNTAX, FIELD (priority, window)."""
    kind = kind_of(fields)
    if isinstance(kind, Unreadable):
        return kind._replace(id=readable_id(fields))
    row = _shape_fault(fields, kind) or _row(fields, kind)
    return row._replace(id=readable_id(fields)) if isinstance(row, Unreadable) else row


def _row(fields: dict[str, object], kind: int) -> Row | Unreadable:
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    if UUID4.fullmatch(texts["id"]) is None:
        return Unreadable(Code.ID, "id is not a lower-case UUIDv4")
    if fault := _text_fault(texts):
        return fault
    amount = amount_of(fields["amount"])
    if isinstance(amount, Unreadable):
        return amount
    if amount[0] == 0:
        return Unreadable(Code.AMOUNT_ZERO, "amount is zero")
    value_date = days_of(texts["value_date"])
    if value_date is None:
        return Unreadable(Code.DATE_SYNTAX, "value_date is no day as YYYY-MM-DD")
    expires_at_ms = instant_ms_of(texts["expires_at"]) if "expires_at" in texts else 0
    if expires_at_ms is None:
        detail = "expires_at is no RFC 3339 time with zone and at most milliseconds"
        return Unreadable(Code.DATE_SYNTAX, detail)
    priority = PRIORITY_INDEX.get(texts.get("priority", NORMAL))
    if priority is None:
        return Unreadable(Code.FIELD, f"priority is none of {', '.join(PRIORITIES)}")
    window = fields.get("window")
    number = window_of(window.text) if isinstance(window, Number) else None
    if number is None and "window" in fields:
        return Unreadable(Code.FIELD, "window is no number of a window")
    return Row(
        bytes.fromhex(texts["id"].replace("-", "")),
        texts["debtor"],
        texts["creditor"],
        texts["asset"],
        *amount,
        value_date,
        priority,
        kind,
        texts["end_to_end_id"],
        texts.get("chain_reference", ""),
        expires_at_ms,
        number or 0,
    )
