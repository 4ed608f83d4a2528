"""Settlement batches of the oracle, made from their members alone (R1, R2, R6, R7)."""

import hashlib
import json
import struct
from collections.abc import Iterable
from typing import Any

from clearing.core.registry import AssetSpec
from tests.core.oracle_books import (
    NO_HASH,
    Batch,
    Books,
    Chunk,
    Member,
    decimal,
    minor,
    takes_part,
    uuid_text,
)
from tests.core.oracle_setoff import Debts, behind, check, most_cleared

PART_PAYMENTS = 1_000  # a part of a gross window takes no further log record from here on
ORDER = (
    *(
        "type",
        "id",
        "kind",
        "netting_set",
        "sequence",
        "asset",
        "code",
        "issuer",
        "ledger",
        "scale",
    ),
    *("window", "version", "opened_at_ms", "closed_at_ms", "payments", "gross", "entries"),
    *("log_first", "log_last", "members_root", "previous", "hash", "part", "parts", "linked"),
)
DEFAULTS = {"part": 1, "parts": 1, "linked": []}


def seal(books: Books, asset: str, what: str, **fields: Any) -> Batch:
    """R7: the next in the chain. The hash is SHA-256 of its JSON with an empty one; defaults are left out of it."""
    spec = books.assets[asset].spec
    books.sequence += 1
    known = {
        "type": "settlement_batch",
        "id": identity(books, what),
        "netting_set": books.name,
        "sequence": books.sequence,
        "asset": spec.id,
        "code": spec.code,
        "issuer": spec.issuer,
        "ledger": spec.ledger,
        "scale": spec.scale,
        "closed_at_ms": books.time_ms,
        "previous": books.last_hash,
        "hash": "",
    }
    fields = DEFAULTS | known | fields
    batch = {name: fields[name] for name in ORDER if fields[name] != DEFAULTS.get(name)}
    canonical = json.dumps(batch, separators=(",", ":"), ensure_ascii=False).encode()
    books.last_hash = batch["hash"] = hashlib.sha256(canonical).hexdigest()
    return batch


def identity(books: Books, what: str) -> str:
    return hashlib.sha256(f"{books.name}|{what}".encode()).hexdigest()[:32]


def parts_of(spec: AssetSpec, chunks: list[Chunk]) -> list[list[Chunk]]:
    """GROSS: a log record is never torn, and begins a new part where the one before is full."""
    if spec.model.granularity == "NET":
        return [chunks]
    parts: list[list[Chunk]] = [[]]
    for chunk in chunks:
        if sum(len(members) for _, members in parts[-1]) >= PART_PAYMENTS:
            parts.append([])
        parts[-1].append(chunk)
    return parts


def content(books: Books, spec: AssetSpec, chunks: list[Chunk], advice: Debts | None) -> Batch:
    """The part of a batch that its members decide."""
    members = [m for _, of_record in chunks for m in of_record]
    net = spec.model.granularity == "NET"
    return {
        "kind": "net" if net else "gross",
        "payments": len(members),
        "gross": decimal(sum(m.units for m in members), spec.scale),
        "entries": entries(books, spec, members, advice),
        "log_first": chunks[0][0],
        "log_last": chunks[-1][0],
    }


def entries(
    books: Books, spec: AssetSpec, members: list[Member], advice: Debts | None
) -> list[dict[str, Any]]:
    if spec.model.granularity == "GROSS":
        return [line for m in members for line in gross_lines(m, spec.scale)]
    parties = [name for name in books.status if takes_part(name, members)]
    if spec.model.interchange == "MULTILATERAL":
        return [entry(name, members, spec.scale) for name in parties]
    between = {
        (one, other): [m for m in members if {m.debtor, m.creditor} == {one, other}]
        for i, one in enumerate(parties)
        for other in parties[i + 1 :]
    }
    changes = set_off(members, advice) if spec.set_off else {}
    return [
        line
        for pair, of_pair in between.items()
        if of_pair
        for line in pair_lines(pair, of_pair, changes.get(pair, 0), spec.scale)
    ]


def entry(name: str, members: list[Member], scale: int) -> dict[str, Any]:
    sent = [m.units for m in members if m.debtor == name]
    received = [m.units for m in members if m.creditor == name]
    return {
        "participant": name,
        "net": decimal(sum(received) - sum(sent), scale),
        "debits": decimal(sum(sent), scale),
        "credits": decimal(sum(received), scale),
        "sent": len(sent),
        "received": len(received),
    }


def gross_lines(m: Member, scale: int) -> list[dict[str, Any]]:
    payment = uuid_text(m.id)
    return [
        entry(m.debtor, [m], scale) | {"counterparty": m.creditor, "payment": payment},
        entry(m.creditor, [m], scale) | {"counterparty": m.debtor, "payment": payment},
    ]


def pair_lines(
    pair: tuple[str, str], members: list[Member], off: int, scale: int
) -> list[dict[str, Any]]:
    one, other = pair
    lines = []
    for name, counterparty, change in ((one, other, off), (other, one, -off)):
        line = entry(name, members, scale) | {"counterparty": counterparty}
        if change:
            line["net"] = decimal(minor(line["net"], scale) + change, scale)
            line["set_off"] = decimal(change, scale)
        lines.append(line)
    return lines


def set_off(members: list[Member], advice: Debts | None) -> Debts:
    """R18: by how much each pair's net changes, (one, other) → units to the good of one; both ways round.

    advice: what is to be seen of a set-off, held to be right if what must be behind it is allowed and the most.
    """
    owed: Debts = {}
    for m in members:
        owed[m.debtor, m.creditor] = owed.get((m.debtor, m.creditor), 0) + m.units
    cleared = most_cleared(owed)
    if advice is not None:
        most, cleared = sum(cleared.values()), behind(owed, advice)
        check(owed, cleared, most)
    changes: Debts = {}
    for (debtor, creditor), units in cleared.items():
        changes[debtor, creditor] = changes.get((debtor, creditor), 0) + units
        changes[creditor, debtor] = changes.get((creditor, debtor), 0) - units
    return changes


def shifted(
    entries: list[dict[str, Any]], moves: dict[str, int], scale: int
) -> list[dict[str, Any]]:
    """Entries after a waterfall (R25): moves are what each gets (+) or gives (-) besides its payments."""
    lines = {line["participant"]: dict(line) for line in entries}
    for name, units in moves.items():
        if units:
            line = lines.setdefault(name, entry(name, [], scale))
            side = "credits" if units > 0 else "debits"
            line[side] = decimal(minor(line[side], scale) + abs(units), scale)
            line["net"] = decimal(
                minor(line["credits"], scale) - minor(line["debits"], scale), scale
            )
    return list(lines.values())


def summed(entries: Iterable[dict[str, Any]], order: list[str], scale: int) -> list[dict[str, Any]]:
    """One line a participant, as window events have them."""
    total: dict[str, dict[str, int]] = {}
    amounts = ("net", "debits", "credits")
    for line in entries:
        sums = total.setdefault(
            line["participant"], dict.fromkeys((*amounts, "sent", "received"), 0)
        )
        for name in amounts:
            sums[name] += minor(line[name], scale)
        sums["sent"] += line["sent"]
        sums["received"] += line["received"]
    return [
        {"participant": name}
        | {field: decimal(v, scale) if field in amounts else v for field, v in total[name].items()}
        for name in sorted(total, key=lambda name: [*order, name].index(name))
    ]


def root(chunks: list[Chunk], participants: list[str]) -> str:
    """The chain over the members, a link for each log record."""
    chain = NO_HASH
    for _, members in chunks:
        parts = [
            m.id.to_bytes(16, "little")
            + struct.pack(
                ">IIq", participants.index(m.debtor), participants.index(m.creditor), m.units
            )
            for m in members
        ]
        chain = hashlib.sha256(bytes.fromhex(chain) + b"".join(parts)).hexdigest()
    return chain
