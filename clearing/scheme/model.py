"""What a scheme file declares, checked and complete: values only, made by clearing.scheme.parse.

Amounts are decimal strings at their asset's scale, written one way only (money.show), so that equal is equal.
"""

from dataclasses import dataclass
from datetime import date, time

from clearing.core.registry import AssetSpec


@dataclass(frozen=True, slots=True)
class Calendar:
    """weekend: 0 = Monday … 6 = Sunday; zone: IANA name; holidays ascending."""

    name: str
    zone: str
    weekend: frozenset[int]
    holidays: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class NettingSet:
    """calendar: decides the business date; None: every UTC day is a business day."""

    name: str
    calendar: Calendar | None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Local cut-off times, ascending, in `zone`; on business days of `calendar`, None: on every day."""

    cutoffs: tuple[time, ...]
    zone: str
    calendar: Calendar | None


@dataclass(frozen=True, slots=True)
class Asset:
    """schedule: None where windows close every `spec.every_s` seconds or by command only."""

    spec: AssetSpec
    netting_set: str
    schedule: Schedule | None


@dataclass(frozen=True, slots=True)
class Participant:
    id: str
    name: str
    netting_sets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """overdraft: how far below zero the ledger lets it go; None: as far as the net debit cap."""

    participant: str
    asset: str
    prefunded: str
    net_debit_cap: str
    overdraft: str | None


@dataclass(frozen=True, slots=True)
class Scheme:
    """All in the order of the file, which is the order of registration."""

    name: str
    netting_sets: dict[str, NettingSet]
    assets: dict[str, Asset]
    participants: dict[str, Participant]
    accounts: tuple[Account, ...]

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
