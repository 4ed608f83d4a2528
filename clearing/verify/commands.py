"""Operators' commands as they took effect: by themselves, or as a second person approved them (R33).

From the log's control items and what the journal says of each. A proposed command takes effect where it is
approved.
"""

import hashlib
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from clearing.core.commands import (
    AbortWindow,
    Approve,
    Command,
    Confirmation,
    Fund,
    OpenAccount,
    Propose,
    Redrive,
    RegisterAsset,
    RegisterPair,
    RegisterParticipant,
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
    Withdraw,
)
from clearing.core.outputs import CommandEvent, ProposalEvent
from clearing.verify.report import Check, Findings
from clearing.verify.tables import LogTable

# R33: limits, resume, default, manual settlement, and what changes who is in and how. Suspending, schedules and
# cut-offs are single-handed.
TWO_PEOPLE = (
    OpenAccount,
    SetCap,
    Fund,
    SetReservation,
    SetBilateralLimit,
    SetCollateral,
    SetPool,
    SetValuation,
    SetShortLimit,
    RegisterAsset,
    RegisterParticipant,
    RegisterPair,
    SetStatus,
    SettleWindow,
    AbortWindow,
    ReleaseQueued,
    Redrive,
    RequireApproval,
)

_encode = msgspec.json.Encoder().encode


class Effective(NamedTuple):
    """A command that was done. place: of the control item that did it. approval: None where it came by itself."""

    log_offset: int
    place: int
    command: Command
    approval: Approve | None


class Answers:
    """What ledgers answered: the first log offset of each answer."""

    def __init__(self, table: LogTable) -> None:
        self.confirmations: list[tuple[int, Confirmation]] = [
            (row.log_offset, row.item.message)
            for row in table.control
            if isinstance(row.item.message, Confirmation)
        ]
        self._first: dict[tuple[str, str, str, str], int] = {}
        for log_offset, said in self.confirmations:
            key = (said.batch, said.hash, said.ledger, said.status)
            self._first.setdefault(key, log_offset)

    def at(self, batch: str, hash_: str, ledger: str, status: str) -> int | None:
        """Log offset at which this ledger first said so of this batch."""
        return self._first.get((batch, hash_, ledger, status))


def effective_commands(
    table: LogTable, events: Iterable[CommandEvent], found: Findings
) -> list[Effective]:
    """In their order. The journal says of each command item what became of it, of an approved one just before."""
    said: defaultdict[int, deque[CommandEvent]] = defaultdict(deque)
    for event in events:
        said[event.log_offset].append(event)
    proposals: dict[str, Command] = {}
    effective: list[Effective] = []
    for row in table.control:
        command = row.item.message
        if not isinstance(command, Command):
            continue
        waiting = said[row.log_offset]
        inner = None
        if isinstance(command, Approve) and waiting and waiting[0].command != "approve":
            inner = waiting.popleft()
        event = waiting.popleft() if waiting else None
        if event is None or event.id != command.id or event.by != command.by:
            found.add(f"the journal does not say what became of command {command.id}")
            continue
        if event.status != "DONE":
            continue
        effective.append(Effective(row.log_offset, row.place, command, None))
        if isinstance(command, Propose):
            proposals.setdefault(command.id, command.command)
        elif isinstance(command, Approve):
            proposed = proposals.get(command.proposal)
            if proposed is None or inner is None or inner.id != proposed.id:
                found.add(f"approval {command.id} carries out something else than was proposed")
            elif inner.status == "DONE":
                effective.append(Effective(row.log_offset, row.place, proposed, command))
    for log_offset, left in said.items():
        if left:
            found.add(f"the journal has events of commands nobody gave at log offset {log_offset}")
    return effective


def needs_two(command: Command) -> bool:
    """Whether one person alone may not do it where four eyes are required."""
    if isinstance(command, SetStatus):
        return command.status != "SUSPENDED"
    return isinstance(command, TWO_PEOPLE)


def check_four_eyes(
    netting_set: str,
    effective: list[Effective],
    events: list[ProposalEvent],
    found: Findings,
) -> Check:
    """Where it is required, what needs two people was proposed by one and approved by another, as it was (R33).

    found: what effective_commands had to say.
    """
    required = False
    proposals: dict[str, Propose] = {}
    closed: dict[str, str] = {}
    told = {(event.log_offset, event.proposal, event.state): event for event in events}
    alone = together = 0
    for one in effective:
        command = one.command
        if one.approval is not None:
            together += 1
        elif required and needs_two(command):
            found.add(f"command {command.id} of {command.by} took effect without a second person")
        else:
            alone += needs_two(command)
        match command:
            case Propose():
                proposals[command.id] = command
                _check_event(told, (one.log_offset, command.id, "PROPOSED"), command, found)
            case Approve():
                proposal = proposals.get(command.proposal)
                _check_approval(command, proposal, closed, found)
                if proposal is not None:
                    place = (one.log_offset, command.proposal, "APPROVED")
                    _check_event(told, place, proposal, found)
            case Withdraw() if command.proposal in proposals:
                place = (one.log_offset, command.proposal, "WITHDRAWN")
                _check_event(told, place, proposals[command.proposal], found)
                closed[command.proposal] = "WITHDRAWN"
            case RequireApproval():
                required = command.required
    return found.check(
        "two people stand behind what needs them",
        "R33",
        netting_set,
        f"{len(proposals):,} proposals, {together:,} approved commands; {alone:,} of those that may need two "
        "came from one person while nothing else was required",
    )


def _check_approval(
    approval: Approve, proposal: Propose | None, closed: dict[str, str], found: Findings
) -> None:
    what = f"approval {approval.id}"
    if proposal is None:
        found.add(f"{what} is of no proposal")
        return
    if approval.by == proposal.by or approval.by == proposal.command.by:
        found.add(f"{what}: {approval.by} approved what {approval.by} had proposed")
    if approval.hash != content_hash(proposal.command):
        found.add(f"{what} is bound to another content than was proposed")
    if approval.proposal in closed:
        found.add(f"{what}: the proposal was {closed[approval.proposal]} before")
    closed[approval.proposal] = "APPROVED"


def _check_event(
    told: dict[tuple[int, str, str], ProposalEvent],
    place: tuple[int, str, str],
    proposal: Propose,
    found: Findings,
) -> None:
    event = told.get(place)
    command = proposal.command
    wanted = (content_hash(command), proposal.by, _encode(command).decode())
    if event is None or (event.hash, event.by, event.command) != wanted:
        found.add(f"the journal does not say that proposal {proposal.id} was {place[2]}")


def content_hash(command: Command) -> str:
    """SHA-256 of the command's JSON: what an approval is bound to."""
    return hashlib.sha256(_encode(command)).hexdigest()


def registration_order(effective: list[Effective]) -> dict[str, int]:
    """Participants in the order of their first registration: their numbers in a members_root."""
    order: dict[str, int] = {}
    for one in effective:
        if isinstance(one.command, RegisterParticipant):
            order.setdefault(one.command.participant, len(order))
    return order
