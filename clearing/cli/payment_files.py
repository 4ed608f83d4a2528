"""What banks send, in files: JSON lines as they publish it, or CSV with fields as columns. Checked as intake would.

Files are read twice, once to check and once to publish, so that nothing leaves before all of it is sound.
"""

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from clearing.core.reasons import REASONS, Code
from clearing.failures import ExitCode, Failure
from clearing.intake.decode import decode
from clearing.log.rows import strings

CHUNK_RECORDS = 5_000
STDIN = Path("(stdin)")
# The fields that are no strings: numbers, and what a cell holds as JSON.
_NUMBERS, _OBJECTS = frozenset({"window", "version"}), frozenset({"link", "original"})


class Address(NamedTuple):
    """Whose message it is, in which asset: of a bulk's first item that has one. "" where a line is not sound.

    What is about a payment without quoting it has no asset.
    """

    owner: str
    asset: str


class BadLine(msgspec.Struct, frozen=True):
    """A line that intake would reject. item: index in a bulk, -1: the record itself."""

    file: str
    line: int
    item: int
    reason: str
    text: str
    detail: str

    def __str__(self) -> str:
        item = f" item {self.item}" if self.item >= 0 else ""
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.file}:{self.line}{item}: {self.reason} {self.text}{detail}"


def read_file(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line number, JSON record) of each message in a file; STDIN has JSON lines. Raises Failure."""
    if path == STDIN:
        yield from _json_lines(sys.stdin.buffer)
    elif path.suffix.lower() == ".csv":
        with path.open("rb") as file:
            yield from _csv(path, io.TextIOWrapper(file, "utf-8-sig", newline=""))
    else:
        with path.open("rb") as file:
            yield from _json_lines(file)


def _json_lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(file, start=1):
        if record := line.strip():
            yield number, record


def _csv(path: Path, file: io.TextIOWrapper) -> Iterator[tuple[int, bytes]]:
    reader = csv.DictReader(file, strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise Failure(
                    f"{path}:{reader.line_num}: not as many cells as the first line has names",
                    code=ExitCode.USAGE,
                )
            yield reader.line_num, _from_cells(row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise Failure(f"{path}:{reader.line_num}: {error}", code=ExitCode.USAGE) from error


def _from_cells(row: dict[str, str]) -> bytes:
    """A record of the cells that are not empty; without a `type` it is what its fields say it is."""
    fields = {name: _value(name, cell) for name, cell in row.items() if cell != ""}
    kind = "token_transfer" if "chain_reference" in fields else "payment"
    return msgspec.json.encode({"type": kind} | fields)


def _value(name: str, cell: str) -> str | int | msgspec.Raw:
    if name in _NUMBERS and cell.isdecimal() and cell.isascii():
        return int(cell)
    return msgspec.Raw(cell) if name in _OBJECTS else cell


class Checked(NamedTuple):
    """A chunk of a file: line number, record and address of each line; and what of them intake would reject."""

    numbers: list[int]
    values: list[bytes]
    addresses: list[Address]
    bad: list[BadLine]


def checked(path: Path) -> Iterator[Checked]:
    """A file's records by the chunk, decoded as intake will."""
    records = read_file(path)
    while chunk := list(islice(records, CHUNK_RECORDS)):
        yield _check(str(path), [number for number, _ in chunk], [value for _, value in chunk])


def _check(file: str, numbers: list[int], values: list[bytes]) -> Checked:
    rows, record = decode(list(values))
    bounds = np.searchsorted(record, np.arange(len(values) + 1)).tolist()
    debtors, assets = (strings(column).to_pylist() for column in (rows.debtor, rows.asset))
    bad: list[BadLine] = []
    for row, reject in sorted(rows.rejects.items()):
        reason = REASONS[Code(reject.code)]
        number = numbers[int(record[row])]
        bad.append(BadLine(file, number, reject.item, reason.iso, reason.text, reject.detail))
    addresses = [
        Address(debtors[first], next(filter(None, assets[first:stop]), ""))
        for first, stop in pairwise(bounds)
    ]
    return Checked(numbers, values, addresses, bad)
