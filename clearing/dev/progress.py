"""What a run has come to so far: counters and latest states, as clearing.dev.watch reads them from the topics."""

from collections import Counter, deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from clearing.core.batches import nets
from clearing.core.outputs import (
    CommandEvent,
    DeadlockEvent,
    ProposalEvent,
    Resolution,
    SettlementBatch,
    ShortfallEvent,
)

NEWS_KEPT = 6


@dataclass(slots=True)
class Release:
    """What left the queues at once (R14): payments that could not go one by one.

    value: by asset. used: by participant and asset, what it paid more than it got, or less if negative. is_whole:
    all of it has been read.
    """

    netting_set: str
    log_offset: int
    how: str
    ids: set[str] = field(default_factory=set[str])
    value: Counter[str] = field(default_factory=Counter[str])
    used: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    is_whole: bool = False

    def add(self, one: Resolution, units: int) -> None:
        self.ids.add(one.id)
        self.value[one.asset] += units
        self.used[one.debtor, one.asset] += units
        self.used[one.creditor, one.asset] -= units

    def liquidity(self, asset: str) -> int:
        """What those gave who paid more than they got, minor units."""
        return sum(units for (_, a), units in self.used.items() if a == asset and units > 0)


class Queued(NamedTuple):
    """What waits in an account's queue."""

    payments: int
    value: Decimal


@dataclass(slots=True)
class Progress:
    """Rows are messages, each item of a bulk counted; what intake wrote twice counts once.

    outcomes: what each row is by now, see dev.tally; "queued" while it waits. batches: id → entries; unanswered:
    those without a confirmation; in_batches: payments, but for those of batches that were refused. windows:
    (netting set, asset, number) → its latest state, without those that nobody used; settled_at: the log offset at
    which it was settled. releases: by netting set, log offset and how. finals: how often a bank is told that a
    window ended. news: the last events as sentences.
    """

    logged: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    batches: dict[str, int] = field(default_factory=dict[str, int])
    unanswered: dict[str, SettlementBatch] = field(default_factory=dict[str, SettlementBatch])
    confirmed: set[str] = field(default_factory=set[str])
    windows: dict[tuple[str, str, int], str] = field(default_factory=dict)
    settled_at: dict[tuple[str, str, int], int] = field(default_factory=dict)
    refused_batches: dict[str, str] = field(default_factory=dict[str, str])  # id → reason
    finals: int = 0
    queues: dict[tuple[str, str, str], Queued] = field(default_factory=dict)  # set, bank, asset
    releases: dict[tuple[str, int, str], Release] = field(default_factory=dict)
    deadlocks: list[DeadlockEvent] = field(default_factory=list[DeadlockEvent])
    shortfalls: list[ShortfallEvent] = field(default_factory=list[ShortfallEvent])
    commands: dict[str, CommandEvent] = field(default_factory=dict[str, CommandEvent])
    proposals: dict[str, ProposalEvent] = field(default_factory=dict[str, ProposalEvent])
    news: deque[str] = field(default_factory=lambda: deque(maxlen=NEWS_KEPT))
    log_bytes: int = 0
    # By partition: (sequence, pid of the engine) of each transaction; (outcomes offset, rows up to there).
    transactions: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    cleared_at: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    in_batches: int = 0
    _nets: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])

    def add_batch(self, batch: SettlementBatch) -> None:
        """A batch that was made. Its lines are not kept: a long run makes millions."""
        self.batches[batch.id] = len(batch.entries)
        if batch.id not in self.confirmed:
            self.unanswered[batch.id] = batch
        if batch.id not in self.refused_batches:
            self._count(batch, 1)

    def confirm(self, id_: str, refused: str = "") -> None:
        """What its ledger says of a batch, maybe before we have read the batch; twice is once. refused: why."""
        self.confirmed.add(id_)
        batch = self.unanswered.pop(id_, None)
        if refused and id_ not in self.refused_batches:
            self.refused_batches[id_] = refused
            if batch is not None:
                self._count(batch, -1)

    def _count(self, batch: SettlementBatch, sign: int) -> None:
        if batch.kind == "funding":
            return
        self.in_batches += sign * batch.payments
        for participant, net in nets(batch).items():
            self._nets[participant, batch.asset] += sign * net

    @property
    def cleared(self) -> int:
        return self.outcomes.total()

    @property
    def unconfirmed(self) -> int:
        """Batches that wait for their ledger."""
        return len(self.unanswered)

    @property
    def settled(self) -> int:
        """Windows with payments that are SETTLED."""
        return len(self.settled_at)

    @property
    def all_settled(self) -> bool:
        """Nothing waits, every accepted payment is in a batch, every batch confirmed, every window settled."""
        return (
            not self.outcomes["queued"]
            and self.in_batches >= self.outcomes["accepted"]
            and self.unconfirmed == 0
            and len(self.settled_at) == len(self.windows)
        )

    def nets(self) -> Counter[tuple[str, str]]:
        """What batches move, but for those that their ledger has refused: participant and asset → minor units; the
        scheme's own accounts have names with $."""
        return self._nets.copy()

    def queued(self) -> dict[str, Queued]:
        """What waits in the queues of each asset, as positions last said."""
        sums: dict[str, Queued] = {}
        for (_, _, asset), one in self.queues.items():
            before = sums.get(asset, Queued(0, Decimal(0)))
            sums[asset] = Queued(before.payments + one.payments, before.value + one.value)
        return sums

    def engine(self, partition: int) -> int:
        """Process id of the engine that wrote the last transaction of a partition, 0 if there is none."""
        made = self.transactions.get(partition)
        return made[-1][1] if made else 0
