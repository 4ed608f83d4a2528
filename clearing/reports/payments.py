"""What became of the payments of a day, by participant and asset: rows of the log with their outcomes, resolutions.

Pure. A log record is folded by its columns, not by its rows. In memory: participants × assets, and for what waits
when it entered.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from clearing.core.inputs import I64, Bool, Kind, PaymentRows, SourceSpan
from clearing.core.money import parse, show
from clearing.core.outputs import Outcomes, Resolution, Resolutions
from clearing.core.reasons import FIRST_REFUSAL, FIRST_REJECT, Code
from clearing.names import PROBE, owner_of
from clearing.reports.model import ReasonKind
from clearing.verify.sums import VALUE_SCALE, group_sums, show_value

Account = tuple[str, str]  # participant, asset


@dataclass(slots=True)
class Sum:
    """number: of payments; value: at VALUE_SCALE."""

    number: int = 0
    value: int = 0

    def add(self, number: int, value: int) -> None:
        self.number += number
        self.value += value


@dataclass(slots=True)
class Tally:
    """Of one account; the names are those of AccountDay."""

    sent: Sum = field(default_factory=Sum)
    received: Sum = field(default_factory=Sum)
    taken_out_sent: Sum = field(default_factory=Sum)
    taken_out_received: Sum = field(default_factory=Sum)
    queued: Sum = field(default_factory=Sum)
    released: Sum = field(default_factory=Sum)
    ended: Sum = field(default_factory=Sum)
    waiting: Sum = field(default_factory=Sum)
    refused: int = 0
    unreadable: int = 0
    repeated: int = 0
    instructions: int = 0
    longest_wait_ms: int | None = None

    def waited(self, wait_ms: int) -> None:
        self.longest_wait_ms = max(wait_ms, self.longest_wait_ms or 0)


class Reason(NamedTuple):
    participant: str
    asset: str
    kind: ReasonKind
    code: int


class Waiting(NamedTuple):
    """A payment that waits at the end of the day; entered_ms: None if that is not known."""

    debtor: str
    asset: str
    value: int  # at VALUE_SCALE
    entered_ms: int | None


class TakenOut(NamedTuple):
    """What a recast took out of a window, all together (R25)."""

    log_offset: int
    time_ms: int
    asset: str
    window: int


@dataclass(slots=True)
class _Entered:
    time_ms: int
    waiting: int  # of its rows that went into the queue, those that are still there


class Payments:
    """assets: those that are cleared; other names are what somebody wrote, and are counted together, as "".

    The probe's messages (ops/adr/0019-probe.md) are nobody's payments and are left out.
    """

    def __init__(self, assets: Container[str]) -> None:
        self.tallies: defaultdict[Account, Tally] = defaultdict(Tally)
        self.reasons: defaultdict[Reason, Sum] = defaultdict(Sum)
        self.taken_out: defaultdict[TakenOut, Sum] = defaultdict(Sum)
        self.entered_ms: dict[int, int] = {}  # of what entered before the day, by log offset
        self.unknown_waits = 0
        self._assets = assets
        self._entered: dict[int, _Entered] = {}

    # --- rows -------------------------------------------------------------------------------------

    def take_rows(self, rows: PaymentRows, sources: list[SourceSpan], said: Outcomes) -> None:
        """The rows of one log record and what became of them.

        Plain meaning: each row that was not read before counts once, as what `codes` says: accepted rows for debtor
        and creditor, all others for the owner of the topic they came from.
        """
        owners = [owner_of(span.topic) for span in sources]
        codes = said.codes.astype(np.int64)
        fresh = codes != Code.ALREADY_READ
        if PROBE in owners:
            fresh &= np.array([name != PROBE for name in owners])[rows.source]
        self._count(owners, rows.source[fresh & said.repeat], "repeated")
        fresh &= ~said.repeat
        unread = fresh & (codes >= FIRST_REJECT) & (codes < FIRST_REFUSAL)
        about = fresh & ~unread & (rows.kind > Kind.RETURN)
        moves = fresh & ~unread & ~about
        self._count(owners, rows.source[unread], "unreadable")
        self._count(owners, rows.source[about], "instructions")
        for code, owner in _pairs(codes, rows.source, unread):
            self.reasons[Reason(owners[owner], "", "unreadable", code)].number += 1
        columns = _Columns(rows, self._assets)
        self._accept(columns, moves & (codes == Code.ACCEPTED))
        self._queue(columns, owners, moves & (codes == Code.QUEUED), said)
        refused = moves & (codes >= FIRST_REFUSAL)
        for owner, asset, code, number, value in columns.sums(rows.source, refused, codes):
            self.tallies[owners[owner], asset].refused += number
            self.reasons[Reason(owners[owner], asset, "refused", code)].add(number, value)

    def _count(self, owners: list[str], source: np.ndarray, name: str) -> None:
        for number, count in enumerate(np.bincount(source).tolist()):
            if count:
                tally = self.tallies[owners[number], ""]
                setattr(tally, name, getattr(tally, name) + count)

    def _accept(self, columns: "_Columns", which: Bool) -> None:
        names = columns.rows.participants
        for debtor, asset, _, number, value in columns.sums(columns.rows.debtor, which):
            self.tallies[names[debtor], asset].sent.add(number, value)
        for creditor, asset, _, number, value in columns.sums(columns.rows.creditor, which):
            self.tallies[names[creditor], asset].received.add(number, value)

    def _queue(self, columns: "_Columns", owners: list[str], which: Bool, said: Outcomes) -> None:
        for owner, asset, _, number, value in columns.sums(columns.rows.source, which):
            self.tallies[owners[owner], asset].queued.add(number, value)
        if waiting := int(which.sum()):
            self._entered[said.log_offset] = _Entered(said.time_ms, waiting)

    # --- what became of those that waited ---------------------------------------------------------

    def unknown_entries(self, said: Resolutions) -> set[int]:
        """Log offsets that were before the day: when they entered is to be told by `entered_ms`."""
        return {
            item.log_offset
            for item in said.items
            if item.row >= 0 and item.log_offset not in self._entered
        } - self.entered_ms.keys()

    def take_resolutions(self, said: Resolutions) -> None:
        """What one log record did to payments of earlier ones."""
        for item in said.items:
            value = parse(item.amount, VALUE_SCALE)
            assert value is not None, f"the engine wrote the amount {item.amount!r}"
            debtor = self.tallies[item.debtor, item.asset]
            creditor = self.tallies[item.creditor, item.asset]
            if item.code == Code.RECAST:
                debtor.taken_out_sent.add(1, value)
                creditor.taken_out_received.add(1, value)
                place = TakenOut(said.log_offset, said.time_ms, item.asset, item.window)
                self.taken_out[place].add(1, value)
                continue
            if item.code == Code.ACCEPTED:
                debtor.released.add(1, value)
                debtor.sent.add(1, value)
                creditor.received.add(1, value)
            else:
                debtor.ended.add(1, value)
                self.reasons[Reason(item.debtor, item.asset, "ended", item.code)].add(1, value)
            self._leave(item, said.time_ms, debtor)

    def _leave(self, item: Resolution, time_ms: int, debtor: Tally) -> None:
        """How long it has waited. What is delivered in part goes on waiting (R22)."""
        entered = self._entered.get(item.log_offset)
        entered_ms = entered.time_ms if entered else self.entered_ms.get(item.log_offset)
        if entered_ms is None:
            self.unknown_waits += 1
        else:
            debtor.waited(time_ms - entered_ms)
        if entered is not None and item.how != "PARTIAL":
            entered.waiting -= 1
            if not entered.waiting:
                del self._entered[item.log_offset]

    def take_waiting(self, waiting: Iterable[Waiting], now_ms: int) -> None:
        """What waits at the end of the day, or now if that is not over yet."""
        for one in waiting:
            tally = self.tallies[one.debtor, one.asset]
            tally.waiting.add(1, one.value)
            if one.entered_ms is None:
                self.unknown_waits += 1
            else:
                tally.waited(now_ms - one.entered_ms)


class _Columns:
    """Rows of a log record with their assets by the names under which they are counted."""

    def __init__(self, rows: PaymentRows, assets: Container[str]) -> None:
        self.rows = rows
        self.assets = [name if name in assets else "" for name in rows.assets]

    def sums(
        self, who: np.ndarray, which: Bool, codes: I64 | None = None
    ) -> Iterator[tuple[int, str, int, int, int]]:
        """(who, asset, code, number, value at VALUE_SCALE) of the rows that `which` names; exact."""
        at = np.flatnonzero(which)
        if not len(at):
            return
        rows, width = self.rows, max(len(self.assets), 1)
        keys = who[at].astype(np.int64) * width + rows.asset[at]
        keys = keys * 256 + (codes[at] if codes is not None else 0)
        keys = keys * 32 + rows.decimals[at]
        distinct, totals, counts = group_sums(keys, rows.amount[at])
        for key, total, count in zip(distinct.tolist(), totals, counts.tolist(), strict=True):
            rest, decimals = divmod(key, 32)
            rest, code = divmod(rest, 256)
            number, asset = divmod(rest, width)
            yield number, self.assets[asset], code, count, total * 10 ** (VALUE_SCALE - decimals)


def _pairs(codes: I64, source: np.ndarray, which: Bool) -> Iterator[tuple[int, int]]:
    """(code, source) of each of these rows."""
    return zip(codes[which].tolist(), source[which].tolist(), strict=True)


def money(value: int, asset: str, scales: Mapping[str, int]) -> str | None:
    """A value at VALUE_SCALE as a decimal string at the scale of its asset; None where it does not fit.

    Of an asset whose scale nobody has said: without the zeros nobody wrote.
    """
    if asset not in scales:
        return show_value(value) if asset else None
    units, rest = divmod(value, 10 ** (VALUE_SCALE - scales[asset]))
    return None if rest else show(units, scales[asset])
