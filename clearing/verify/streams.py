"""A bulk as an Arrow stream, read anew as the payments it stands for: not by intake's columns, row by row."""

from datetime import UTC
from typing import Any
from uuid import UUID

import msgspec
import pyarrow as pa

from clearing.core.money import show
from clearing.messages import Payment, TokenTransfer

MAGIC = b"\xff\xff\xff\xff"


def payments_in(value: bytes) -> list[tuple[int, Payment | TokenTransfer]]:
    """(row, payment) of every row that can be made out; empty where it is no stream."""
    try:
        rows = pa.ipc.open_stream(value).read_next_batch().to_pylist()
    except (pa.ArrowException, OSError, ValueError, OverflowError, StopIteration):
        return []
    found: list[tuple[int, Payment | TokenTransfer]] = []
    for number, row in enumerate(rows):
        try:
            found.append((number, _payment(row)))
        except (msgspec.ValidationError, ValueError, KeyError, TypeError):
            continue
    return found


def _payment(row: dict[str, Any]) -> Payment | TokenTransfer:
    """Raises what a row raises that is no payment."""
    given = {name: value for name, value in row.items() if value is not None}
    given["id"] = str(UUID(bytes=given["id"]))
    given["amount"] = show(given["amount"], given.pop("decimals"))
    given["value_date"] = given["value_date"].isoformat()
    if "expires_at" in given:
        text = given["expires_at"].astimezone(UTC).isoformat(timespec="milliseconds")
        given["expires_at"] = text
    kind = {"payment": Payment, "token_transfer": TokenTransfer}[given.pop("type", "payment")]
    return msgspec.convert(given, kind)
