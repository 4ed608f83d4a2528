"""What a payment is but its values, and a bulk but its items, as the decoder has read one of them. Pure."""

import re
from enum import IntEnum
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from clearing.intake.lines import decode_line, version_of, window_of

MAX_LITERAL_BYTES = 512
ENVELOPE_QUOTES = 4 * 3 + 2 * 2  # type, id, control_sum; count, items


class Role(IntEnum):
    """What an object is to its record, which says what may stand behind it."""

    SINGLE = 0
    ENVELOPE = 1
    ITEM = 2
    LAST = 3  # item


_BEHIND = {
    Role.SINGLE: re.compile(rb"[ \t\n\r]*"),
    Role.ITEM: re.compile(rb"[ \t\n\r]*,[ \t\n\r]*"),
    Role.LAST: re.compile(rb"[ \t\n\r]*\][ \t\n\r]*\}[ \t\n\r]*"),
}
_ITEMS = re.compile(rb'"items"[ \t\n\r]*:[ \t\n\r]*\[[ \t\n\r]*\Z')


class Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a bulk says of itself: its shape is right, and that is all. items: not looked at."""

    type: str
    id: str
    count: Raw
    control_sum: str
    items: list[Raw]
    version: Raw | UnsetType = UNSET


_decode_envelope = msgspec.json.Decoder(Envelope).decode


class Shape(NamedTuple):
    """All of a payment but its values: what stands before the first, between them and behind the last.

    names: of the values, in order. closing: index of the quote that ends each. window: what it says, 0: nothing.
    """

    literals: list[bytes]
    names: list[str]
    closing: list[int]
    window: int


def shape_of(text: bytes, role: Role) -> Shape | None:
    """None where this is no payment that the decoder reads, or one that others should not be compared with."""
    body = text[: text.find(b"}") + 1]
    if b"\\" in body or not body.isascii() or not _BEHIND[role].fullmatch(text, len(body)):
        return None
    try:
        line = decode_line(body)
    except (ValueError, RecursionError):
        return None
    window = 0 if line.window is UNSET else window_of(line.window)
    version = 0 if line.version is UNSET else version_of(line.version)
    if window is None or version is None:
        return None
    parts = text.split(b'"')  # outside, key, outside, value or not, …
    literals, names, closing = [b""], list[str](), list[int]()
    keys: list[bytes] = []
    for index, part in enumerate(parts):
        is_inside = index % 2 == 1
        if is_inside and parts[index - 1].strip() == b":":
            names.append(keys[-1].decode())
            closing.append(index)
            literals.append(b"")
        else:
            literals[-1] += part
            keys += [part] * is_inside
        if index < len(parts) - 1:
            literals[-1] += b'"'
    if len(set(keys)) < len(keys) or max(map(len, literals)) > MAX_LITERAL_BYTES:
        return None
    return Shape(literals, names, closing, window)


def envelope_of(text: bytes) -> Envelope | None:
    """Of a bulk whose items are the last thing in it, and begin where the text ends."""
    if not _ITEMS.search(text):
        return None
    try:
        envelope = _decode_envelope(text + b"]}")
    except (ValueError, RecursionError):
        return None
    quotes = ENVELOPE_QUOTES + (0 if envelope.version is UNSET else 2)
    return envelope if text.count(b'"') == quotes else None  # more: a key stands twice
