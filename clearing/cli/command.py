"""`clearing command`: operators' commands, published to the log; the engine's answer is waited for and shown.

A command is a record like any other: it is in the log, has an id and is applied once, however often it is sent.
"""

import getpass
import uuid
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode

if TYPE_CHECKING:
    from clearing.core.commands import Command
    from clearing.core.outputs import CommandEvent

app = App(
    name="command",
    help="""Operators' commands: suspend, resume, close-window, set-cap, fund, settle-window.

Every command waits for the engine's answer: exit code 0 only if it was DONE.

    clearing command suspend BANKBBBB
    clearing command close-window HKD
    clearing command set-cap BANKBBBB HKD 5000000.00 --by alice
""",
)

NettingSet = Annotated[
    str | None, Parameter(help="Only this netting set. Default: that of the asset, or all.")
]
By = Annotated[str | None, Parameter(help="Who asks; stands in the log. Default: your user name.")]
Id = Annotated[
    str | None,
    Parameter(
        name="--id", help="Id of the command: the same id is applied once. Default: a new one."
    ),
]
Timeout = Annotated[
    float, Parameter(name="--timeout-s", help="How long to wait for the engine's answer.")
]


@app.command
def suspend(
    participant: str,
    *,
    netting_set: NettingSet = None,
    by: By = None,
    command_id: Id = None,
    timeout_s: Timeout = 15.0,
    session: Given,
) -> ExitCode:
    """Refuse all payments from and to a participant from now on; what was accepted stands."""
    from clearing.core.commands import SetStatus

    command = SetStatus(id=_id(command_id), by=_by(by), participant=participant, status="SUSPENDED")
    return _send(session, command, netting_set, "", timeout_s)


@app.command
def resume(
    participant: str,
    *,
    netting_set: NettingSet = None,
    by: By = None,
    command_id: Id = None,
    timeout_s: Timeout = 15.0,
    session: Given,
) -> ExitCode:
    """Let a suspended participant pay and be paid again."""
    from clearing.core.commands import SetStatus

    command = SetStatus(id=_id(command_id), by=_by(by), participant=participant, status="ACTIVE")
    return _send(session, command, netting_set, "", timeout_s)


@app.command
def leave(
    participant: str,
    *,
    netting_set: NettingSet = None,
    by: By = None,
    command_id: Id = None,
    timeout_s: Timeout = 15.0,
    session: Given,
) -> ExitCode:
    """Close a participant for good; possible when nothing of it is unsettled."""
    from clearing.core.commands import SetStatus

    command = SetStatus(id=_id(command_id), by=_by(by), participant=participant, status="CLOSED")
    return _send(session, command, netting_set, "", timeout_s)


@app.command
def close_window(
    asset: str = "",
    *,
    netting_set: NettingSet = None,
    by: By = None,
    command_id: Id = None,
    timeout_s: Timeout = 15.0,
    session: Given,
) -> ExitCode:
    """Close the open window of an asset, or of all assets, and send its batch to the ledger."""
    from clearing.core.commands import CloseWindow

    command = CloseWindow(id=_id(command_id), by=_by(by), asset=asset)
    return _send(session, command, netting_set, asset, timeout_s)


@app.command
def settle_window(
    asset: str,
    window: int,
    *,
    netting_set: NettingSet = None,
    by: By = None,
    command_id: Id = None,
    timeout_s: Timeout = 15.0,
    session: Given,
) -> ExitCode:
    """Send a FAILED window to its ledger again, as the next version of its batch."""
    from clearing.core.commands import SettleWindow

    command = SettleWindow(id=_id(command_id), by=_by(by), asset=asset, window=window)
    return _send(session, command, netting_set, asset, timeout_s)


@app.command
def set_cap(
    participant: str,
    asset: str,
    amount: str,
    *,
    overdraft: str | None = None,
    netting_set: NettingSet = None,
    by: By = None,
    command_id: Id = None,
    timeout_s: Timeout = 15.0,
    session: Given,
) -> ExitCode:
    """Set a net debit cap. Lowering it breaks nothing that was accepted.

    Parameters
    ----------
    amount
        The new cap, a decimal at the asset's scale.
    overdraft
        How far below zero the ledger lets the account go. Default: as far as the cap.
    """
    from clearing.core.commands import SetCap

    command = SetCap(
        id=_id(command_id),
        by=_by(by),
        participant=participant,
        asset=asset,
        net_debit_cap=amount,
        overdraft=overdraft,
    )
    return _send(session, command, netting_set, asset, timeout_s)


@app.command
def fund(
    participant: str,
    asset: str,
    amount: Annotated[str, Parameter(allow_leading_hyphen=True)],
    *,
    netting_set: NettingSet = None,
    by: By = None,
    command_id: Id = None,
    timeout_s: Timeout = 15.0,
    session: Given,
) -> ExitCode:
    """Move prefunding in, or out with a negative amount; the ledger posts it against $FUNDING.

    The sign says which way it goes.

        clearing command fund BANKBBBB HKD 1000000.00
        clearing command fund BANKBBBB HKD -250000.00
    """
    from clearing.core.commands import Fund

    command = Fund(
        id=_id(command_id), by=_by(by), participant=participant, asset=asset, amount=amount
    )
    return _send(session, command, netting_set, asset, timeout_s)


def _id(given: str | None) -> str:
    return given or f"cli-{uuid.uuid4().hex}"


def _by(given: str | None) -> str:
    return given or getpass.getuser()


def _send(
    session: Session, command: "Command", netting_set: str | None, asset: str, timeout_s: float
) -> ExitCode:
    """Publish, wait, show. FAILED unless every netting set that was asked has done it."""
    from clearing.cli.asking import ask
    from clearing.cli.places import netting_set_of

    async def work() -> "list[CommandEvent]":
        where = await netting_set_of(session.settings, netting_set, asset)
        return await ask(session.settings, command, where, timeout_s)

    answers = session.run(work())
    for answer in answers:
        if session.json:
            session.line(answer)
        else:
            colour = "red" if answer.status == "REFUSED" else "green"
            reason = f": {answer.reason}" if answer.reason else ""
            session.out.print(
                f"[{colour}]{answer.status}[/{colour}] {answer.command} in {answer.netting_set}"
                f" at log offset {answer.log_offset}{reason}",
                highlight=False,
            )
    done = all(answer.status != "REFUSED" for answer in answers)
    return ExitCode.OK if done else ExitCode.FAILED
