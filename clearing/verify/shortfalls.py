"""Who bears what a participant could not pay: in R25's order, and exactly what its ledger said was lacking."""

from collections import defaultdict

import numpy as np

from clearing.core.commands import Confirmation, SetCollateral, SetPool
from clearing.core.money import parse, show
from clearing.core.outputs import SettlementBatch, ShortfallEvent
from clearing.verify.facts import Facts
from clearing.verify.members import NEVER, columns_of
from clearing.verify.report import Check, Findings

Account = tuple[str, str]  # participant, or "" for the pool; asset


def check_shortfalls(facts: Facts) -> Check:
    """Collateral, then the pool, then survivors, together what was lacking; a recast takes out all of the short's
    payments and no others (R25).
    """
    found = Findings()
    covers = _Covers(facts)
    for event in facts.said.shortfalls:
        _check_event(facts, event, covers, found)
    recasts = _check_recasts(facts, found)
    return found.check(
        "shortfalls are borne exactly",
        "R25",
        facts.netting_set,
        f"{len(facts.said.shortfalls):,} shortfalls, {recasts:,} windows recast",
    )


class _Covers:
    """Collateral and pools as commands have set them and shortfalls have used them, in the order of the log."""

    def __init__(self, facts: Facts) -> None:
        self._set: defaultdict[Account, list[tuple[int, int]]] = defaultdict(list)
        self._used: defaultdict[Account, list[tuple[int, int]]] = defaultdict(list)
        for one in facts.commands:
            command = one.command
            if isinstance(command, SetCollateral | SetPool):
                name = command.participant if isinstance(command, SetCollateral) else ""
                units = parse(command.amount, facts.scales.get(command.asset, 0)) or 0
                self._set[name, command.asset].append((one.log_offset, units))

    def left(self, account: Account, at: int) -> tuple[int, int]:
        """(least, most) that may be left at a log offset; they differ where a command stands in the same record."""
        before = [(since, units) for since, units in self._set[account] if since < at]
        since, units = before[-1] if before else (-1, 0)
        used = sum(u for when, u in self._used[account] if when > since)
        possible = [units - used, *(u for when, u in self._set[account] if when == at)]
        return min(possible) - (used if len(possible) > 1 else 0), max(possible)

    def use(self, account: Account, at: int, units: int) -> None:
        self._used[account].append((at, units))


def _check_event(facts: Facts, event: ShortfallEvent, covers: _Covers, found: Findings) -> None:
    where = f"shortfall of {event.participant} in window {event.window} of {event.asset}"
    scale = facts.scales.get(event.asset, 0)
    lacked, collateral, pool = (
        parse(text, scale) or 0 for text in (event.shortfall, event.collateral, event.pool)
    )
    shares = {name: parse(text, scale) or 0 for name, text in event.survivors.items()}
    if min([lacked, collateral, pool, *shares.values()]) < 0:
        found.add(f"{where}: somebody bears less than nothing")
    if collateral + pool + sum(shares.values()) != lacked:
        found.add(f"{where}: what is borne is not the {event.shortfall} that were lacking")
    before = _version(facts, event, event.version - 1)
    if before is None or not _said_short(facts, event, before, lacked):
        found.add(f"{where}: its ledger did not say that {event.shortfall} were lacking")
    mine, common = (event.participant, event.asset), ("", event.asset)
    for account, taken, rest, what in (
        (mine, collateral, lacked, "its collateral"),
        (common, pool, lacked - collateral, "the pool"),
    ):
        least, most = covers.left(account, event.log_offset)
        if not min(least, rest) <= taken <= min(most, rest):
            found.add(
                f"{where}: {show(taken, scale)} were taken from {what}, which has another amount"
            )
        covers.use(account, event.log_offset, taken)
    after = _version(facts, event, event.version)
    for name, share in shares.items():
        if before is None or after is None or _net_of(before, name) < share:
            found.add(f"{where}: {name} bears {show(share, scale)}, more than it was to receive")
        elif _net_of(after, name) < 0:
            found.add(f"{where}: {name} owes money for what others could not pay")


def _net_of(batch: SettlementBatch, participant: str) -> int:
    """Minor units over all lines of a participant."""
    mine = (entry.net for entry in batch.entries if entry.participant == participant)
    return sum(parse(net, batch.scale) or 0 for net in mine)


def _version(facts: Facts, event: ShortfallEvent, version: int) -> SettlementBatch | None:
    wanted = event.asset, event.window, version
    return next(
        (b for b in facts.batches if (b.asset, b.window, b.version) == wanted and b.parts == 1),
        None,
    )


def _said_short(facts: Facts, event: ShortfallEvent, batch: SettlementBatch, lacked: int) -> bool:
    return any(
        at == event.log_offset
        and (said.batch, said.hash, said.status) == (batch.id, batch.hash, "REFUSED")
        and parse(said.short.get(event.participant, ""), batch.scale) == lacked
        for at, said in facts.answers.confirmations
    )


def _check_recasts(facts: Facts, found: Findings) -> int:
    """Of each window that was recast: exactly the payments from and to those that were short are gone."""
    table = facts.table
    gone = facts.members.take(facts.members.gone)
    if not len(gone):
        return 0
    recasts = set(zip(gone.key.tolist(), gone.gone_at.tolist(), strict=True))
    keys = np.unique(gone.key)
    windows = columns_of([some.only(np.isin(some.key, keys)) for _, some in facts.members.pieces()])
    for key, at in sorted(recasts):
        members = windows.only(windows.key == key)
        asset, window = table.assets.names[key >> 40], key & ((1 << 40) - 1)
        short = {
            table.participants.find(name)
            for answered_at, said in facts.answers.confirmations
            if answered_at == at and _batch_of(facts, said) == (asset, window)
            for name in said.short
        }
        there = (members.gone_at == NEVER) | (members.gone_at >= at)
        of_short = [*short]
        concerned = (
            np.isin(members.debtor, of_short) | np.isin(members.creditor, of_short)
        ) & there
        if ((members.gone_at == at) != concerned).any():
            found.add(
                f"the recast of window {window} of {asset} took out other payments than those of the short"
            )
    return len(recasts)


def _batch_of(facts: Facts, said: Confirmation) -> tuple[str, int] | None:
    if said.status != "REFUSED":
        return None
    return next(((b.asset, b.window) for b in facts.batches if b.id == said.batch), None)
