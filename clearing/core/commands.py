"""Everything but payments that enters by the log: operators' commands and ledgers' confirmations.

JSON objects tagged by `type`; STORED FORMAT. `id` makes a command idempotent: the same id is applied once.
Amounts are decimal strings at the asset's scale. Times are epoch milliseconds, already resolved from
zones and calendars by whoever publishes: time zone rules never enter the core, so a replay cannot differ.
"""

from typing import Literal

import msgspec

from clearing.core.registry import AssetSpec, BusinessDay


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`id`: 1-64 of [A-Za-z0-9._:-]; `by`: who asked (R32, R33)."""

    id: str
    by: str


class RegisterAsset(Command, frozen=True, tag_field="type", tag="register_asset"):
    asset: AssetSpec


class RegisterParticipant(Command, frozen=True, tag_field="type", tag="register_participant"):
    participant: str
    name: str = ""


class OpenAccount(Command, frozen=True, tag_field="type", tag="open_account"):
    """overdraft: how far below zero the ledger account may go; None: the net debit cap."""

    participant: str
    asset: str
    prefunded: str = "0"
    net_debit_cap: str = "0"
    overdraft: str | None = None


class SetCap(Command, frozen=True, tag_field="type", tag="set_cap"):
    """overdraft: as in OpenAccount; None: as it is, or the new cap if that is more (R9)."""

    participant: str
    asset: str
    net_debit_cap: str
    overdraft: str | None = None


class Fund(Command, frozen=True, tag_field="type", tag="fund"):
    """Prefunding in (positive amount) or out (negative amount); posted to the ledger as its own batch."""

    participant: str
    asset: str
    amount: str


class SetStatus(Command, frozen=True, tag_field="type", tag="set_status"):
    """Suspend, resume or close a participant (R32)."""

    participant: str
    status: Literal["ACTIVE", "SUSPENDED", "CLOSED"]


class SetCalendar(Command, frozen=True, tag_field="type", tag="set_calendar"):
    """Business days in ascending order. Without a calendar every UTC day is a business day."""

    days: list[BusinessDay]


class SetCutoffs(Command, frozen=True, tag_field="type", tag="set_cutoffs"):
    """Cut-off instants of an asset, ascending, epoch milliseconds."""

    asset: str
    cutoffs_ms: list[int]


class CloseWindow(Command, frozen=True, tag_field="type", tag="close_window"):
    """Close the open window of one asset, or of all (asset == "")."""

    asset: str = ""


class SettleWindow(Command, frozen=True, tag_field="type", tag="settle_window"):
    """Send a FAILED window to its ledger again, as the next version of its batch (R4)."""

    asset: str
    window: int


class Confirmation(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="confirmation",
):
    """A ledger's answer to a batch. Idempotent by batch id; may be published twice."""

    ledger: str
    batch: str
    hash: str
    status: Literal["POSTED", "REFUSED"]
    reason: str = ""
    epoch: int = 0


ControlMessage = (
    RegisterAsset
    | RegisterParticipant
    | OpenAccount
    | SetCap
    | Fund
    | SetStatus
    | SetCalendar
    | SetCutoffs
    | CloseWindow
    | SettleWindow
    | Confirmation
)
