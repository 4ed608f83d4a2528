"""One JSON document from untrusted bytes, exactly: what a lenient decoder lets through is refused here.

Pure. Slow and precise (some µs a record): the vectorised path of clearing.intake.decode comes here for
every record it cannot vouch for. Details are our own words, never the sender's.
"""

import json
import re
from typing import Any, NamedTuple

from clearing.core.reasons import Code

MAX_DEPTH = 8  # the deepest: bulk, items, cancel, its return, the return's payment, link, legs, leg
_WHITESPACE = b" \t\n\r"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class Unreadable(NamedTuple):
    """Why an input cannot be read. `id`: the payment's id where it is a valid one that could be read."""

    code: Code
    detail: str
    id: str = ""


class Number(NamedTuple):
    """A JSON number as it was written: never a float, never an int of unbounded size."""

    text: str


class _Repeating(dict[str, Any]):
    """An object in which a key stands twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else _Repeating(fields)


def _no_constant(_: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_no_constant
).decode

NOT_JSON = Unreadable(
    Code.SYNTAX, f"not exactly one well-formed JSON document of at most {MAX_DEPTH} levels"
)


def parse(value: bytes) -> object:
    """The document as dict, list, str, Number, bool or None; or an Unreadable.

    EMPTY, ENCODING (bad or overlong UTF-8, byte-order mark), SYNTAX (malformed, a second document, NaN,
    nested too deep), ENCODING (lone surrogate), DUPLICATE_KEY (in any object of it), in this order.
    """
    if not value.strip(_WHITESPACE):
        return Unreadable(Code.EMPTY, "no bytes but white space")
    if value.startswith(_BYTE_ORDER_MARK):
        return Unreadable(Code.ENCODING, "a byte-order mark")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return Unreadable(Code.ENCODING, "bytes that are not UTF-8")
    try:
        document = _decode(text)
    except (ValueError, RecursionError):
        return NOT_JSON
    return _fault(document, surrogates=_SURROGATE_ESCAPE.search(text) is not None) or document


def _fault(document: object, surrogates: bool) -> Unreadable | None:
    """What a well-formed document may still not have. Level by level, for its depth is hostile.

    surrogates: whether there is an escape that could have made a lone one.
    """
    lone = repeated = False
    level, depth = [document], 0
    while level:
        if depth > MAX_DEPTH and any(isinstance(node, dict | list) for node in level):
            return NOT_JSON
        below: list[object] = []
        for node in level:
            if isinstance(node, dict):
                below += node.values()
                repeated |= isinstance(node, _Repeating)
                lone |= surrogates and not all(map(_is_text, node))
            elif isinstance(node, list):
                below += node
            elif surrogates and isinstance(node, str):
                lone |= not _is_text(node)
        level, depth = below, depth + 1
    if lone:
        return Unreadable(Code.ENCODING, "a lone surrogate")
    return Unreadable(Code.DUPLICATE_KEY, "a key stands twice in one object") if repeated else None


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
