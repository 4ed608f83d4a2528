"""`clearing command` about participants: suspend, resume, default, close (R24, R32)."""

from typing import Literal

from clearing.cli.sending import ALONE, PROPOSABLE, Proposing, Sending, send
from clearing.cli.session import Given, Session
from clearing.failures import ExitCode


def suspend(participant: str, *, how: Sending = ALONE, session: Given) -> ExitCode:
    """Refuse all payments from and to a participant from now on; what was accepted stands.

    The kill switch: it never needs a second person. What waits is held until it is resumed.

        clearing command suspend BANKBBBB --by alice
    """
    return _set(session, how, participant, "SUSPENDED")


def resume(participant: str, *, how: Proposing = PROPOSABLE, session: Given) -> ExitCode:
    """Let a suspended participant pay and be paid again.

    What was held meanwhile may leave again, if it still fits.

        clearing command resume BANKBBBB
        clearing command resume BANKBBBB --propose    where four eyes are required
    """
    return _set(session, how, participant, "ACTIVE")


def default(participant: str, *, how: Proposing = PROPOSABLE, session: Given) -> ExitCode:
    """Declare a participant in default; there is no way back.

    Payments accepted before stand and are settled. What waits from or to it ends, later payments from or to it
    are refused.

        clearing command default BANKBBBB --propose
    """
    return _set(session, how, participant, "DEFAULTED")


def close(participant: str, *, how: Proposing = PROPOSABLE, session: Given) -> ExitCode:
    """Close a participant for good; possible when nothing of it waits or is unsettled.

    Suspend it first, and let what is open settle.

        clearing command close BANKBBBB
    """
    return _set(session, how, participant, "CLOSED")


def _set(
    session: Session,
    how: Sending,
    participant: str,
    status: Literal["ACTIVE", "SUSPENDED", "DEFAULTED", "CLOSED"],
) -> ExitCode:
    from clearing.core.commands import SetStatus

    command = SetStatus(**how.signed(), participant=participant, status=status)
    return send(session, command, how, participant=participant)
