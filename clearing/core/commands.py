"""Everything but payments that enters by the log: operators' commands and ledgers' confirmations.

JSON objects tagged by `type`; STORED FORMAT. `id` makes a command idempotent: the same id is applied once (of the
last 100,000 of a netting set).
Amounts are decimal strings at the asset's scale. Times are epoch milliseconds, already resolved from
zones and calendars by whoever publishes: time zone rules never enter the core, so a replay cannot differ.
"""

from typing import Literal

import msgspec

from clearing.core.registry import AssetSpec, BisModel, BusinessDay


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


class SetReservation(Command, frozen=True, tag_field="type", tag="set_reservation"):
    """Liquidity of an account that payments may not use (R8)."""

    participant: str
    asset: str
    reserved: str


class SetBilateralLimit(Command, frozen=True, tag_field="type", tag="set_bilateral_limit"):
    """How much more `participant` may pay `counterparty` than it got from it in a business day (R10).

    limit: None takes the limit away.
    """

    participant: str
    counterparty: str
    asset: str
    limit: str | None


class SetCollateral(Command, frozen=True, tag_field="type", tag="set_collateral"):
    """Collateral of a participant that the waterfall may use (R25), kept outside of the ledger's accounts."""

    participant: str
    asset: str
    amount: str


class SetPool(Command, frozen=True, tag_field="type", tag="set_pool"):
    """The scheme's default fund in an asset (R25)."""

    asset: str
    amount: str


class SetValuation(Command, frozen=True, tag_field="type", tag="set_valuation"):
    """Makes an asset count in the multi-asset value check (R10).

    price: value of one whole unit, in the scheme's unit of account. haircut_bp: basis points taken off what is
    held and put on what is owed, 0-10000. short_limit: the most a participant may owe in the asset; None: any.
    """

    asset: str
    price: str
    haircut_bp: int
    short_limit: str | None = None


class SetShortLimit(Command, frozen=True, tag_field="type", tag="set_short_limit"):
    """Puts a participant under the multi-asset value check: the most all its short positions together may be
    worth, in the scheme's unit of account (R10). limit: None ends the check."""

    participant: str
    limit: str | None


class RegisterPair(Command, frozen=True, tag_field="type", tag="register_pair"):
    """Legs in these two assets may be linked (R21). Model 1 needs both assets GROSS, 2 a GROSS `delivery`
    and a NET `payment`, 3 both NET; both have the same delay, for their windows close together."""

    delivery: str
    payment: str
    model: BisModel


class SetStatus(Command, frozen=True, tag_field="type", tag="set_status"):
    """Suspend, resume, default or close a participant (R24, R32)."""

    participant: str
    status: Literal["ACTIVE", "SUSPENDED", "DEFAULTED", "CLOSED"]


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


class AbortWindow(Command, frozen=True, tag_field="type", tag="abort_window"):
    """Give a FAILED window up for now; `settle_window` may still send it again (R4)."""

    asset: str
    window: int


class ReleaseQueued(Command, frozen=True, tag_field="type", tag="release_queued"):
    """Release these waiting payments as one, out of their order (R15: what an exact solver chose).

    Refused as a whole if one of them does not wait, is not BYPASS_FIFO, or if anybody would pass a limit.
    """

    payments: list[str]


class Redrive(Command, frozen=True, tag_field="type", tag="redrive"):
    """Have a record that could not be read published once more, byte for byte, to its participant's topic (R33).

    offset: of the record in the participant's payments topic; hash: of its bytes, as `rejected` says it. The log
    holds who decided that; it moves no money. The id is redrive_id(): so the same record is redriven once at most.
    """

    participant: str
    offset: int
    hash: str


def redrive_id(participant: str, offset: int) -> str:
    """The one id that a Redrive of this record may have."""
    return f"redrive:{participant}:{offset}"


class RequireApproval(Command, frozen=True, tag_field="type", tag="require_approval"):
    """From here on limits, resume, default, settle and abort need four eyes (R33), or no longer do."""

    required: bool


class Approve(Command, frozen=True, tag_field="type", tag="approve"):
    """Approve the proposal (id of its `propose`) with this content hash. Nobody approves their own (R33)."""

    proposal: str
    hash: str


class Withdraw(Command, frozen=True, tag_field="type", tag="withdraw"):
    """Take a proposal back, or turn it down."""

    proposal: str


class Confirmation(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="confirmation",
):
    """A ledger's answer to a batch. Idempotent by batch id; may be published twice.

    short: participants that could not pay, and how much each lacks (R25); decimal strings.
    """

    ledger: str
    batch: str
    hash: str
    status: Literal["POSTED", "REFUSED"]
    reason: str = ""
    epoch: int = 0
    short: dict[str, str] = {}


Proposable = (
    OpenAccount
    | SetCap
    | Fund
    | SetReservation
    | SetBilateralLimit
    | SetCollateral
    | SetPool
    | SetValuation
    | SetShortLimit
    | RegisterAsset
    | RegisterParticipant
    | RegisterPair
    | SetStatus
    | SetCalendar
    | SetCutoffs
    | CloseWindow
    | SettleWindow
    | AbortWindow
    | ReleaseQueued
    | Redrive
    | RequireApproval
)


class Propose(Command, frozen=True, tag_field="type", tag="propose"):
    """Put a command before another pair of eyes (R33). It takes effect when somebody else approves it.

    `command.by` is the proposer; its hash (see the event) is what is approved.
    """

    command: Proposable


ControlMessage = Proposable | Propose | Approve | Withdraw | Confirmation
