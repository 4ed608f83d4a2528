"""A seeded workload: what banks publish, as bytes, and in the same breath what has to become of each message.

Nothing is read back from the engine: the Tally is worked out from the scheme alone, so that a run can be held
against it. The same scheme, seed and sizes give the same messages; ids, amounts and order come from NumPy.
"""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np

from clearing.core.money import parse, show
from clearing.core.registry import AssetKind
from clearing.dev.dealings import Dealings, Stuck
from clearing.dev.lines import Line, lines_of, share_out
from clearing.dev.oddities import ODDITIES, Oddity
from clearing.dev.records import Fields, line_of, stream_of
from clearing.dev.tally import Tally
from clearing.scheme.model import Scheme

_RECENT = 64  # lines a bank may send again
_PRIORITIES = np.array(["NORM"] * 14 + ["HIGH", "URGT"])


class Mix(NamedTuple):
    """Shares of the rows a bank draws: `odd` are wrong or repeated, `bulk` travel in records of `bulk_items`.

    The others bring further messages with them, see clearing.dev.dealings. ring: of assets with a FIFO queue.
    stuck: of those that let others pass, and of all with a queue if there is no ring. returned, recalled: need a
    bank that listens. stream_every: one bulk in so many travels as columns; 0: none.
    """

    odd: float = 0.02
    stuck: float = 0.001
    ring: float = 0.0005
    trade: float = 0.01
    returned: float = 0.002
    recalled: float = 0.001
    bulk: float = 0.1
    bulk_items: int = 50
    stream_every: int = 3


_KINDS = ("odd", "stuck", "ring", "trade", "returned", "recalled")
MIXED = Mix()
SIMPLE = Mix(stuck=0, ring=0, trade=0, returned=0, recalled=0)  # one message a payment
PLAIN = SIMPLE._replace(odd=0.0, bulk=0.0)


class Stream:
    """What one bank publishes to one netting set, in order. `tally` grows with what is planned.

    taken: rows handed out. due: messages that wait for something the bank has to hear. stuck: by asset.
    """

    def __init__(
        self,
        netting_set: str,
        bank: str,
        lines: list[Line],
        mix: Mix,
        seed: Sequence[int],
        dealings: Dealings,
        *,
        endless: bool = False,
    ) -> None:
        self.netting_set = netting_set
        self.bank = bank
        self.lines = lines
        self.tally = Tally()
        self.taken = 0
        self.due = 0
        self.stuck: dict[str, Stuck] = {}
        self.dealings = dealings
        self._owed: deque[bytes] = deque()
        self._bulks = 0
        self.mix = mix
        self._bounds = np.cumsum([getattr(mix, kind) for kind in _KINDS])
        self._endless = endless
        self._random = np.random.default_rng(list(seed))
        weights = np.array([line.weight for line in lines])
        self._weights = np.cumsum(weights / weights.sum())
        self._recent: list[tuple[int, Fields]] = []  # (units, fields) of accepted rows

    @property
    def value_dates(self) -> dict[str, str]:
        """The date that payments of each asset carry."""
        return {line.asset.spec.id: line.value_date for line in self.lines}

    @property
    def owes(self) -> bool:
        """Whether there is something to send although nothing more is drawn."""
        return bool(self._owed)

    def owe(self, *records: bytes) -> None:
        """Records of one row each that are to be sent with the next ones."""
        self._owed.extend(records)

    def new_id(self) -> str:
        return id_of(self._random.bytes(16).hex())

    def take(self, rows: int) -> list[bytes]:
        """The values of the next records: what is owed, then `rows` rows that are drawn."""
        self._unstick(self.taken)
        values = list(self._owed)
        self._owed.clear()
        made = len(values) + rows
        values += self._drawn(rows)
        self.tally.records += len(values)
        self.tally.rows += made
        self.taken += made
        return values

    def finish(self) -> None:
        """No rows are drawn for now: what is stuck is taken back."""
        self._unstick(None)

    def pay(self, line: Line, fields: Fields, units: int) -> None:
        """An ordinary payment: planned, and remembered to be sent again."""
        line.spend(fields.creditor, units)
        self.tally.accept(self.bank, fields.creditor, fields.asset, units)
        if len(self._recent) < _RECENT:
            self._recent.append((units, fields))
        else:
            self._recent[self.tally.outcomes["accepted"] % _RECENT] = (units, fields)

    def _unstick(self, by_rows: int | None) -> None:
        for asset, (fields, until_rows) in list(self.stuck.items()):
            if by_rows is None or until_rows <= by_rows:
                del self.stuck[asset]
                self.owe(*self.dealings.unstick(self, fields))

    def _drawn(self, rows: int) -> list[bytes]:
        drawn = self._draw(rows)
        values: list[bytes] = []
        for start, bulk in self._blocks(rows):
            end = min(start + self.mix.bulk_items, rows) if self.mix.bulk_items else rows
            made = [self._row(drawn, row, in_bulk=bulk) for row in range(start, end)]
            if bulk:
                values.append(self._bulk(made))
            else:
                values += [value for value, _, _ in made]
        return values

    def _blocks(self, rows: int) -> list[tuple[int, bool]]:
        """(first row, is a bulk) of each block of rows; a short last block is none."""
        size = self.mix.bulk_items or max(1, rows)
        starts = range(0, rows, size)
        bulks = self._random.random(len(starts)) < self.mix.bulk
        return [(s, bool(b) and s + size <= rows) for s, b in zip(starts, bulks, strict=True)]

    def _draw(self, rows: int) -> "_Drawn":
        """Everything that chance decides about `rows` payments, in columns."""
        random = self._random
        line = np.searchsorted(self._weights[:-1], random.random(rows), side="right")
        creditors = np.array([len(of.creditors) for of in self.lines])
        largest = np.array([of.largest for of in self.lines])
        digits = random.bytes(16 * rows).hex()
        return _Drawn(
            line=line.tolist(),
            creditor=random.integers(0, creditors[line]).tolist(),
            units=random.integers(1, largest[line] + 1).tolist(),
            priority=_PRIORITIES[random.integers(0, len(_PRIORITIES), rows)].tolist(),
            token=(random.integers(0, 2, rows) == 1).tolist(),
            kind=np.searchsorted(self._bounds, random.random(rows), side="right").tolist(),
            oddity=random.integers(0, len(ODDITIES), rows).tolist(),
            digits=digits,
        )

    def _row(self, drawn: "_Drawn", row: int, *, in_bulk: bool) -> tuple[bytes, int, int]:
        """(record value, minor units it says, scale) of one row; counts what must become of it."""
        line = self.lines[drawn.line[row]]
        spec = line.asset.spec
        creditor = line.creditors[drawn.creditor[row]]
        units = drawn.units[row]
        if not self._endless:
            creditor, units = line.payable(creditor, units)
            assert units > 0, f"{self.bank} has no headroom in {spec.id} for so many payments"
        digits = drawn.digits[32 * row : 32 * row + 32]
        fields = Fields(
            id=id_of(digits),
            debtor=self.bank,
            creditor=creditor,
            asset=spec.id,
            amount=show(units, spec.scale),
            value_date=line.value_date,
            end_to_end_id=f"{self.bank[:8]}-{self.taken + row}",
            priority=drawn.priority[row],
            chain_reference=f"eip155:1:0x{digits}{digits}:0"
            if drawn.token[row] and spec.kind is not AssetKind.CASH
            else "",
        )
        kind = drawn.kind[row]
        if kind < len(_KINDS):
            oddity = ODDITIES[drawn.oddity[row]] if kind == 0 else None
            if oddity is not None and self._applies(oddity, line, in_bulk=in_bulk):
                return self._odd(line, fields, units, oddity, row)
            if oddity is None and not in_bulk:
                made = self.dealings.make(_KINDS[kind], self, line, fields, units)
                if made is not None:
                    return made, units, spec.scale
        self.pay(line, fields, units)
        return line_of(fields), units, spec.scale

    def _applies(self, oddity: Oddity, line: Line, *, in_bulk: bool) -> bool:
        if oddity.oversized and not line.oversized[1]:
            return False
        return (oddity.in_bulk or not in_bulk) and (bool(self._recent) or not oddity.of_earlier)

    def _odd(
        self, line: Line, fields: Fields, units: int, oddity: Oddity, row: int
    ) -> tuple[bytes, int, int]:
        scale = line.asset.spec.scale
        reason = oddity.reason
        if oddity.of_earlier:
            units, fields = self._recent[row % len(self._recent)]
        if oddity.oversized:
            amount, reason = line.oversized
            fields, units = fields._replace(amount=amount), parse(amount, scale) or 0
        if oddity.past:
            fields = fields._replace(value_date=line.past_date)
        self.tally.end(oddity.outcome, reason)
        return oddity.make(fields), units, scale

    def _bulk(self, made: list[tuple[bytes, int, int]]) -> bytes:
        scale = max(scale for _, _, scale in made)
        total = sum(units * 10 ** (scale - s) for _, units, s in made)
        envelope = (
            f'{{"type":"bulk","id":"{self.new_id()}","count":{len(made)},'
            f'"control_sum":"{show(total, scale)}"'
        ).encode()
        items = [value for value, _, _ in made]
        self._bulks += 1
        if self.mix.stream_every and self._bulks % self.mix.stream_every == 0:
            return stream_of(envelope + b"}", items)
        return envelope + b',"items":[' + b",".join(items) + b"]}"


class _Drawn(NamedTuple):
    line: list[int]
    creditor: list[int]
    units: list[int]
    priority: list[str]
    token: list[bool]
    kind: list[int]
    oddity: list[int]
    digits: str  # 32 hex digits a row


def id_of(digits: str) -> str:
    """A UUIDv4 of 32 hex digits."""
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def streams(
    scheme: Scheme,
    *,
    payments: int,
    seed: int,
    mix: Mix = MIXED,
    today: date | None = None,
    endless: bool = False,
    without: frozenset[str] = frozenset(),
    apart: frozenset[str] = frozenset(),
) -> list[Stream]:
    """One stream for each bank and netting set it is in.

    `payments` is how many rows are to be drawn of all streams together: amounts are made so small that the
    limits hold for that many whatever the order in which the banks' topics are read. endless: more may be taken,
    but then a limit may be hit now and then, and the tally is no plan any more. without: banks that have no part
    in it. apart: assets in which there are ordinary payments only.
    """
    day = today or datetime.now(UTC).date()
    of_banks = {
        (netting_set, bank): lines
        for netting_set in scheme.members
        for bank, lines in lines_of(scheme, netting_set, day, without).items()
    }
    rows = 4 / 3 * payments / max(1, len(of_banks))  # what the busiest bank sends, see banks.split
    made: list[Stream] = []
    dealings = {name: Dealings(scheme.pairs_of(name), apart) for name in scheme.members}
    for (netting_set, bank), lines in of_banks.items():
        if enough := share_out(lines, rows):
            stream = Stream(
                netting_set,
                bank,
                enough,
                mix,
                (seed, len(made), scheme.members[netting_set].index(bank)),
                dealings[netting_set],
                endless=endless,
            )
            dealings[netting_set].streams[bank] = stream
            made.append(stream)
    return made
