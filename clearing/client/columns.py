"""Payments as Arrow columns to one record of a payments topic: the bulk of topics/README.md, for thousands at once.

    await bank.publish_columns(batch)

The columns are the caller's (PyArrow's, or what polars, pandas or DuckDB hand over as such): checked by the engine.
"""

from uuid import UUID, uuid4

import msgspec
import pyarrow as pa

_SUM_DECIMALS = 18


def stream(payments: pa.RecordBatch, *, bulk_id: UUID | None = None) -> bytes:
    """The record of some payments, their columns as topics/README.md names them.

    Sent again with the same bytes it has no second effect (R28). Raises KeyError where there is no column
    `amount` or `decimals`.
    """
    envelope = {
        "type": "bulk",
        "id": str(bulk_id or uuid4()),
        "count": payments.num_rows,
        "control_sum": control_sum(payments),
    }
    marked = payments.replace_schema_metadata({"clearing": msgspec.json.encode(envelope)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, marked.schema) as writer:
        writer.write_batch(marked)
    return sink.getvalue().to_pybytes()


def control_sum(payments: pa.RecordBatch) -> str:
    """Exact sum of all amounts, as a decimal string."""
    units = 0
    columns = (payments.column(name).to_pylist() for name in ("amount", "decimals"))
    for amount, decimals in zip(*columns, strict=True):
        units += (amount or 0) * 10 ** (_SUM_DECIMALS - (decimals or 0))
    whole, fraction = divmod(units, 10**_SUM_DECIMALS)
    return f"{whole}.{fraction:0{_SUM_DECIMALS}}".rstrip("0").rstrip(".")
