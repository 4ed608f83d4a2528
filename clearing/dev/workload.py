"""A seeded workload: what banks publish, as bytes, and in the same breath what has to become of each payment.

Nothing is read back from the engine: the Tally is worked out from the scheme alone, so that a run can be held
against it. The same scheme, seed and sizes give the same payments; ids, amounts and order come from NumPy.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np

from clearing.core.money import MAX_AMOUNT, parse, show
from clearing.core.registry import AssetKind
from clearing.dev.oddities import ODDITIES, Fields, Oddity, line_of
from clearing.scheme.calendars import business_days
from clearing.scheme.model import Account, Asset, NettingSet, Scheme

_EPOCH = date(1970, 1, 1)
_RECENT = 64  # lines a bank may send again
_PRIORITIES = np.array(["NORM"] * 14 + ["HIGH", "URGT"])


@dataclass(slots=True)
class Tally:
    """What was made, and what must become of it. One row is one payment: each item of a bulk, or a record
    that cannot be read. reasons: ISO codes of refused and rejected rows. accepted, nets: minor units."""

    records: int = 0
    rows: int = 0
    outcomes: Counter[str] = field(
        default_factory=Counter[str]
    )  # accepted refused rejected repeated
    reasons: Counter[str] = field(default_factory=Counter[str])
    accepted: Counter[str] = field(default_factory=Counter[str])  # by asset
    nets: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])

    def add(self, other: "Tally") -> None:
        self.records += other.records
        self.rows += other.rows
        for name in ("outcomes", "reasons", "accepted", "nets"):
            getattr(self, name).update(getattr(other, name))


class Mix(NamedTuple):
    """Shares of all rows: `odd` are wrong or repeated, `bulk` travel in records of `bulk_items`."""

    odd: float = 0.02
    bulk: float = 0.1
    bulk_items: int = 50


MIXED = Mix()
PLAIN = Mix(odd=0.0, bulk=0.0)


class _Line(NamedTuple):
    """One of a bank's accounts: what it may send of an asset, to whom."""

    asset: Asset
    value_date: str
    past_date: str
    creditors: list[str]
    largest: int  # of an ordinary payment, minor units
    headroom: int  # that its ordinary payments stay within, whatever the others do; minor units
    over: str  # an amount that no credits can ever cover
    over_reason: str


class Stream:
    """What one bank publishes to one netting set, in order. `tally` grows with what is taken."""

    def __init__(
        self,
        netting_set: str,
        bank: str,
        lines: list[_Line],
        mix: Mix,
        seed: Sequence[int],
        *,
        endless: bool = False,
    ) -> None:
        self.netting_set = netting_set
        self.bank = bank
        self.tally = Tally()
        self._lines = lines
        self._mix = mix
        self._endless = endless
        self._random = np.random.default_rng(list(seed))
        self._spent = [0] * len(lines)
        self._recent: list[tuple[int, Fields]] = []  # (units, fields) of accepted rows

    @property
    def value_dates(self) -> dict[str, str]:
        """The date that payments of each asset carry."""
        return {line.asset.spec.id: line.value_date for line in self._lines}

    def take(self, rows: int) -> list[bytes]:
        """The values of the next records, `rows` rows in all."""
        drawn = self._draw(rows)
        odd = self._random.random(rows) < self._mix.odd
        which = self._random.integers(0, len(ODDITIES), rows).tolist()
        values: list[bytes] = []
        for start, bulk in self._blocks(rows):
            end = min(start + self._mix.bulk_items, rows) if self._mix.bulk_items else rows
            made: list[tuple[bytes, int, int]] = []
            for row in range(start, end):
                oddity = ODDITIES[which[row]] if odd[row] else None
                if oddity is not None and bulk and not oddity.in_bulk:
                    oddity = None
                made.append(self._row(drawn, row, oddity))
            if bulk:
                values.append(self._bulk(made))
            else:
                values += [value for value, _, _ in made]
        self.tally.records += len(values)
        self.tally.rows += rows
        return values

    def _blocks(self, rows: int) -> list[tuple[int, bool]]:
        """(first row, is a bulk) of each block of rows; a short last block is none."""
        size = self._mix.bulk_items
        starts = range(0, rows, size)
        bulks = self._random.random(len(starts)) < self._mix.bulk
        return [(s, bool(b) and s + size <= rows) for s, b in zip(starts, bulks, strict=True)]

    def _draw(self, rows: int) -> "_Drawn":
        """Everything that chance decides about `rows` payments, in columns."""
        random = self._random
        line = random.integers(0, len(self._lines), rows)
        creditors = np.array([len(of.creditors) for of in self._lines])
        largest = np.array([of.largest for of in self._lines])
        digits = random.bytes(16 * rows).hex()
        return _Drawn(
            line=line.tolist(),
            creditor=random.integers(0, creditors[line]).tolist(),
            units=random.integers(1, largest[line] + 1).tolist(),
            priority=_PRIORITIES[random.integers(0, len(_PRIORITIES), rows)].tolist(),
            token=(random.integers(0, 2, rows) == 1).tolist(),
            digits=digits,
        )

    def _row(self, drawn: "_Drawn", row: int, oddity: Oddity | None) -> tuple[bytes, int, int]:
        """(record value, minor units it says, scale) of one row; counts what must become of it."""
        number = drawn.line[row]
        line = self._lines[number]
        spec = line.asset.spec
        creditor = line.creditors[drawn.creditor[row]]
        units = drawn.units[row]
        if not self._endless:
            units = min(units, line.headroom - self._spent[number])
            assert units > 0, f"{self.bank} has no headroom in {spec.id} for so many payments"
        digits = drawn.digits[32 * row : 32 * row + 32]
        fields = Fields(
            id=f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}",
            debtor=self.bank,
            creditor=creditor,
            asset=spec.id,
            amount=show(units, spec.scale),
            value_date=line.value_date,
            end_to_end_id=f"{self.bank[:8]}-{self.tally.rows + row}",
            priority=drawn.priority[row],
            chain_reference=f"eip155:1:0x{digits}{digits}:0"
            if drawn.token[row] and spec.kind is not AssetKind.CASH
            else "",
        )
        if oddity is None or (oddity.of_earlier and not self._recent):
            self._accept(number, creditor, units, fields)
            return line_of(fields), units, spec.scale
        if oddity.of_earlier:
            units, fields = self._recent[row % len(self._recent)]
        return self._odd(line, fields, units, oddity)

    def _accept(self, number: int, creditor: str, units: int, fields: Fields) -> None:
        asset, tally = fields.asset, self.tally
        self._spent[number] += units
        tally.outcomes["accepted"] += 1
        tally.accepted[asset] += units
        tally.nets[self.bank, asset] -= units
        tally.nets[creditor, asset] += units
        if len(self._recent) < _RECENT:
            self._recent.append((units, fields))
        else:
            self._recent[tally.outcomes["accepted"] % _RECENT] = (units, fields)

    def _odd(
        self, line: _Line, fields: Fields, units: int, oddity: Oddity
    ) -> tuple[bytes, int, int]:
        scale = line.asset.spec.scale
        reason = oddity.reason
        if oddity.over_limit:
            fields, reason = fields._replace(amount=line.over), line.over_reason
            units = parse(line.over, scale) or 0
        if oddity.past:
            fields = fields._replace(value_date=line.past_date)
        self.tally.outcomes[oddity.outcome] += 1
        if reason:
            self.tally.reasons[reason] += 1
        return oddity.make(fields), units, scale

    def _bulk(self, made: list[tuple[bytes, int, int]]) -> bytes:
        scale = max(scale for _, _, scale in made)
        total = sum(units * 10 ** (scale - s) for _, units, s in made)
        identity = self._random.bytes(16).hex()
        return (
            (
                f'{{"type":"bulk","id":"{identity[:8]}-{identity[8:12]}-4{identity[13:16]}-b{identity[17:20]}'
                f'-{identity[20:]}","count":{len(made)},"control_sum":"{show(total, scale)}","items":['
            ).encode()
            + b",".join(value for value, _, _ in made)
            + b"]}"
        )


class _Drawn(NamedTuple):
    line: list[int]
    creditor: list[int]
    units: list[int]
    priority: list[str]
    token: list[bool]
    digits: str  # 32 hex digits a row


def streams(
    scheme: Scheme,
    *,
    payments: int,
    seed: int,
    mix: Mix = MIXED,
    today: date | None = None,
    endless: bool = False,
) -> list[Stream]:
    """One stream for each bank and netting set it is in.

    `payments` is how many rows are to be taken of all streams together: amounts are made so small that the
    limits hold for that many whatever the order in which the banks' topics are read. endless: more may be taken,
    but then a limit may be hit now and then, and the tally is no plan any more.
    """
    day = today or datetime.now(UTC).date()
    made: list[Stream] = []
    for netting_set, banks in scheme.members.items():
        accounts = scheme.accounts_of(netting_set)
        for number, bank in enumerate(banks):
            lines = [
                line
                for account in accounts
                if account.participant == bank
                and (line := _line(scheme, account, accounts, payments, day)) is not None
            ]
            if lines:
                where = (len(made), number)
                made.append(Stream(netting_set, bank, lines, mix, (seed, *where), endless=endless))
    return made


def _line(
    scheme: Scheme, account: Account, accounts: list[Account], payments: int, today: date
) -> _Line | None:
    asset = scheme.assets[account.asset]
    scale = asset.spec.scale
    holders = [a for a in accounts if a.asset == account.asset]
    creditors = [a.participant for a in holders if a.participant != account.participant]
    headroom = _headroom(account, scale)
    if not creditors or headroom < 2 * payments // len(accounts):
        return None
    maximum = parse(asset.spec.max_amount, scale) if asset.spec.max_amount else MAX_AMOUNT
    assert maximum is not None, "a scheme's amounts are checked when it is read"
    over = sum(_headroom(holder, scale) for holder in holders) + 1
    capped = parse(account.net_debit_cap, scale) != 0
    day = _value_date(scheme.netting_sets[asset.netting_set], asset, today)
    # Twice the even share: streams of banks that send more than others stay within it too.
    share = max(1, 2 * payments // len(accounts))
    return _Line(
        asset=asset,
        value_date=day.isoformat(),
        past_date=(day - timedelta(days=500)).isoformat(),
        creditors=creditors,
        largest=max(1, min(maximum, headroom // share)),
        headroom=headroom,
        over=show(min(over, MAX_AMOUNT), scale),
        over_reason="AM02" if over > maximum else "AM23" if capped else "AM04",
    )


def _headroom(account: Account, scale: int) -> int:
    prefunded, cap = parse(account.prefunded, scale), parse(account.net_debit_cap, scale)
    assert prefunded is not None
    assert cap is not None
    return prefunded + cap


def _value_date(netting_set: NettingSet, asset: Asset, today: date) -> date:
    """The last date that is good today: so a run over midnight stays good."""
    ahead = asset.spec.value_days_ahead
    if netting_set.calendar is None:
        return today + timedelta(days=ahead)
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    days = business_days(netting_set.calendar, today, ahead + 14)
    current = [day.date for day in days if day.opens_at_ms <= now_ms][-1]
    last = max(day.date for day in days if current <= day.date <= current + ahead)
    return _EPOCH + timedelta(days=last)
