"""What a batch of a window's members has to say by each settlement model (R2, R6, R18). Pure, from columns.

Plain meaning: NET MULTILATERAL adds each member to its debtor's debits and its creditor's credits; NET BILATERAL
does so for each two participants; GROSS has two lines a member.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from clearing.core.batches import MAX_PART_PAYMENTS, extend_members_root
from clearing.core.ids import id_text
from clearing.core.inputs import I32, I64
from clearing.core.money import show
from clearing.core.outputs import Entry, SettlementBatch
from clearing.core.registry import AssetSpec, Granularity, Interchange
from clearing.core.state import NO_HASH
from clearing.verify.members import AllMembers, Members, columns_of
from clearing.verify.sums import group_sums, units_of

MULTILATERAL, BILATERAL, GROSS = "NET MULTILATERAL", "NET BILATERAL", "GROSS"

Line = tuple[str, str]  # participant, counterparty ("" where the line is against everybody)


@dataclass(frozen=True, slots=True)
class Names:
    """participants: by number of the log; numbers: of each its order of registration, which a members_root uses."""

    participants: list[str]
    numbers: I64


def model_of(spec: AssetSpec) -> str:
    if spec.model.granularity is Granularity.GROSS:
        return GROSS
    return BILATERAL if spec.model.interchange is Interchange.BILATERAL else MULTILATERAL


def model_shown(batch: SettlementBatch) -> str:
    """The model that the form of a batch's lines is of."""
    if batch.kind == "gross":
        return GROSS
    return BILATERAL if any(entry.counterparty for entry in batch.entries) else MULTILATERAL


@dataclass(slots=True)
class Part:
    """What one batch of a window has to say. Its lines are made when they are asked for: `net` are those of a NET
    window, without set-offs, as the model orders them; `places` are the members of a GROSS one, and have two each.
    """

    payments: int
    gross: int
    log_first: int
    log_last: int
    members_root: str
    net: list[Entry] = field(default_factory=list[Entry])
    places: I32 | None = None

    def entries(self, members: AllMembers, names: Names, scale: int) -> list[Entry]:
        if self.places is None:
            return self.net
        return gross_entries(members.take(self.places), names, scale)


def parts_of(model: str, members: AllMembers, at: I32, names: Names, scale: int) -> list[Part]:
    """The batches of a window with these members, in canonical order: several if it is GROSS and long."""
    root, whole = NO_HASH, Part(0, 0, 0, 0, "")
    sums = NetSums(pairs=model == BILATERAL)
    for _, some in members.pieces(at):
        root = _extended_by_record(root, some, names)
        if model != GROSS:
            sums.add(some)
        _add(whole, some)
    whole.members_root = root
    if model != GROSS:
        whole.net = sums.entries(names, scale)
        return [whole]
    parts: list[Part] = []
    for piece in _cuts(members.offset_of(at)):
        part = Part(0, 0, 0, 0, root, places=at[piece])
        _add(part, members.take(at[piece]))
        parts.append(part)
    return parts


def netted_anew(members: AllMembers, at: I64 | I32, names: Names, scale: int) -> Part:
    """What is left after a recast: one batch, one link of the chain over all of it."""
    some = columns_of([some for _, some in members.pieces(at)])
    sums = NetSums(pairs=False)
    sums.add(some)
    part = Part(0, 0, 0, 0, _extended(NO_HASH, some, names), sums.entries(names, scale))
    _add(part, some)
    return part


def _add(part: Part, some: Members) -> None:
    """More members behind those it has."""
    if not part.payments:
        part.log_first = int(some.offset[0])
    part.payments += len(some)
    part.gross += sum(some.units.tolist())
    part.log_last = int(some.offset[-1])


def _cuts(offset: I64) -> Iterator[slice]:
    """A part ends with the log record in which it reaches MAX_PART_PAYMENTS."""
    start = 0
    while start < len(offset):
        last = offset[min(start + MAX_PART_PAYMENTS, len(offset)) - 1]
        stop = int(np.searchsorted(offset, last, side="right"))
        yield slice(start, stop)
        start = stop


def _extended_by_record(root: str, some: Members, names: Names) -> str:
    """The chain with these members, one link per log record."""
    cuts = [0, *(np.flatnonzero(np.diff(some.offset)) + 1).tolist(), len(some)]
    debtor, creditor = names.numbers[some.debtor], names.numbers[some.creditor]
    for first, stop in pairwise(cuts):
        of = slice(first, stop)
        root = extend_members_root(root, some.id[of], debtor[of], creditor[of], some.units[of])
    return root


def _extended(root: str, some: Members, names: Names) -> str:
    debtor, creditor = names.numbers[some.debtor], names.numbers[some.creditor]
    return extend_members_root(root, some.id, debtor, creditor, some.units)


class NetSums:
    """Adds up what each participant, or each two of them, pays and receives."""

    def __init__(self, *, pairs: bool) -> None:
        self._pairs = pairs
        # By side, then by participant and counterparty as one number: [sum, how many].
        self._sides: tuple[dict[int, list[int]], dict[int, list[int]]] = ({}, {})

    def add(self, some: Members) -> None:
        sides = ((some.debtor, some.creditor), (some.creditor, some.debtor))
        for (one, other), into in zip(sides, self._sides, strict=True):
            keys, sums, counts = group_sums(
                one << 32 | (other + 1 if self._pairs else 0), some.units
            )
            for key, total, count in zip(keys.tolist(), sums, counts.tolist(), strict=True):
                before = into.setdefault(key, [0, 0])
                before[0] += total
                before[1] += count

    def entries(self, names: Names, scale: int) -> list[Entry]:
        """A line per participant, or per participant and counterparty."""
        paid, got = self._sides
        nothing = (0, 0)
        entries: list[Entry] = []
        for key in dict.fromkeys((*paid, *got)):
            (debits, sent), (credits_, received) = paid.get(key, nothing), got.get(key, nothing)
            one, other = _line(key, names)
            entries.append(
                Entry(
                    participant=one,
                    net=show(credits_ - debits, scale),
                    debits=show(debits, scale),
                    credits=show(credits_, scale),
                    sent=sent,
                    received=received,
                    counterparty=other,
                )
            )
        return entries


def _line(key: int, names: Names) -> Line:
    one, other = key >> 32, key & 0xFFFFFFFF
    return names.participants[one], names.participants[other - 1] if other else ""


def gross_entries(some: Members, names: Names, scale: int) -> list[Entry]:
    """The two sides of each member, in canonical order."""
    texts = some.id.astype("<u8").tobytes().hex()
    nothing = show(0, scale)
    entries: list[Entry] = []
    columns = (some.debtor, some.creditor, some.units)
    for i, (d, c, units) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        payer, payee = names.participants[d], names.participants[c]
        amount, payment = show(units, scale), id_text(texts[32 * i : 32 * i + 32])
        entries.append(Entry(payer, f"-{amount}", amount, nothing, 1, 0, payee, payment))
        entries.append(Entry(payee, amount, nothing, amount, 0, 1, payer, payment))
    return entries


# --- set-off (R18) -------------------------------------------------------------------------------------------


def set_off_faults(batch: SettlementBatch) -> Iterator[str]:
    """Where the set-off of a batch changes what somebody nets, makes an obligation, or could clear more.

    A line says what its participant owes less, net of what it is owed less: debits and credits are two obligations.
    """
    sums: defaultdict[str, int] = defaultdict(int)
    lines: dict[Line, tuple[int, int, int]] = {}  # (owes, is owed, set off)
    for entry in batch.entries:
        owes, is_owed, off = (
            units_of(text, batch.scale) or 0
            for text in (entry.debits, entry.credits, entry.set_off or "0")
        )
        sums[entry.participant] += off
        lines[entry.participant, entry.counterparty] = owes, is_owed, off
    for name, total in sums.items():
        if total:
            yield f"set-off changes what {name} nets by {show(total, batch.scale)}"
    cleared: dict[Line, tuple[int, int]] = {}
    for (one, other), (owes, is_owed, off) in lines.items():
        if off != -lines.get((other, one), (0, 0, 0))[2]:
            yield f"set-off between {one} and {other} is not the same for both"
        if not -is_owed <= off <= owes:
            yield f"set-off between {one} and {other} is more than one owes the other"
        # The most of both that this difference leaves room for.
        cleared[one, other] = owes, min(owes, is_owed + off)
    if _could_clear_more(cleared):
        yield "set-off does not clear the most there is to clear"


def _could_clear_more(debts: dict[Line, tuple[int, int]]) -> bool:
    """debts: (debtor, creditor) → (owed, cleared). Is there a cycle along which more could be cleared than undone?

    Clearing a unit more along an obligation that is left gains one, undoing one that is cleared loses one: the
    most is cleared if no cycle gains (Bellman-Ford).
    """
    names = {name: i for i, name in enumerate(dict.fromkeys(n for line in debts for n in line))}
    edges = [(names[d], names[c], 1) for (d, c), (owed, taken) in debts.items() if taken < owed]
    edges += [(names[c], names[d], -1) for (d, c), (_, taken) in debts.items() if taken > 0]
    if not edges:
        return False
    start, end, gain = np.array(edges, np.int64).T
    best = np.zeros(len(names), np.int64)
    for _ in range(len(names)):
        before = best.copy()
        np.maximum.at(best, end, before[start] + gain)
        if (best == before).all():
            return False
    return True
