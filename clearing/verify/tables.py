"""The log × outcomes of one netting set as columns: one row per payment, what it says and what became of it.

Built from the log's and the outcomes' records by `LogTable`; the checks read `Rows`. About 80 bytes a payment.
Which rows were read before is worked out here again from the source spans, without asking the engine.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clearing.core.inputs import I32, I64, U8, U64, Bool, ControlItem, LogRecord, SourceSpan
from clearing.core.outputs import Outcomes
from clearing.core.reasons import FIRST_REFUSAL, FIRST_REJECT, Code

NO_OUTCOME = 255  # code of a row nothing was said about

Source = tuple[str, int]  # topic, partition


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
    window: of accepted rows, else 0. record: index into LogTable.offsets.
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
    fresh: Bool
    code: U8
    repeat: Bool
    window: I64

    def __len__(self) -> int:
        return len(self.amount)

    @property
    def accepted(self) -> Bool:
        """Rows that changed a position: fresh, accepted, and not the repeat of an earlier row."""
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


@dataclass(slots=True)
class ControlRow:
    """A fresh command or confirmation of the log."""

    log_offset: int
    source: Source
    item: ControlItem


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
    "body_hash": np.uint64,
    "fresh": np.bool_,
}


@dataclass(slots=True)
class LogTable:
    """Collects the log's records; `rows()` joins them with the outcomes.

    covered: next offset expected of each source. gaps: where the log skips a part of a source (F14).
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
    records: int = 0
    already_read: int = 0
    _columns: dict[str, list[np.ndarray]] = field(
        default_factory=lambda: {name: [] for name in (*_COLUMNS, "id")}
    )

    def add(self, record: LogRecord) -> None:
        """Take in the next record of the log."""
        self.records += 1
        first_new = [self._read_span(record.offset, span) for span in record.sources]
        for item in record.control:
            if item.offset >= first_new[item.source]:
                span = record.sources[item.source]
                self.control.append(ControlRow(record.offset, (span.topic, span.partition), item))
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
            "body_hash": rows.body_hash,
            "fresh": fresh,
        }
        for name, dtype in _COLUMNS.items():
            self._columns[name].append(np.array(values[name], dtype))
        self._columns["id"].append(np.array(rows.id, np.uint64))
        for row, reject in rows.rejects.items():
            if fresh[row]:
                place = (int(source[row]), int(rows.source_offset[row]), int(rows.item[row]))
                self.reject_hashes[place] = (reject.hash, record.offset)
        self.already_read += len(rows) - int(fresh.sum())
        self.offsets.append(record.offset)
        self.lengths.append(len(rows))

    def rows(self, outcomes: list[Outcomes]) -> tuple[Rows, list[str]]:
        """All rows with what was said about them, and where log and outcomes do not fit each other.

        To be called once, at the end: the table lets its columns go.
        """
        columns: dict[str, Any] = {
            name: np.concatenate([np.empty(0, dtype), *self._columns.pop(name)])
            for name, dtype in _COLUMNS.items()
        }
        ids = np.concatenate([np.empty((0, 2), np.uint64), *self._columns.pop("id")])
        n = len(ids)
        code, repeat = np.full(n, NO_OUTCOME, np.uint8), np.zeros(n, np.bool_)
        starts = np.cumsum([0, *self.lengths])
        place = {offset: i for i, offset in enumerate(self.offsets)}
        said: set[int] = set()
        windows: list[tuple[int, int, int]] = []
        problems: list[str] = []
        for outcome in outcomes:
            i = place.get(outcome.log_offset)
            if i is None:
                problems.append(
                    f"outcomes for log offset {outcome.log_offset}, where no payments are"
                )
            elif i in said:
                problems.append(f"outcomes for log offset {outcome.log_offset} stand there twice")
            elif len(outcome.codes) != self.lengths[i]:
                problems.append(
                    f"{len(outcome.codes)} outcomes for the {self.lengths[i]} rows "
                    f"of log offset {outcome.log_offset}"
                )
            else:
                code[starts[i] : starts[i + 1]] = outcome.codes
                repeat[starts[i] : starts[i + 1]] = outcome.repeat
                windows += [(i, self.assets.find(a), w) for a, w in outcome.windows.items()]
            if i is not None:
                said.add(i)
        problems += [
            f"no outcomes for the {self.lengths[i]} rows of log offset {offset}"
            for i, offset in enumerate(self.offsets)
            if i not in said
        ]
        rows = Rows(**columns, id=ids, code=code, repeat=repeat, window=np.zeros(n, np.int64))
        _fill_windows(rows, windows, len(self.assets.names))
        return rows, problems

    def log_offset(self, row: int, rows: Rows) -> int:
        return self.offsets[int(rows.record[row])]


def _numbers(names: Names, values: list[str]) -> I32:
    return np.array([names.add(value) for value in values] or [-1], np.int32)


def _fill_windows(rows: Rows, windows: list[tuple[int, int, int]], width: int) -> None:
    """Window of each accepted row: that of its (record, asset); it stays 0 where none was said."""
    accepted = np.flatnonzero(rows.accepted)
    if not len(accepted) or not windows:
        return
    triples = np.array(sorted(windows), np.int64)
    keys = triples[:, 0] * width + triples[:, 1]
    wanted = rows.record[accepted].astype(np.int64) * width + rows.asset[accepted]
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    rows.window[accepted] = np.where(keys[at] == wanted, triples[at, 2], 0)
