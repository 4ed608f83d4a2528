"""Records as a bank would write them, and decoding read back row by row: what the tests of intake share."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from clearing.core.inputs import Reject
from clearing.core.reasons import Code
from clearing.intake.decode import decode
from clearing.log.rows import RowBatch

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


LINK_ID = "9d6a1f0e-4f0b-4a57-8f3d-2c1b0a998877"
THIRD_ID = "0a4c5d6e-1b2c-4d3e-8f90-a1b2c3d4e5f6"
LEGS = (("ALPHHKHH", "BETAHKHH", "HKD", "12.50"), ("BETAHKHH", "ALPHHKHH", "BOND", "3"))


class LinkOf(NamedTuple):
    link: str
    terms: str
    leg: int
    legs: int
    partial: int


class ReferenceOf(NamedTuple):
    id: str
    body_hash: int
    amount: int
    decimals: int
    decision: int


class Line(NamedTuple):
    """One row of a decoded batch, as Python values. link, reference: None where the row has none."""

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
    link: LinkOf | None
    reference: ReferenceOf | None
    reason: str
    item: int
    reject: int
    detail: Reject | None


def payment(**changes: object) -> dict[str, object]:
    """A payment with some fields changed; a field set to ... is left out."""
    return {name: value for name, value in (PAYMENT | changes).items() if value is not ...}


def transfer(**changes: object) -> dict[str, object]:
    return payment(**({"type": "token_transfer", "chain_reference": REFERENCE} | changes))


def link(*legs: tuple[str, str, str, str], **changes: object) -> dict[str, object]:
    """A link of these legs, (debtor, creditor, asset, amount) each; of LEGS without any."""
    names = ("debtor", "creditor", "asset", "amount")
    made = {"id": LINK_ID, "legs": [dict(zip(names, leg, strict=True)) for leg in legs or LEGS]}
    return {name: value for name, value in (made | changes).items() if value is not ...}


def told_link(**changes: object) -> dict[str, object]:
    """The link of PAYMENT among LEGS as a receipt tells it."""
    terms = "084c5a30cd87a01a768edb5069b1b4c1"
    made = {"id": LINK_ID, "legs": 2, "partial": False, "terms": terms, "leg": 1}
    return {name: value for name, value in (made | changes).items() if value is not ...}


def refund(**changes: object) -> dict[str, object]:
    """A return of a part of PAYMENT."""
    given = {"type": "return", "id": OTHER_ID, "debtor": "BETAHKHH", "creditor": "ALPHHKHH",
             "amount": "5", "original": PAYMENT, "reason": "AC04"}  # fmt: skip
    return payment(**(given | changes))


def cancel(**changes: object) -> dict[str, object]:
    made = {"type": "cancel", "id": OTHER_ID, "original": PAYMENT, "reason": "CUST"}
    return {name: value for name, value in (made | changes).items() if value is not ...}


def priority(**changes: object) -> dict[str, object]:
    made = {
        "type": "priority",
        "id": OTHER_ID,
        "debtor": "ALPHHKHH",
        "payment": ID,
        "priority": "HIGH",
    }
    return {name: value for name, value in (made | changes).items() if value is not ...}


def answer(**changes: object) -> dict[str, object]:
    made = {"type": "answer", "id": THIRD_ID, "debtor": "BETAHKHH", "creditor": "ALPHHKHH",
            "request": OTHER_ID, "decision": "DECLINED"}  # fmt: skip
    return {name: value for name, value in (made | changes).items() if value is not ...}


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
        _links(rows),
        _references(rows),
        [""] * n if rows.reason is None else texts(rows.reason),
        rows.item.tolist(),
        rows.reject.tolist(),
        [rows.rejects.get(index) for index in range(n)],
    )
    return [Line(*values) for values in zip(*columns, strict=True)]


def _links(rows: RowBatch) -> list[LinkOf | None]:
    links = rows.links
    if links is None:
        return [None] * len(rows)
    columns = (
        _hex(links.link),
        _hex(links.terms),
        links.leg.tolist(),
        links.legs.tolist(),
        links.partial.tolist(),
    )
    found = (LinkOf(*values) for values in zip(*columns, strict=True))
    return [one if one != LinkOf("00" * 16, "00" * 16, 0, 0, 0) else None for one in found]


def _references(rows: RowBatch) -> list[ReferenceOf | None]:
    references = rows.references
    if references is None:
        return [None] * len(rows)
    columns = (
        _hex(references.id),
        references.body_hash.tolist(),
        references.amount.tolist(),
        references.decimals.tolist(),
        references.decision.tolist(),
    )
    found = (ReferenceOf(*values) for values in zip(*columns, strict=True))
    return [one if one != ReferenceOf("00" * 16, 0, 0, 0, 0) else None for one in found]


def _hex(words: np.ndarray) -> list[str]:
    return [word.tobytes().hex() for word in np.ascontiguousarray(words)]


def texts(column: pa.Array | list[str]) -> list[str]:
    return column if isinstance(column, list) else column.to_pylist()


def refusal(record: bytes) -> tuple[Code, str]:
    """(code, id) of a record that is refused as a whole."""
    [line] = lines(record)
    assert line.detail is not None, f"{record[:200]!r} was accepted"
    assert line.item == line.detail.item == -1
    assert line.reject == line.detail.code
    return Code(line.detail.code), line.detail.id
