"""Settlement batches against the payments they settle: recomputed from log × outcomes (R1, R2, R7)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from clearing.core.batches import batch_hash, batch_id, extend_members_root
from clearing.core.commands import Fund, OpenAccount, RegisterParticipant
from clearing.core.inputs import I64
from clearing.core.money import parse, show
from clearing.core.outputs import CommandEvent, Entry, SettlementBatch, WindowEvent
from clearing.core.state import NO_HASH
from clearing.names import FUNDING_ACCOUNT
from clearing.verify.report import Check, Findings
from clearing.verify.sums import group_sums, minor_units
from clearing.verify.tables import LogTable, Rows

Window = tuple[str, int]  # asset, number


@dataclass(slots=True)
class Members:
    """What the accepted payments of one window add up to, in minor units."""

    payments: int
    gross: int
    log_first: int
    log_last: int
    members_root: str
    debits: dict[str, int]
    credits: dict[str, int]
    sent: dict[str, int]
    received: dict[str, int]

    def entries(self, scale: int) -> dict[str, Entry]:
        result: dict[str, Entry] = {}
        for name in {**self.debits, **self.credits}:
            debits, credits_ = self.debits.get(name, 0), self.credits.get(name, 0)
            result[name] = Entry(
                name,
                show(credits_ - debits, scale),
                show(debits, scale),
                show(credits_, scale),
                self.sent.get(name, 0),
                self.received.get(name, 0),
            )
        return result


def registration_order(table: LogTable, events: Iterable[CommandEvent]) -> dict[str, int]:
    """Participants in the order of their first successful registration: the order of members_root."""
    done = {event.id for event in events if event.status == "DONE"}
    order: dict[str, int] = {}
    for row in table.control:
        if isinstance(row.item.message, RegisterParticipant) and row.item.message.id in done:
            order.setdefault(row.item.message.participant, len(order))
    return order


def members_by_window(
    table: LogTable, rows: Rows, scales: dict[str, int], order: dict[str, int], found: Findings
) -> dict[Window, Members]:
    """Everything a batch claims, for each (asset, window), from the accepted rows alone.

    Plain meaning: for each accepted row add its amount to its debtor's debits and its creditor's credits
    in its window. Amounts no honest engine accepts are differences.
    """
    accepted = np.flatnonzero(rows.accepted)
    scale = np.array([scales.get(name, -1) for name in table.assets.names] or [-1], np.int64)
    asset = rows.asset[accepted]
    units, impossible = minor_units(rows.amount[accepted], rows.decimals[accepted], scale[asset])
    if impossible.any():
        first = table.log_offset(int(accepted[impossible][0]), rows)
        found.add(
            f"accepted amounts their asset cannot hold, first at log offset {first}",
            int(impossible.sum()),
        )
    keys = asset.astype(np.int64) << 40 | rows.window[accepted]
    groups, first, place = np.unique(keys, return_index=True, return_inverse=True)
    del first
    by_group = np.argsort(place, kind="stable")  # log order within each window
    ends = np.cumsum(np.bincount(place, minlength=len(groups)))
    sides = {
        side: _by_participant(
            place, rows_of[accepted], units, len(groups), table.participants.names
        )
        for side, rows_of in (("debit", rows.debtor), ("credit", rows.creditor))
    }
    numbers = np.array([order.get(n, -1) for n in table.participants.names] or [-1], np.int64)
    result: dict[Window, Members] = {}
    for g, key in enumerate(groups.tolist()):
        of = by_group[(ends[g - 1] if g else 0) : ends[g]]
        window_rows = accepted[of]
        debits, sent = sides["debit"][g]
        credits_, received = sides["credit"][g]
        result[(table.assets.names[key >> 40], key & ((1 << 40) - 1))] = Members(
            payments=len(of),
            gross=sum(debits.values()),
            log_first=table.log_offset(int(window_rows[0]), rows),
            log_last=table.log_offset(int(window_rows[-1]), rows),
            members_root=_members_root(rows, window_rows, numbers, units[of]),
            debits=debits,
            credits=credits_,
            sent=sent,
            received=received,
        )
    return result


def _by_participant(
    place: I64, participant: np.ndarray, units: I64, groups: int, names: list[str]
) -> list[tuple[dict[str, int], dict[str, int]]]:
    """Per group (sum by participant, count by participant)."""
    result: list[tuple[dict[str, int], dict[str, int]]] = [({}, {}) for _ in range(groups)]
    keys, sums, counts = group_sums(
        place.astype(np.int64) << 32 | participant.astype(np.int64), units
    )
    for key, total, count in zip(keys.tolist(), sums, counts.tolist(), strict=True):
        name = names[key & 0xFFFFFFFF]
        of = result[key >> 32]
        of[0][name], of[1][name] = total, count
    return result


def _members_root(rows: Rows, members: I64, numbers: I64, units: I64) -> str:
    """The chain over the members, one link per log record."""
    record = rows.record[members]
    cuts = np.flatnonzero(np.diff(record)) + 1
    root = NO_HASH
    for part in np.split(np.arange(len(members)), cuts):
        of = members[part]
        debtor, creditor = numbers[rows.debtor[of]], numbers[rows.creditor[of]]
        root = extend_members_root(root, rows.id[of], debtor, creditor, units[part])
    return root


def check_zero_sums(netting_set: str, batches: list[SettlementBatch]) -> Check:
    """The entries of each batch sum to exactly zero, and net = credits - debits in each (R1)."""
    found = Findings()
    entries = 0
    for batch in batches:
        total = 0
        for entry in batch.entries:
            net, debits, credits_ = (
                parse(text, batch.scale) for text in (entry.net, entry.debits, entry.credits)
            )
            entries += 1
            if net is None or debits is None or credits_ is None or net != credits_ - debits:
                found.add(
                    f"batch {batch.sequence}: {entry.participant} net {entry.net} is not "
                    f"{entry.credits} - {entry.debits}"
                )
            total += net or 0
        if total:
            found.add(f"batch {batch.sequence} ({batch.asset}) sums to {show(total, batch.scale)}")
    return found.check(
        "every batch sums to zero",
        "R1",
        netting_set,
        f"{entries:,} entries of {len(batches):,} batches",
    )


def check_members(
    table: LogTable,
    rows: Rows,
    batches: list[SettlementBatch],
    events: list[WindowEvent],
    order: dict[str, int],
    scales: dict[str, int],
) -> Check:
    """Each net batch is what its accepted payments add up to; no accepted payment is left out (R2)."""
    found = Findings()
    windows = members_by_window(table, rows, scales, order, found)
    current = {event.asset: event.window for event in events if event.state == "OPEN"}
    batched: set[Window] = set()
    for batch in batches:
        if batch.kind != "net":
            continue
        key = (batch.asset, batch.window)
        batched.add(key)
        members = windows.get(key)
        if members is None:
            found.add(f"batch {batch.sequence}: no payment was accepted in {_name(key)}")
        else:
            found.extend(_differences(batch, members))
    in_batches = in_open = 0
    for key, members in windows.items():
        if key in batched:
            in_batches += members.payments
        elif current.get(key[0]) == key[1]:
            in_open += members.payments
        else:
            found.add(
                f"{members.payments:,} accepted payments of {_name(key)} are in no batch",
                members.payments,
            )
    return found.check(
        "batches are the sum of their payments",
        "R2",
        table.netting_set,
        f"{in_batches:,} payments in {len(batched):,} windows with a batch, "
        f"{in_open:,} in windows still open",
    )


def _name(window: Window) -> str:
    return f"window {window[1]} of {window[0]}"


def _differences(batch: SettlementBatch, members: Members) -> Iterable[str]:
    """Where a batch says something else than its payments."""
    said = {entry.participant: entry for entry in batch.entries}
    wanted = members.entries(batch.scale)
    if len(said) != len(batch.entries):
        yield f"batch {batch.sequence}: a participant has two entries"
    for name in sorted({*said, *wanted}):
        if said.get(name) != wanted.get(name):
            yield f"batch {batch.sequence}: entry of {name} is {said.get(name)}, not {wanted.get(name)}"
    facts: dict[str, tuple[object, object]] = {
        "payments": (batch.payments, members.payments),
        "gross": (batch.gross, show(members.gross, batch.scale)),
        "log_first": (batch.log_first, members.log_first),
        "log_last": (batch.log_last, members.log_last),
        "members_root": (batch.members_root, members.members_root),
    }
    for fact, (says, is_) in facts.items():
        if says != is_:
            yield f"batch {batch.sequence}: {fact} is {says}, its payments say {is_}"


def check_chain(netting_set: str, batches: list[SettlementBatch]) -> Check:
    """Batches leave in order, each carries the hash of the one before; ids and hashes are their content (R7)."""
    found = Findings()
    previous, ids = NO_HASH, set[str]()
    for number, batch in enumerate(batches, start=1):
        if batch.sequence != number:
            found.add(f"batch at place {number} has sequence {batch.sequence}")
        if batch.previous != previous:
            found.add(
                f"batch {batch.sequence} follows {batch.previous[:12]}…, not {previous[:12]}…"
            )
        if batch_hash(batch) != batch.hash:
            found.add(f"batch {batch.sequence}: its content does not have the hash it carries")
        if batch.netting_set != netting_set:
            found.add(f"batch {batch.sequence} belongs to netting set {batch.netting_set}")
        if batch.kind == "net":
            wanted = batch_id(netting_set, batch.asset, batch.window, batch.version)
            if batch.id != wanted:
                found.add(
                    f"batch {batch.sequence} has the id {batch.id}, its content says {wanted}"
                )
        if batch.id in ids:
            found.add(f"batch id {batch.id} stands there twice")
        ids.add(batch.id)
        previous = batch.hash
    return found.check(
        "batches are chained",
        "R7",
        netting_set,
        f"{len(batches):,} batches: sequence, id, hash, previous hash",
    )


def check_funding(
    table: LogTable,
    batches: list[SettlementBatch],
    events: list[CommandEvent],
    scales: dict[str, int],
) -> Check:
    """Money moved in or out of prefunding is exactly what commands asked for, in their order (R30)."""
    found = Findings()
    done = {event.id for event in events if event.status == "DONE"}
    wanted: list[tuple[str, str, int]] = []
    for row in table.control:
        command = row.item.message
        if isinstance(command, (OpenAccount, Fund)) and command.id in done:
            done.discard(command.id)  # the same command again is REPEATED and moves nothing
            text = command.prefunded if isinstance(command, OpenAccount) else command.amount
            units = parse(text, scales.get(command.asset, 0))
            if units:
                wanted.append((command.participant, command.asset, units))
    said: list[tuple[str, str, int]] = []
    for batch in batches:
        if batch.kind == "funding":
            nets = {
                entry.participant: parse(entry.net, batch.scale) or 0 for entry in batch.entries
            }
            counter = nets.pop(FUNDING_ACCOUNT, 0)
            said += [(name, batch.asset, net) for name, net in nets.items()]
            if len(nets) != 1 or sum(nets.values()) != -counter:
                found.add(
                    f"funding batch {batch.sequence} is not one account against {FUNDING_ACCOUNT}"
                )
    for place, (command, batch) in enumerate(zip(wanted, said, strict=False), start=1):
        if command != batch:
            found.add(f"funding {place} is {batch}, the command says {command}")
    if len(wanted) != len(said):
        found.add(f"{len(wanted)} commands moved prefunding, {len(said)} batches did")
    return found.check(
        "funding is what was commanded",
        "R30",
        table.netting_set,
        f"{len(said):,} funding batches against {len(wanted):,} commands",
    )
