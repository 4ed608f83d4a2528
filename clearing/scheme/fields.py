"""Reading typed fields out of TOML tables: each complaint is collected with its place, reading goes on.

A field that cannot be used is None from here on; nothing here knows what a scheme is.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, time
from difflib import get_close_matches
from typing import Any

from clearing.core.money import MAX_DIGITS, parse
from clearing.scheme.document import Document, Path, Problem, printable


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.66) -> str:
    """ "; did you mean HKD?" where something known is close, else ""."""
    by_case = {option.casefold(): option for option in known}
    close = get_close_matches(name.casefold(), by_case, n=1, cutoff=cutoff)
    return f"; did you mean {by_case[close[0]]}?" if close else ""


@dataclass(slots=True)
class Complaints:
    """Every problem of one document."""

    document: Document
    problems: list[Problem] = field(default_factory=list[Problem])
    _paths: set[Path] = field(default_factory=set[Path])

    def add(self, path: Path, message: str) -> None:
        self.problems.append(Problem(*self.document.place(path), printable(message)))
        self._paths.add(path)

    def concern(self, *path: str | int) -> bool:
        """Whether anything at or below `path` was complained about: what was read there may be a placeholder."""
        return any(found[: len(path)] == path for found in self._paths)


@dataclass(slots=True)
class Table:
    """One TOML table while it is read. Each getter marks its key as known; `end` reports the others.

    A value that is refused, or missing without a default, is complained about and a placeholder returned, so
    that reading goes on: a document with complaints is never handed out.
    """

    complaints: Complaints
    path: Path
    values: dict[str, Any]
    _known: list[str] = field(default_factory=list[str])

    def complain(self, message: str, *keys: str | int) -> None:
        path = (*self.path, *keys)
        label = ".".join(part for part in path if isinstance(part, str))
        self.complaints.add(path, f"{label}: {message}" if label else message)

    def _take(self, key: str, kind: type | tuple[type, ...], what: str, required: bool) -> Any:
        """The value if it is there and of its kind, else None."""
        self._known.append(key)
        if key not in self.values:
            if required:
                self.complain(f"{key} is missing ({what})")
            return None
        value = self.values[key]
        if isinstance(value, kind) and not isinstance(value, bool):
            return value
        self.complain(f"{shown(value)} is not {what}", key)
        return None

    def text(
        self, key: str, pattern: re.Pattern[str], what: str, default: str | None = None
    ) -> str:
        """A string that matches `pattern` as a whole; `what` says so in words. Placeholder ""."""
        value = self._take(key, str, what, default is None)
        if value is None:
            return default or ""
        if pattern.fullmatch(value):
            return value
        self.complain(f"{shown(value)} is not {what}", key)
        return ""

    def choice(self, key: str, options: Iterable[str], default: str | None = None) -> str:
        """One of `options`. Placeholder ""."""
        known = list(options)
        value = self._take(key, str, f"one of {', '.join(known) or 'none'}", default is None)
        if value is None:
            return default or ""
        if value in known:
            return value
        hint = did_you_mean(value, known) or f"; known: {', '.join(known) or 'none'}"
        self.complain(f"{shown(value)} is not known{hint}", key)
        return ""

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """An integer from low to high. Placeholder `high`."""
        what = f"a whole number from {low} to {high}"
        value = self._take(key, int, what, default is None)
        if value is None:
            return high if default is None or key in self.values else default
        if low <= value <= high:
            return value
        self.complain(f"{value} is not {what}", key)
        return high

    def amount(self, key: str, scale: int, max_digits: int = MAX_DIGITS) -> int | None:
        """Minor units of an amount >= 0, exact at `scale`; None where it is missing. A float is not exact."""
        what = f"an amount >= 0 in quotes with at most {scale} decimals and {max_digits} digits"
        value = self._take(key, (str, int), what, required=False)
        if value is None:
            return None
        units = parse(str(value), scale)
        if units is not None and units >= 0 and len(str(units)) <= max_digits:
            return units
        self.complain(f"{shown(value)} is not {what}", key)
        return None

    def is_false(self, key: str) -> bool:
        """Whether it says `key = false`: there is to be none."""
        self._known.append(key)
        return self.values.get(key) is False

    def flag(self, key: str) -> bool | None:
        """true or false; None where it is missing."""
        self._known.append(key)
        value = self.values.get(key)
        if key not in self.values or isinstance(value, bool):
            return value
        self.complain(f"{shown(value)} is not true or false", key)
        return None

    def items(self, key: str, what: str) -> Iterator[tuple[int, Any]]:
        """(index, item) of a list; none where it is missing."""
        return enumerate(self._take(key, list, f"a list of {what}", required=False) or [])

    def names(self, key: str, options: Iterable[str], what: str) -> list[str] | None:
        """A list of known names, each once; None where the key is missing."""
        if key not in self.values:
            self._known.append(key)
            return None
        known, found = list(options), list[str]()
        for index, item in self.items(key, what):
            if not isinstance(item, str) or item not in known:
                hint = did_you_mean(item, known) if isinstance(item, str) else ""
                self.complain(f"{shown(item)} is not known{hint}", key, index)
            elif item in found:
                self.complain(f"{item} stands twice", key, index)
            else:
                found.append(item)
        return found

    def table(self, key: str) -> "Table | None":
        """A table inside of this one; None where it is missing."""
        values = self._take(key, dict, "a table", required=False)
        return None if values is None else Table(self.complaints, (*self.path, key), values)

    def tables(self, key: str) -> Iterator[tuple[str, "Table"]]:
        """(name, table) of each table inside of `key`."""
        outer = self.table(key)
        for name in outer.values if outer else ():
            assert outer is not None
            if (inner := outer.table(name)) is not None:
                yield name, inner

    def rows(self, key: str) -> "Iterator[Table]":
        """Each table of the array `[[key]]`, in its order."""
        for index, item in self.items(key, f"tables, each one [[{key}]]"):
            if isinstance(item, dict):
                yield Table(self.complaints, (*self.path, key, index), item)
            else:
                self.complain(f"{shown(item)} is not a table: write [[{key}]]", key, index)

    def also(self, key: str) -> None:
        """Know a key that is only read at times."""
        self._known.append(key)

    def end(self) -> None:
        """Report the keys that nobody asked for."""
        for key in self.values:
            if key not in self._known:
                self.complain(f"unknown key{did_you_mean(key, self._known)}", key)


def shown(value: object) -> str:
    """A value as its author knows it, on one line and not too long."""
    match value:
        case bool():
            text = str(value).lower()
        case str():
            text = f'"{value}"' if value.isprintable() else ascii(value)
        case date() | time():
            text = value.isoformat()
        case dict():
            text = "a table"
        case list():
            text = "a list"
        case _:
            text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
