"""Journal, settlements and ledger against one another: each batch in all three, once, with the same money. Pure.

Hand it the journal's events, then the batches, then the ledger's books (clearing.verify.ledger reads them into it).
What is younger than the grace is under way and no break.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace

from clearing.core.money import parse, show
from clearing.core.outputs import ConfirmationEvent, Event, SettlementBatch, WindowEvent
from clearing.reports.breaks import Breaks, Reconciled, name_of
from clearing.reports.windows import nets_of
from clearing.verify.ledger import Account, Line, Posting, posted_lines


@dataclass(slots=True)
class _Window:
    """As the journal has it. sent: number of PENDING_SETTLEMENT events by the batch they name."""

    sent: dict[str, int] = field(default_factory=dict[str, int])
    last: WindowEvent | None = None
    settled: int = 0


@dataclass(slots=True)
class _Booked:
    """A posting, without its entries."""

    posting: Posting
    times: int = 1


Key = tuple[str, int]  # asset, number of the window


class Reconciliation:
    """Of one netting set. now_ms: by the clock of whoever asks; grace_ms: how old may be what is under way.

    since_ms: the journal's events are from then on; batches that were closed before are compared with the ledger,
    and are not looked for in the journal.

    sequences, balances, take, move: what the ledger's books are read into. settlements_end: offset behind the last
    batch that was read; what was posted from beyond it is left for next time.
    """

    def __init__(
        self, netting_set: str, now_ms: int, grace_ms: int, since_ms: int | None = None
    ) -> None:
        self.netting_set = netting_set
        self._since_ms = since_ms
        self._breaks = Breaks(now_ms, grace_ms)
        self.settlements_end = 0
        self.sequences: dict[str, int] = {}
        self.balances: dict[Account, int] = {}
        self._windows: defaultdict[Key, _Window] = defaultdict(_Window)
        self._answered: dict[str, ConfirmationEvent] = {}
        self._refused: set[str] = set()  # batches that the journal calls FAILED or ABORTED
        self._batches: dict[str, SettlementBatch] = {}
        self._offsets: dict[str, int] = {}
        self._posted: dict[str, _Booked] = {}
        self._entries = 0

    # --- the three books ----------------------------------------------------------------------

    def take_event(self, event: Event) -> None:
        """The next event of the journal."""
        match event:
            case WindowEvent(state="OPEN"):
                pass
            case WindowEvent():
                self._take_window(event)
            case ConfirmationEvent(status="DONE"):
                self._answered[event.batch] = event
            case _:
                pass

    def _take_window(self, event: WindowEvent) -> None:
        window = self._windows[event.asset, event.window]
        window.last = event
        if event.state == "PENDING_SETTLEMENT":
            window.sent[event.batch] = window.sent.get(event.batch, 0) + 1
        elif event.state in ("FAILED", "ABORTED"):
            self._refused.add(event.batch)
        elif event.state == "SETTLED":
            window.settled += 1

    def take_batch(self, batch: SettlementBatch, offset: int) -> None:
        """The next batch of `settlements`; its entries may be put away (clearing.verify.spooled)."""
        if batch.id in self._batches:
            self._breaks.of_batch("doubled", "settlements", batch, "stands in the topic twice")
            return
        self._batches[batch.id] = batch
        self._offsets[batch.id] = offset

    def take(self, posting: Posting) -> None:
        """The next batch that the ledger has."""
        if posting.source_offset >= self.settlements_end:
            return
        known = self._posted.get(posting.id)
        if known is not None:
            known.times += 1
            return
        self._entries += len(posting.entries)
        batch = self._batches.get(posting.id)
        if batch is not None:
            self._compare_money(batch, posting)
        self._posted[posting.id] = _Booked(replace(posting, entries={}))

    def move(self, account: Account, amount: int, balance: int) -> None:
        """Balances are not reconciled here: `clearing verify` holds each against its entries."""

    # --- what they say of one another ---------------------------------------------------------

    def result(self, *, with_ledger: bool) -> Reconciled:
        """Everything was read; with_ledger: the ledger too."""
        named = {batch for window in self._windows.values() for batch in window.sent}
        for batch in self._batches.values():
            self._check_journal(batch, named)
            if with_ledger:
                self._check_ledger(batch)
            else:
                self._check_confirmed(batch)
        self._check_windows()
        self._check_settled_once()
        self._check_strangers(named)
        return Reconciled(
            netting_set=self.netting_set,
            batches=len(self._batches),
            windows=len(self._windows),
            postings=len(self._posted),
            entries=self._entries,
            confirmed=sum(batch in self._answered for batch in self._batches),
            under_way=self._breaks.under_way,
            with_ledger=with_ledger,
            breaks=self._breaks.found,
            explained=self._breaks.explained,
            since_ms=self._since_ms,
        )

    def _is_before(self, batch: SettlementBatch) -> bool:
        """What the journal says of it may stand where it was not read."""
        return self._since_ms is not None and batch.closed_at_ms < self._since_ms

    def _check_journal(self, batch: SettlementBatch, named: set[str]) -> None:
        """The journal names the first part of a window's version 1, and each later version."""
        if batch.kind == "funding" or (batch.part > 1 and batch.version == 1):
            return
        if batch.id in named:
            times = self._windows[batch.asset, batch.window].sent.get(batch.id, 0)
            if times > 1:
                self._breaks.of_batch(
                    "doubled", "journal", batch, f"is sent {times} times by the journal"
                )
        elif not self._is_before(batch) and not self._breaks.is_young(batch.id, batch.closed_at_ms):
            self._breaks.of_batch("missing", "journal", batch, "is missing in the journal")

    def _check_ledger(self, batch: SettlementBatch) -> None:
        booked = self._posted.get(batch.id)
        if booked is None:
            self._check_unposted(batch)
            return
        posting = booked.posting
        if booked.times > 1:
            self._breaks.of_batch(
                "doubled", "ledger", batch, f"is in the ledger {booked.times} times"
            )
        if posting.hash != batch.hash:
            self._breaks.of_batch(
                "differs",
                "ledger",
                batch,
                f"has the hash {posting.hash[:16]} in the ledger, {batch.hash[:16]} was sent",
            )
        answer = self._answered.get(batch.id)
        if self._is_before(batch):
            return
        if answer is None:
            self._breaks.wait(
                batch, f"is {posting.status} in the ledger, and the journal has no answer"
            )
        elif posting.status == "REFUSED":
            self._check_refused(batch, posting.reason)
        elif answer.reason or batch.id in self._refused:
            self._breaks.of_batch(
                "differs", "journal", batch, "is posted, but the journal says that it was refused"
            )

    def _check_unposted(self, batch: SettlementBatch) -> None:
        if batch.ledger not in self.sequences and batch.id in self._answered:
            self._breaks.explain(
                f"batches of ledger {batch.ledger} are in another database: not compared"
            )
        elif batch.sequence <= self.sequences.get(batch.ledger, 0):
            self._breaks.of_batch(
                "missing", "ledger", batch, "is missing in the ledger, which has gone beyond it"
            )
        elif batch.id in self._answered:
            self._breaks.of_batch(
                "missing",
                "ledger",
                batch,
                "is missing in the ledger, but the journal has its answer",
            )
        else:
            self._breaks.wait(batch, f"is not posted yet by ledger {batch.ledger}")

    def _check_confirmed(self, batch: SettlementBatch) -> None:
        """Without a ledger at hand: whether it has answered, and what."""
        answer = self._answered.get(batch.id)
        if self._is_before(batch):
            return
        if answer is None:
            self._breaks.wait(batch, f"is not answered yet by ledger {batch.ledger}")
        elif answer.reason:
            self._check_refused(batch, answer.reason)

    def _check_refused(self, batch: SettlementBatch, reason: str) -> None:
        """A break as long as nothing has come in its place."""
        if batch.kind == "funding":
            self._breaks.explain(
                f"{name_of(batch)} was refused by the ledger ({reason}): the prefunding was taken back"
            )
            return
        if batch.id not in self._refused:
            self._breaks.of_batch(
                "differs",
                "journal",
                batch,
                "is refused by the ledger, but the journal does not say so",
            )
        window = self._windows[batch.asset, batch.window]
        last = window.last
        if window.settled and last is not None:
            self._breaks.explain(
                f"{name_of(batch)} was refused by the ledger ({reason}): settled as version {last.version}"
            )
        elif last is not None and (last.batch == batch.id or last.version <= batch.version):
            self._breaks.of_batch(
                "refused", "ledger", batch, f"was refused by the ledger: {reason}"
            )

    def _check_windows(self) -> None:
        """What the journal calls SETTLED is settled once, for what its batches say."""
        latest: defaultdict[Key, dict[int, SettlementBatch]] = defaultdict(dict)
        for batch in self._batches.values():
            known = latest[batch.asset, batch.window].get(batch.part)
            if batch.kind != "funding" and (known is None or known.version < batch.version):
                latest[batch.asset, batch.window][batch.part] = batch
        for key, window in self._windows.items():
            event, parts = window.last, list(latest.get(key, {}).values())
            if event is None:
                continue
            if window.settled > 1:
                self._breaks.of_window("doubled", event, f"is settled {window.settled} times")
            if event.state == "SETTLED" and event.batch and parts:
                self._check_settled(event, parts)

    def _check_settled(self, event: WindowEvent, parts: list[SettlementBatch]) -> None:
        scale = parts[0].scale
        sent: defaultdict[str, int] = defaultdict(int)
        for batch in parts:
            for participant, net in nets_of(batch).items():
                sent[participant] += net.net
            if batch.id not in self._answered and not self._is_before(batch):
                self._breaks.of_batch(
                    "missing", "journal", batch, "is final, but the journal has no answer to it"
                )
        gross = sum(parse(batch.gross, batch.scale) or 0 for batch in parts)
        if event.gross != show(gross, scale):
            text = f"is final for {event.gross} gross, its batches say {show(gross, scale)}"
            self._breaks.of_window("differs", event, text)
        told = {entry.participant: entry.net for entry in event.entries}
        for participant in sorted({*sent, *told}):
            wanted = show(sent.get(participant, 0), scale)
            if told.get(participant, show(0, scale)) != wanted:
                text = f"tells {participant} a net of {told.get(participant)}, its batches say {wanted}"
                self._breaks.of_window("differs", event, text)

    def _check_settled_once(self) -> None:
        """Of the versions of each part of a window the ledger has posted one at most (R2)."""
        posted: dict[tuple[str, str, int, int], SettlementBatch] = {}
        for id_, booked in self._posted.items():
            batch, posting = self._batches.get(id_), booked.posting
            if batch is None or batch.kind == "funding" or posting.status != "POSTED":
                continue
            first = posted.setdefault((batch.ledger, batch.asset, batch.window, batch.part), batch)
            if first is not batch:
                text = f"is posted, and so is batch {first.sequence:,} of the same window"
                self._breaks.of_batch("doubled", "ledger", batch, text)

    def _check_strangers(self, named: set[str]) -> None:
        """What the journal or the ledger has, and settlements has not."""
        for (asset, number), window in self._windows.items():
            for batch in window.sent.keys() - self._batches.keys():
                if window.last is not None and not self._breaks.is_young(
                    batch, window.last.time_ms
                ):
                    known = f"the journal has sent it for window {number:,}"
                    self._breaks.not_sent(batch, asset, number, known)
        for id_ in self._posted.keys() - self._batches.keys() - named:
            posting = self._posted[id_].posting
            known = "the ledger has it, and nobody sent it"
            self._breaks.not_sent(id_, posting.asset, posting.window, known)

    def _compare_money(self, batch: SettlementBatch, posting: Posting) -> None:
        """Line by line. A refused batch has none."""
        wanted = {} if posting.status == "REFUSED" else posted_lines(batch)
        nothing = Line("", "", "", 0)
        for number in sorted({*wanted, *posting.entries}):
            has, sent = posting.entries.get(number, nothing), wanted.get(number, nothing)
            if has != sent:
                who = sent.participant or has.participant
                moved, meant = (show(line.units, batch.scale) for line in (has, sent))
                whose = f" of {has.participant}" if has.participant not in ("", who) else ""
                text = f"sent {meant} of {who} in line {number}, the ledger has {moved}{whose}"
                self._breaks.of_batch("differs", "ledger", batch, text)
