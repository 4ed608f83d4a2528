"""The topic `positions` against what payments, queues, funding, limits and settlements make of it (R8, R11)."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from clearing.core.commands import OpenAccount, SetCap, SetReservation
from clearing.core.inputs import I64
from clearing.core.money import parse, show
from clearing.core.outputs import Position, SettlementBatch
from clearing.verify.commands import Answers
from clearing.verify.facts import Facts
from clearing.verify.members import NEVER
from clearing.verify.report import Check, Findings
from clearing.verify.resolved import How
from clearing.verify.states import State
from clearing.verify.sums import minor_units, units_of
from clearing.verify.tables import LogTable, Rows

Account = tuple[str, str]  # participant, asset


def is_scheme_account(participant: str) -> bool:
    """$FUNDING, $COLLATERAL, $POOL: the ledger's, and nobody's position."""
    return participant.startswith("$")


@dataclass(slots=True)
class Standings:
    """What each account stands at, in minor units, and the last log offset that changed it."""

    position: defaultdict[Account, int] = field(default_factory=lambda: defaultdict(int))
    prefunded: defaultdict[Account, int] = field(default_factory=lambda: defaultdict(int))
    cap: defaultdict[Account, int] = field(default_factory=lambda: defaultdict(int))
    reserved: defaultdict[Account, int] = field(default_factory=lambda: defaultdict(int))
    queued: defaultdict[Account, int] = field(default_factory=lambda: defaultdict(int))
    queued_payments: defaultdict[Account, int] = field(default_factory=lambda: defaultdict(int))
    changed_at: dict[Account, int] = field(default_factory=dict[Account, int])

    def touch(self, account: Account, log_offset: int) -> None:
        self.changed_at[account] = max(self.changed_at.get(account, -1), log_offset)


_AMOUNTS = ("position", "prefunded", "cap", "reserved", "queued", "queued_payments")


def check_positions(facts: Facts, positions: list[Position], standings: Standings) -> Check:
    """The last position of each account is what everything that happened to it makes it (R8, R11).

    position = credits - debits of what is not settled; prefunded = funding + settled nets; headroom adds up; queued
    is what still waits in its queue. Positions are written at a bounded rate: one that is older than its
    account's last change is on its way; one from beyond what is verified is left for next time.
    """
    found = Findings()
    scales = facts.scales
    compared = late = 0
    for record in positions:
        key = (record.participant, record.asset)
        said = _said(record, scales.get(record.asset, 0))
        if said is None:
            found.add(f"{key}: an amount is no decimal at scale {scales.get(record.asset, 0)}")
            continue
        headroom = said["prefunded"] + said["cap"] + said["position"] - said["reserved"]
        if headroom != said["headroom"]:
            found.add(f"{key}: headroom {record.headroom} is not the sum of its parts")
        if record.log_offset >= facts.said.goal:
            continue
        if standings.changed_at.get(key, -1) > record.log_offset:
            late += 1
            continue
        compared += 1
        for name in _AMOUNTS:
            is_ = getattr(standings, name).get(key, 0)
            if said[name] != is_:
                scale = 0 if name == "queued_payments" else scales.get(record.asset, 0)
                found.add(
                    f"{key}: {name} {show(said[name], scale)}, everything together says {show(is_, scale)}"
                )
    late += len(standings.changed_at.keys() - {(r.participant, r.asset) for r in positions})
    if late:
        found.wait_for(f"{late} positions are not written yet")
    return found.check(
        "positions are what is unsettled",
        "R8 R11",
        facts.netting_set,
        f"{compared:,} of {len(positions):,} positions recomputed",
    )


def _said(record: Position, scale: int) -> dict[str, int] | None:
    """Amounts of a record in minor units; None if one is no amount."""
    texts = {
        "prefunded": record.prefunded,
        "cap": record.net_debit_cap,
        "position": record.position,
        "reserved": record.reserved,
        "headroom": record.headroom,
        "queued": record.queued,
    }
    units = {name: parse(text, scale) for name, text in texts.items()}
    if None in units.values():
        return None
    return {name: found or 0 for name, found in units.items()} | {
        "queued_payments": record.queued_payments
    }


def standings_of(facts: Facts) -> Standings:
    standings = Standings()
    _add_unsettled(standings, facts)
    _add_settled(standings, facts)
    _add_limits(standings, facts)
    _add_queued(standings, facts)
    return standings


def _add_unsettled(standings: Standings, facts: Facts) -> None:
    """Accepted payments move positions; those of windows that are settled have moved on. So have recast ones."""
    table, members = facts.table, facts.members
    settled = {(e.asset, e.window) for e in facts.said.windows if e.state == "SETTLED"}
    keys = [table.assets.find(a) << 40 | w for a, w in settled if a in table.assets.index]
    width = max(len(table.assets.names), 1)
    size = len(table.participants.names) * width
    net, last = np.zeros(size, np.int64), np.full(size, NEVER, np.int64)
    for _, some in members.pieces():
        open_ = ~np.isin(some.key, np.array(keys or [-1], np.int64)) & some.stays
        at = np.maximum(some.offset, some.gone_at)
        for side, sign in ((some.debtor, -1), (some.creditor, 1)):
            account = side * width + some.asset
            np.add.at(net, account[open_], sign * some.units[open_])
            np.maximum.at(last, account, at)
    for flat in np.flatnonzero(last >= 0).tolist():
        participant, asset = divmod(flat, width)
        account = table.participants.names[participant], table.assets.names[asset]
        standings.position[account] += int(net[flat])
        standings.touch(account, int(last[flat]))
    for event in facts.said.shortfalls:
        scale = facts.scales.get(event.asset, 0)
        moved = {name: -(parse(text, scale) or 0) for name, text in event.survivors.items()}
        lacked = parse(event.shortfall, scale) or 0
        moved[event.participant] = moved.get(event.participant, 0) + lacked
        for name, units in moved.items():
            if (event.asset, event.window) not in settled:
                standings.position[name, event.asset] += units
            standings.touch((name, event.asset), event.log_offset)


def _add_settled(standings: Standings, facts: Facts) -> None:
    """Funding counts from its command on, unless its ledger refused it; nets when their window is settled."""

    def move(batch: SettlementBatch, sign: int, log_offset: int) -> None:
        for entry in batch.entries:
            if not is_scheme_account(entry.participant):
                account = entry.participant, batch.asset
                standings.prefunded[account] += sign * (units_of(entry.net, batch.scale) or 0)
                standings.touch(account, log_offset)

    last: dict[tuple[str, int], dict[int, SettlementBatch]] = {}
    for batch in facts.batches:
        if batch.kind == "funding":
            move(batch, 1, batch.log_first)
            if (refused_at := funding_refused_at(batch, facts.answers)) is not None:
                move(batch, -1, refused_at)
        else:
            last.setdefault((batch.asset, batch.window), {})[batch.part] = batch
    for event in facts.said.windows:
        if event.state == "SETTLED":
            for batch in last.get((event.asset, event.window), {}).values():
                if event.batch:
                    move(batch, 1, event.log_offset)


def funding_refused_at(batch: SettlementBatch, answers: Answers) -> int | None:
    """Log offset at which the ledger refused to move prefunding, None if it did not, or had moved it before."""
    refused_at, posted_at = (
        answers.at(batch.id, batch.hash, batch.ledger, word) for word in ("REFUSED", "POSTED")
    )
    if refused_at is None or (posted_at is not None and posted_at < refused_at):
        return None
    return refused_at


def _add_limits(standings: Standings, facts: Facts) -> None:
    for one in facts.commands:
        command = one.command
        if not isinstance(command, OpenAccount | SetCap | SetReservation):
            continue
        account = command.participant, command.asset
        scale = facts.scales.get(command.asset, 0)
        if isinstance(command, SetReservation):
            standings.reserved[account] = parse(command.reserved, scale) or 0
        else:
            standings.cap[account] = parse(command.net_debit_cap, scale) or 0
        standings.touch(account, one.log_offset)


def _add_queued(standings: Standings, facts: Facts) -> None:
    """What stands in queues: legs of a link only from when all of them are there."""
    table, rows, resolved = facts.table, facts.rows, facts.resolved
    waiting = np.flatnonzero(facts.states == State.QUEUED)
    entered: dict[int, int] = {}  # row → log offset at which it came into its queue
    apart: list[int] = []
    for life in facts.lives:
        if life.is_complete:
            entered |= dict.fromkeys(life.rows, life.completed_at)
        else:
            apart += life.rows
    waiting = waiting[~np.isin(waiting, apart)]
    rest = _open_units(facts, waiting)
    for row, units in zip(waiting.tolist(), rest.tolist(), strict=True):
        account = _account(table, rows, row)
        standings.queued[account] += units
        standings.queued_payments[account] += 1
        standings.touch(account, entered.get(row, table.log_offset(row, rows)))
    # Whatever has left a queue changed it then; a leg that never came into one did not.
    alone = set(apart)
    own = np.flatnonzero((resolved.row >= 0) & ~resolved.recast)
    for row, at in zip(resolved.row[own].tolist(), resolved.at[own].tolist(), strict=True):
        if row not in alone:
            standings.touch(_account(table, rows, row), at)


def _open_units(facts: Facts, at: I64) -> I64:
    """Minor units of each row that still wait: all, or what the last part has left."""
    rows, resolved = facts.rows, facts.resolved
    amount, decimals = rows.amount[at], rows.decimals[at]
    parts = np.flatnonzero(np.isin(resolved.row, at) & (resolved.how == How.PARTIAL))
    place = np.searchsorted(at, resolved.row[parts])
    amount[place], decimals[place] = resolved.remaining[parts], resolved.remaining_decimals[parts]
    units, _ = minor_units(amount, decimals, facts.scale_of[rows.asset[at]])
    return units


def _account(table: LogTable, rows: Rows, row: int) -> Account:
    return (
        table.participants.names[int(rows.debtor[row])],
        table.assets.names[int(rows.asset[row])],
    )
