"""Obligations in files, read and written: CSV with names in its first line, or JSON lines; amounts exact.

Every line that is not sound is told with its number; a file is used whole or not at all.
"""

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from clearing.core.money import MAX_DIGITS, MAX_SCALE, parse, show
from clearing.intake import strict

STDIN = Path("-")
FIELDS = ("debtor", "creditor", "amount", "id")
REQUIRED = FIELDS[:3]
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BadLine(msgspec.Struct, frozen=True):
    """A line that is no obligation, and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class Obligation(NamedTuple):
    """One line: `debtor` owes `creditor` so many minor units. id: "" if it has none."""

    debtor: str
    creditor: str
    units: int
    id: str


class ObligationFile(NamedTuple):
    """scale: decimals of its amounts; `obligations` are the sound lines' among `lines`."""

    scale: int
    lines: int
    obligations: list[Obligation]
    bad: list[BadLine]


class SetOffLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """An obligation after set-off, as --output and --json have it. Amounts are decimal strings."""

    debtor: str
    creditor: str
    amount: str
    cleared: str
    remaining: str
    id: str = ""


class _Line(NamedTuple):
    number: int
    debtor: str
    creditor: str
    amount: str
    id: str


def read(path: Path, scale: int | None) -> ObligationFile:
    """A file's obligations; "-" is stdin. JSON lines if its first character is {, else CSV.

    scale: decimals an amount may have; None: as many as the longest one of the file has.
    """
    name = "(stdin)" if path == STDIN else str(path)
    data = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    data = data.removeprefix(_BYTE_ORDER_MARK)
    lines: list[_Line] = []
    bad: list[BadLine] = []
    records = _json_lines(data) if data.lstrip()[:1] == b"{" else _csv(data)
    for number, fields in records:
        found = _line(number, fields) if isinstance(fields, dict) else fields
        if isinstance(found, _Line):
            lines.append(found)
        else:
            bad.append(BadLine(name, number, found))
    count = len(lines) + len(bad)
    if scale is None:
        scale = max((_decimals(line.amount) for line in lines), default=0)
    obligations: list[Obligation] = []
    seen: dict[str, int] = {}
    for line in lines:
        found = _obligation(line, scale, seen)
        if isinstance(found, Obligation):
            obligations.append(found)
        else:
            bad.append(BadLine(name, line.number, found))
    return ObligationFile(scale, count, obligations, sorted(bad, key=lambda one: one.line))


def _json_lines(data: bytes) -> Iterator[tuple[int, dict[str, object] | str]]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            document = strict.parse(line)
            if isinstance(document, strict.Unreadable):
                yield number, document.detail
            else:
                yield number, document if isinstance(document, dict) else "not a JSON object"


def _csv(data: bytes) -> Iterator[tuple[int, dict[str, object] | str]]:
    """Rows by the names in the first line. Bytes that are not UTF-8 are found with the field they are in."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8", errors="surrogateescape", newline="")
    reader = csv.reader(text, strict=True)
    try:
        names = next(reader, [])
        if problem := _wrong_names(names):
            yield 1, problem
            return
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(names):
                yield reader.line_num, f"{len(cells)} cells, the first line has {len(names)} names"
            else:
                yield reader.line_num, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        yield reader.line_num, f"{error}; nothing after it was read"


def _wrong_names(names: list[str]) -> str:
    if set(REQUIRED) <= set(names) <= set(FIELDS) and len(set(names)) == len(names):
        return ""
    return "the first line has to name the columns: debtor,creditor,amount or debtor,creditor,amount,id"


def _line(number: int, fields: dict[str, object]) -> _Line | str:
    """The fields of an obligation, or what is wrong with them."""
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        return f"unknown field {unknown[0]!r}: an obligation has {', '.join(FIELDS)}"
    texts: list[str] = []
    for name in FIELDS:
        value = fields.get(name, "")
        if not isinstance(value, str):
            return f"{name} has to be a string"
        if not value and name in REQUIRED:
            return f"{name} is missing"
        if not value.isprintable():  # would steer the terminal, or is not UTF-8
            return f"{name} has characters that cannot be printed"
        if value != value.strip():
            return f"{name} {value!r} begins or ends with a space"
        texts.append(value)
    debtor, creditor, amount, name = texts
    if debtor == creditor:
        return f"{debtor!r} owes itself"
    units = parse(amount, MAX_SCALE)
    if units is None:
        return f"amount {amount!r} is not a plain decimal of at most {MAX_SCALE} decimals, such as 12.50"
    if units <= 0:
        return f"amount {amount} is not above 0"
    return _Line(number, debtor, creditor, amount, name)


def _decimals(amount: str) -> int:
    return len(amount.partition(".")[2])


def _obligation(line: _Line, scale: int, seen: dict[str, int]) -> Obligation | str:
    """seen: the line that each id was first in."""
    units = parse(line.amount, scale)
    if units is None:
        return f"amount {line.amount} has more than {scale} decimals"
    if len(str(units)) > MAX_DIGITS:
        return f"amount {line.amount} has more than {MAX_DIGITS} digits at {scale} decimals"
    if line.id and (first := seen.setdefault(line.id, line.number)) != line.number:
        return f"id {line.id!r} is that of line {first} too"
    return Obligation(line.debtor, line.creditor, units, line.id)


def set_off_lines(
    obligations: Iterable[Obligation], cleared: Iterable[int], scale: int
) -> list[SetOffLine]:
    """In the order of debtor, creditor, amount and id, whatever order the file had."""
    return [
        SetOffLine(
            debtor=one.debtor,
            creditor=one.creditor,
            amount=show(one.units, scale),
            cleared=show(units, scale),
            remaining=show(one.units - units, scale),
            id=one.id,
        )
        for one, units in sorted(zip(obligations, cleared, strict=True))
    ]


def write(path: Path, lines: list[SetOffLine]) -> None:
    """CSV if the name ends in .csv, else JSON lines. The same obligations give the same bytes."""
    if path.suffix.lower() != ".csv":
        path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SetOffLine.__struct_fields__)
        writer.writerows(msgspec.structs.astuple(line) for line in lines)
