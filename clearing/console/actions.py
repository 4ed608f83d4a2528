"""What operators can do, as data: the fields a form asks for, the command that comes of them, and its command line.

The same commands as `clearing command`; what each one means stands in clearing.core.commands.
"""

import shlex
import uuid
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from clearing.core.approvals import needs_approval
from clearing.core.commands import (
    AbortWindow,
    CloseWindow,
    Fund,
    Proposable,
    Redrive,
    ReleaseQueued,
    RequireApproval,
    SetBilateralLimit,
    SetCap,
    SetCollateral,
    SetPool,
    SetReservation,
    SetShortLimit,
    SetStatus,
    SettleWindow,
    SetValuation,
)

FieldType = Literal[
    "participant", "asset", "amount", "integer", "window", "payments", "choice", "boolean"
]
Group = Literal["Participants", "Liquidity and limits", "Windows and queues", "Four eyes"]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a form. Without a value a field that is not required says `none` or the default."""

    name: str
    type: FieldType
    label: str
    required: bool = True
    help: str = ""
    choices: list[str] = []


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """danger: there is no way back, or money stands still."""

    kind: str
    label: str
    group: Group
    text: str
    fields: list[Field]
    single_handed: bool = False
    danger: bool = False


_PARTICIPANT = Field(name="participant", type="participant", label="Participant")
_ASSET = Field(name="asset", type="asset", label="Asset")
_WINDOW = Field(name="window", type="window", label="Window")


def _amount(name: str, label: str, help_: str = "", *, required: bool = True) -> Field:
    return Field(name=name, type="amount", label=label, help=help_, required=required)


ACTIONS: tuple[Action, ...] = (
    Action(
        kind="suspend",
        label="Suspend",
        group="Participants",
        text="Refuse all payments from and to it from now on; what was accepted stands, what waits is held.",
        fields=[_PARTICIPANT],
        single_handed=True,
        danger=True,
    ),
    Action(
        kind="resume",
        label="Resume",
        group="Participants",
        text="Let a suspended participant pay and be paid again.",
        fields=[_PARTICIPANT],
    ),
    Action(
        kind="default",
        label="Declare default",
        group="Participants",
        text="There is no way back: what waits from or to it ends, later payments are refused (R24).",
        fields=[_PARTICIPANT],
        danger=True,
    ),
    Action(
        kind="close",
        label="Close participant",
        group="Participants",
        text="Close it for good; possible when nothing of it waits or is unsettled.",
        fields=[_PARTICIPANT],
        danger=True,
    ),
    Action(
        kind="fund",
        label="Fund",
        group="Liquidity and limits",
        text="Move prefunding in, or out with a negative amount; the ledger posts it.",
        fields=[_PARTICIPANT, _ASSET, _amount("amount", "Amount", "negative: out")],
    ),
    Action(
        kind="set_cap",
        label="Set net debit cap",
        group="Liquidity and limits",
        text="Lowering it breaks nothing that was accepted: new debits wait until credits come in (R9).",
        fields=[
            _PARTICIPANT,
            _ASSET,
            _amount("net_debit_cap", "Net debit cap"),
            _amount("overdraft", "Overdraft at the ledger", "as far as the cap", required=False),
        ],
    ),
    Action(
        kind="set_reservation",
        label="Reserve",
        group="Liquidity and limits",
        text="Set liquidity of an account aside that payments may not use; 0 frees it.",
        fields=[_PARTICIPANT, _ASSET, _amount("reserved", "Reserved", "all of it from now on")],
    ),
    Action(
        kind="set_bilateral_limit",
        label="Set bilateral limit",
        group="Liquidity and limits",
        text="Limit what it may pay another one, less what it got from it, in a business day (R10).",
        fields=[
            _PARTICIPANT,
            Field(name="counterparty", type="participant", label="Counterparty"),
            _ASSET,
            _amount("limit", "Limit", "empty: no limit", required=False),
        ],
    ),
    Action(
        kind="set_short_limit",
        label="Set short limit",
        group="Liquidity and limits",
        text="Put it under the multi-asset value check, or take it out of it (R10).",
        fields=[_PARTICIPANT, _amount("limit", "Limit", "empty: no check", required=False)],
    ),
    Action(
        kind="set_valuation",
        label="Set valuation",
        group="Liquidity and limits",
        text="What an asset is worth in the value check (R10).",
        fields=[
            _ASSET,
            _amount("price", "Price", "of one whole unit, in the unit of account"),
            Field(name="haircut_bp", type="integer", label="Haircut, basis points"),
            _amount("short_limit", "Short limit", "empty: none", required=False),
        ],
    ),
    Action(
        kind="set_collateral",
        label="Set collateral",
        group="Liquidity and limits",
        text="What the waterfall may take of it before it asks others (R25).",
        fields=[_PARTICIPANT, _ASSET, _amount("amount", "Collateral", "all of it from now on")],
    ),
    Action(
        kind="set_pool",
        label="Set default fund",
        group="Liquidity and limits",
        text="The scheme's default fund in an asset (R25).",
        fields=[_ASSET, _amount("amount", "Default fund")],
    ),
    Action(
        kind="close_window",
        label="Close window",
        group="Windows and queues",
        text="A cut-off like any other, now; without an asset the windows of all.",
        fields=[Field(name="asset", type="asset", label="Asset", required=False)],
        single_handed=True,
    ),
    Action(
        kind="settle_window",
        label="Settle window again",
        group="Windows and queues",
        text="Send a window that FAILED or was ABORTED to its ledger again, as the next version of its batch.",
        fields=[_ASSET, _WINDOW],
    ),
    Action(
        kind="abort_window",
        label="Abort window",
        group="Windows and queues",
        text="Give a FAILED window up for now; its payments stay accepted and unsettled.",
        fields=[_ASSET, _WINDOW],
    ),
    Action(
        kind="release_queued",
        label="Release payments",
        group="Windows and queues",
        text="Release payments that wait, all of them as one, out of their order, within all limits (R15).",
        fields=[Field(name="payments", type="payments", label="Payments")],
    ),
    Action(
        kind="require_approval",
        label="Require four eyes",
        group="Four eyes",
        text="Have a second person approve what matters from here on, or no longer (R33).",
        fields=[Field(name="required", type="boolean", label="Required")],
    ),
)
_BY_KIND = {action.kind: action for action in ACTIONS}
_STATUSES = {
    "suspend": "SUSPENDED",
    "resume": "ACTIVE",
    "default": "DEFAULTED",
    "close": "CLOSED",
}


def command_of(kind: str, fields: dict[str, Any], by: str) -> Proposable:
    """The command that a form makes, with a new id. Raises ValueError, with what is wrong with it."""
    action = _BY_KIND.get(kind)
    if action is None:
        raise ValueError(f"there is no action {kind!r}")
    known = {field.name: field for field in action.fields}
    if unknown := fields.keys() - known.keys():
        raise ValueError(f"{kind} has no field {', '.join(sorted(unknown))}")
    given = {name: value for name, value in fields.items() if value not in (None, "", [])}
    if lacking := [field.label for field in action.fields if _lacks(field, given)]:
        raise ValueError(f"{', '.join(lacking)} is missing")
    if kind in _STATUSES:
        given |= {"type": "set_status", "status": _STATUSES[kind]}
    elif kind in ("set_bilateral_limit", "set_short_limit"):
        given = {"type": kind, "limit": None} | given
    else:
        given["type"] = kind
    identity = {"id": f"con-{uuid.uuid4().hex}", "by": by}
    try:
        return msgspec.convert(given | identity, Proposable)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def _lacks(field: Field, given: dict[str, Any]) -> bool:
    return field.required and field.name not in given


_Arguments = list[str | None]
_LINES: dict[type, Callable[[Any], _Arguments]] = {
    Fund: lambda c: ["fund", c.participant, c.asset, c.amount],
    SetCap: lambda c: [
        *("set-cap", c.participant, c.asset, c.net_debit_cap),
        *_option("--overdraft", c.overdraft),
    ],
    SetReservation: lambda c: ["reserve", c.participant, c.asset, c.reserved],
    SetBilateralLimit: lambda c: [
        *("set-limit", c.participant, c.counterparty, c.asset, c.limit or "none")
    ],
    SetShortLimit: lambda c: ["set-short-limit", c.participant, c.limit or "none"],
    SetValuation: lambda c: [
        *("set-valuation", c.asset, c.price, "--haircut-bp", str(c.haircut_bp)),
        *_option("--short-limit", c.short_limit),
    ],
    SetCollateral: lambda c: ["set-collateral", c.participant, c.asset, c.amount],
    SetPool: lambda c: ["set-pool", c.asset, c.amount],
    CloseWindow: lambda c: ["close-window", c.asset or None],
    SettleWindow: lambda c: ["settle-window", c.asset, str(c.window)],
    AbortWindow: lambda c: ["abort-window", c.asset, str(c.window)],
    ReleaseQueued: lambda c: ["release", *c.payments],
    RequireApproval: lambda c: ["require-approval", "on" if c.required else "off"],
    SetStatus: lambda c: [_VERBS[c.status], c.participant],
    Redrive: lambda c: ["redrive", c.participant, str(c.offset)],
}
_VERBS = {status: kind for kind, status in _STATUSES.items()}


def _option(name: str, value: str | None) -> _Arguments:
    return [] if value is None else [name, value]


def command_line(netting_set: str, command: Proposable) -> str:
    """What does the same in a shell; "" for what only a scheme file does."""
    make = _LINES.get(type(command))
    if make is None:
        return ""
    words = [word for word in make(command) if word is not None]
    ending = ["--propose"] if needs_approval(command) else []
    said = ["--netting-set", netting_set, "--by", command.by, *ending]
    return shlex.join(["clearing", "command", *words, *said])
