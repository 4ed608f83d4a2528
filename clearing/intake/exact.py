"""One Kafka record, exactly: a single message or a bulk of them, to its rows. The slow path.

Pure: bytes in, rows out. Whatever clearing.intake.decode cannot vouch for by columns comes here, and here
every refusal gets its code and its words. Every record gives at least one row: nothing vanishes.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from clearing.core.inputs import U64, Kind, Links, References, Reject
from clearing.core.reasons import Code
from clearing.intake import fields, instructions
from clearing.intake.fields import Link, Reference, Row
from clearing.intake.strict import Number, Unreadable, parse
from clearing.log.content import body_hashes
from clearing.log.rows import RowBatch

MAX_SINGLE_BYTES = 1 << 20
MAX_BULK_BYTES = 16 << 20
MAX_BULK_ITEMS = 50_000
MAX_SUM_CHARACTERS = 64
RECORD = -1  # item of a row that stands for its record as a whole

_SUM_DECIMALS = 18  # an amount has no more
_COUNT = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_SUM = re.compile(fields.AMOUNT, re.ASCII)
_BULK_FIELDS = ("type", "id", "count", "control_sum", "items")

Rows = list[tuple[int, Row | Unreadable]]  # (item, what became of it)


def read(value: bytes) -> Rows:
    """Rows of one record. TOO_LARGE first of all, then what `parse` refuses, then the fields.

    A bulk whose envelope does not hold is one row, refused as a whole: limit, count, control sum. An item
    that cannot be read is refused alone, except where its amount cannot be read: then the control sum
    cannot be proved, and the record is refused as a whole (AM10).
    """
    if len(value) > MAX_BULK_BYTES:
        return whole(Unreadable(Code.TOO_LARGE, f"more than {MAX_BULK_BYTES} bytes"))
    document = parse(value)
    if isinstance(document, Unreadable):
        return whole(document)
    if not isinstance(document, dict):
        return whole(Unreadable(Code.FIELD, "the record is no JSON object"))
    if document.get("type") == "bulk":
        return _bulk(document)
    if len(value) > MAX_SINGLE_BYTES:
        return whole(Unreadable(Code.TOO_LARGE, f"more than {MAX_SINGLE_BYTES} bytes"))
    return [(RECORD, instructions.check(document))]


def read_item(value: bytes) -> Row | Unreadable:
    """One item of a bulk by itself."""
    document = parse(value)
    if isinstance(document, Unreadable):
        return document
    return _item(document)


def whole(fault: Unreadable) -> Rows:
    """One row that stands for its record."""
    return [(RECORD, fault)]


def _bulk(document: dict[str, object]) -> Rows:
    fault = _envelope_fault(document)
    if fault is not None:
        return whole(fault._replace(id=fields.readable_id(document)))
    items = document["items"]
    assert isinstance(items, list)
    return [(index, _item(item)) for index, item in enumerate(items)]


def _item(document: object) -> Row | Unreadable:
    if isinstance(document, dict):
        return instructions.check(document)
    return Unreadable(Code.FIELD, "the item is no JSON object")


def _envelope_fault(document: dict[str, object]) -> Unreadable | None:
    """VERSION, FIELD, then what `bulk_fault` finds."""
    if fault := shape_fault(document, _BULK_FIELDS):
        return fault
    items = document["items"]
    if not isinstance(document["count"], Number) or not isinstance(items, list):
        return Unreadable(Code.FIELD, "count is no number or items is no array")
    return bulk_fault(document, len(items), lambda: _sum_of_items(items))


def shape_fault(document: dict[str, object], required: Sequence[str]) -> Unreadable | None:
    """Of what a bulk says of itself: VERSION, FIELD."""
    if fault := fields.version_fault(document):
        return fault
    if not document.keys() <= {*required, "version"}:
        return Unreadable(Code.FIELD, "an unknown field in the bulk")
    missing = next((name for name in required if name not in document), None)
    return None if missing is None else Unreadable(Code.FIELD, f"{missing} of the bulk is missing")


def bulk_fault(
    document: dict[str, object], items: int, sum_of_items: Callable[[], int | Unreadable]
) -> Unreadable | None:
    """ID, TOO_LARGE, ITEM_COUNT, AMOUNT_SYNTAX of the control sum, CONTROL_SUM: the first."""
    count = document["count"]
    assert isinstance(count, Number)
    if not fields.readable_id(document):
        return Unreadable(Code.ID, "id of the bulk is not a lower-case UUIDv4")
    if items > MAX_BULK_ITEMS:
        return Unreadable(Code.TOO_LARGE, f"more than {MAX_BULK_ITEMS} items")
    if not items:
        return Unreadable(Code.ITEM_COUNT, "a bulk without items")
    if not count_holds(count.text, items):
        return Unreadable(Code.ITEM_COUNT, "count differs from the number of items")
    declared = sum_of(document["control_sum"])
    if declared is None:
        return Unreadable(Code.AMOUNT_SYNTAX, "control_sum is not a plain decimal string")
    actual = sum_of_items()
    if isinstance(actual, Unreadable):
        return actual
    if actual != declared:
        return Unreadable(Code.CONTROL_SUM, "control_sum differs from the sum of the items")
    return None


def _sum_of_items(items: list[object]) -> int | Unreadable:
    total = 0
    for index, item in enumerate(items):
        amount = amount_of(item)
        if isinstance(amount, Unreadable):
            return no_sum(index)
        total += amount
    return total


def no_sum(item: int) -> Unreadable:
    return Unreadable(Code.CONTROL_SUM, f"the amount of item {item} cannot be read")


def amount_of(item: object) -> int | Unreadable:
    """What an item of a bulk adds to the control sum, in units of 10^-18."""
    if isinstance(item, dict) and not instructions.has_amount(item):
        return 0
    amount = fields.amount_of(item.get("amount") if isinstance(item, dict) else None)
    if isinstance(amount, Unreadable):
        return amount
    return amount[0] * 10 ** (_SUM_DECIMALS - amount[1])


def worth_of(row: Row) -> int:
    """What a readable item of a bulk adds to the control sum, in units of 10^-18."""
    return row.amount * 10 ** (_SUM_DECIMALS - row.decimals) if row.kind <= Kind.RETURN else 0


def count_holds(text: str, items: int) -> bool:
    """Does a JSON number, as it was written, say this number of items?"""
    return _COUNT.fullmatch(text) is not None and int(text) == items


def sum_of(text: object) -> int | None:
    """A control sum in units of 10^-18, None if it is no plain decimal string of sensible length."""
    if not isinstance(text, str) or len(text) > MAX_SUM_CHARACTERS or not _SUM.fullmatch(text):
        return None
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > _SUM_DECIMALS:
        return None
    return int(whole + fraction.ljust(_SUM_DECIMALS, "0"))


def total_of(amount: np.ndarray, decimals: np.ndarray) -> int:
    """Exact sum of amounts in units of 10^-18: sum of amount[i] × 10^(18 - decimals[i])."""
    return sum(
        sum(amount[decimals == scale].tolist()) * 10 ** (_SUM_DECIMALS - int(scale))
        for scale in np.unique(decimals)
    )


_NOTHING = Row(0, bytes(16), "")


def record_hash(value: bytes) -> str:
    """Reject.hash: xxh3-128 of the record's bytes, hex."""
    return xxhash.xxh3_128_hexdigest(value)


def rows_of(records: Sequence[tuple[bytes, Rows]]) -> RowBatch:
    """The rows of some records, in order, as columns. Their source columns are left at 0."""
    rows: list[Row] = []
    items: list[int] = []
    rejects: dict[int, Reject] = {}
    for value, found in records:
        digest = ""
        for item, row in found:
            if isinstance(row, Unreadable):
                digest = digest or record_hash(value)
                rejects[len(rows)] = Reject(
                    code=int(row.code), hash=digest, detail=row.detail, id=row.id, item=item
                )
            rows.append(_NOTHING if isinstance(row, Unreadable) else row)
            items.append(item)
    batch = columns_of(rows)
    batch.item[:] = items
    for index, reject in rejects.items():
        batch.reject[index] = reject.code
    batch.rejects = rejects
    return batch


def columns_of(rows: list[Row]) -> RowBatch:
    """Rows as columns, each as of a record of its own."""
    column: dict[str, list[Any]] = {
        name: [row[place] for row in rows] for place, name in enumerate(Row._fields)
    }
    return RowBatch(
        id=_ids(column["id"]).view(np.uint8).reshape(-1, 16),
        debtor=pa.array(column["debtor"], pa.string()),
        creditor=pa.array(column["creditor"], pa.string()),
        asset=pa.array(column["asset"], pa.string()),
        amount=np.array(column["amount"], np.int64),
        decimals=np.array(column["decimals"], np.uint8),
        value_date=np.array(column["value_date"], np.int32),
        priority=np.array(column["priority"], np.uint8),
        kind=np.array(column["kind"], np.uint8),
        end_to_end_id=pa.array(column["end_to_end_id"], pa.string()),
        chain_reference=_texts(column["chain_reference"]),
        expires_at_ms=np.array(column["expires_at_ms"], np.int64),
        window=np.array(column["window"], np.int32),
        source=np.zeros(len(rows), np.int32),
        source_offset=np.zeros(len(rows), np.int64),
        item=np.full(len(rows), RECORD, np.int32),
        reject=np.zeros(len(rows), np.uint8),
        links=_links(column["link"]),
        references=_references(column["reference"]),
        reason=_texts(column["reason"]),
    )


def _ids(ids: list[bytes]) -> U64:
    """(n, 2) little-endian words of ids of 16 bytes."""
    return np.frombuffer(b"".join(ids), "<u8").reshape(-1, 2)


def _texts(texts: list[str]) -> pa.Array | None:
    return pa.array(texts, pa.string()) if any(texts) else None


_NOT_LINKED = Link(bytes(16), bytes(16), 0, 0, False)
_ABOUT_NOTHING = Reference(bytes(16))


def _links(links: list[Link | None]) -> Links | None:
    if not any(links):
        return None
    found = [link or _NOT_LINKED for link in links]
    return Links(
        link=_ids([link.id for link in found]),
        terms=_ids([link.terms for link in found]),
        leg=np.array([link.leg for link in found], np.uint8),
        legs=np.array([link.legs for link in found], np.uint8),
        partial=np.array([link.partial for link in found], np.uint8),
    )


def _references(references: list[Reference | None]) -> References | None:
    """body_hash, amount, decimals of a quoted original: what its own row has, for they are made the same way."""
    if not any(references):
        return None
    found = [reference or _ABOUT_NOTHING for reference in references]
    body_hash = np.zeros(len(found), np.uint64)
    amount, decimals = np.zeros(len(found), np.int64), np.zeros(len(found), np.uint8)
    quoting = [row for row, reference in enumerate(found) if reference.quoted is not None]
    if quoting:
        originals = columns_of([row for _, row, _ in found if row is not None])
        body_hash[quoting] = body_hashes(originals)
        amount[quoting], decimals[quoting] = originals.amount, originals.decimals
    return References(
        id=_ids([reference.id for reference in found]),
        body_hash=body_hash,
        amount=amount,
        decimals=decimals,
        decision=np.array([reference.decision for reference in found], np.uint8),
    )
