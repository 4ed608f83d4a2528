"""What gives or takes liquidity beside payments: commands, refused funding, shortfalls (R8, R9, R25).

Settlement is not among it: the net moves from position to prefunded and changes no headroom (R11).
"""

from collections import defaultdict
from typing import NamedTuple

from clearing.core.commands import Fund, OpenAccount, SetCap, SetReservation
from clearing.core.money import parse
from clearing.verify.facts import Facts
from clearing.verify.positions import funding_refused_at


class Change(NamedTuple):
    """Of an account's headroom at a log offset, in minor units. is_money: of its balance, not of a limit alone."""

    participant: str
    asset: str
    log_offset: int
    units: int
    is_money: bool


def account_changes(facts: Facts) -> list[Change]:
    """All of them: those of commands in their order."""
    return [*_by_commands(facts), *_by_refused_funding(facts), *_by_shortfalls(facts)]


def _by_commands(facts: Facts) -> list[Change]:
    changes: list[Change] = []
    standing: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for one in facts.commands:
        command, at = one.command, one.log_offset
        match command:
            case OpenAccount():
                limits = [("cap", command.net_debit_cap, 1)]
                money = command.prefunded
            case SetCap():
                limits, money = [("cap", command.net_debit_cap, 1)], "0"
            case SetReservation():
                limits, money = [("reserved", command.reserved, -1)], "0"
            case Fund():
                limits, money = [], command.amount
            case _:
                continue
        who, asset = command.participant, command.asset
        scale = facts.scales.get(asset, 0)
        for what, text, sign in limits:
            units = parse(text, scale) or 0
            changes.append(
                Change(who, asset, at, sign * (units - standing[what, who, asset]), False)
            )
            standing[what, who, asset] = units
        changes.append(Change(who, asset, at, parse(money, scale) or 0, True))
    return changes


def _by_refused_funding(facts: Facts) -> list[Change]:
    """Prefunding counts from its command on; a ledger that did not move it takes it back."""
    return [
        Change(entry.participant, batch.asset, at, -(parse(entry.net, batch.scale) or 0), True)
        for batch in facts.batches
        if batch.kind == "funding" and (at := funding_refused_at(batch, facts.answers)) is not None
        for entry in batch.entries
    ]


def _by_shortfalls(facts: Facts) -> list[Change]:
    changes: list[Change] = []
    for event in facts.said.shortfalls:
        scale, at = facts.scales.get(event.asset, 0), event.log_offset
        moved = {event.participant: parse(event.shortfall, scale) or 0}
        for name, text in event.survivors.items():
            moved[name] = moved.get(name, 0) - (parse(text, scale) or 0)
        changes += [Change(name, event.asset, at, units, True) for name, units in moved.items()]
    return changes
