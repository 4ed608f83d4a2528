"""How a break between journal, settlements and ledger is told: one sentence each, with what it is about. Pure."""

from datetime import UTC, datetime
from typing import Literal, get_args

import msgspec

from clearing.core.outputs import SettlementBatch, WindowEvent
from clearing.observe.phrases import duration

BreakKind = Literal["missing", "doubled", "differs", "not_confirmed", "refused"]
BREAK_KINDS: tuple[BreakKind, ...] = get_args(BreakKind)
Book = Literal["journal", "settlements", "ledger"]


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """Where the books do not agree. where: the book that is wrong or late; age_ms: of what is not confirmed yet."""

    kind: BreakKind
    where: Book
    asset: str = ""
    window: int | None = None
    batch: str = ""
    sequence: int | None = None
    age_ms: int | None = None
    text: str


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared of a netting set, and the breaks. explained: what looks like one and is none.

    under_way: batches younger than the grace of which one book does not know yet. since_ms: from when on
    the journal was read, None: from its first record.
    """

    netting_set: str
    batches: int
    windows: int
    postings: int
    entries: int
    confirmed: int
    under_way: int
    with_ledger: bool
    breaks: list[Break]
    explained: list[str]
    since_ms: int | None = None

    @property
    def ok(self) -> bool:
        return not self.breaks

    @property
    def sentence(self) -> str:
        """The answer, with counts."""
        books = (
            f"journal, settlements and ledger agree: {self.postings:,} postings with {self.entries:,} lines"
            if self.with_ledger
            else "journal and settlements agree; no ledger was given, its answers are the journal's"
        )
        counts = f"{self.batches:,} batches, {self.windows:,} windows, {self.confirmed:,} confirmed"
        if self.under_way:
            counts += f", {self.under_way:,} under way"
        if self.since_ms is not None:
            since = datetime.fromtimestamp(self.since_ms / 1000, UTC)
            counts += f", journal since {since:%Y-%m-%d %H:%M} UTC"
        broken = len(self.breaks)
        answer = books if self.ok else f"{broken:,} break{'s' if broken > 1 else ''}"
        return f"{self.netting_set}: {answer}; {counts}"


class Breaks:
    """Collects them. now_ms: by the clock of whoever asks; grace_ms: how old what is under way may be."""

    def __init__(self, now_ms: int, grace_ms: int) -> None:
        self.now_ms = now_ms
        self.grace_ms = grace_ms
        self.found: list[Break] = []
        self._explained: dict[str, None] = {}  # in their order, each once
        self._young: set[str] = set()

    @property
    def explained(self) -> list[str]:
        return list(self._explained)

    @property
    def under_way(self) -> int:
        return len(self._young)

    def explain(self, text: str) -> None:
        """What looks like a break and is none."""
        self._explained[text] = None

    def is_young(self, batch: str, time_ms: int) -> bool:
        """Whether it may just be under way; it is then counted."""
        is_young = self.now_ms - time_ms < self.grace_ms
        if is_young:
            self._young.add(batch)
        return is_young

    def wait(self, batch: SettlementBatch, what: str) -> None:
        """It is not confirmed: a break once it is older than the grace."""
        if not self.is_young(batch.id, batch.closed_at_ms):
            age_ms = self.now_ms - batch.closed_at_ms
            text = f"{what}: not confirmed for {duration(age_ms / 1000)}"
            self.of_batch("not_confirmed", "ledger", batch, text, age_ms=age_ms)

    def of_batch(
        self,
        kind: BreakKind,
        where: Book,
        batch: SettlementBatch,
        what: str,
        *,
        age_ms: int | None = None,
    ) -> None:
        self.found.append(
            Break(
                kind=kind,
                where=where,
                asset=batch.asset,
                window=batch.window or None,
                batch=batch.id,
                sequence=batch.sequence,
                age_ms=age_ms,
                text=f"{name_of(batch)} {what}",
            )
        )

    def of_window(self, kind: BreakKind, event: WindowEvent, what: str) -> None:
        self.found.append(
            Break(
                kind=kind,
                where="journal",
                asset=event.asset,
                window=event.window,
                batch=event.batch,
                text=f"window {event.window:,} of {event.asset} {what}",
            )
        )

    def not_sent(self, batch: str, asset: str, window: int, known: str) -> None:
        """Settlements does not have it."""
        self.found.append(
            Break(
                kind="missing",
                where="settlements",
                asset=asset,
                window=window or None,
                batch=batch,
                text=f"batch {batch} of {asset} is missing in settlements: {known}",
            )
        )


def name_of(batch: SettlementBatch) -> str:
    """By its number and what it settles."""
    if batch.kind == "funding":
        return f"batch {batch.sequence:,} (prefunding in {batch.asset})"
    version = f", version {batch.version}" if batch.version > 1 else ""
    return f"batch {batch.sequence:,} (window {batch.window:,} of {batch.asset}{version})"
