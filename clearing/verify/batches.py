"""Settlement batches by themselves: zero sums, the chain, and funding as it was commanded (R1, R7, R30).

What they settle is held against their members in clearing.verify.settled.
"""

import hashlib

from clearing.core.batches import batch_hash, batch_id
from clearing.core.commands import Fund, OpenAccount
from clearing.core.money import parse, show
from clearing.core.outputs import Entry, SettlementBatch
from clearing.core.state import NO_HASH
from clearing.names import FUNDING_ACCOUNT
from clearing.verify.commands import Effective
from clearing.verify.report import Check, Findings
from clearing.verify.spooled import whole
from clearing.verify.sums import units_of


def check_zero_sums(netting_set: str, batches: list[SettlementBatch]) -> Check:
    """The entries of each batch sum to exactly zero, and net = credits - debits + set-off in each (R1)."""
    found = Findings()
    entries = 0
    for batch in batches:
        total = 0
        for entry in batch.entries:
            entries += 1
            total += _net(batch, entry, found)
        if total:
            found.add(f"batch {batch.sequence} ({batch.asset}) sums to {show(total, batch.scale)}")
    return found.check(
        "every batch sums to zero",
        "R1",
        netting_set,
        f"{entries:,} entries of {len(batches):,} batches",
    )


def _net(batch: SettlementBatch, entry: Entry, found: Findings) -> int:
    texts = (entry.net, entry.debits, entry.credits, entry.set_off or "0")
    net, debits, credits_, set_off = (units_of(text, batch.scale) for text in texts)
    if None in (net, debits, credits_, set_off) or net != (
        (credits_ or 0) - (debits or 0) + (set_off or 0)
    ):
        found.add(
            f"batch {batch.sequence}: {entry.participant} net {entry.net} is not "
            f"{entry.credits} - {entry.debits} + {entry.set_off or 0}"
        )
    return net or 0


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
        if batch_hash(whole(batch)) != batch.hash:
            found.add(f"batch {batch.sequence}: its content does not have the hash it carries")
        if batch.netting_set != netting_set:
            found.add(f"batch {batch.sequence} belongs to netting set {batch.netting_set}")
        if not 1 <= batch.part <= batch.parts:
            found.add(f"batch {batch.sequence} is part {batch.part} of {batch.parts}")
        if batch.kind != "funding":
            part = batch.part if batch.parts > 1 else 0
            wanted = batch_id(netting_set, batch.asset, batch.window, batch.version, part)
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
    netting_set: str,
    batches: list[SettlementBatch],
    commands: list[Effective],
    scales: dict[str, int],
) -> Check:
    """Money moved in or out of prefunding is exactly what commands asked for, in their order (R30)."""
    found = Findings()
    wanted: list[tuple[str, str, str, int]] = []
    for one in commands:
        command = one.command
        if isinstance(command, (OpenAccount, Fund)):
            text = command.prefunded if isinstance(command, OpenAccount) else command.amount
            units = parse(text, scales.get(command.asset, 0))
            if units:
                batch = _funding_id(netting_set, command.id)
                wanted.append((batch, command.participant, command.asset, units))
    said: list[tuple[str, str, str, int]] = []
    for batch in batches:
        if batch.kind == "funding":
            nets = {
                entry.participant: parse(entry.net, batch.scale) or 0 for entry in batch.entries
            }
            counter = nets.pop(FUNDING_ACCOUNT, 0)
            said += [(batch.id, name, batch.asset, net) for name, net in nets.items()]
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
        netting_set,
        f"{len(said):,} funding batches against {len(wanted):,} commands",
    )


def _funding_id(netting_set: str, command: str) -> str:
    return hashlib.sha256(f"{netting_set}|fund|{command}".encode()).hexdigest()[:32]
