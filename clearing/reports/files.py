"""Reports as files: a table a file in CSV or Parquet, or one JSON document. The columns are the fields of the rows.

Money is a decimal string in CSV and JSON, decimal128(38, 9) in Parquet; times are RFC 3339 in the report's time
zone in CSV, timestamps in Parquet, epoch milliseconds in JSON. What is not known is empty or null, never 0.
"""

import csv
import types
import typing
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from clearing.reports.days import in_zone
from clearing.reports.model import TABLES, DayReport

Format = Literal["csv", "parquet", "json"]

MONEY = pa.decimal128(38, 9)
# Every other string column is a name or a text.
_AMOUNTS = frozenset({"gross", "net", "debits", "credits", "set_off", "funded", "value"})


def write(report: DayReport, format_: Format, folder: Path) -> list[Path]:
    """The files that were written: DATE-NETTING_SET[-PARTICIPANT][-TABLE].FORMAT; older ones are replaced.

    A table without rows is a file with its columns. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = "-".join(filter(None, (report.date, report.netting_set, report.participant)))
    if format_ == "json":
        return [_replace(folder / f"{stem}.json", _write_json, report)]
    write_table = _write_csv if format_ == "csv" else _write_parquet
    return [
        _replace(folder / f"{stem}-{name}.{format_}", write_table, report, name) for name in TABLES
    ]


def _replace(path: Path, write_: Any, *what: Any) -> Path:
    """Nobody ever sees half a file."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        write_(draft, *what)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _write_json(path: Path, report: DayReport) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def _write_csv(path: Path, report: DayReport, name: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["netting_set", "date", *_csv_names(name)])
        for row in getattr(report, name):
            values = (_csv_value(field, value, report.timezone) for field, value in _fields_of(row))
            writer.writerow([report.netting_set, report.date, *values])


def _csv_names(name: str) -> list[str]:
    return [
        field.removesuffix("_ms") if field.endswith("_at_ms") else field
        for field in TABLES[name].__struct_fields__
    ]


def _csv_value(field: str, value: object, timezone: str) -> object:
    if value is None:
        return ""
    if field.endswith("_at_ms") and isinstance(value, int):
        return in_zone(value, timezone)
    if isinstance(value, str) and field not in _AMOUNTS and not field.endswith("_value"):
        return _plain(value)
    return value


def _plain(text: str) -> str:
    """Text of others is text to a spreadsheet too, never a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _fields_of(row: msgspec.Struct) -> Iterator[tuple[str, object]]:
    return ((field, getattr(row, field)) for field in row.__struct_fields__)


def _write_parquet(path: Path, report: DayReport, name: str) -> None:
    schema = parquet_schema(name, report.timezone)
    rows: Iterable[Any] = getattr(report, name)
    columns = [
        pa.array([_parquet_value(field, getattr(row, old)) for row in rows], field.type)
        for field, old in zip(list(schema)[2:], TABLES[name].__struct_fields__, strict=True)
    ]
    same = [
        pa.array([value] * len(getattr(report, name)), pa.string())
        for value in (report.netting_set, report.date)
    ]
    pq.write_table(pa.Table.from_arrays([*same, *columns], schema=schema), path)


def parquet_schema(name: str, timezone: str) -> pa.Schema:
    """The same for every day, so that files of many days are one table."""
    table = TABLES[name]
    fields = [
        _parquet_field(field, hint, timezone)
        for field, hint in typing.get_type_hints(table).items()
        if field in table.__struct_fields__
    ]
    return pa.schema([pa.field("netting_set", pa.string()), pa.field("date", pa.string()), *fields])


def _parquet_field(name: str, hint: Any, timezone: str) -> pa.Field:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if name in _AMOUNTS or name.endswith("_value"):
        return pa.field(name, MONEY)
    if name.endswith("_at_ms"):
        return pa.field(name.removesuffix("_ms"), pa.timestamp("ms", timezone))
    return pa.field(name, pa.int64() if int in options else pa.string())


def _parquet_value(field: pa.Field, value: object) -> object:
    return Decimal(value) if field.type == MONEY and isinstance(value, str) else value
