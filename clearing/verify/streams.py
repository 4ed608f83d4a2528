"""A bulk as an Arrow stream, read anew as the payments it stands for, row by row.

Only the container is opened as intake opens it, which proves its buffers and takes none that are compressed.
"""

from datetime import UTC
from typing import Any
from uuid import UUID

import msgspec

from clearing.core.money import show
from clearing.intake.arrow import NO_STREAM, batch_of
from clearing.messages import Payment, TokenTransfer


def payments_in(value: bytes) -> list[tuple[int, Payment | TokenTransfer]]:
    """(row, payment) of every row that can be made out; empty where it is no stream."""
    try:
        batch = batch_of(value)
    except NO_STREAM:
        return []
    found: list[tuple[int, Payment | TokenTransfer]] = []
    for number in range(batch.num_rows):
        try:  # a date may be one that Python has not: that row alone is none
            (row,) = batch.slice(number, 1).to_pylist()
            found.append((number, _payment(row)))
        except (msgspec.ValidationError, ValueError, OverflowError, KeyError, TypeError):
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
