"""Records as a bank would write them, and decoding read back row by row: what the tests of intake share."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from clearing.core.inputs import Reject
from clearing.core.reasons import Code
from clearing.intake.decode import decode
from clearing.log.payments import RowBatch

ID = "1027c4d1-c386-4bc4-8d61-3e30d8f16adf"
OTHER_ID = "f27c4d1a-c386-4bc4-9d61-3e30d8f16ad0"
REFERENCE = "eip155:1:0x5c69bee701ef814a2b6a3edd4b1652cb9cc5aa6f:0"

PAYMENT: dict[str, object] = {
    "type": "payment",
    "id": ID,
    "debtor": "ALPHHKHH",
    "creditor": "BETAHKHH",
    "asset": "HKD",
    "amount": "12.50",
    "value_date": "2026-03-02",
    "end_to_end_id": "INV 2026/17",
}


class Line(NamedTuple):
    """One row of a decoded batch, as Python values."""

    id: str
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
    item: int
    reject: int
    detail: Reject | None


def payment(**changes: object) -> dict[str, object]:
    """A payment with some fields changed; a field set to ... is left out."""
    return {name: value for name, value in (PAYMENT | changes).items() if value is not ...}


def transfer(**changes: object) -> dict[str, object]:
    return payment(**({"type": "token_transfer", "chain_reference": REFERENCE} | changes))


def bulk(items: Sequence[object], control_sum: str, /, **changes: object) -> dict[str, object]:
    envelope = {
        "type": "bulk",
        "id": OTHER_ID,
        "count": len(items),
        "control_sum": control_sum,
        "items": list(items),
    }
    return {name: value for name, value in (envelope | changes).items() if value is not ...}


def raw(document: object, **options: Any) -> bytes:
    return json.dumps(document, **options).encode()


def with_text(name: str, text: str) -> bytes:
    """A payment in which a field's value is this JSON text, well-formed or not."""
    return raw(payment(**{name: "@@"})).replace(b'"@@"', text.encode("utf-8", "surrogatepass"))


def lines(*records: bytes) -> list[Line]:
    """Rows of the records, by the way they take in production."""
    return lines_of(decode(list(records)).rows)


def lines_of(rows: RowBatch) -> list[Line]:
    n = len(rows)
    columns = (
        [bytes(i).hex() for i in rows.id],
        texts(rows.debtor),
        texts(rows.creditor),
        texts(rows.asset),
        rows.amount.tolist(),
        rows.decimals.tolist(),
        rows.value_date.tolist(),
        rows.priority.tolist(),
        rows.kind.tolist(),
        texts(rows.end_to_end_id),
        [""] * n if rows.chain_reference is None else texts(rows.chain_reference),
        rows.expires_at_ms.tolist(),
        rows.window.tolist(),
        rows.item.tolist(),
        rows.reject.tolist(),
        [rows.rejects.get(index) for index in range(n)],
    )
    return [Line(*values) for values in zip(*columns, strict=True)]


def texts(column: pa.Array | list[str]) -> list[str]:
    return column if isinstance(column, list) else column.to_pylist()


def refusal(record: bytes) -> tuple[Code, str]:
    """(code, id) of a record that is refused as a whole."""
    [line] = lines(record)
    assert line.detail is not None, f"{record[:200]!r} was accepted"
    assert line.item == line.detail.item == -1
    assert line.reject == line.detail.code
    return Code(line.detail.code), line.detail.id
