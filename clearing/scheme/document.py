"""TOML text to values and to the place of every one of them, so that a problem can name its line.

tomllib says what the text means, the syntax tree where it stands. No rule of a scheme lives here.
"""

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

Path = tuple[str | int, ...]  # ("assets", "HKD", "cutoffs", 0)

_LANGUAGE = Language(tree_sitter_toml.language())
_AT = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong, where: line from 1; column from 1, 0 where the whole line is meant."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column else ""
        return f"line {self.line}{column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Document:
    """values: what tomllib read. places: (line, column) of each key, table header and array item."""

    values: dict[str, Any]
    places: dict[Path, tuple[int, int]]

    def place(self, path: Path) -> tuple[int, int]:
        """Place of a path or, where nothing stands there (a missing key), of the nearest thing around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))


def printable(text: str) -> str:
    """Text as it may be shown on a terminal: a file's quoted keys can hold any character."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def read(source: str | bytes) -> Document | list[Problem]:
    """Read TOML. A key or table that stands twice is reported with both lines, each of them."""
    if isinstance(source, bytes):
        try:
            source = source.decode()
        except UnicodeDecodeError as error:
            line = source.count(b"\n", 0, error.start) + 1
            return [Problem(line, 0, f"not UTF-8: byte 0x{source[error.start]:02x}")]
    repeated: list[Problem] = []
    try:
        tree = _Places(source.encode())
        repeated = sorted(tree.repeated)
        return Document(tomllib.loads(source), tree.places)
    except tomllib.TOMLDecodeError as error:
        return repeated or [_syntax_problem(source, error)]
    except RecursionError:
        return [Problem(1, 0, "nested too deeply to be a scheme")]


def _syntax_problem(text: str, error: tomllib.TOMLDecodeError) -> Problem:
    """tomllib before Python 3.14 tells the place in the message only."""
    message = str(error)
    match = _AT.search(message)
    line, column = text.rstrip("\n").count("\n") + 1, 0
    if match and match[1]:
        line, column = int(match[1]), int(match[2])
    return Problem(line, column, f"not valid TOML: {_AT.sub('', message)}")


@dataclass(slots=True)
class _Places:
    """Walks the syntax tree once. Of text that is no TOML it finds what it can: `repeated` is then all we use."""

    source: bytes
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    repeated: list[Problem] = field(default_factory=list)
    _declared: set[Path] = field(default_factory=set)
    _counts: dict[Path, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        root: Path = ()
        for node in Parser(_LANGUAGE).parse(self.source).root_node.named_children:
            match node.type:
                case "pair":
                    self._pair(node, root)
                case "table" | "table_array_element":
                    self._table(node)
                case _:
                    pass  # a comment, or an error that tomllib explains

    def _table(self, node: Node) -> None:
        head, *rest = node.named_children
        path = self._resolved(self._key(head))
        if node.type == "table_array_element":
            self._counts[path] = self._counts.get(path, 0) + 1
            path = (*path, self._counts[path] - 1)
        self._declare(path, head)
        for child in rest:
            if child.type == "pair":
                self._pair(child, path)

    def _pair(self, node: Node, parent: Path) -> None:
        key, value = node.named_children[0], node.named_children[-1]
        path = parent + self._key(key)
        self._declare(path, key)
        self._value(value, path)

    def _value(self, node: Node, path: Path) -> None:
        if node.type == "inline_table":
            for child in node.named_children:
                if child.type == "pair":
                    self._pair(child, path)
        elif node.type == "array":
            items = [child for child in node.named_children if child.type != "comment"]
            for index, item in enumerate(items):
                self.places[(*path, index)] = self._place(item)
                self._value(item, (*path, index))

    def _declare(self, path: Path, node: Node) -> None:
        place = self._place(node)
        if path in self._declared:
            name = ".".join(map(str, path))
            message = f"{name} stands twice: first in line {self.places[path][0]}"
            self.repeated.append(Problem(*place, printable(message)))
            return
        self._declared.add(path)
        self.places[path] = place
        for end in range(1, len(path)):  # a.b.c = 1 says where a and a.b are, too
            self.places.setdefault(path[:end], place)

    def _resolved(self, names: tuple[str, ...]) -> Path:
        """Path of a table header: below an array of tables it means the latest of them."""
        path: Path = ()
        for position, name in enumerate(names):
            path = (*path, name)
            if position < len(names) - 1 and path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path

    def _key(self, node: Node) -> tuple[str, ...]:
        if node.type == "dotted_key":
            return tuple(part for child in node.named_children for part in self._key(child))
        text = self.source[node.start_byte : node.end_byte].decode()
        if node.type == "quoted_key":
            return tuple(tomllib.loads(f"{text} = 0"))
        return (text,)

    def _place(self, node: Node) -> tuple[int, int]:
        row = node.start_point.row
        start = node.start_byte - node.start_point.column
        return row + 1, len(self.source[start : node.start_byte].decode()) + 1
