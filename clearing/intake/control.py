"""Commands of operators and confirmations of ledgers: JSON records to items of control log records.

Pure. As strict as payments are: unknown fields, repeated keys, foreign characters are refused here, and the
refusal is an item of the log. Whether a command makes sense is the engine's to say.
"""

import re
import typing

import msgspec

from clearing import names
from clearing.core.commands import ControlMessage
from clearing.core.inputs import ControlItem, Reject
from clearing.core.reasons import Code
from clearing.intake.exact import record_hash
from clearing.intake.strict import Number, Unreadable, parse

MAX_BYTES = 1 << 20
MAX_NUMBER = (
    10**15
)  # epoch milliseconds until the year 33658; keeps every number of a command in int64
MAX_TEXT = 500  # characters

_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_-]{1,35}", re.ASCII)  # a field's name, or a participant
_PLAIN = re.compile(rf"[ -~]{{0,{MAX_TEXT}}}", re.ASCII)
# Free text for people: any script, but nothing that moves a cursor, hides or turns what stands beside it.
_FREE = re.compile(
    "[^\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff"
    f"\U000e0000-\U000e0fff]{{0,{MAX_TEXT}}}"
)
_ALPHABETS = {
    "id": _ID,
    "by": re.compile(r"[!-~]{1,64}", re.ASCII),
    "proposal": _ID,
    "participant": names.PARTICIPANT,
    "counterparty": names.PARTICIPANT,
    "name": _FREE,
    "reason": _FREE,
}
_FOREIGN = Unreadable(Code.CHARACTER, "a text with a character or a length not allowed")
_TYPES = frozenset(str(kind.__struct_config__.tag) for kind in typing.get_args(ControlMessage))
_decode = msgspec.json.Decoder(ControlMessage).decode


def read(source: int, offset: int, value: bytes) -> ControlItem:
    """One record of a commands or confirmations partition; `source` indexes the log record's sources.

    Refused in this order: TOO_LARGE, what `parse` refuses, VERSION (unknown type), FIELD (missing, unknown,
    wrong type, number out of range), CHARACTER (of any text, by the alphabet of its field).
    """
    message = _message(value)
    if isinstance(message, Unreadable):
        reject = Reject(code=int(message.code), hash=record_hash(value), detail=message.detail)
        return ControlItem(source=source, offset=offset, reject=reject)
    return ControlItem(source=source, offset=offset, message=message)


def _message(value: bytes) -> ControlMessage | Unreadable:
    if len(value) > MAX_BYTES:
        return Unreadable(Code.TOO_LARGE, f"more than {MAX_BYTES} bytes")
    document = parse(value)
    if isinstance(document, Unreadable):
        return document
    if not isinstance(document, dict):
        return Unreadable(Code.FIELD, "the record is no JSON object")
    kind = document.get("type")
    if not isinstance(kind, str):
        return Unreadable(Code.FIELD, "type is missing or no string")
    if kind not in _TYPES:
        return Unreadable(Code.VERSION, "type is no command and no confirmation")
    try:
        message = _decode(value)
    except (ValueError, RecursionError):
        return Unreadable(Code.FIELD, f"not the fields of a {kind}, or not of their types")
    return _value_fault(document) or message


def _value_fault(document: dict[str, object]) -> Unreadable | None:
    """FIELD where a number is out of range, CHARACTER where a key or text has one that is not allowed there."""
    nodes: list[tuple[str, object]] = list(document.items())
    while nodes:
        name, node = nodes.pop()
        if isinstance(node, dict):
            if not all(map(_KEY.fullmatch, node)):
                return _FOREIGN
            nodes += node.items()
        elif isinstance(node, list):
            nodes += [(name, item) for item in node]
        elif isinstance(node, Number):
            if len(node.text) > 16 or abs(int(node.text)) > MAX_NUMBER:
                return Unreadable(Code.FIELD, "a number is out of range")
        elif isinstance(node, str) and not _ALPHABETS.get(name, _PLAIN).fullmatch(node):
            return _FOREIGN
    return None
