"""Four eyes (R33): which commands need a second person, and what is remembered of proposals.

Suspending somebody, schedules and cut-offs are single-handed: what stops money must never wait.
"""

import hashlib
from typing import Literal

import msgspec

from clearing.core.commands import (
    Approve,
    CloseWindow,
    Command,
    Propose,
    Redrive,
    SetCalendar,
    SetCutoffs,
    SetStatus,
    Withdraw,
    redrive_id,
)
from clearing.core.outputs import Outputs, ProposalEvent
from clearing.core.state import NettingSet
from clearing.core.waiting import Proposal

_encode = msgspec.json.Encoder().encode
_SINGLE_HANDED = (SetCalendar, SetCutoffs, CloseWindow, Propose, Approve, Withdraw)
MAX_PROPOSALS = 1_000


def content_hash(command: Command) -> str:
    """SHA-256 of the command's JSON: what an approval is bound to."""
    return hashlib.sha256(_encode(command)).hexdigest()


def needs_approval(command: Command) -> bool:
    """Whether one person alone may not do it where four eyes are required."""
    if isinstance(command, SetStatus):
        return command.status != "SUSPENDED"
    return not isinstance(command, _SINGLE_HANDED)


def propose(state: NettingSet, command: Propose, offset: int, out: Outputs) -> str | None:
    """Keep the command until somebody else approves it."""
    inner = command.command
    if inner.by != command.by:
        return f"the command is {inner.by}'s, the proposal {command.by}'s"
    if inner.id in state.commands or inner.id == command.id:
        return f"the command's id {inner.id} was used before"
    if len(state.proposals) >= MAX_PROPOSALS:
        return f"{MAX_PROPOSALS} proposals are open: withdraw some first"
    state.proposals[command.id] = Proposal(inner, content_hash(inner), command.by)
    _tell(state, command.id, "PROPOSED", offset, out)
    return None


def approved(state: NettingSet, command: Approve) -> Command | str:
    """The command that is approved, or why it is not."""
    proposal = state.proposals.get(command.proposal)
    if proposal is None:
        return f"there is no open proposal {command.proposal}"
    if proposal.hash != command.hash:
        return "the hash is not that of what was proposed"
    if proposal.by == command.by:
        return "nobody approves their own proposal"
    return proposal.command


def redrive(state: NettingSet, command: Redrive, offset: int, out: Outputs) -> str | None:
    """That it is decided, and by whom; its id keeps it from being decided twice (R33)."""
    if command.participant not in state.participant_index:
        return f"participant {command.participant} is not registered"
    identity = redrive_id(command.participant, command.offset)
    return None if command.id == identity else f"the id of this command is {identity}"


def close(
    state: NettingSet,
    proposal: str,
    new: Literal["APPROVED", "WITHDRAWN"],
    offset: int,
    out: Outputs,
) -> None:
    _tell(state, proposal, new, offset, out)
    del state.proposals[proposal]


def _tell(
    state: NettingSet,
    proposal: str,
    new: Literal["PROPOSED", "APPROVED", "WITHDRAWN"],
    offset: int,
    out: Outputs,
) -> None:
    item = state.proposals[proposal]
    out.events.append(
        ProposalEvent(
            netting_set=state.name,
            log_offset=offset,
            time_ms=state.counters.time_ms,
            proposal=proposal,
            hash=item.hash,
            by=item.by,
            state=new,
            command=_encode(item.command).decode(),
        )
    )
