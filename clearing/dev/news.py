"""What happened, in plain words: the few events of a run that people want to see, a sentence each. Pure."""

from clearing.core.commands import SetStatus
from clearing.core.money import show
from clearing.core.outputs import (
    DeadlockEvent,
    Event,
    ProposalEvent,
    ShortfallEvent,
    WaitsFor,
    WindowEvent,
)
from clearing.dev.progress import Release

WAITS_SHOWN = 4
WHOLE_FROM_DIGITS = 5  # of an amount that is told in whole units


def news_of(event: Event) -> str:
    """A sentence about an event, "" if it is an everyday one."""
    match event:
        case DeadlockEvent():
            return deadlock_text(event)
        case ShortfallEvent():
            return shortfall_text(event)
        case WindowEvent() if event.state in ("FAILED", "ABORTED"):
            return f"window {event.window} of {event.asset} is {event.state}: {event.reason}"
        case ProposalEvent():
            return f"proposal {event.proposal} of {event.by} is {event.state}"
        case _:
            return ""


def status_text(change: SetStatus) -> str:
    return f"{change.participant} is {change.status}, by {change.by}"


def money(amount: str) -> str:
    """A decimal string for people: thousands told apart, and a fraction only where it matters."""
    whole, _, fraction = amount.partition(".")
    exact = len(whole) < WHOLE_FROM_DIGITS and fraction.strip("0")
    return f"{int(whole):,}" + (f".{fraction}" if exact else "")


def deadlock_text(event: DeadlockEvent) -> str:
    """R16: what waits at a cut-off, who waits for whom, and the least that would free something."""
    more = len(event.waits) - WAITS_SHOWN
    said = [_waits(one) for one in event.waits[:WAITS_SHOWN]]
    said += [f"{more} more"] if more > 0 else []
    if event.extra:
        said.append(
            f"{money(event.extra)} {event.extra_asset} more for {event.extra_participant} would free something"
        )
    head = f"cut-off of {event.asset}: {event.payments:,} payments of {money(event.value)} wait"
    return "; ".join([head, *said])


def _waits(one: WaitsFor) -> str:
    whom = f" and waits for {', '.join(one.waits_for)}" if one.waits_for else ""
    return f"{one.participant} lacks {money(one.lacks)}{whom}"


def shortfall_text(event: ShortfallEvent) -> str:
    """R25: who pays what a participant could not."""
    payers = {"its collateral": event.collateral, "the pool": event.pool}
    paid = [
        f"{money(amount)} from {payer}"
        for payer, amount in (payers | event.survivors).items()
        if amount.strip("0.")
    ]
    return (
        f"{event.participant} lacks {money(event.shortfall)} {event.asset} at the ledger: "
        f"{', '.join(paid)}"
    )


def release_text(release: Release, scales: dict[str, int]) -> str:
    """R14, R15: how much left at once with how little liquidity."""
    parts = [
        f"{money(show(units, scales[asset]))} {asset} with "
        f"{money(show(release.liquidity(asset), scales[asset]))} of liquidity"
        for asset, units in sorted(release.value.items())
    ]
    what = "gridlock" if release.how == "MULTILATERAL" else "pairs"
    return f"{what} resolved: {len(release.ids):,} payments left at once, {', '.join(parts)}"
