"""What is no plain payment, among the plain ones: read exactly, then carried along by the columns of the others.

A linked leg, a return or a cancellation costs what it costs, and the payments it comes with nothing: it takes
part as a line with its texts, and its numbers are put into the columns afterwards.
"""

from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from msgspec import UNSET

from clearing.core.inputs import I64, Bool, Links, References
from clearing.intake import exact, fields
from clearing.intake.fields import Row
from clearing.intake.lines import Line
from clearing.log.rows import RowBatch, strings

_NUMBERS = (
    "amount",
    "decimals",
    "value_date",
    "priority",
    "kind",
    "expires_at_ms",
    "window",
)


_Columns = TypeVar("_Columns", Links, References)


class Other(NamedTuple):
    """A readable message that was not decoded as a line. quotes: how many `"` its bytes have."""

    row: Row
    quotes: int


def line_of(row: Row, like: Line | None) -> Line:
    """A line with the texts of a row. Its numbers stand for nothing; it says as little else as the line before."""
    return Line(
        type="payment",
        id=fields.id_text(row.id),
        debtor=row.debtor,
        creditor=row.creditor,
        asset=row.asset,
        amount="1",
        value_date="1970-01-01",
        end_to_end_id=row.end_to_end_id,
        chain_reference=row.chain_reference or UNSET,
        priority=fields.NORMAL if like is None else like.priority,
    )


def put_in(others: dict[int, Other], rows: RowBatch, sound: Bool, quotes: I64) -> None:
    """The others, by line, into the columns that were made of all lines."""
    at = np.fromiter(others, np.int64, len(others))
    exactly = exact.columns_of([other.row for other in others.values()])
    sound[at] = True
    quotes[at] = [other.quotes for other in others.values()]
    for name in _NUMBERS:
        column: np.ndarray = getattr(rows, name)
        if not column.flags.writeable:
            column = column.copy()
            setattr(rows, name, column)
        column[at] = getattr(exactly, name)
    n = len(rows)
    if exactly.links is not None:
        rows.links = _spread(exactly.links, at, n)
    if exactly.references is not None:
        rows.references = _spread(exactly.references, at, n)
    if exactly.reason is not None:
        rows.reason = _spread_texts(strings(exactly.reason).to_pylist(), at, n)


def _spread(columns: _Columns, at: I64, n: int) -> _Columns:
    """The same columns over n rows, zeros on all but these."""
    parts: dict[str, np.ndarray] = {}
    for name in columns.__slots__:
        values: np.ndarray = getattr(columns, name)
        parts[name] = np.zeros((n, *values.shape[1:]), values.dtype)
        parts[name][at] = values
    return type(columns)(**parts)


def _spread_texts(texts: list[str], at: I64, n: int) -> pa.StringArray:
    """The same texts over n rows, "" on all but these; `at` ascends."""
    ends = np.zeros(n + 1, np.int32)
    data = [text.encode() for text in texts]
    ends[at + 1] = list(map(len, data))
    offsets = np.cumsum(ends, dtype=np.int32)
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(b"".join(data)))
