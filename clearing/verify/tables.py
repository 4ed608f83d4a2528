"""The log × outcomes of one netting set as columns: one row per payment, what it says and what was said of it.

Built from the log's and the outcomes' records by `LogTable`; the checks read `Rows`, a stretch at a time. About 80
bytes a payment, in temporary files.
Which rows were read before is worked out here again from the source spans, without asking the engine.
What became of rows that waited is in clearing.verify.resolved.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

from clearing.core.inputs import (
    I32,
    I64,
    U8,
    U64,
    Bool,
    ControlItem,
    Kind,
    Links,
    LogRecord,
    References,
    SourceSpan,
)
from clearing.core.outputs import Outcomes
from clearing.core.reasons import FIRST_REFUSAL, FIRST_REJECT, Code
from clearing.names import PROBE
from clearing.verify.columns import Column, stretches

NO_OUTCOME = 255  # code of a row nothing was said about

# In the place of an asset, for rows that move nothing: no asset can have these names.
INSTRUCTIONS, PROBES = "(instructions)", "(probes)"

Source = tuple[str, int]  # topic, partition
Bank = tuple[str, str]  # netting set, participant


class Names:
    """Strings as dense numbers, in the order of their first appearance."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.names: list[str] = []

    def add(self, name: str) -> int:
        number = self.index.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number

    def find(self, name: str) -> int:
        """Number of a name, -2 if it never appeared (-1 means: no name)."""
        return self.index.get(name, -2)


@dataclass(slots=True)
class Rows:
    """n payment rows in log order. Strings are numbers of LogTable's Names, -1 on rejected rows.

    fresh: not read before from the same place of its source. code: outcome, NO_OUTCOME if there is none.
    window: of accepted rows, else 0. record: index into LogTable.offsets; starts: first row of each such record.
    linked, referring: the rows that `links` and `references` are about, ascending; expiring: those that expire.
    """

    record: I32
    source: I32
    source_offset: I64
    item: I32
    id: U64  # (n, 2)
    body_hash: U64
    debtor: I32
    creditor: I32
    asset: I32
    amount: I64
    decimals: U8
    reject: U8
    kind: U8
    fresh: Bool
    code: U8
    repeat: Bool
    window: I32
    starts: I64
    linked: I64
    links: Links
    referring: I64
    references: References
    expiring: I64
    expires_at_ms: I64

    def __len__(self) -> int:
        return len(self.amount)

    def parts(self) -> "Iterator[tuple[int, Rows]]":
        """(number of its first row, stretch of rows), one after the other. What is sparse stays as it is."""
        for part in stretches(len(self)):
            columns: dict[str, Any] = {name: getattr(self, name)[part] for name in _IN_PARTS}
            yield part.start, replace(self, **columns)

    @property
    def accepted(self) -> Bool:
        """Rows that changed a position at once: fresh, accepted, and not the repeat of an earlier row."""
        return self.fresh & (self.code == Code.ACCEPTED) & ~self.repeat

    @property
    def queued(self) -> Bool:
        return self.fresh & (self.code == Code.QUEUED) & ~self.repeat

    @property
    def refused(self) -> Bool:
        return self.fresh & (self.code >= FIRST_REFUSAL) & (self.code != NO_OUTCOME) & ~self.repeat

    @property
    def rejected(self) -> Bool:
        return self.fresh & (self.code >= FIRST_REJECT) & (self.code < FIRST_REFUSAL) & ~self.repeat

    @property
    def instructions(self) -> Bool:
        """Rows that are about a payment and move nothing themselves."""
        return self.kind > Kind.RETURN


@dataclass(slots=True)
class ControlRow:
    """A fresh command or confirmation of the log; `place`: its number in the log record."""

    log_offset: int
    place: int
    source: Source
    item: ControlItem


_Sparse = TypeVar("_Sparse", Links, References)

_COLUMNS: dict[str, type[np.generic]] = {
    "record": np.int32,
    "source": np.int32,
    "source_offset": np.int64,
    "item": np.int32,
    "debtor": np.int32,
    "creditor": np.int32,
    "asset": np.int32,
    "amount": np.int64,
    "decimals": np.uint8,
    "reject": np.uint8,
    "kind": np.uint8,
    "body_hash": np.uint64,
    "fresh": np.bool_,
}
_IN_PARTS = (*_COLUMNS, "id", "code", "repeat", "window")


class SaidOutcomes:
    """Outcomes of log records, in the order in which they were said: joined with the log by LogTable.rows."""

    def __init__(self) -> None:
        self.offsets = array("q")
        self.lengths = array("q")
        self.assets = Names()
        self.windows: tuple[array[int], array[int], array[int]] = (
            array("q"),
            array("i"),
            array("q"),
        )  # number of the record, asset, window
        self.codes = Column(np.uint8)
        self.repeats = Column(np.bool_)

    def append(self, said: Outcomes) -> None:
        record, asset, window = self.windows
        for name, number in said.windows.items():
            record.append(len(self.offsets))
            asset.append(self.assets.add(name))
            window.append(number)
        self.offsets.append(said.log_offset)
        self.lengths.append(len(said.codes))
        self.codes.append(said.codes)
        self.repeats.append(said.repeat)


@dataclass(slots=True)
class LogTable:
    """Collects the log's records; `rows()` joins them with the outcomes.

    covered: next offset expected of each source. gaps: where the log skips a part of a source (F14).
    offsets, lengths: of the log records that hold payments. log_offsets, times_ms: of all.
    reject_hashes: by (source number, offset, item) the hash of what could not be read, and its log offset.
    """

    netting_set: str
    participants: Names = field(default_factory=Names)
    assets: Names = field(default_factory=Names)
    sources: dict[Source, int] = field(default_factory=dict[Source, int])
    covered: dict[Source, int] = field(default_factory=dict[Source, int])
    gaps: list[str] = field(default_factory=list[str])
    offsets: list[int] = field(default_factory=list[int])
    lengths: list[int] = field(default_factory=list[int])
    control: list[ControlRow] = field(default_factory=list[ControlRow])
    reject_hashes: dict[tuple[int, int, int], tuple[str, int]] = field(
        default_factory=dict[tuple[int, int, int], tuple[str, int]]
    )
    log_offsets: list[int] = field(default_factory=list[int])
    times_ms: list[int] = field(default_factory=list[int])
    already_read: int = 0
    _columns: dict[str, Column] = field(
        default_factory=lambda: {
            **{name: Column(dtype) for name, dtype in _COLUMNS.items()},
            "id": Column(np.uint64, 2),
        }
    )
    _links: list[tuple[I64, Links]] = field(default_factory=list[tuple[I64, Links]])
    _references: list[tuple[I64, References]] = field(default_factory=list[tuple[I64, References]])
    _expiring: list[tuple[I64, I64]] = field(default_factory=list[tuple[I64, I64]])
    _rows: int = 0

    @property
    def records(self) -> int:
        return len(self.log_offsets)

    def add(self, record: LogRecord) -> None:
        """Take in the next record of the log."""
        self.log_offsets.append(record.offset)
        self.times_ms.append(record.time_ms)
        first_new = [self._read_span(record.offset, span) for span in record.sources]
        for place, item in enumerate(record.control):
            if item.offset >= first_new[item.source]:
                span = record.sources[item.source]
                source = (span.topic, span.partition)
                self.control.append(ControlRow(record.offset, place, source, item))
            else:
                self.already_read += 1
        if record.payments is not None:
            self._add_payments(record, first_new)

    def _read_span(self, offset: int, span: SourceSpan) -> int:
        """First offset of the span that is new; moves the mark of its source."""
        key = (span.topic, span.partition)
        mark = self.covered.get(key, 0)
        if span.start > mark:
            self.gaps.append(
                f"{span.topic}-{span.partition}: offsets {mark} to {span.start - 1} are missing "
                f"before log offset {offset}"
            )
        self.covered[key] = max(mark, span.end)
        return mark

    def _add_payments(self, record: LogRecord, first_new: list[int]) -> None:
        rows = record.payments
        assert rows is not None
        numbers = [
            self.sources.setdefault((span.topic, span.partition), len(self.sources))
            for span in record.sources
        ]
        source = np.array(numbers or [-1], np.int32)[rows.source]
        unread = rows.reject != 0
        fresh = rows.source_offset >= np.array(first_new or [0], np.int64)[rows.source]
        participants = _numbers(self.participants, rows.participants)
        values = {
            "record": np.full(len(rows), len(self.offsets), np.int32),
            "source": source,
            "source_offset": rows.source_offset,
            "item": rows.item,
            "debtor": np.where(unread, -1, participants[rows.debtor]),
            "creditor": np.where(unread, -1, participants[rows.creditor]),
            "asset": np.where(unread, -1, _numbers(self.assets, rows.assets)[rows.asset]),
            "amount": rows.amount,
            "decimals": rows.decimals,
            "reject": rows.reject,
            "kind": rows.kind,
            "body_hash": rows.body_hash,
            "fresh": fresh,
            "id": rows.id,
        }
        for name, column in values.items():
            self._columns[name].append(column)
        if rows.links is not None:
            self._links.append(self._sparse(rows.links, rows.links.legs > 0))
        if rows.references is not None:
            about = (rows.references.id[:, 0] | rows.references.id[:, 1]) != 0
            self._references.append(self._sparse(rows.references, about))
        if len(at := np.flatnonzero(rows.expires_at_ms)):
            self._expiring.append((at + self._rows, rows.expires_at_ms[at]))
        self._rows += len(rows)
        for row, reject in rows.rejects.items():
            if fresh[row]:
                place = (int(source[row]), int(rows.source_offset[row]), int(rows.item[row]))
                self.reject_hashes[place] = (reject.hash, record.offset)
        self.already_read += len(rows) - int(fresh.sum())
        self.offsets.append(record.offset)
        self.lengths.append(len(rows))

    def _sparse(self, columns: _Sparse, mask: Bool) -> tuple[I64, _Sparse]:
        """The rows of the log record under way that have such columns, numbered from the first of the log."""
        at = np.flatnonzero(mask)
        parts = {part.name: getattr(columns, part.name)[at] for part in fields(columns)}
        return at + self._rows, type(columns)(**parts)

    def rows(self, outcomes: SaidOutcomes) -> tuple[Rows, list[str]]:
        """All rows with what was said about them, and where log and outcomes do not fit each other.

        To be called once, at the end: the table lets its columns go.
        """
        columns: dict[str, Any] = {name: column.done() for name, column in self._columns.items()}
        self._columns = {}
        starts = np.cumsum([0, *self.lengths])
        linked, links = _joined(self._links, _NO_LINKS)
        referring, references = _joined(self._references, _NO_REFERENCES)
        rows = Rows(
            **columns,
            code=np.full(self._rows, NO_OUTCOME, np.uint8),
            repeat=np.zeros(self._rows, np.bool_),
            window=np.empty(0, np.int32),
            starts=starts,
            linked=linked,
            links=links,
            referring=referring,
            references=references,
            expiring=np.concatenate([_NO_ROWS, *(at for at, _ in self._expiring)]),
            expires_at_ms=np.concatenate([_NO_ROWS, *(ms for _, ms in self._expiring)]),
        )
        self._links, self._references, self._expiring = [], [], []
        record_of, problems = self._join(rows, outcomes)
        rows.window = self._windows(rows, outcomes, record_of)
        return rows, problems

    def _join(self, rows: Rows, outcomes: SaidOutcomes) -> tuple[I64, list[str]]:
        """Fill in codes and repeats. Of each record of outcomes, the log record it is about; -1: of none."""
        place = {offset: i for i, offset in enumerate(self.offsets)}
        codes, repeats = outcomes.codes.done(), outcomes.repeats.done()
        record_of = np.full(len(outcomes.offsets), -1, np.int64)
        said: set[int] = set()
        problems: list[str] = []
        end = 0
        for n, (offset, length) in enumerate(zip(outcomes.offsets, outcomes.lengths, strict=True)):
            first, end = end, end + length
            i = place.get(offset)
            if i is None:
                problems.append(f"outcomes for log offset {offset}, where no payments are")
                continue
            if i in said:
                problems.append(f"outcomes for log offset {offset} stand there twice")
            elif length != self.lengths[i]:
                problems.append(
                    f"{length} outcomes for the {self.lengths[i]} rows of log offset {offset}"
                )
            else:
                mine = slice(rows.starts[i], rows.starts[i + 1])
                rows.code[mine], rows.repeat[mine] = codes[first:end], repeats[first:end]
                record_of[n] = i
            said.add(i)
        problems += [
            f"no outcomes for the {self.lengths[i]} rows of log offset {offset}"
            for i, offset in enumerate(self.offsets)
            if i not in said
        ]
        return record_of, problems

    def _windows(self, rows: Rows, outcomes: SaidOutcomes, record_of: I64) -> I32:
        """Window of each accepted row: that of its (record, asset); 0 where none was said, and of all others."""
        record, asset, window = (np.array(column, np.int64) for column in outcomes.windows)
        width = max(len(self.assets.names), 1)
        numbers = np.array([self.assets.find(n) for n in outcomes.assets.names] or [-1], np.int64)
        known = (record_of[record] >= 0) & (numbers[asset] >= 0) if len(record) else record > 0
        keys = (
            record_of[record[known]] * width + numbers[asset[known]] if known.any() else record[:0]
        )
        order = np.argsort(keys, kind="stable")
        keys, window = keys[order], np.minimum(window[known][order], np.iinfo(np.int32).max)
        filled = Column(np.int32)
        for _, part in rows.parts():
            found = np.zeros(len(part), np.int32)
            accepted = np.flatnonzero(part.accepted)
            if len(keys) and len(accepted):
                wanted = part.record[accepted].astype(np.int64) * width + part.asset[accepted]
                at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
                found[accepted] = np.where(keys[at] == wanted, window[at], 0)
            filled.append(found)
        return filled.done()

    def labels(self, rows: Rows, chosen: I64 | I32 | Bool | slice) -> tuple[I64, list[str]]:
        """What the rows are counted under, as numbers, and their names: the asset, INSTRUCTIONS or PROBES."""
        probes = rows.debtor[chosen] == self.participants.find(PROBE)
        without_asset = len(self.assets.names) + probes.astype(np.int64)
        label = np.where(rows.instructions[chosen], without_asset, rows.asset[chosen])
        return label.astype(np.int64), [*self.assets.names, INSTRUCTIONS, PROBES]

    def log_offset(self, row: int, rows: Rows) -> int:
        return self.offsets[int(rows.record[row])]


def _numbers(names: Names, values: list[str]) -> I32:
    return np.array([names.add(value) for value in values] or [-1], np.int32)


_NO_ROWS = np.empty(0, np.int64)
_NO_WORDS, _NO_BYTES = np.empty((0, 2), np.uint64), np.empty(0, np.uint8)
_NO_LINKS = Links(_NO_WORDS, _NO_WORDS, _NO_BYTES, _NO_BYTES, _NO_BYTES)
_NO_REFERENCES = References(
    _NO_WORDS, np.empty(0, np.uint64), np.empty(0, np.int64), _NO_BYTES, _NO_BYTES
)


def _joined(parts: list[tuple[I64, _Sparse]], nothing: _Sparse) -> tuple[I64, _Sparse]:
    """Sparse columns of all log records, one after the other."""
    every = [nothing, *(columns for _, columns in parts)]
    return (
        np.concatenate([_NO_ROWS, *(rows for rows, _ in parts)]),
        type(nothing)(
            **{
                part.name: np.concatenate([getattr(columns, part.name) for columns in every])
                for part in fields(nothing)
            }
        ),
    )
