"""What the oracle of the core keeps: accounts, waiting payments, links, windows with their members, what was said.

Dicts, lists and Python integers; nothing of clearing.core but the types that its inputs are made of. The rest of
the oracle changes these books, one thing at a time: oracle.py says in which order.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from clearing.core.commands import Command
from clearing.core.registry import AssetSpec, BisModel

Batch = dict[str, Any]
Event = dict[str, Any]
FUNDING, COLLATERAL, POOL = "$FUNDING", "$COLLATERAL", "$POOL"
DAY_MS = 86_400_000
NO_HASH = "0" * 64


@dataclass
class Account:
    held: int = 0
    cap: int = 0
    position: int = 0  # credits - debits of everything that is not settled
    reserved: int = 0

    @property
    def headroom(self) -> int:
        return self.held + self.cap + self.position - self.reserved


@dataclass(eq=False)
class Seen:
    """What is remembered of an id: when it came, its content, what became of it, what of it was returned."""

    id: int
    day: int
    body: int
    code: int
    returned: int = 0


@dataclass
class Place:
    """Where a payment entered, and the texts that travel with it."""

    log_offset: int
    row: int
    source: tuple[str, int, int, int]
    texts: tuple[str, str]


@dataclass(eq=False)
class Payment:
    """arrival: its turn among what waits. queued: it stands in a queue (a leg of an incomplete link does not).

    asked_window: the window it named, 0 for none. original: what a RETURN gives back. delivered: in part, by R22.
    sent: its units and priority as its sender gave them.
    """

    id: int
    kind: int
    debtor: str
    creditor: str
    asset: str
    units: int
    priority: int
    expires_at_ms: int
    asked_window: int
    value_date: int
    sent: tuple[int, int]
    place: Place
    seen: Seen
    arrival: int = 0
    queued: bool = False
    link: "Link | None" = None
    leg: int = 0
    original: Seen | None = None
    delivered: bool = False

    @property
    def group(self) -> "list[Payment]":
        """Those it leaves the queue with, in the order of their legs."""
        return self.link.in_order() if self.link else [self]


@dataclass(eq=False)
class Link:
    """declared: terms, number of legs, partial; what every leg has to say alike."""

    id: int
    declared: tuple[int, int, bool]
    legs: dict[int, Payment] = field(default_factory=dict[int, Payment])

    def in_order(self) -> list[Payment]:
        return [self.legs[leg] for leg in sorted(self.legs)]

    @property
    def complete(self) -> bool:
        return len(self.legs) == self.declared[1]


@dataclass(eq=False)
class Member:
    """A payment, or the part of one, in a window. link: 0 where there is none."""

    id: int
    debtor: str
    creditor: str
    units: int
    link: int = 0
    seen: Seen | None = None
    payment: Payment | None = None


Chunk = tuple[int, list[Member]]  # members of one log record, and its offset


@dataclass
class OpenWindow:
    """chunks: of the records before; direct, released: of this one, in the order they are chained."""

    number: int
    opened_at_ms: int
    cutoff_ms: int
    chunks: list[Chunk] = field(default_factory=list[Chunk])
    direct: list[Member] = field(default_factory=list[Member])
    released: list[Member] = field(default_factory=list[Member])

    def seal_record(self, offset: int) -> None:
        """What entered with this log record is one link of the chain: accepted rows first, then releases."""
        if members := [*self.direct, *self.released]:
            self.chunks.append((offset, members))
        self.direct, self.released = [], []

    @property
    def members(self) -> list[Member]:
        return [*(m for _, members in self.chunks for m in members), *self.direct, *self.released]


@dataclass
class Cleared:
    """An asset that is cleared here."""

    spec: AssetSpec
    maximum: int
    window: OpenWindow
    cutoffs: list[int] = field(default_factory=list[int])


@dataclass(eq=False)
class Part:
    """A batch that left, whole or part of its window, and what its ledger has said. Funding has no window."""

    batch: Batch
    chunks: list[Chunk]
    window: "ClosedWindow | None" = None
    state: str = "PENDING_SETTLEMENT"

    @property
    def members(self) -> list[Member]:
        return [m for _, members in self.chunks for m in members]


@dataclass(eq=False)
class ClosedWindow:
    """A window that is not settled. chained: its members as members_root has them.

    together: the windows it shares links with, itself among them (R20). on_shortfall: its rule, its asset's when
    it closed. shifted: what a waterfall has moved between participants; by_scheme: what came from
    outside of them (R25).
    """

    asset: str
    number: int
    opened_at_ms: int
    chained: list[Chunk]
    on_shortfall: str = "HOLD"
    parts: list[Part] = field(default_factory=list[Part])
    together: "list[ClosedWindow]" = field(default_factory=list["ClosedWindow"])
    shifted: dict[str, int] = field(default_factory=dict[str, int])
    by_scheme: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def members(self) -> list[Member]:
        return [m for part in self.parts for m in part.members]


@dataclass
class Request:
    """A cancellation that came too late: `debtor` asks `creditor` to give `original` back (R23)."""

    day: int
    original: int
    debtor: str
    creditor: str


@dataclass
class Valuation:
    price: Fraction
    haircut_bp: int
    short_limit: int | None


@dataclass
class Said:
    """What one log record caused.

    outcomes: (code, repeat) of each row; windows, resolutions, shortfalls, proposals: fields of the events;
    answers: status of each command and confirmation; deadlocks: (asset, payments, units).
    """

    outcomes: list[tuple[int, bool]] = field(default_factory=list[tuple[int, bool]])
    open_windows: dict[str, int] = field(default_factory=dict[str, int])
    batches: list[Batch] = field(default_factory=list[Batch])
    windows: list[Event] = field(default_factory=list[Event])
    resolutions: list[Event] = field(default_factory=list[Event])
    deadlocks: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    shortfalls: list[Event] = field(default_factory=list[Event])
    proposals: list[Event] = field(default_factory=list[Event])
    answers: list[str] = field(default_factory=list[str])
    rejected: int = 0


@dataclass
class Books:
    """State of one netting set. `said`, `offset`: of the log record that is being applied."""

    name: str
    offset: int = 0
    said: Said = field(default_factory=Said)
    time_ms: int = 0
    date: int = 0
    calendar: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    status: dict[str, str] = field(default_factory=dict[str, str])  # in order of registration
    assets: dict[str, Cleared] = field(default_factory=dict[str, Cleared])
    accounts: dict[tuple[str, str], Account] = field(default_factory=dict[tuple[str, str], Account])
    seen: dict[int, Seen] = field(default_factory=dict[int, Seen])
    retention: int = 3
    # What waits, and what binds it.
    waiting: list[Payment] = field(default_factory=list[Payment])  # as they came in
    arrivals: int = 0
    links: dict[int, Link] = field(default_factory=dict[int, Link])
    ended_links: dict[int, int] = field(default_factory=dict[int, int])  # link → day
    requests: dict[int, Request] = field(default_factory=dict[int, Request])
    pairs: dict[tuple[str, str], BisModel] = field(default_factory=dict[tuple[str, str], BisModel])
    # By debtor, creditor and asset; usage is kept in both directions while there is a limit in either.
    bilateral: dict[tuple[str, str, str], int] = field(
        default_factory=dict[tuple[str, str, str], int]
    )
    usage: dict[tuple[str, str, str], int] = field(default_factory=dict[tuple[str, str, str], int])
    valuations: dict[str, Valuation] = field(default_factory=dict[str, Valuation])
    short_limits: dict[str, Fraction] = field(default_factory=dict[str, Fraction])
    # What has left.
    pending: dict[str, Part] = field(default_factory=dict[str, Part])
    closed: list[ClosedWindow] = field(default_factory=list[ClosedWindow])
    sequence: int = 0
    last_hash: str = NO_HASH
    collateral: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    pool: dict[str, int] = field(default_factory=dict[str, int])
    # Operators.
    commands: dict[str, Command] = field(default_factory=dict[str, Command])
    four_eyes: bool = False
    advice: dict[tuple[str, int], dict[tuple[str, str], int]] = field(
        default_factory=dict[tuple[str, int], dict[tuple[str, str], int]]
    )  # set-off of windows that close now, where several are as good (R18)
    proposals: dict[str, tuple[str, str, Command]] = field(
        default_factory=dict[str, tuple[str, str, Command]]
    )  # open ones: hash, by whom, what

    def queue(self, debtor: str, asset: str) -> list[Payment]:
        """R12: what of a debtor is queued in an asset, in its order."""
        of = [p for p in self.waiting if p.queued and (p.debtor, p.asset) == (debtor, asset)]
        return sorted(of, key=lambda p: (-p.priority, p.arrival))

    def queues(self) -> Iterator[list[Payment]]:
        for debtor, asset in {(p.debtor, p.asset): None for p in self.waiting if p.queued}:
            yield self.queue(debtor, asset)

    def unsettled(self, asset: str) -> int:
        """Gross value accepted and not yet final."""
        windows = [w for w in self.closed if w.asset == asset]
        members = [self.assets[asset].window.members, *(w.members for w in windows)]
        return sum(m.units for of_window in members for m in of_window)

    def oldest_day(self) -> int:
        """What is older is forgotten: before the retention period, but no day from which something still waits."""
        return min([self.date - self.retention, *(p.seen.day for p in self.waiting)])

    def queued_units(self, asset: str) -> int:
        return sum(p.units for p in self.waiting if p.asset == asset)


def minor(text: str, scale: int) -> int:
    """Minor units of a decimal string that is known to be one."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, _, fraction = digits.partition(".")
    return sign * (int(whole) * 10**scale + int(fraction.ljust(scale, "0") or "0"))


def decimal(units: int, scale: int) -> str:
    whole, fraction = divmod(abs(units), 10**scale)
    return f"{'-' if units < 0 else ''}{whole}" + (f".{fraction:0{scale}}" if scale else "")


def uuid_text(id_: int) -> str:
    return str(uuid.UUID(bytes=id_.to_bytes(16, "little")))


def takes_part(name: str, members: list[Member]) -> bool:
    return any(name in (m.debtor, m.creditor) for m in members)
