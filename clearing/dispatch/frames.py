"""Status records around rows that are JSON already: sections, sizes, indexes. Pure; knows nothing of payments.

What a log record means to one participant is one StatusRecord, or several in a row when it is large.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

# Rows of one record take at most so many bytes, so that it passes brokers and readers with default limits (1 MiB).
# STORED FORMAT: where it cuts decides each part's index.
MAX_ROWS_BYTES = 900_000

# A participant, and the JSON of a record that it is told.
BankRecord = tuple[str, bytes | memoryview]

Section = Literal["statuses", "receipts", "requests", "answers", "withdrawn"]
BETWEEN, END = b'],"receipts":[', b"]}"  # behind the statuses, and behind the last section
_OPTIONAL: tuple[Section, ...] = ("requests", "answers", "withdrawn")  # left out where empty


class Piece(NamedTuple):
    """Rows of one section, comma-separated, that stay together."""

    section: Section
    rows: bytes | memoryview


class Frame:
    """The head of every StatusRecord that one log record causes in a netting set."""

    def __init__(self, netting_set_json: str, log_offset: int, time_ms: int) -> None:
        self._before = (
            f'{{"type":"status","netting_set":{netting_set_json},"log_offset":{log_offset}'
        )
        self._time = f',"time_ms":{time_ms},"statuses":['

    def head(self, index: int) -> bytes:
        """All that stands before the statuses."""
        return f'{self._before},"index":{index}{self._time}'.encode()

    def records(self, pieces: Sequence[Piece], index: int) -> list[bytes]:
        """One record with all pieces if they fit, otherwise each in its own; numbered from `index` on."""
        size_bytes = 0
        for _, rows in pieces:
            # With its comma: a section that had to be cut never passes for one that fits.
            size_bytes += len(rows) + 1
        if size_bytes <= MAX_ROWS_BYTES:
            return [self._record(pieces, index)] if pieces else []
        return [self._record([piece], index + i) for i, piece in enumerate(pieces)]

    def _record(self, pieces: Iterable[Piece], index: int) -> bytes:
        rows: dict[Section, bytes | memoryview] = dict(pieces)
        start = self.head(index)
        sent, received = rows.pop("statuses", b""), rows.pop("receipts", b"")
        if not rows:
            return b"".join((start, sent, BETWEEN, received, END))
        parts = [start, sent, BETWEEN, received]
        for section in _OPTIONAL:
            if section in rows:
                parts += [f'],"{section}":['.encode(), rows[section]]
        return b"".join((*parts, END))


class Rows:
    """JSON rows of one participant, section by section, in the order in which they are added."""

    def __init__(self) -> None:
        self._sections: dict[Section, list[bytes]] = {}

    def add(self, section: Section, row: bytes) -> None:
        self._sections.setdefault(section, []).append(row)

    def pieces(self) -> list[Piece]:
        """All rows in pieces of at most MAX_ROWS_BYTES (a row is never cut)."""
        return [
            Piece(section, b",".join(rows))
            for section, whole in self._sections.items()
            for rows in _cut(whole)
        ]


def _cut(rows: list[bytes]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size_bytes = 0
    for row in rows:
        if part and size_bytes + len(row) + 1 > MAX_ROWS_BYTES:
            yield part
            part, size_bytes = [], 0
        part.append(row)
        size_bytes += len(row) + 1
    yield part
