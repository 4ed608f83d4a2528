"""What the oracle of the core keeps: accounts, windows with their members, and batches made from the members alone.

Dicts, lists and Python integers; nothing of clearing.core but the type of an asset's declaration.
"""

import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any

from clearing.core.registry import AssetSpec

Batch = dict[str, Any]
FUNDING = "$FUNDING"


@dataclass
class Account:
    held: int = 0
    cap: int = 0
    position: int = 0  # credits - debits of everything that is not settled

    @property
    def headroom(self) -> int:
        return self.held + self.cap + self.position


@dataclass
class Member:
    id: int
    debtor: str
    creditor: str
    units: int


@dataclass
class OpenWindow:
    number: int
    opened_at_ms: int
    cutoff_ms: int
    members: list[Member] = field(default_factory=list[Member])
    root: str = "0" * 64
    offsets: list[int] = field(default_factory=list[int])


@dataclass
class Cleared:
    spec: AssetSpec
    maximum: int
    window: OpenWindow
    cutoffs: list[int] = field(default_factory=list[int])


@dataclass
class Waiting:
    batch: Batch
    members: list[Member]
    failed: bool = False


@dataclass
class Said:
    """What one log record caused.

    outcomes: (code, repeat) of each row; windows: (asset, window, version, state); answers: to commands and
    confirmations.
    """

    outcomes: list[tuple[int, bool]] = field(default_factory=list[tuple[int, bool]])
    open_windows: dict[str, int] = field(default_factory=dict[str, int])
    batches: list[Batch] = field(default_factory=list[Batch])
    windows: list[tuple[str, int, int, str]] = field(
        default_factory=list[tuple[str, int, int, str]]
    )
    answers: list[str] = field(default_factory=list[str])
    rejected: int = 0


def minor(text: str, scale: int) -> int:
    """Minor units of a decimal string that is known to be one."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, _, fraction = digits.partition(".")
    return sign * (int(whole) * 10**scale + int(fraction.ljust(scale, "0") or "0"))


def decimal(units: int, scale: int) -> str:
    whole, fraction = divmod(abs(units), 10**scale)
    return f"{'-' if units < 0 else ''}{whole}" + (f".{fraction:0{scale}}" if scale else "")


def takes_part(name: str, members: list[Member]) -> bool:
    return any(name in (m.debtor, m.creditor) for m in members)


def link(root: str, members: list[Member], participants: list[str]) -> str:
    """The chain over the members with those of one more log record."""
    parts = [
        m.id.to_bytes(16, "little")
        + struct.pack(">IIq", participants.index(m.debtor), participants.index(m.creditor), m.units)
        for m in members
    ]
    return hashlib.sha256(bytes.fromhex(root) + b"".join(parts)).hexdigest()


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


def content(spec: AssetSpec, members: list[Member], participants: list[str]) -> Batch:
    """The part of a batch that its members decide (R1, R2)."""
    parties = [name for name in (*participants, FUNDING) if takes_part(name, members)]
    return {
        "payments": len(members),
        "gross": decimal(sum(m.units for m in members), spec.scale),
        "entries": [entry(name, members, spec.scale) for name in parties],
    }


ORDER = [
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
    "window",
    "version",
    "opened_at_ms",
    "closed_at_ms",
    "payments",
    "gross",
    "entries",
    "log_first",
    "log_last",
    "members_root",
    "previous",
    "hash",
]


def seal(batch: Batch) -> Batch:
    """The batch in the order of its fields, with its hash: SHA-256 of its JSON with an empty one."""
    batch = {name: (batch | {"type": "settlement_batch", "hash": ""})[name] for name in ORDER}
    canonical = json.dumps(batch, separators=(",", ":"), ensure_ascii=False).encode()
    return batch | {"hash": hashlib.sha256(canonical).hexdigest()}
