"""`clearing command` about windows and queues: close, settle again, give up, release (R4, R15, R17)."""

from clearing.cli.sending import ALONE, PROPOSABLE, Proposing, Sending, send
from clearing.cli.session import Given
from clearing.failures import ExitCode, Failure


def close_window(asset: str = "", *, how: Sending = ALONE, session: Given) -> ExitCode:
    """Close the open window of an asset, or of all assets, and send its batch to the ledger.

    It is a cut-off like any other: what waits rolls or is dropped, as the asset says.

        clearing command close-window HKD
        clearing command close-window --netting-set hk
    """
    from clearing.core.commands import CloseWindow

    return send(session, CloseWindow(**how.signed(), asset=asset), how, asset=asset)


def settle_window(
    asset: str, window: int, *, how: Proposing = PROPOSABLE, session: Given
) -> ExitCode:
    """Send a window that FAILED or was ABORTED to its ledger again, as the next version of its batch.

    `clearing status` shows which ones those are, and why.

        clearing command settle-window HKD 17
    """
    from clearing.core.commands import SettleWindow

    command = SettleWindow(**how.signed(), asset=asset, window=window)
    return send(session, command, how, asset=asset)


def abort_window(
    asset: str, window: int, *, how: Proposing = PROPOSABLE, session: Given
) -> ExitCode:
    """Give a FAILED window up for now; settle-window may still send it again.

    Until then its payments stay accepted and unsettled.

        clearing command abort-window HKD 17 --propose
    """
    from clearing.core.commands import AbortWindow

    command = AbortWindow(**how.signed(), asset=asset, window=window)
    return send(session, command, how, asset=asset)


def release(*payments: str, how: Proposing = PROPOSABLE, session: Given) -> ExitCode:
    """Release payments that wait, all of them as one, out of their order.

    Refused as a whole if one of them does not wait, its asset's queue is FIFO, or anybody would pass a limit.

        clearing command release 3f2b8c1a-7d44-4c6e-9a51-0d2f6b7c8e90 --netting-set hk

    Parameters
    ----------
    payments
        Ids of the payments.
    """
    from clearing.core.commands import ReleaseQueued

    if not payments:
        raise Failure("say which payments", "clearing command release --help", ExitCode.USAGE)
    command = ReleaseQueued(**how.signed(), payments=list(payments))
    return send(session, command, how, one=True)
