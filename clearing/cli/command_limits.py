"""`clearing command` about liquidity and limits: what may be paid with, and what stands behind it (R8-R10, R25)."""

from typing import Annotated

from cyclopts import Parameter

from clearing.cli.sending import PROPOSABLE, Proposing, send
from clearing.cli.session import Given
from clearing.failures import ExitCode

NONE = "none"


def set_cap(
    participant: str,
    asset: str,
    amount: str,
    *,
    overdraft: str | None = None,
    how: Proposing = PROPOSABLE,
    session: Given,
) -> ExitCode:
    """Set a net debit cap.

    Lowering it breaks nothing that was accepted: headroom is then below zero until credits come in.

        clearing command set-cap BANKBBBB HKD 5000000.00 --by alice

    Parameters
    ----------
    amount
        The new cap, a decimal at the asset's scale.
    overdraft
        How far below zero the ledger lets the account go. Default: as far as the cap.
    """
    from clearing.core.commands import SetCap

    command = SetCap(
        **how.signed(),
        participant=participant,
        asset=asset,
        net_debit_cap=amount,
        overdraft=overdraft,
    )
    return send(session, command, how, asset=asset)


def fund(
    participant: str,
    asset: str,
    amount: Annotated[str, Parameter(allow_leading_hyphen=True)],
    *,
    how: Proposing = PROPOSABLE,
    session: Given,
) -> ExitCode:
    """Move prefunding in, or out with a negative amount; the ledger posts it against $FUNDING.

    The sign says which way it goes.

        clearing command fund BANKBBBB HKD 1000000.00
        clearing command fund BANKBBBB HKD -250000.00
    """
    from clearing.core.commands import Fund

    command = Fund(**how.signed(), participant=participant, asset=asset, amount=amount)
    return send(session, command, how, asset=asset)


def reserve(
    participant: str, asset: str, amount: str, *, how: Proposing = PROPOSABLE, session: Given
) -> ExitCode:
    """Set liquidity of an account aside that payments may not use; 0 frees it.

    It may be more than is there: then nothing can be paid until credits come in.

        clearing command reserve BANKBBBB HKD 500000.00

    Parameters
    ----------
    amount
        What is reserved from now on, not how much more.
    """
    from clearing.core.commands import SetReservation

    command = SetReservation(**how.signed(), participant=participant, asset=asset, reserved=amount)
    return send(session, command, how, asset=asset)


def set_limit(
    participant: str,
    counterparty: str,
    asset: str,
    limit: str,
    *,
    how: Proposing = PROPOSABLE,
    session: Given,
) -> ExitCode:
    """Limit what a participant may pay another one, less what it got from it, in a business day.

    It holds one way only, and counts from when it is set.

        clearing command set-limit BANKAAAA BANKBBBB HKD 250000.00
        clearing command set-limit BANKAAAA BANKBBBB HKD none

    Parameters
    ----------
    limit
        A decimal at the asset's scale; none takes the limit away.
    """
    from clearing.core.commands import SetBilateralLimit

    command = SetBilateralLimit(
        **how.signed(),
        participant=participant,
        counterparty=counterparty,
        asset=asset,
        limit=_or_none(limit),
    )
    return send(session, command, how, asset=asset)


def set_collateral(
    participant: str, asset: str, amount: str, *, how: Proposing = PROPOSABLE, session: Given
) -> ExitCode:
    """Set what the waterfall may take of a participant that is short, before it asks others.

    It is kept outside of the ledger: payments cannot use it.

        clearing command set-collateral BANKBBBB HKD 2000000.00

    Parameters
    ----------
    amount
        All of it from now on, not how much more.
    """
    from clearing.core.commands import SetCollateral

    command = SetCollateral(**how.signed(), participant=participant, asset=asset, amount=amount)
    return send(session, command, how, asset=asset)


def set_pool(asset: str, amount: str, *, how: Proposing = PROPOSABLE, session: Given) -> ExitCode:
    """Set the scheme's default fund in an asset.

    The waterfall takes from it when the collateral of who is short is spent.

        clearing command set-pool HKD 50000000.00
    """
    from clearing.core.commands import SetPool

    return send(session, SetPool(**how.signed(), asset=asset, amount=amount), how, asset=asset)


def set_valuation(
    asset: str,
    price: str,
    *,
    haircut_bp: int = 0,
    short_limit: str | None = None,
    how: Proposing = PROPOSABLE,
    session: Given,
) -> ExitCode:
    """Say what an asset is worth in the value check.

    Participants with a short limit are checked over all assets that have a valuation.

        clearing command set-valuation CNHP 1.08 --haircut-bp 200
        clearing command set-valuation GB29 985.50 --haircut-bp 500 --short-limit 1000

    Parameters
    ----------
    price
        Value of one whole unit, in the scheme's unit of account.
    haircut_bp
        Basis points taken off what is held and put on what is owed.
    short_limit
        The most a participant may owe in the asset, at its scale. Default: no limit.
    """
    from clearing.core.commands import SetValuation

    command = SetValuation(
        **how.signed(), asset=asset, price=price, haircut_bp=haircut_bp, short_limit=short_limit
    )
    return send(session, command, how, asset=asset)


def set_short_limit(
    participant: str, limit: str, *, how: Proposing = PROPOSABLE, session: Given
) -> ExitCode:
    """Put a participant under the multi-asset value check, or take it out of it.

    Its positions after haircuts may not be worth less than nothing, and what it owes in all assets together not
    more than the limit.

        clearing command set-short-limit BANKBBBB 10000000 --netting-set hk
        clearing command set-short-limit BANKBBBB none --netting-set hk

    Parameters
    ----------
    limit
        In the scheme's unit of account; none ends the check.
    """
    from clearing.core.commands import SetShortLimit

    command = SetShortLimit(**how.signed(), participant=participant, limit=_or_none(limit))
    return send(session, command, how, participant=participant, one=True)


def _or_none(limit: str) -> str | None:
    return None if limit == NONE else limit
