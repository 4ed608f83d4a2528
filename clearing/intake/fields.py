"""The fields of messages, checked exactly, one by one: the authority on what intake accepts.

Pure. Takes values of a parsed record. Only syntax: whether a participant, asset, scale or date suits the scheme
is the engine's to say. clearing.intake.columns does the same over columns; clearing.intake.instructions says
which fields a message has.
"""

import re
from datetime import UTC, date, datetime
from typing import NamedTuple

from clearing import names
from clearing.core import money
from clearing.core.inputs import Decision
from clearing.core.reasons import Code
from clearing.intake.strict import Number, Unreadable
from clearing.log.payments import PRIORITIES

VERSION = "1"
NORMAL = PRIORITIES[0]
PRIORITY_INDEX = {name: index for index, name in enumerate(PRIORITIES)}

# One alphabet each, for both paths: a plain subset of Python's and RE2's language.
END_TO_END = r"[A-Za-z0-9/?:().,'+-](?:[A-Za-z0-9/?:().,'+ -]*[A-Za-z0-9/?:().,'+-])?"
END_TO_END_MAX = 35
CHAIN_REFERENCE = r"[A-Za-z0-9:/._-]+"
CHAIN_REFERENCE_MAX = 200
AMOUNT = r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
REASON = r"[A-Z0-9]{1,4}"
MAX_WINDOW = 2**31 - 1

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
_END_TO_END = re.compile(END_TO_END, re.ASCII)
_CHAIN_REFERENCE = re.compile(CHAIN_REFERENCE, re.ASCII)
_AMOUNT = re.compile(AMOUNT, re.ASCII)
_REASON = re.compile(REASON, re.ASCII)
_COUNT = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,3})?"
    r"(?:Z|(?!-00:00)[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    re.ASCII,
)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Link(NamedTuple):
    """Of a linked leg, as clearing.core.inputs.Links holds it; id and terms: 16 bytes."""

    id: bytes
    terms: bytes
    leg: int
    legs: int
    partial: bool


class Reference(NamedTuple):
    """What a row says of another one: its id; the original as it is quoted, if it is; an answer's decision."""

    id: bytes
    quoted: "Row | None" = None
    decision: int = Decision.NONE


class Row(NamedTuple):
    """One readable message, its values as clearing.log.rows.RowBatch holds them."""

    kind: int
    id: bytes
    debtor: str
    creditor: str = ""
    asset: str = ""
    amount: int = 0
    decimals: int = 0
    value_date: int = 0
    priority: int = 0
    end_to_end_id: str = ""
    chain_reference: str = ""
    expires_at_ms: int = 0
    window: int = 0
    link: Link | None = None
    reference: Reference | None = None
    reason: str = ""


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


def version_fault(fields: dict[str, object]) -> Unreadable | None:
    if "version" in fields and fields["version"] != Number(VERSION):
        return Unreadable(Code.VERSION, f"version is not {VERSION}")
    return None


_NOT_ALWAYS_STRINGS = {
    *("amount", "window", "version", "link", "legs", "leg", "partial", "original")
}


def shape_fault(
    document: dict[str, object], required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Unreadable | None:
    """Unknown, missing or wrongly typed fields. Values of other types than string are left to who reads them."""
    if not document.keys() <= {*required, *optional}:
        return Unreadable(Code.FIELD, "an unknown field")
    for name in required:
        if name not in document:
            return Unreadable(Code.FIELD, f"{name} is missing")
    for name, value in document.items():
        if name not in _NOT_ALWAYS_STRINGS and not isinstance(value, str):
            return Unreadable(Code.FIELD, f"{name} is no string")
    return None


def id_fault(text: str, what: str = "id") -> Unreadable | None:
    if UUID4.fullmatch(text) is None:
        return Unreadable(Code.ID, f"{what} is not a lower-case UUIDv4")
    return None


def id_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def id_text(value: bytes) -> str:
    """The UUID as it is written."""
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def party_fault(fields: dict[str, str], *roles: str) -> Unreadable | None:
    for name in roles:
        if names.PARTICIPANT.fullmatch(fields[name]) is None:
            return Unreadable(Code.CHARACTER, f"{name} is not 2-35 of [A-Z0-9_-]")
    return None


def asset_fault(text: str) -> Unreadable | None:
    if names.ASSET.fullmatch(text) is None:
        return Unreadable(Code.CHARACTER, "asset is not 1-35 of [A-Za-z0-9_-]")
    return None


def end_to_end_fault(text: str) -> Unreadable | None:
    if len(text) > END_TO_END_MAX or _END_TO_END.fullmatch(text) is None:
        detail = f"end_to_end_id is not 1-{END_TO_END_MAX} of the ISO 20022 character set"
        return Unreadable(Code.CHARACTER, detail)
    return None


def chain_reference_fault(text: str) -> Unreadable | None:
    if len(text) > CHAIN_REFERENCE_MAX or _CHAIN_REFERENCE.fullmatch(text) is None:
        detail = f"chain_reference is not 1-{CHAIN_REFERENCE_MAX} of [A-Za-z0-9:/._-]"
        return Unreadable(Code.CHARACTER, detail)
    return None


def reason_fault(text: str) -> Unreadable | None:
    if _REASON.fullmatch(text) is None:
        return Unreadable(Code.CHARACTER, "reason is not 1-4 of [A-Z0-9]")
    return None


def positive_amount_of(text: object) -> tuple[int, int] | Unreadable:
    amount = amount_of(text)
    if not isinstance(amount, Unreadable) and amount[0] == 0:
        return Unreadable(Code.AMOUNT_ZERO, "amount is zero")
    return amount


def priority_of(text: str) -> int | Unreadable:
    priority = PRIORITY_INDEX.get(text)
    if priority is None:
        return Unreadable(Code.FIELD, f"priority is none of {', '.join(PRIORITIES)}")
    return priority
