"""Reports as files: what is written can be read again, and says the same."""

import csv
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from clearing.reports import DayReport
from clearing.reports.files import MONEY, parquet_schema, write
from clearing.reports.model import TABLES, ExceptionDay
from tests.reports.conftest import Report
from tests.verify.world import World


@pytest.fixture
async def found(world: World, report: Report) -> DayReport:
    return await report(world)


def test_json_is_the_report(found: DayReport, tmp_path: Path) -> None:
    [path] = write(found, "json", tmp_path / "new" / "folder")
    assert path.name == "2026-01-05-hk.json"
    assert msgspec.json.decode(path.read_bytes(), type=DayReport) == found


def test_csv_has_a_file_for_each_table(found: DayReport, tmp_path: Path) -> None:
    paths = write(found, "csv", tmp_path)
    assert [path.name for path in paths] == [f"2026-01-05-hk-{name}.csv" for name in TABLES]
    assert sorted(tmp_path.iterdir()) == sorted(paths), "no draft is left"
    for path, name in zip(paths, TABLES, strict=True):
        with path.open(newline="") as file:
            assert len(list(csv.DictReader(file))) == len(getattr(found, name))
    with paths[list(TABLES).index("accounts")].open(newline="") as file:
        [row] = [
            row
            for row in csv.DictReader(file)
            if (row["participant"], row["asset"]) == ("ALPHA", "HKD")
        ]
    [account] = [row for row in found.accounts if (row.participant, row.asset) == ("ALPHA", "HKD")]
    assert (row["netting_set"], row["date"]) == ("hk", "2026-01-05")
    assert (row["sent"], row["sent_value"]) == (str(account.sent), account.sent_value)
    assert row["longest_wait_ms"] == "", "unknown is empty, never 0"
    with paths[list(TABLES).index("windows")].open(newline="") as file:
        times = [row["closed_at"] for row in csv.DictReader(file)]
    assert all(time.startswith("2026-01-05T12:") and time.endswith("+00:00") for time in times)


def test_text_of_others_is_no_formula_of_a_spreadsheet(found: DayReport, tmp_path: Path) -> None:
    evil = ExceptionDay(at_ms=0, kind="halt", text='=HYPERLINK("http://x")')
    paths = write(replace(found, exceptions=[evil]), "csv", tmp_path)
    with paths[-1].open(newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == ["'" + evil.text]
    accounts = paths[list(TABLES).index("nets")].read_text()
    assert ",-" in accounts, "negative amounts stay numbers"


def test_parquet_has_money_as_decimals_and_times_as_times(found: DayReport, tmp_path: Path) -> None:
    paths = dict(zip(TABLES, write(found, "parquet", tmp_path), strict=True))
    nets = pq.read_table(paths["nets"])
    assert nets.schema.field("net").type == MONEY
    assert nets.schema.field("final_at").type == pa.timestamp("ms", "UTC")
    assert nets.column("net").to_pylist() == [Decimal(row.net) for row in found.nets]
    accounts = pq.read_table(paths["accounts"])
    assert accounts.schema.field("sent").type == pa.int64()
    assert accounts.column("longest_wait_ms").to_pylist() == [
        row.longest_wait_ms for row in found.accounts
    ]


def test_days_without_rows_have_the_same_columns(found: DayReport, tmp_path: Path) -> None:
    empty = replace(found, date="2026-01-06", **{name: [] for name in TABLES})
    for name, path in zip(TABLES, write(empty, "parquet", tmp_path), strict=True):
        table = pq.read_table(path)
        assert table.num_rows == 0
        assert table.schema.equals(parquet_schema(name, "UTC"))
