"""What all operators' commands have in common: who asks, where, how long to wait, or to propose it; and the answer.

Where four eyes are required (R33) a command is put into a proposal, which somebody else approves.
"""

import getpass
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from clearing.cli.session import Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from clearing.core.commands import Proposable
    from clearing.core.outputs import CommandEvent


@Parameter(name="*")
@dataclass(frozen=True)
class Sending:
    """Options of every command."""

    netting_set: Annotated[
        str | None,
        Parameter(
            help="Only this netting set. Default: where the asset or participant is, else all."
        ),
    ] = None
    by: Annotated[
        str | None, Parameter(help="Who asks; stands in the log. Default: your user name.")
    ] = None
    command_id: Annotated[
        str | None,
        Parameter(
            name="--id", help="Id of the command: the same id is applied once. Default: a new one."
        ),
    ] = None
    timeout_s: Annotated[
        float, Parameter(name="--timeout-s", help="How long to wait for the engine's answer.")
    ] = 15.0

    def signed(self) -> dict[str, str]:
        """id and by of the command."""
        return {
            "id": self.command_id or f"cli-{uuid.uuid4().hex}",
            "by": self.by or getpass.getuser(),
        }


@Parameter(name="*")
@dataclass(frozen=True)
class Proposing(Sending):
    """Options of a command that needs a second person where four eyes are required."""

    propose: Annotated[
        bool,
        Parameter(negative="", help="Only propose it: done when somebody else approves it (R33)."),
    ] = False


ALONE = Sending()
PROPOSABLE = Proposing()


def send(
    session: Session,
    command: "Proposable",
    how: Sending,
    *,
    asset: str = "",
    participant: str = "",
    one: bool = False,
) -> ExitCode:
    """Publish or propose, wait, show. FAILED unless every netting set that was asked has done it.

    asset, participant: decide the netting sets where none is said. one: it means something in a single one only.
    """
    from clearing.commanding.asking import ask
    from clearing.commanding.places import netting_set_of
    from clearing.commanding.published import homes_of
    from clearing.scheme.proposals import proposal_of

    proposes = isinstance(how, Proposing) and how.propose
    message = proposal_of(command) if proposes else command

    async def work() -> "list[CommandEvent]":
        if participant and how.netting_set is None:
            where = await homes_of(session.settings, participant)
        else:
            where = await netting_set_of(session.settings, how.netting_set, asset)
        if one and len(where) > 1:
            names = ", ".join(sorted(where))
            raise Failure(
                f"say in which netting set: {names}", "--netting-set NAME", ExitCode.USAGE
            )
        return await ask(session.settings, message, where, how.timeout_s)

    answers = session.run(work())
    code = show_answers(session, answers)
    if proposes and code is ExitCode.OK:
        _tell_proposal(session, message.id, command)
    elif isinstance(how, Proposing) and not proposes:
        _hint(session, command, answers)
    return code


def show_answers(session: Session, answers: "list[CommandEvent]") -> ExitCode:
    """Print the engine's answers. FAILED if one of them is a refusal."""
    from rich.markup import escape

    for answer in answers:
        if session.json:
            session.line(answer)
            continue
        colour = "red" if answer.status == "REFUSED" else "green"
        reason = f": {answer.reason}" if answer.reason else ""
        session.out.print(
            f"[{colour}]{answer.status}[/{colour}] {answer.command} in {answer.netting_set}"
            f" at log offset {answer.log_offset}{escape(reason)}",
            highlight=False,
        )
    done = all(answer.status != "REFUSED" for answer in answers)
    return ExitCode.OK if done else ExitCode.FAILED


def _tell_proposal(session: Session, proposal: str, command: "Proposable") -> None:
    """What the other person needs: the id, and the hash to compare."""
    from clearing.core.approvals import content_hash

    digest = content_hash(command)
    if session.json:
        session.line({"proposal": proposal, "hash": digest, "command": command})
    else:
        session.out.print(f"proposal {proposal}\nhash     {digest}", highlight=False)
    session.note(
        f"somebody else than {command.by} has to approve it:\n"
        f"    clearing command approve {proposal} --hash {digest}"
    )


def _hint(session: Session, command: "Proposable", answers: "list[CommandEvent]") -> None:
    """The next thing to do where the engine wants a second person."""
    from clearing.core.approvals import needs_approval

    if needs_approval(command) and any("approval" in answer.reason for answer in answers):
        session.note("[dim]next:[/dim]     the same command with --propose")
