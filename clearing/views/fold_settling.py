"""Windows and settlement batches of one netting set, from journal and settlements. Pure.

The journal says what became of windows and which batches were answered, `settlements` which batches there are.
"""

from collections.abc import Iterable
from typing import Literal

from msgspec.structs import replace

from clearing.core.outputs import (
    ConfirmationEvent,
    Event,
    SettlementBatch,
    WindowEvent,
)
from clearing.messages_views import BatchView, LedgerFinality, WindowView, batch_key, window_key
from clearing.views.fold import Change

WINDOWS_KEPT = 500  # of each asset, the last ones; and all that are not over
BATCHES_KEPT = 1_000  # the last ones; and all that are not over
ANSWERS_KEPT = 1_000  # to batches that are not read yet

BatchState = Literal["PENDING", "POSTED", "REFUSED", "FINAL", "ABORTED"]
# Of which a batch is over; the others wait for somebody.
_OVER = ("FINAL", "ABORTED")
_ANSWERED: dict[str, BatchState] = {"FAILED": "REFUSED", "ABORTED": "ABORTED"}


class Settling:
    """The windows and batches of one netting set. Begun with what is known of them.

    Windows and batches stand in two topics, and a killed process may leave a record's change in one of them alone.
    So a record that is read again changes nothing twice, but says again what follows from it for the other kind.
    """

    def __init__(
        self,
        netting_set: str,
        windows: Iterable[WindowView] = (),
        batches: Iterable[BatchView] = (),
    ) -> None:
        self.netting_set = netting_set
        self._windows: dict[tuple[str, int], WindowView] = {}
        self._newest: dict[str, int] = {}  # asset → number of its newest window
        self._batches: dict[str, BatchView] = {}
        self._of_window: dict[tuple[str, int], set[str]] = {}
        self._at: dict[int, str] = {}  # sequence → batch id, of those that are kept
        self._last = 0  # highest sequence
        self._answers: dict[
            str, None
        ] = {}  # batches of which only the answer is known, oldest first
        self._changed: dict[bytes, Change] = {}
        for window in windows:
            self._windows[window.asset, window.window] = window
            self._newest[window.asset] = max(window.window, self._newest.get(window.asset, 0))
        for batch in batches:
            self._remember(batch)

    # --- from the journal ---------------------------------------------------------------------------------------

    def take_event(self, event: Event, offset: int) -> list[Change]:
        """An event of the journal at this offset; what it changes. Other events than windows' change nothing."""
        match event:
            case WindowEvent():
                self._take_window(event, offset)
            case ConfirmationEvent(status="DONE"):
                self._take_answer(event)
            case _:
                pass
        return self._changes()

    def _take_window(self, event: WindowEvent, offset: int) -> None:
        key = event.asset, event.window
        before = self._windows.get(key)
        if before is None and self._is_old(event.asset, event.window):
            return
        if before is None or offset > before.offset:
            self._put_window(_window_after(before, event, offset))
        self._newest[event.asset] = max(event.window, self._newest.get(event.asset, 0))
        if (state := _ANSWERED.get(event.state)) and event.batch:
            self._answer(event.batch, state, event.time_ms, event.reason)
        elif event.state == "SETTLED":
            for batch in tuple(self._of_window.get(key, ())):
                self._answer(batch, "FINAL", event.time_ms)
        self._tell_finality(key)
        if event.state == "OPEN":
            self._forget_window(event.asset, event.window - WINDOWS_KEPT)
        self._forget_window(*key)

    def _take_answer(self, event: ConfirmationEvent) -> None:
        """Its window's event, if it was refused, stood before it: a batch that still waits was posted."""
        known = self._batches.get(event.batch)
        if known is not None and known.state != "PENDING":
            self._tell_finality((known.asset, known.window))
            return
        self._answer(event.batch, _posted(known, event.reason), event.time_ms, event.reason)

    def _answer(self, batch: str, state: BatchState, time_ms: int, reason: str = "") -> None:
        """What became of a batch, known or not yet. What is over stays so."""
        known = self._batches.get(batch) or _unread(self.netting_set, batch)
        if known.state in _OVER or known.state == state:
            return
        self._put_batch(replace(known, state=state, answered_ms=time_ms, reason=reason))

    # --- from settlements ---------------------------------------------------------------------------------------

    def take_batch(
        self, batch: SettlementBatch, topic: str, partition: int, offset: int
    ) -> list[Change]:
        """A batch, where it stands in `settlements`; what that changes."""
        answer = self._batches.get(batch.id)
        if answer is not None and answer.sequence:
            self._tell_finality((batch.asset, batch.window))
        elif answer is not None or batch.sequence > self._last - BATCHES_KEPT:
            self._put_batch(self._read(batch, answer, topic, partition, offset))
        # Otherwise it was read before, and forgotten.
        if old := self._at.get(batch.sequence - BATCHES_KEPT):
            self._forget_batch(old)
        return self._changes()

    def _read(
        self,
        batch: SettlementBatch,
        answer: BatchView | None,
        topic: str,
        partition: int,
        offset: int,
    ) -> BatchView:
        """A batch that is read for the first time. answer: what became of it, if that was read before."""
        window = self._windows.get((batch.asset, batch.window))
        state, at_ms, reason = ("PENDING", None, "")
        if answer is not None:
            state = _posted_as(batch.kind, answer)
            at_ms, reason = answer.answered_ms, answer.reason
        if window is not None and window.state == "SETTLED" and state not in _OVER:
            state, at_ms, reason = "FINAL", window.settled_at_ms, ""
        return BatchView(
            netting_set=self.netting_set,
            sequence=batch.sequence,
            id=batch.id,
            kind=batch.kind,
            asset=batch.asset,
            ledger=batch.ledger,
            window=batch.window,
            version=batch.version,
            part=batch.part,
            parts=batch.parts,
            closed_at_ms=batch.closed_at_ms,
            payments=batch.payments,
            gross=batch.gross,
            entries=len(batch.entries),
            linked=batch.linked,
            previous=batch.previous,
            hash=batch.hash,
            topic=topic,
            partition=partition,
            offset=offset,
            state=state,
            answered_ms=at_ms,
            reason=reason,
        )

    # --- what is kept -------------------------------------------------------------------------------------------

    def _put_window(self, window: WindowView) -> None:
        self._windows[window.asset, window.window] = window
        key = window_key(self.netting_set, window.asset, window.window)
        self._changed[key] = Change("windows", key, window)

    def _put_batch(self, batch: BatchView) -> None:
        self._remember(batch)
        key = batch_key(self.netting_set, batch.id)
        self._changed[key] = Change("batches", key, batch)
        if not batch.sequence:
            self._forget_answers()
            return
        self._tell_finality((batch.asset, batch.window))
        self._forget_batch(batch.id)

    def _remember(self, batch: BatchView) -> None:
        self._batches[batch.id] = batch
        if not batch.sequence:
            self._answers[batch.id] = None
            return
        self._answers.pop(batch.id, None)
        self._at[batch.sequence] = batch.id
        self._last = max(self._last, batch.sequence)
        self._of_window.setdefault((batch.asset, batch.window), set()).add(batch.id)

    def _tell_finality(self, key: tuple[str, int]) -> None:
        """Where a window stands at its ledgers, from its latest batches; how it is numbered from the first."""
        window = self._windows.get(key)
        batches = [self._batches[one] for one in self._of_window.get(key, ())]
        if window is None or not batches:
            return
        alive = [one for one in batches if one.state != "ABORTED"] or batches
        ledgers = {one.ledger: _finality(alive, one.ledger) for one in alive}
        first = min(alive, key=lambda one: (one.part, -one.version))
        told = replace(window, finality=ledgers, sequence=first.sequence)
        if told != window:
            self._put_window(told)

    def _is_old(self, asset: str, window: int) -> bool:
        return window <= self._newest.get(asset, 0) - WINDOWS_KEPT

    def _forget_window(self, asset: str, number: int) -> None:
        """If it is old and over."""
        window = self._windows.get((asset, number))
        if window is None or window.state != "SETTLED" or not self._is_old(asset, number):
            return
        del self._windows[asset, number]
        key = window_key(self.netting_set, asset, number)
        self._changed[key] = Change("windows", key, None)

    def _forget_batch(self, id_: str) -> None:
        """If it is old and over."""
        batch = self._batches[id_]
        if batch.sequence > self._last - BATCHES_KEPT or batch.state not in _OVER:
            return
        del self._batches[id_]
        del self._at[batch.sequence]
        of_window = self._of_window[batch.asset, batch.window]
        of_window.discard(id_)
        if not of_window:
            del self._of_window[batch.asset, batch.window]
        key = batch_key(self.netting_set, id_)
        self._changed[key] = Change("batches", key, None)

    def _forget_answers(self) -> None:
        """Only those are left behind whose batch was read and forgotten long ago."""
        while len(self._answers) > ANSWERS_KEPT:
            id_ = next(iter(self._answers))
            del self._answers[id_], self._batches[id_]
            key = batch_key(self.netting_set, id_)
            self._changed[key] = Change("batches", key, None)

    def _changes(self) -> list[Change]:
        changes, self._changed = list(self._changed.values()), {}
        return changes


def _window_after(before: WindowView | None, event: WindowEvent, offset: int) -> WindowView:
    """A window after an event of the journal."""
    is_open = event.state == "OPEN"
    ended_ms = None if is_open else event.time_ms
    return WindowView(
        netting_set=event.netting_set,
        asset=event.asset,
        window=event.window,
        state=event.state,
        version=event.version,
        opened_at_ms=event.opened_at_ms if is_open else before and before.opened_at_ms,
        closed_at_ms=(before and before.closed_at_ms) or ended_ms,
        cutoff_ms=(event.cutoff_ms or None) if is_open else before and before.cutoff_ms,
        payments=None if is_open else event.payments,
        gross=None if is_open else event.gross,
        batch=event.batch,
        sequence=before and before.sequence,
        hash=event.hash,
        settled_at_ms=event.time_ms if event.state == "SETTLED" else None,
        finality=before.finality if before else {},
        reason=event.reason,
        offset=offset,
    )


def _unread(netting_set: str, batch: str) -> BatchView:
    """A batch of which nothing is known yet but that it was answered."""
    return BatchView(
        netting_set=netting_set, sequence=0, id=batch, kind="net", asset="", ledger="", window=0,
        version=0, part=0, parts=0, closed_at_ms=0, payments=0, gross="0", entries=0, linked=[],
        previous="", hash="", topic="", partition=0, offset=-1,
    )  # fmt: skip


def _posted(known: BatchView | None, reason: str) -> BatchState:
    """What an answer means that no window's event came before. Prefunding is final as soon as it is posted."""
    if known is None or known.kind != "funding":
        return "POSTED"
    return "REFUSED" if reason else "FINAL"


def _posted_as(kind: str, answer: BatchView) -> BatchState:
    """The same for an answer that came before its batch was read."""
    if kind != "funding" or answer.state != "POSTED":
        return answer.state
    return "REFUSED" if answer.reason else "FINAL"


_WORST_FIRST = ("REFUSED", "PENDING", "ABORTED", "POSTED", "FINAL")


def _finality(batches: list[BatchView], ledger: str) -> LedgerFinality:
    """Of the batches of a window that went to one ledger: the worst of their states."""
    there = [one for one in batches if one.ledger == ledger]
    worst = min(there, key=lambda one: _WORST_FIRST.index(one.state))
    state = "REFUSED" if worst.state == "ABORTED" else worst.state
    return LedgerFinality(
        state=state,
        at_ms=max(one.answered_ms or one.closed_at_ms for one in there),
        batches=len(there),
        posted=sum(one.state in ("POSTED", "FINAL") for one in there),
        reason=worst.reason,
    )
