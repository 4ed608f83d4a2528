"""What the commands published so far have made of a netting set, by the engine's own rules.

Folds the records of `commands` through clearing.core.control, so that what is refused there is refused here;
clearing.scheme.changes compares a scheme with the result. Pure.
"""

from dataclasses import dataclass, field

import msgspec

from clearing.core.commands import (
    Command,
    ControlMessage,
    Fund,
    OpenAccount,
    RegisterAsset,
    RegisterParticipant,
    SetCalendar,
    SetCap,
    SetCutoffs,
    SetStatus,
)
from clearing.core.control import apply_command
from clearing.core.money import parse
from clearing.core.outputs import CommandEvent, Outputs
from clearing.core.registry import AssetSpec, BusinessDay
from clearing.core.state import NettingSet

ID_PREFIX = "scheme:"  # of commands that come from a scheme file

Subject = tuple[str, ...]  # what a command is about: ("account", "BANKHKHH", "HKD")

_decode = msgspec.json.Decoder(ControlMessage).decode


@dataclass(frozen=True, slots=True)
class Standing:
    """An account as commands left it. prefunded: what scheme files have paid in, minor units like the others."""

    prefunded: int
    net_debit_cap: int
    overdraft: int


@dataclass(slots=True)
class Published:
    """A netting set as its commands have it. `last`: id of the last command about each subject."""

    netting_set: str
    assets: dict[str, AssetSpec] = field(default_factory=dict[str, AssetSpec])
    participants: dict[str, str] = field(default_factory=dict[str, str])
    closed: set[str] = field(default_factory=set[str])
    accounts: dict[tuple[str, str], Standing] = field(
        default_factory=dict[tuple[str, str], Standing]
    )
    calendar: list[BusinessDay] = field(default_factory=list[BusinessDay])
    cutoffs: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
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
        """Fold one command; "" or why the engine refuses it."""
        out = Outputs()
        apply_command(self._state, command, 0, out)
        self._state.pending.clear()  # no ledger answers here: take every batch as posted
        verdict = next(event for event in out.events if isinstance(event, CommandEvent))
        if verdict.status == "DONE":
            self._keep(command)
        return verdict.reason if verdict.status == "REFUSED" else ""

    def _keep(self, command: Command) -> None:
        self.last[subject_of(command)] = command.id
        match command:
            case RegisterAsset(asset=spec):
                self.assets[spec.id] = spec
            case RegisterParticipant(participant=participant, name=name):
                self.participants[participant] = name
            case SetStatus(participant=participant, status=status):
                (self.closed.add if status == "CLOSED" else self.closed.discard)(participant)
            case SetCalendar(days=days):
                self.calendar = days
            case SetCutoffs(asset=asset, cutoffs_ms=cutoffs_ms):
                self.cutoffs[asset] = cutoffs_ms
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


def subject_of(command: Command) -> Subject:
    """What a command is about: commands with the same subject follow one another."""
    match command:
        case RegisterAsset(asset=spec):
            return ("asset", spec.id)
        case RegisterParticipant(participant=participant):
            return ("participant", participant)
        case SetStatus(participant=participant):
            return ("status", participant)
        case SetCutoffs(asset=asset):
            return ("cutoffs", asset)
        case SetCalendar():
            return ("calendar",)
        case OpenAccount(participant=participant, asset=asset):
            return ("terms", participant, asset)
        case SetCap(participant=participant, asset=asset):
            return ("terms", participant, asset)
        case Fund(participant=participant, asset=asset):
            return ("funds", participant, asset)
        case _:
            return ("operation",)
