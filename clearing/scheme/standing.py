"""What the commands published so far have made of a netting set, by the engine's own rules.

Folds the records of `commands` through clearing.core.control, so that what is refused there is refused here;
clearing.scheme.changes compares a scheme with the result. Pure.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from clearing.core.approvals import content_hash
from clearing.core.commands import (
    Approve,
    Command,
    ControlMessage,
    Fund,
    OpenAccount,
    Propose,
    RegisterAsset,
    RegisterPair,
    RegisterParticipant,
    RequireApproval,
    SetBilateralLimit,
    SetCalendar,
    SetCap,
    SetCollateral,
    SetCutoffs,
    SetPool,
    SetReservation,
    SetShortLimit,
    SetStatus,
    SetValuation,
    Withdraw,
)
from clearing.core.control import apply_command
from clearing.core.money import parse
from clearing.core.outputs import CommandEvent, Outputs
from clearing.core.registry import AssetSpec, BisModel, BusinessDay
from clearing.core.state import NettingSet
from clearing.core.value import UNIT_SCALE

ID_PREFIX = "scheme:"  # of commands that come from a scheme file

Subject = tuple[str, ...]  # what a command is about: ("account", "BANKHKHH", "HKD")

_decode = msgspec.json.Decoder(ControlMessage).decode


@dataclass(frozen=True, slots=True)
class Standing:
    """An account as commands left it. prefunded: what scheme files have paid in, minor units like the others."""

    prefunded: int
    net_debit_cap: int
    overdraft: int


class Valued(NamedTuple):
    """As commands left it. price: in 10^-UNIT_SCALE of the unit of account; short_limit: minor units."""

    price: int
    haircut_bp: int
    short_limit: int | None


@dataclass(slots=True)
class Published:
    """A netting set as its commands have it; amounts in minor units.

    limits: by (participant, counterparty, asset). short_limits: in 10^-UNIT_SCALE of the unit of account. pairs: by
    (delivery, payment). four_eyes: whether a second person is needed (R33). proposals: the open ones by id, oldest
    first. last: id of the last command about each subject.
    """

    netting_set: str
    assets: dict[str, AssetSpec] = field(default_factory=dict[str, AssetSpec])
    pools: dict[str, int] = field(default_factory=dict[str, int])
    valuations: dict[str, Valued] = field(default_factory=dict[str, Valued])
    participants: dict[str, str] = field(default_factory=dict[str, str])
    closed: set[str] = field(default_factory=set[str])
    accounts: dict[tuple[str, str], Standing] = field(
        default_factory=dict[tuple[str, str], Standing]
    )
    reserved: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    collateral: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    limits: dict[tuple[str, str, str], int] = field(default_factory=dict[tuple[str, str, str], int])
    short_limits: dict[str, int] = field(default_factory=dict[str, int])
    pairs: dict[tuple[str, str], BisModel] = field(default_factory=dict[tuple[str, str], BisModel])
    calendar: list[BusinessDay] = field(default_factory=list[BusinessDay])
    cutoffs: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    four_eyes: bool = False
    proposals: dict[str, Propose] = field(default_factory=dict[str, Propose])
    last: dict[Subject, str] = field(default_factory=dict[Subject, str])
    _state: NettingSet = field(init=False)

    def __post_init__(self) -> None:
        self._state = NettingSet(self.netting_set)

    def apply_record(self, value: bytes | None) -> None:
        """Fold one record of `commands`. What cannot be read, intake has rejected: it changed nothing."""
        try:
            message = _decode(value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if isinstance(message, Command):
            self.apply(message)

    def apply(self, command: Command) -> str:
        """Fold one command; "" or why the engine refuses it, or what it approves."""
        out = Outputs()
        apply_command(self._state, command, 0, out)
        self._state.pending.clear()  # no ledger answers here: take every batch as posted
        verdicts = {event.id: event for event in out.events if isinstance(event, CommandEvent)}
        reason = self._fold(command, verdicts[command.id])
        if isinstance(command, Approve) and command.proposal not in self._state.proposals:
            closed = self.proposals.pop(command.proposal, None)
            if closed is not None:
                self.last[subject_of(closed.command)] = closed.command.id
                reason = reason or self._fold(closed.command, verdicts[closed.command.id])
        return reason

    def approve(self, proposal: Propose) -> str:
        """Fold what comes of it if somebody else approves; "" or why the engine refuses that, or the command."""
        return self.apply(
            Approve(
                id=f"{proposal.id}:assumed",
                by=f"not.{proposal.by}",
                proposal=proposal.id,
                hash=content_hash(proposal.command),
            )
        )

    def _fold(self, command: Command, verdict: CommandEvent) -> str:
        """Keep what became of one command; why it is refused.

        A refused one is the last about its subject, too: its id is spent, so the next about it needs another.
        """
        if verdict.status != "REPEATED":
            self.last[subject_of(command)] = command.id
        if verdict.status == "DONE":
            self._keep(command)
        return verdict.reason if verdict.status == "REFUSED" else ""

    def _keep(self, command: Command) -> None:
        match command:
            case RegisterAsset(asset=spec):
                self.assets[spec.id] = spec
            case SetPool(asset=asset, amount=amount):
                self.pools[asset] = self._units(asset, amount)
            case SetValuation(asset=asset, short_limit=limit):
                short = None if limit is None else self._units(asset, limit)
                self.valuations[asset] = Valued(_worth(command.price), command.haircut_bp, short)
            case RegisterPair(delivery=delivery, payment=payment, model=model):
                self.pairs[delivery, payment] = model
            case RegisterParticipant(participant=participant, name=name):
                self.participants[participant] = name
            case SetStatus(participant=participant, status=status):
                (self.closed.add if status == "CLOSED" else self.closed.discard)(participant)
            case SetShortLimit(participant=participant, limit=None):
                self.short_limits.pop(participant, None)
            case SetShortLimit(participant=participant, limit=str(limit)):
                self.short_limits[participant] = _worth(limit)
            case SetCalendar(days=days):
                self.calendar = days
            case SetCutoffs(asset=asset, cutoffs_ms=cutoffs_ms):
                self.cutoffs[asset] = cutoffs_ms
            case RequireApproval(required=required):
                self.four_eyes = required
            case Propose():
                self.proposals[command.id] = command
            case Withdraw(proposal=proposal):
                self._withdraw(self.proposals.pop(proposal))
            case _:
                self._keep_account(command)

    def _withdraw(self, proposal: Propose) -> None:
        """What was turned down may be proposed again, under another id."""
        self.last[subject_of(proposal.command)] = proposal.command.id

    def _keep_account(self, command: Command) -> None:
        match command:
            case OpenAccount(prefunded=prefunded):
                self._set_account(command, self._units(command.asset, prefunded))
            case SetCap():
                before = self.accounts[command.participant, command.asset]
                self._set_account(command, before.prefunded)
            case Fund(id=identity) if identity.startswith(ID_PREFIX):
                account = command.participant, command.asset
                moved = self._units(command.asset, command.amount)
                before = self.accounts[account]
                self.accounts[account] = Standing(
                    before.prefunded + moved, before.net_debit_cap, before.overdraft
                )
            case SetReservation(participant=participant, asset=asset, reserved=reserved):
                self.reserved[participant, asset] = self._units(asset, reserved)
            case SetCollateral(participant=participant, asset=asset, amount=amount):
                self.collateral[participant, asset] = self._units(asset, amount)
            case SetBilateralLimit(asset=asset, limit=limit):
                key = command.participant, command.counterparty, asset
                self.limits.pop(key, None)
                if limit is not None:
                    self.limits[key] = self._units(asset, limit)
            case _:
                pass  # windows closed or settled, funding by operators: no business of a scheme

    def _set_account(self, command: OpenAccount | SetCap, prefunded: int) -> None:
        cap = self._units(command.asset, command.net_debit_cap)
        before = self.accounts.get((command.participant, command.asset))
        held = (
            before.overdraft if before else 0
        )  # as the core has it: without a word it never falls
        overdraft = command.overdraft
        below = max(cap, held) if overdraft is None else self._units(command.asset, overdraft)
        self.accounts[command.participant, command.asset] = Standing(prefunded, cap, below)

    def _units(self, asset: str, amount: str) -> int:
        units = parse(amount, self.assets[asset].scale)
        assert units is not None, "the core has accepted this amount"
        return units


def _worth(amount: str) -> int:
    """Units of 10^-UNIT_SCALE of the unit of account."""
    units = parse(amount, UNIT_SCALE)
    assert units is not None, "the core has accepted this amount"
    return units


def subject_of(command: Command) -> Subject:
    """What a command is about: commands with the same subject follow one another."""
    match command:
        case RegisterAsset(asset=spec):
            return ("asset", spec.id)
        case SetPool(asset=asset):
            return ("pool", asset)
        case SetValuation(asset=asset):
            return ("valuation", asset)
        case RegisterPair(delivery=delivery, payment=payment):
            return ("pair", delivery, payment)
        case RegisterParticipant(participant=participant):
            return ("participant", participant)
        case SetStatus(participant=participant):
            return ("status", participant)
        case SetShortLimit(participant=participant):
            return ("short_limit", participant)
        case SetCutoffs(asset=asset):
            return ("cutoffs", asset)
        case SetCalendar():
            return ("calendar",)
        case RequireApproval():
            return ("approval",)
        case OpenAccount(participant=participant, asset=asset):
            return ("terms", participant, asset)
        case SetCap(participant=participant, asset=asset):
            return ("terms", participant, asset)
        case Fund(participant=participant, asset=asset):
            return ("funds", participant, asset)
        case SetReservation(participant=participant, asset=asset):
            return ("reserved", participant, asset)
        case SetCollateral(participant=participant, asset=asset):
            return ("collateral", participant, asset)
        case SetBilateralLimit(participant=participant, asset=asset):
            return ("limit", participant, command.counterparty, asset)
        case _:
            return ("operation",)
