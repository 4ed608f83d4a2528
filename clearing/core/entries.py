"""The lines of a settlement batch, proved on their own: arithmetic, mirrored pairs, sums of zero (R1, R6, R18).

Pure. How they come about is clearing.core.batches; whoever reads `settlements` asks here before it posts.
"""

import re
from typing import NamedTuple

from clearing.core.faults import Halt, HaltKind
from clearing.core.money import parse, show
from clearing.core.outputs import Entry, SettlementBatch

MAX_UNITS = (1 << 63) - 1

_PAYMENT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Line(NamedTuple):
    """An entry with its place in the batch, from 1; net and set_off in minor units."""

    number: int
    entry: Entry
    net: int
    set_off: int


def proved_lines(batch: SettlementBatch) -> list[Line]:
    """Every entry in its order. Raises Halt unless they are what entries of this kind of batch can be.

    Each net is credits - debits + set_off, and all of them sum to zero (R1). Lines without a counterparty
    name a participant once. Lines with one come as pairs, numbers 2k-1 and 2k, that say the same from both
    sides: two participants once in a "net" batch; in a "gross" one a payment, which may stand there again
    where it was delivered in parts (R22).
    """
    lines = [_line(batch, number, entry) for number, entry in enumerate(batch.entries, 1)]
    if total := sum(line.net for line in lines):
        raise Halt(
            HaltKind.INVARIANT,
            f"batch {batch.id} sums to {show(total, batch.scale)} {batch.asset}, not to zero (R1)",
        )
    if batch.kind == "gross":
        _prove_pairs(batch, lines)
        _prove_payments(batch, lines)
    elif batch.kind == "net" and any(entry.counterparty for entry in batch.entries):
        _prove_pairs(batch, lines)
        _prove_obligations(batch, lines)
    else:
        _prove_plain(batch)
    return lines


def _line(batch: SettlementBatch, number: int, entry: Entry) -> Line:
    net, debits, credits_ = (
        _units(batch, entry, text) for text in (entry.net, entry.debits, entry.credits)
    )
    set_off = _units(batch, entry, entry.set_off) if entry.set_off else 0
    owed = credits_ - debits
    if net != owed + set_off or debits < 0 or credits_ < 0:
        raise Halt(
            HaltKind.INVARIANT,
            f"batch {batch.id}: net {entry.net} of {entry.participant} is not credits {entry.credits} "
            f"- debits {entry.debits} + set-off {entry.set_off or 0}",
        )
    if (
        set_off and not -debits <= net <= credits_
    ):  # of each direction something between nothing and all is left
        raise Halt(
            HaltKind.INVARIANT,
            f"batch {batch.id}: set-off gives {entry.participant} a new obligation (R18)",
        )
    return Line(number, entry, net, set_off)


def _units(batch: SettlementBatch, entry: Entry, text: str) -> int:
    units = parse(text, batch.scale)
    if units is None or abs(units) > MAX_UNITS:
        raise Halt(
            HaltKind.INVARIANT,
            f"batch {batch.id}: {text!r} of {entry.participant} is no amount at scale {batch.scale}",
        )
    return units


def _prove_plain(batch: SettlementBatch) -> None:
    """Lines against everybody: each participant has one."""
    for entry in batch.entries:
        if entry.counterparty or entry.payment or entry.set_off:
            raise Halt(
                HaltKind.INVARIANT,
                f"batch {batch.id}: a {batch.kind} line of {entry.participant} is against one other",
            )
    _prove_once(batch, [entry.participant for entry in batch.entries])


def _prove_once(batch: SettlementBatch, names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Halt(HaltKind.INVARIANT, f"batch {batch.id} names {twice} twice")


def _prove_pairs(batch: SettlementBatch, lines: list[Line]) -> None:
    if len(lines) % 2:
        raise Halt(
            HaltKind.INVARIANT, f"batch {batch.id} has {len(lines)} lines, not pairs of them"
        )
    for (number, one, net, _), (_, other, opposite, _) in zip(lines[::2], lines[1::2], strict=True):
        if not (
            one.participant == other.counterparty != other.participant == one.counterparty
            and one.payment == other.payment
            and (one.debits, one.credits) == (other.credits, other.debits)
            and (one.sent, one.received) == (other.received, other.sent)
            and net == -opposite
        ):
            raise Halt(
                HaltKind.INVARIANT,
                f"batch {batch.id}: lines {number} and {number + 1}, of {one.participant} and "
                f"{other.participant}, are not the two sides of a pair",
            )


def _prove_payments(batch: SettlementBatch, lines: list[Line]) -> None:
    """Each pair is one payment of the first to the second (R6)."""
    for _, entry, net, _ in lines[::2]:
        if not _PAYMENT.fullmatch(entry.payment):
            raise Halt(HaltKind.INVARIANT, f"batch {batch.id}: {entry.payment!r} is no payment id")
        is_paid = net < 0 and entry.net == f"-{entry.debits}"
        if (entry.sent, entry.received) != (1, 0) or not is_paid:
            raise Halt(
                HaltKind.INVARIANT,
                f"batch {batch.id}: payment {entry.payment} is not one of {entry.participant}",
            )


def _prove_obligations(batch: SettlementBatch, lines: list[Line]) -> None:
    """Each pair is what two participants owe each other; what is set off changes nobody's own sum (R6, R18)."""
    sums: dict[str, int] = {}
    for _, entry, _, set_off in lines:
        if entry.payment:
            raise Halt(
                HaltKind.INVARIANT,
                f"batch {batch.id}: a net line of {entry.participant} is one of payment {entry.payment}",
            )
        sums[entry.participant] = sums.get(entry.participant, 0) + set_off
    for participant, total in sums.items():
        if total:
            raise Halt(
                HaltKind.INVARIANT,
                f"batch {batch.id}: set-off gives {participant} {show(total, batch.scale)} {batch.asset} (R18)",
            )
    pairs = (sorted((line.entry.participant, line.entry.counterparty)) for line in lines[::2])
    _prove_once(batch, [" and ".join(pair) for pair in pairs])
