"""`clearing command` for four eyes: require them, see what is proposed, approve or withdraw it (R33)."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from clearing.cli.sending import ALONE, PROPOSABLE, Proposing, Sending, send, show_answers
from clearing.cli.session import Given, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from clearing.commanding.published import OpenProposal
    from clearing.core.commands import Command
    from clearing.core.outputs import CommandEvent

Proposals = Annotated[str, Parameter(help="Ids of proposals, as `proposals` lists them.")]


def require_approval(
    state: Literal["on", "off"], *, how: Proposing = PROPOSABLE, session: Given
) -> ExitCode:
    """Have a second person approve what matters from here on, or no longer.

    Needs it: limits, funding, registering, resume, default, close, settle, abort, release and redrive. Does not:
    suspend, close-window and schedules. Switching it off needs it, too.

        clearing command require-approval on --netting-set hk
        clearing command require-approval off --propose
    """
    from clearing.core.commands import RequireApproval

    return send(session, RequireApproval(**how.signed(), required=state == "on"), how)


def proposals(
    *,
    netting_set: Annotated[
        str | None, Parameter(help="Only this netting set. Default: all.")
    ] = None,
    session: Given,
) -> None:
    """List what is proposed and still open: who asks for what, and its hash.

    The hash is over all of it, id and proposer included: an approval is bound to it.

        clearing command proposals
        clearing command proposals --json | jq -r '.[] | .proposal + " " + .by'
    """
    from clearing.commanding.published import open_proposals

    found = session.run(open_proposals(session.settings, netting_set))
    if session.json:
        session.line(found)
        return
    _show(session, found)
    if not found:
        session.note("nothing is proposed")


def approve(
    *proposal: Proposals,
    digest: Annotated[
        str | None,
        Parameter(name="--hash", help="Only if this is the proposal's hash: what you were told."),
    ] = None,
    yes: Annotated[bool, Parameter(negative="", help="Do not ask.")] = False,
    how: Sending = ALONE,
    session: Given,
) -> ExitCode:
    """Approve what somebody else has proposed: it is done at once, in the proposer's name.

    Shows what it is and asks. Nobody approves their own. Several are approved in the order in which they stand, up
    to the first that is refused.

        clearing command approve p-0f3e6a1b2c4d5e6f
        clearing command approve p-0f3e6a1b2c4d5e6f --hash 0f3e6a1b2c4d5e6f… --by bob
    """
    from clearing.core.commands import Approve

    found = _chosen(session, how, proposal, digest)
    first = [each[0] for each in found]
    _show(session, [one for each in found for one in each], aside=True)
    _ask_person(session, yes or digest is not None, len(first))
    code, answers = ExitCode.OK, list["CommandEvent"]()
    for number, each in enumerate(found):
        command = Approve(**how.signed(), proposal=each[0].proposal, hash=each[0].hash)
        answers = session.run(_sent(session, command, each, how, each[0].command.id))
        code = show_answers(session, answers)
        if code is not ExitCode.OK:
            if left := len(found) - number - 1:
                session.note(f"{left} more {'is' if left == 1 else 'are'} not approved")
            break
    return code


def withdraw(*proposal: Proposals, how: Sending = ALONE, session: Given) -> ExitCode:
    """Take a proposal back, or turn somebody's down; nothing of it is done.

    Anybody may. It can be proposed anew.

        clearing command withdraw p-0f3e6a1b2c4d5e6f --by bob
    """
    from clearing.core.commands import Withdraw

    codes: list[ExitCode] = []
    for each in _chosen(session, how, proposal, None):
        command = Withdraw(**how.signed(), proposal=each[0].proposal)
        codes.append(show_answers(session, session.run(_sent(session, command, each, how))))
    return max(codes)


def _chosen(
    session: Session, how: Sending, wanted: tuple[str, ...], digest: str | None
) -> "list[list[OpenProposal]]":
    """Each proposal in the netting sets in which it is open. Raises Failure if one of them is not."""
    from clearing.commanding.published import chosen, open_proposals

    if not wanted:
        raise Failure("say which proposal", "clearing command proposals", ExitCode.USAGE)
    if len(wanted) > 1 and (digest or how.command_id):
        option = "--hash" if digest else "--id"
        raise Failure(f"{option} is for one proposal, not {len(wanted)}", code=ExitCode.USAGE)
    there = session.run(open_proposals(session.settings, how.netting_set))
    found: list[list[OpenProposal]] = []
    for name in dict.fromkeys(wanted):
        one = chosen(there, name, digest)
        if isinstance(one, str):
            raise Failure(one, "clearing command proposals")
        found.append(one)
    return found


def _ask_person(session: Session, is_sure: bool, count: int) -> None:
    """Ask whoever sits there; without anybody there an approval has to say that it is meant."""
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise Failure(
            "nobody is there to be asked",
            "--hash HASH of what you approve, or --yes",
            ExitCode.USAGE,
        )
    what = "it" if count == 1 else f"these {count}"
    if session.notes.input(f"Approve {what}? Type yes: ").strip().lower() not in ("y", "yes"):
        raise Failure("nothing was approved")


async def _sent(
    session: Session,
    command: "Command",
    where: "list[OpenProposal]",
    how: Sending,
    approved: str = "",
) -> "list[CommandEvent]":
    from clearing.commanding.asking import ask

    partitions = {each.netting_set: each.partition for each in where}
    return await ask(session.settings, command, partitions, how.timeout_s, approved)


def _show(session: Session, found: "list[OpenProposal]", aside: bool = False) -> None:
    """For people: a block each. aside: beside the data, on stderr."""
    from clearing.commanding.published import described

    console = session.notes if aside else session.out
    for each in found:
        console.print(
            f"{each.proposal} in {each.netting_set}, proposed by {each.by}\n"
            f"    what  {described(each.command)}\n"
            f"    hash  {each.hash}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
