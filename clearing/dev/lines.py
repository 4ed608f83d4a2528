"""What a bank may send of an asset so that it is known beforehand what becomes of it, from the scheme alone.

Its ordinary payments stay within a budget that holds whatever the others do and in whatever order topics are
read; and for each asset there are amounts that no credits can ever cover.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from clearing.core.money import MAX_AMOUNT, parse, show
from clearing.core.registry import AtCutoff, Delay, Granularity, QueuePolicy, SettlementModel
from clearing.scheme.calendars import business_days
from clearing.scheme.model import Account, Asset, NettingSet, Scheme

_EPOCH = date(1970, 1, 1)
_KEPT_BACK = (
    10  # of each account one part in so many is left to what is not drawn by chance: scenes
)
# How often a bank pays in an asset, against one that is netted: each of these payments is two postings of its own,
# and what is settled at once makes every log record it is in a batch.
_GROSS_WEIGHT, _IMMEDIATE_WEIGHT = 0.1, 0.02


@dataclass(slots=True)
class Line:
    """One account of a bank; amounts in minor units.

    left: what its payments may still take; limits: the same towards counterparties with a bilateral limit.
    weight: how often it pays in this asset. largest: of an ordinary payment; see `share_out`. beyond: more than it
    can ever pay, credits included. oversized: (amount, ISO reason) of a payment refused for its size, ("", "") if
    none is.
    """

    bank: str
    asset: Asset
    value_date: str
    past_date: str
    creditors: list[str]
    left: int
    limits: dict[str, int]
    maximum: int
    beyond: int
    oversized: tuple[str, str]
    weight: float
    largest: int = 0

    @property
    def queues(self) -> bool:
        return self.asset.spec.queue is not QueuePolicy.NONE

    @property
    def is_fifo(self) -> bool:
        return self.asset.spec.queue is QueuePolicy.FIFO

    @property
    def can_wait(self) -> bool:
        """Whether a payment of `beyond` waits."""
        return self.queues and self.beyond <= self.maximum

    @property
    def rolls(self) -> bool:
        """Whether what waits does so over every cut-off."""
        return self.can_wait and self.asset.spec.at_cutoff is AtCutoff.ROLL

    @property
    def is_dropped_by_hand(self) -> bool:
        """Whether a payment that waits holds up nobody, and ends when an operator closes the window."""
        spec = self.asset.spec
        return (
            self.can_wait
            and spec.queue is QueuePolicy.BYPASS_FIFO
            and spec.at_cutoff is AtCutoff.DROP
            and not spec.every_s
            and self.asset.schedule is None
        )

    def afford(self, creditor: str, units: int) -> int:
        """As much of `units` as is left."""
        return min(units, self.left, self.limits.get(creditor, units))

    def payable(self, creditor: str, units: int) -> tuple[str, int]:
        """Creditor and amount of a payment that is wanted: somebody else where a bilateral limit is used up."""
        if left := self.afford(creditor, units):
            return creditor, left
        other = next((name for name in self.creditors if name not in self.limits), creditor)
        return other, self.afford(other, units)

    def spend(self, creditor: str, units: int) -> None:
        self.left -= units
        if creditor in self.limits:
            self.limits[creditor] -= units


def lines_of(
    scheme: Scheme, netting_set: str, today: date, without: frozenset[str] = frozenset()
) -> dict[str, list[Line]]:
    """Bank → its lines, in the order of registration. without: banks that neither pay nor are paid."""
    accounts = scheme.accounts_of(netting_set)
    banks = [bank for bank in scheme.members[netting_set] if bank not in without]
    return {
        bank: [
            _line(scheme, account, accounts, without, today)
            for account in accounts
            if account.participant == bank
        ]
        for bank in banks
    }


def share_out(lines: Sequence[Line], rows: float) -> list[Line]:
    """Those of a bank's lines whose budgets are enough for its part of `rows` rows, with how much a payment may be.

    Half of each budget is spent if its payments are what chance expects, and half of that by their size.
    """
    enough = [line for line in lines if line.creditors and line.left > 0]
    while True:
        whole = sum(line.weight for line in enough)
        for line in enough:
            rows_of_line = 2 * rows * line.weight / whole
            line.largest = min(line.maximum, int(line.left / max(1.0, rows_of_line)))
        small = [line for line in enough if line.largest < 1]
        if not small:
            return enough
        enough = [line for line in enough if line not in small]


def _line(
    scheme: Scheme, account: Account, accounts: list[Account], without: frozenset[str], today: date
) -> Line:
    asset = scheme.assets[account.asset]
    scale = asset.spec.scale
    holders = [a for a in accounts if a.asset == account.asset]
    maximum = parse(asset.spec.max_amount, scale) if asset.spec.max_amount else MAX_AMOUNT
    assert maximum is not None, "a scheme's amounts are checked when it is read"
    beyond = sum(_units(a.prefunded, scale) + _units(a.net_debit_cap, scale) for a in holders) + 1
    day = _value_date(scheme.netting_sets[asset.netting_set], asset, today)
    return Line(
        bank=account.participant,
        asset=asset,
        value_date=day.isoformat(),
        past_date=(day - timedelta(days=500)).isoformat(),
        creditors=[
            a.participant for a in holders if a.participant not in (account.participant, *without)
        ],
        left=_budget(scheme, account, scale),
        limits={
            limit.counterparty: _units(limit.limit, scale)
            for limit in account.limits
            if limit.limit
        },
        maximum=maximum,
        beyond=beyond,
        oversized=_oversized(account, asset, beyond, maximum),
        weight=_weight(asset.spec.model),
    )


def _weight(model: SettlementModel) -> float:
    if model.delay is Delay.IMMEDIATE:
        return _IMMEDIATE_WEIGHT
    return _GROSS_WEIGHT if model.granularity is Granularity.GROSS else 1.0


def _units(amount: str | bool | None, scale: int) -> int:
    units = parse(amount, scale) if isinstance(amount, str) else 0
    assert units is not None, "a scheme's amounts are checked when it is read"
    return units


def _budget(scheme: Scheme, account: Account, scale: int) -> int:
    """Under the value check (R10) no more than it has: so whatever it has is worth more than nothing it owes."""
    held, cap = _units(account.prefunded, scale), _units(account.net_debit_cap, scale)
    if scheme.participants[account.participant].short_limit:
        cap = 0
    whole = held + cap - _units(account.reserved, scale)
    return whole - whole // _KEPT_BACK


def _oversized(account: Account, asset: Asset, beyond: int, maximum: int) -> tuple[str, str]:
    """R9: over the maximum it is refused in any case; over what there is only where nothing waits."""
    scale = asset.spec.scale
    if beyond > maximum or asset.spec.queue is not QueuePolicy.NONE:
        return (show(maximum + 1, scale), "AM02") if maximum < MAX_AMOUNT else ("", "")
    capped = _units(account.net_debit_cap, scale) > 0
    return show(beyond, scale), "AM23" if capped else "AM04"


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
