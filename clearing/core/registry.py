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
    """R6. IMMEDIATE: the window closes with the log record that put something in it.

    NET MULTILATERAL: an entry a participant; NET BILATERAL: two entries a pair of participants; GROSS: two
    entries a payment (the interchange is then no matter).
    """

    granularity: Granularity = Granularity.NET
    interchange: Interchange = Interchange.MULTILATERAL
    delay: Delay = Delay.DEFERRED


class QueuePolicy(StrEnum):
    """R13: whether a payment its debtor cannot cover waits, and what it does to those behind it."""

    NONE = "NONE"  # it is refused
    FIFO = "FIFO"  # it waits, and so does everything behind it
    BYPASS_FIFO = "BYPASS_FIFO"  # it waits; what fits passes


class AtCutoff(StrEnum):
    """R17: what becomes of the queue at a cut-off."""

    ROLL = "ROLL"
    DROP = "DROP"


class OnShortfall(StrEnum):
    """R25: what is done when a ledger refuses a batch because a participant is short."""

    HOLD = "HOLD"  # nothing: the window has FAILED, operators decide
    WATERFALL = "WATERFALL"
    RECAST = "RECAST"


class BisModel(IntEnum):
    """R21: how the two sides of a linked pair are settled."""

    GROSS_GROSS = 1
    GROSS_NET = 2
    NET_NET = 3


class AssetSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An asset is (code, issuer, ledger) (R3); `id` is its short name in the scheme and on the wire.

    set_off: obligations of a closed group are reduced before they are settled (R18; NET BILATERAL only).
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
    queue: QueuePolicy = QueuePolicy.NONE
    at_cutoff: AtCutoff = AtCutoff.ROLL
    on_shortfall: OnShortfall = OnShortfall.HOLD
    set_off: bool = False


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
