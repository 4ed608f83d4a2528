"""What a scheme declares: assets, their settlement model and schedule, participants.

These types travel inside commands (STORED FORMAT: field names are part of the log).
"""

from enum import IntEnum, StrEnum

import msgspec


class AssetKind(StrEnum):
    CASH = "cash"
    TOKENISED_DEPOSIT = "tokenised_deposit"
    STABLECOIN = "stablecoin"
    SECURITY_TOKEN = "security_token"


class Granularity(StrEnum):
    NET = "NET"
    GROSS = "GROSS"


class Interchange(StrEnum):
    MULTILATERAL = "MULTILATERAL"
    BILATERAL = "BILATERAL"


class Delay(StrEnum):
    DEFERRED = "DEFERRED"
    IMMEDIATE = "IMMEDIATE"


class SettlementModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """R6. Today the engine clears NET / MULTILATERAL / DEFERRED; other models are refused by name."""

    granularity: Granularity = Granularity.NET
    interchange: Interchange = Interchange.MULTILATERAL
    delay: Delay = Delay.DEFERRED


class AssetSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An asset is (code, issuer, ledger) (R3); `id` is its short name in the scheme and on the wire.

    every_s: a window closes each `every_s` seconds of engine time (aligned to the epoch); 0: by
    the cut-offs of `set_cutoffs`, if any, and always by command.
    """

    id: str
    code: str
    issuer: str
    ledger: str
    scale: int
    kind: AssetKind = AssetKind.CASH
    model: SettlementModel = SettlementModel()
    every_s: int = 0
    max_amount: str = ""  # decimal string; empty: 18 digits
    value_days_ahead: int = 0


class ParticipantStatus(IntEnum):
    """R32. STORED in snapshots."""

    ABSENT = 0
    ACTIVE = 1
    SUSPENDED = 2
    DEFAULTED = 3
    CLOSED = 4


class BusinessDay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """`date`: days since 1970-01-01; it is the business date from `opens_at_ms` (epoch) on."""

    date: int
    opens_at_ms: int
