"""What a batch of a window's members has to say by each settlement model (R2, R6, R18). Pure, from columns.

Plain meaning: NET MULTILATERAL adds each member to its debtor's debits and its creditor's credits; NET BILATERAL
does so for each two participants; GROSS has two lines a member.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clearing.core.batches import MAX_PART_PAYMENTS, extend_members_root
from clearing.core.ids import id_text
from clearing.core.inputs import I64
from clearing.core.money import parse, show
from clearing.core.outputs import Entry, SettlementBatch
from clearing.core.registry import AssetSpec, Granularity, Interchange
from clearing.core.state import NO_HASH
from clearing.verify.members import Members
from clearing.verify.sums import group_sums

MULTILATERAL, BILATERAL, GROSS = "NET MULTILATERAL", "NET BILATERAL", "GROSS"

Line = tuple[str, str]  # participant, counterparty ("" where the line is against everybody)


@dataclass(slots=True)
class Part:
    """What one batch of a window has to say. entries: as the model orders them; set-offs are not in them."""

    payments: int
    gross: int
    log_first: int
    log_last: int
    members_root: str
    entries: list[Entry]


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


def parts_of(model: str, members: Members, at: I64, names: Names, scale: int) -> list[Part]:
    """The batches of a window with these members, in canonical order: several if it is GROSS and long."""
    root = members_root(members, at, names)
    if model != GROSS:
        entries = net_entries(members, at, names, scale, pairs=model == BILATERAL)
        return [_part(members, at, root, entries)]
    return [
        _part(members, piece, root, gross_entries(members, piece, names, scale))
        for piece in _cuts(members, at)
    ]


def _part(members: Members, at: I64, root: str, entries: list[Entry]) -> Part:
    return Part(
        payments=len(at),
        gross=sum(members.units[at].tolist()),
        log_first=int(members.offset[at[0]]),
        log_last=int(members.offset[at[-1]]),
        members_root=root,
        entries=entries,
    )


def _cuts(members: Members, at: I64) -> Iterator[I64]:
    """A part ends with the log record in which it reaches MAX_PART_PAYMENTS."""
    start = 0
    offset = members.offset[at]
    while start < len(at):
        last = offset[min(start + MAX_PART_PAYMENTS, len(at)) - 1]
        stop = int(np.searchsorted(offset, last, side="right"))
        yield at[start:stop]
        start = stop


def members_root(members: Members, at: I64, names: Names) -> str:
    """The chain over the members, one link per log record."""
    cuts = np.flatnonzero(np.diff(members.offset[at])) + 1
    root = NO_HASH
    for of in np.split(at, cuts):
        root = _extended(root, members, of, names)
    return root


def root_anew(members: Members, at: I64, names: Names) -> str:
    """After a recast: one link over all that is left."""
    return _extended(NO_HASH, members, at, names)


def _extended(root: str, members: Members, at: I64, names: Names) -> str:
    debtor, creditor = names.numbers[members.debtor[at]], names.numbers[members.creditor[at]]
    return extend_members_root(root, members.id[at], debtor, creditor, members.units[at])


def net_entries(members: Members, at: I64, names: Names, scale: int, *, pairs: bool) -> list[Entry]:
    """A line per participant, or per participant and counterparty."""
    debtor, creditor, units = members.debtor[at], members.creditor[at], members.units[at]
    sides: list[dict[Line, tuple[int, int]]] = []
    for one, other in ((debtor, creditor), (creditor, debtor)):
        against = other + 1 if pairs else 0
        keys, sums, counts = group_sums(one << 32 | against, units)
        sides.append(
            {
                _line(key, names): (total, count)
                for key, total, count in zip(keys.tolist(), sums, counts.tolist(), strict=True)
            }
        )
    paid, got = sides
    nothing = (0, 0)
    entries: list[Entry] = []
    for line in dict.fromkeys((*paid, *got)):
        (debits, sent), (credits_, received) = paid.get(line, nothing), got.get(line, nothing)
        entries.append(
            Entry(
                participant=line[0],
                net=show(credits_ - debits, scale),
                debits=show(debits, scale),
                credits=show(credits_, scale),
                sent=sent,
                received=received,
                counterparty=line[1],
            )
        )
    return entries


def _line(key: int, names: Names) -> Line:
    one, other = key >> 32, key & 0xFFFFFFFF
    return names.participants[one], names.participants[other - 1] if other else ""


def gross_entries(members: Members, at: I64, names: Names, scale: int) -> list[Entry]:
    """The two sides of each member, in canonical order."""
    texts = members.id[at].astype("<u8").tobytes().hex()
    nothing = show(0, scale)
    entries: list[Entry] = []
    columns = (members.debtor[at], members.creditor[at], members.units[at])
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
            parse(text, batch.scale) or 0
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
