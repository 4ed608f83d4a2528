"""What a scheme says of an account and the published commands do not: drafts as in clearing.scheme.drafts."""

from collections.abc import Iterator

from clearing.core.commands import (
    Fund,
    OpenAccount,
    SetBilateralLimit,
    SetCap,
    SetCollateral,
    SetReservation,
)
from clearing.core.money import show
from clearing.scheme.drafts import Draft, exact
from clearing.scheme.model import Account, BilateralLimit
from clearing.scheme.standing import Published, Standing


def account(wanted: Account, scale: int, published: Published) -> Iterator[Draft]:
    """Open it, or change what differs; amounts of the account are at `scale`."""
    standing = published.accounts.get((wanted.participant, wanted.asset))
    if standing is None:
        yield _open(wanted)
    else:
        yield from _cap(wanted, standing, scale)
        yield from _funds(wanted, standing, scale)
    yield from _reservation(wanted, scale, published)
    yield from _collateral(wanted, scale, published)


def limits(wanted: Account, scale: int, published: Published) -> Iterator[Draft]:
    """Bilateral limits (R10), for when the counterparties' accounts are open, too."""
    for limit in wanted.limits:
        yield from _limit(wanted, limit, scale, published)


def _label(wanted: Account) -> str:
    return f"account of {wanted.participant} in {wanted.asset}"


def _open(wanted: Account) -> Draft:
    text = f"prefunded {wanted.prefunded}, net debit cap {wanted.net_debit_cap}"
    command = OpenAccount(
        id="",
        by="",
        participant=wanted.participant,
        asset=wanted.asset,
        prefunded=wanted.prefunded,
        net_debit_cap=wanted.net_debit_cap,
        overdraft=wanted.overdraft,
    )
    return f"{_label(wanted)}: {text}", command


def _cap(wanted: Account, before: Standing, scale: int) -> Iterator[Draft]:
    """Cap and overdraft; where the file names no overdraft, the ledger's stays unless the cap needs more (R9)."""
    cap = exact(wanted.net_debit_cap, scale)
    overdraft = max(cap, before.overdraft)
    if wanted.overdraft is not None:
        overdraft = exact(wanted.overdraft, scale)
    changed = ", ".join(
        f"{name} {show(old, scale)} → {show(new, scale)}"
        for name, old, new in (
            ("net debit cap", before.net_debit_cap, cap),
            ("overdraft", before.overdraft, overdraft),
        )
        if old != new
    )
    if changed:
        command = SetCap(
            id="",
            by="",
            participant=wanted.participant,
            asset=wanted.asset,
            net_debit_cap=wanted.net_debit_cap,
            overdraft=wanted.overdraft,
        )
        yield f"{_label(wanted)}: {changed}", command


def _funds(wanted: Account, before: Standing, scale: int) -> Iterator[Draft]:
    moved = exact(wanted.prefunded, scale) - before.prefunded
    if moved:
        way = "paid in" if moved > 0 else "paid out"
        command = Fund(
            id="",
            by="",
            participant=wanted.participant,
            asset=wanted.asset,
            amount=show(moved, scale),
        )
        yield f"{_label(wanted)}: {show(abs(moved), scale)} {way}", command


def _reservation(wanted: Account, scale: int, published: Published) -> Iterator[Draft]:
    said = wanted.reserved
    before = published.reserved.get((wanted.participant, wanted.asset), 0)
    if said is not None and exact(said, scale) != before:
        command = SetReservation(
            id="", by="", participant=wanted.participant, asset=wanted.asset, reserved=said
        )
        yield f"{_label(wanted)}: reserved {show(before, scale)} → {said}", command


def _collateral(wanted: Account, scale: int, published: Published) -> Iterator[Draft]:
    said = wanted.collateral
    before = published.collateral.get((wanted.participant, wanted.asset), 0)
    if said is not None and exact(said, scale) != before:
        command = SetCollateral(
            id="", by="", participant=wanted.participant, asset=wanted.asset, amount=said
        )
        yield f"{_label(wanted)}: collateral {show(before, scale)} → {said}", command


def _limit(
    wanted: Account, said: BilateralLimit, scale: int, published: Published
) -> Iterator[Draft]:
    key = wanted.participant, said.counterparty, wanted.asset
    before = published.limits.get(key)
    if (exact(said.limit, scale) if said.limit else None) != before:
        known = "none" if before is None else show(before, scale)
        text = f"limit with {said.counterparty} {known} → {said.limit or 'none'}"
        command = SetBilateralLimit(
            id="",
            by="",
            participant=wanted.participant,
            counterparty=said.counterparty,
            asset=wanted.asset,
            limit=said.limit or None,
        )
        yield f"{_label(wanted)}: {text}", command
