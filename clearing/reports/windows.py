"""The windows that closed on a day: their batches, everybody's nets, and when they became final. Pure.

From the journal's events from the beginning of the day on, and from the batches of `settlements`. In memory:
participants × assets × windows of the day.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from clearing.core.money import parse, show
from clearing.core.outputs import SettlementBatch, WindowEvent
from clearing.names import FUNDING_ACCOUNT
from clearing.reports.days import Day
from clearing.reports.model import BatchDay, NetDay, WindowDay


@dataclass(slots=True)
class Net:
    """A participant's lines of one batch, in minor units."""

    net: int = 0
    debits: int = 0
    credits: int = 0
    set_off: int = 0
    sent: int = 0
    received: int = 0

    def add(self, other: "Net") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def nets_of(batch: SettlementBatch) -> dict[str, Net]:
    """Of each participant, over all its lines of a batch."""
    found: defaultdict[str, Net] = defaultdict(Net)
    for entry in batch.entries:
        net, debits, credits_, set_off = (
            parse(text, batch.scale) or 0
            for text in (entry.net, entry.debits, entry.credits, entry.set_off or "0")
        )
        line = Net(net, debits, credits_, set_off, entry.sent, entry.received)
        found[entry.participant].add(line)
    return found


@dataclass(slots=True)
class _Part:
    """The latest version of a part of a window."""

    version: int
    payments: int
    gross: int
    nets: dict[str, Net]


@dataclass(slots=True)
class Window:
    """When it closed, what it is now; parts: by number the latest version of each that was read."""

    asset: str
    number: int
    closed_at_ms: int
    event: WindowEvent
    opened_at_ms: int | None = None
    batches: int = 0
    parts: dict[int, _Part] = field(default_factory=dict[int, _Part])

    @property
    def final_at_ms(self) -> int | None:
        return self.event.time_ms if self.event.state == "SETTLED" else None

    @property
    def finality_ms(self) -> int | None:
        return None if self.final_at_ms is None else self.final_at_ms - self.closed_at_ms

    @property
    def settled(self) -> list[_Part]:
        """Nothing is, where nothing was in it or a recast took everything out (R25)."""
        is_empty = self.event.state == "SETTLED" and not self.event.batch
        return [] if is_empty else list(self.parts.values())

    @property
    def gross(self) -> int:
        """Minor units."""
        return sum(part.gross for part in self.settled)

    def nets(self) -> dict[str, Net]:
        total: defaultdict[str, Net] = defaultdict(Net)
        for part in self.settled:
            for participant, net in part.nets.items():
                total[participant].add(net)
        return total


class Windows:
    """Takes events in the journal's order, then batches in theirs. last_ms: of the last event that mattered.

    scales: of assets, as far as they are known; those of the batches are added.
    """

    def __init__(self, day: Day, scales: dict[str, int]) -> None:
        self.day = day
        self.scales = scales
        self.windows: dict[tuple[str, int], Window] = {}
        self.batches: list[BatchDay] = []
        self.funded: defaultdict[tuple[str, str], int] = defaultdict(int)  # minor units, by account
        self.last_ms = day.to_ms - 1
        self._opened: dict[tuple[str, int], int] = {}
        self._open = 0  # windows of the day that are not final yet

    @property
    def are_over(self) -> bool:
        """All that closed so far are final."""
        return not self._open

    def take_event(self, event: WindowEvent) -> None:
        """Of the day, or later: what became of a window that closed on the day."""
        key = event.asset, event.window
        if event.state == "OPEN":
            if self.day.has(event.time_ms):
                self._opened[key] = event.opened_at_ms
            return
        window = self.windows.get(key)
        if window is None:
            if not self.day.has(event.time_ms) or not _closes(event):
                return  # it closed on another day
            opened_at_ms = self._opened.pop(key, None)
            window = Window(*key, event.time_ms, event, opened_at_ms)
            self.windows[key] = window
            self._open += 1
        window.event = event
        self.last_ms = max(self.last_ms, event.time_ms)
        self._open -= event.state == "SETTLED"

    def take_batch(self, batch: SettlementBatch) -> None:
        """Of the first millisecond of the day or later."""
        self.scales[batch.asset] = batch.scale
        if batch.kind == "funding":
            if self.day.has(batch.closed_at_ms):
                self._fund(batch)
            return
        window = self.windows.get((batch.asset, batch.window))
        if window is None:
            return
        self.batches.append(_row(batch))
        window.opened_at_ms = batch.opened_at_ms
        window.batches += 1
        known = window.parts.get(batch.part)
        if known is None or known.version < batch.version:
            gross = parse(batch.gross, batch.scale) or 0
            window.parts[batch.part] = _Part(batch.version, batch.payments, gross, nets_of(batch))

    def _fund(self, batch: SettlementBatch) -> None:
        self.batches.append(_row(batch))
        for participant, net in nets_of(batch).items():
            if participant != FUNDING_ACCOUNT:
                self.funded[participant, batch.asset] += net.net

    def show(self, units: int, asset: str) -> str:
        return show(units, self.scales.get(asset, 0))

    # --- what is told -----------------------------------------------------------------------------

    def rows(self) -> list[WindowDay]:
        return [
            WindowDay(
                asset=window.asset,
                window=window.number,
                opened_at_ms=window.opened_at_ms,
                closed_at_ms=window.closed_at_ms,
                final_at_ms=window.final_at_ms,
                finality_ms=window.finality_ms,
                state=window.event.state,
                version=window.event.version,
                batches=window.batches,
                payments=sum(part.payments for part in window.settled),
                gross=self.show(window.gross, window.asset),
                reason=window.event.reason,
            )
            for _, window in sorted(self.windows.items())
        ]

    def net_rows(self) -> list[NetDay]:
        """By participant, asset, window."""
        return sorted(
            (
                NetDay(
                    participant=participant,
                    asset=window.asset,
                    window=window.number,
                    version=window.event.version,
                    net=self.show(net.net, window.asset),
                    debits=self.show(net.debits, window.asset),
                    credits=self.show(net.credits, window.asset),
                    set_off=self.show(net.set_off, window.asset),
                    sent=net.sent,
                    received=net.received,
                    final_at_ms=window.final_at_ms,
                )
                for window in self.windows.values()
                for participant, net in window.nets().items()
            ),
            key=lambda row: (row.participant, row.asset, row.window),
        )


def _closes(event: WindowEvent) -> bool:
    """Whether it is the first event after OPEN: version 1 left for its ledger, or was empty and settled at once."""
    return event.version == 1 and (
        event.state == "PENDING_SETTLEMENT" or (event.state == "SETTLED" and not event.batch)
    )


def _row(batch: SettlementBatch) -> BatchDay:
    return BatchDay(
        sequence=batch.sequence,
        batch=batch.id,
        kind=batch.kind,
        asset=batch.asset,
        ledger=batch.ledger,
        window=batch.window,
        version=batch.version,
        part=batch.part,
        sent_at_ms=batch.closed_at_ms,
        payments=batch.payments,
        gross=batch.gross,
        hash=batch.hash,
    )
