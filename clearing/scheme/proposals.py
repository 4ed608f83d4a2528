"""Proposals as scheme files and operators make them (R33); which commands need one says clearing.core.approvals."""

from clearing.core.approvals import content_hash
from clearing.core.commands import Proposable, Propose


def proposal_of(command: Proposable) -> Propose:
    """The proposal of a command by whoever asked for it. Its id comes from content: the same is proposed once."""
    return Propose(id=f"p-{content_hash(command)[:16]}", by=command.by, command=command)
