"""What a scheme file declares, checked and complete: values only, made by clearing.scheme.parse.

Amounts are decimal strings at their asset's scale, written one way only (money.show), so that equal is equal.
"""

from dataclasses import dataclass
from datetime import date, time
from typing import Literal

from clearing.core.registry import AssetSpec, BisModel

# A limit that may be taken away again: its amount, False: there is to be none, None: the file does not say.
Limit = str | Literal[False] | None


@dataclass(frozen=True, slots=True)
class Calendar:
    """weekend: 0 = Monday … 6 = Sunday; zone: IANA name; holidays ascending."""

    name: str
    zone: str
    weekend: frozenset[int]
    holidays: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class NettingSet:
    """calendar: decides the business date; None: every UTC day is a business day.

    four_eyes: whether what matters needs a second person (R33); None: the file does not say.
    """

    name: str
    calendar: Calendar | None
    four_eyes: bool | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Local cut-off times, ascending, in `zone`; on business days of `calendar`, None: on every day."""

    cutoffs: tuple[time, ...]
    zone: str
    calendar: Calendar | None


@dataclass(frozen=True, slots=True)
class Valuation:
    """R10. price: of one whole unit, in the scheme's unit of account; short_limit: None: no limit."""

    price: str
    haircut_bp: int
    short_limit: str | None


@dataclass(frozen=True, slots=True)
class Asset:
    """schedule: None where windows close every `spec.every_s` seconds or by command only.

    pool: the default fund in this asset (R25). pool, valuation: None where the file does not say.
    """

    spec: AssetSpec
    netting_set: str
    schedule: Schedule | None
    pool: str | None = None
    valuation: Valuation | None = None


@dataclass(frozen=True, slots=True)
class Participant:
    """short_limit: of the multi-asset value check in each of its netting sets, in the unit of account (R10)."""

    id: str
    name: str
    netting_sets: tuple[str, ...]
    short_limit: Limit = None


@dataclass(frozen=True, slots=True)
class BilateralLimit:
    """How much more its account may pay the counterparty in a business day than it got from it (R10)."""

    counterparty: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class Account:
    """overdraft: how far below zero the ledger lets it go; None: as far as the net debit cap.

    reserved: liquidity that payments may not use (R8); collateral: what the waterfall may use (R25); None where
    the file does not say.
    """

    participant: str
    asset: str
    prefunded: str
    net_debit_cap: str
    overdraft: str | None
    reserved: str | None = None
    collateral: str | None = None
    limits: tuple[BilateralLimit, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two assets whose legs may be linked, and how the two sides are settled (R21)."""

    delivery: str
    payment: str
    model: BisModel


@dataclass(frozen=True, slots=True)
class Scheme:
    """All in the order of the file, which is the order of registration."""

    name: str
    netting_sets: dict[str, NettingSet]
    assets: dict[str, Asset]
    participants: dict[str, Participant]
    accounts: tuple[Account, ...]
    pairs: tuple[Pair, ...] = ()

    @property
    def members(self) -> dict[str, list[str]]:
        """Participants of each netting set: who needs payments topics for what."""
        return {
            name: [p.id for p in self.participants.values() if name in p.netting_sets]
            for name in self.netting_sets
        }

    def assets_of(self, netting_set: str) -> list[Asset]:
        return [asset for asset in self.assets.values() if asset.netting_set == netting_set]

    def accounts_of(self, netting_set: str) -> list[Account]:
        return [a for a in self.accounts if self.assets[a.asset].netting_set == netting_set]

    def pairs_of(self, netting_set: str) -> list[Pair]:
        return [p for p in self.pairs if self.assets[p.delivery].netting_set == netting_set]

    def has_valuations(self, netting_set: str) -> bool:
        """Whether the multi-asset value check means anything in a netting set (R10)."""
        return any(asset.valuation for asset in self.assets_of(netting_set))
