"""Windows and what ledgers answered: what the journal says against batches and confirmations (R4, R20, R23)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from clearing.core.money import show
from clearing.core.outputs import Entry, SettlementBatch, WindowEvent
from clearing.verify.commands import Answers
from clearing.verify.facts import Facts
from clearing.verify.report import Check, Findings
from clearing.verify.sums import units_of

Window = tuple[str, int]  # asset, number

# What the journal may show after a state (R4); PROCESSING and CLOSED are passed within one step, an open window
# says OPEN again when its cut-off changes. The parts of a window fail and are sent again one by one, so that
# FAILED, ABORTED and PENDING_SETTLEMENT may repeat; ABORTED → SETTLED: a recast that took everything out.
_MAY_FOLLOW: dict[str, tuple[str, ...]] = {
    "": ("OPEN",),
    "OPEN": ("OPEN", "PENDING_SETTLEMENT", "SETTLED"),
    "PENDING_SETTLEMENT": ("PENDING_SETTLEMENT", "SETTLED", "FAILED", "ABORTED"),
    "FAILED": ("PENDING_SETTLEMENT", "FAILED", "ABORTED"),
    "ABORTED": ("PENDING_SETTLEMENT", "FAILED", "ABORTED", "SETTLED"),
    "SETTLED": (),
}
# The same of one batch: a version is sent once, and ends once.
_BATCH_MAY_FOLLOW: dict[str, tuple[str, ...]] = {
    "PENDING_SETTLEMENT": ("SETTLED", "FAILED", "ABORTED"),
    "FAILED": ("ABORTED",),
}


@dataclass(slots=True)
class _Track:
    """A window as far as the journal has come. current: part → its latest batch; states: of each by id."""

    event: WindowEvent
    current: dict[int, SettlementBatch] = field(default_factory=dict[int, SettlementBatch])
    states: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def batches(self) -> list[SettlementBatch]:
        return [self.current[part] for part in sorted(self.current)]


class _Journal:
    """Follows the journal's events of windows one by one."""

    def __init__(
        self, batches: Iterable[SettlementBatch], answers: Answers, found: Findings
    ) -> None:
        self.found = found
        self.answers = answers
        self.tracks: dict[Window, _Track] = {}
        self.opened: dict[str, int] = {}
        self.settled_at: dict[Window, int] = {}
        self.closed_at: dict[Window, int] = {}
        self.by_id = {batch.id: batch for batch in batches if batch.kind != "funding"}
        self.firsts: defaultdict[Window, dict[int, SettlementBatch]] = defaultdict(dict)
        for batch in self.by_id.values():
            if batch.version == 1:
                self.firsts[batch.asset, batch.window][batch.part] = batch

    def differ(self, event: WindowEvent, what: str) -> None:
        where = f"window {event.window} of {event.asset} at log offset {event.log_offset}"
        self.found.add(f"{where}: {what}")

    def take(self, event: WindowEvent) -> None:
        window = event.asset, event.window
        track = self.tracks.get(window)
        before = track.event.state if track else ""
        if event.state not in _MAY_FOLLOW.get(before, ()):
            self.differ(event, f"it went from {before or 'nothing'} to {event.state}")
        if track is None:
            track = self.tracks[window] = _Track(event)
        if event.state == "OPEN":
            if before != "OPEN":
                self._open(event)
        elif event.batch:
            self._take_batch(track, event)
        elif event.payments or event.entries:
            self.differ(event, f"{event.state} without a batch")
        elif event.state == "SETTLED" and before == "OPEN" and window in self.firsts:
            self.differ(event, "SETTLED at once, but it has batches")
        if event.state == "SETTLED":
            self.settled_at[window] = event.log_offset
        if before == "OPEN" and event.state != "OPEN":
            self.closed_at[window] = event.log_offset
        track.event = event

    def _open(self, event: WindowEvent) -> None:
        asset, number = event.asset, event.window
        if number != self.opened.get(asset, 0) + 1:
            self.differ(event, f"opened after window {self.opened.get(asset, 0)}")
        last = self.tracks.get((asset, number - 1))
        if last is not None and last.event.state == "OPEN":
            self.differ(event, "opened while the one before was open")
        self.opened[asset] = number

    def _take_batch(self, track: _Track, event: WindowEvent) -> None:
        batch = self.by_id.get(event.batch)
        if batch is None:
            self.differ(event, f"batch {event.batch} is not in the topic")
            return
        if (batch.asset, batch.window, batch.hash) != (event.asset, event.window, event.hash):
            self.differ(event, f"says something else than batch {batch.sequence}")
        if event.state == "PENDING_SETTLEMENT":
            self._send(track, event, batch)
            return
        meant = track.batches if event.state == "SETTLED" else [batch]
        if batch is not (meant[0] if meant else None):
            self.differ(event, f"names batch {batch.sequence}, which is not its first")
        for part in meant:
            state = track.states.get(part.id, "")
            if event.state not in _BATCH_MAY_FOLLOW.get(state, ()):
                self.differ(
                    event,
                    f"batch {part.sequence} went from {state or 'nothing'} to {event.state}",
                )
            track.states[part.id] = event.state
        self._compare(event, meant)
        if event.state in ("SETTLED", "FAILED"):
            self._compare_entries(event, meant)
        for part in meant:
            self._check_answer(event, part, track)

    def _send(self, track: _Track, event: WindowEvent, batch: SettlementBatch) -> None:
        if batch.version == 1:
            sent = self.firsts[batch.asset, batch.window]
            if batch.part != 1:
                self.differ(event, f"names part {batch.part}, not the first")
        else:
            sent = {batch.part: batch}
            before = track.current.get(batch.part)
            if before is None or track.states.get(before.id) not in ("FAILED", "ABORTED"):
                self.differ(event, f"version {batch.version} was sent, but the one before stands")
        track.current |= sent
        track.states |= {part.id: "PENDING_SETTLEMENT" for part in sent.values()}
        self._compare(event, [sent[part] for part in sorted(sent)])

    def _compare(self, event: WindowEvent, meant: list[SettlementBatch]) -> None:
        """What an event says of its batches together."""
        if not meant:
            return
        scale = meant[0].scale
        gross = sum(units_of(batch.gross, batch.scale) or 0 for batch in meant)
        wanted = (
            max(batch.version for batch in meant),
            sum(batch.payments for batch in meant),
            show(gross, scale),
        )
        if (event.version, event.payments, event.gross) != wanted:
            self.differ(event, "says something else than its batches")

    def _compare_entries(self, event: WindowEvent, meant: list[SettlementBatch]) -> None:
        """What banks are told."""
        told = {entry.participant: entry for entry in event.entries}
        if told != _summed(meant) or len(told) != len(event.entries):
            self.differ(event, "carries other entries than its batches")

    def _check_answer(self, event: WindowEvent, batch: SettlementBatch, track: _Track) -> None:
        """R23: SETTLED and FAILED are the ledger's word; so is ABORTED, unless the batch had failed before."""
        word = "POSTED" if event.state == "SETTLED" else "REFUSED"
        if not self.said(batch, word, event.log_offset):
            self.differ(event, f"{event.state}, but its ledger had not said {word} of {batch.id}")

    def said(self, batch: SettlementBatch, word: str, by: int) -> bool:
        """Whether its ledger had answered so by this log offset."""
        at = self.answers.at(batch.id, batch.hash, batch.ledger, word)
        return at is not None and at <= by


def _summed(batches: list[SettlementBatch]) -> dict[str, Entry]:
    """One line each, over all parts and counterparties."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0] * 5)
    scale = batches[0].scale if batches else 0
    for entry in (entry for batch in batches for entry in batch.entries):
        amounts = [units_of(text, scale) or 0 for text in (entry.net, entry.debits, entry.credits)]
        mine = sums[entry.participant]
        for i, units in enumerate((*amounts, entry.sent, entry.received)):
            mine[i] += units
    return {
        name: Entry(
            name, show(net, scale), show(debits, scale), show(credits_, scale), sent, received
        )
        for name, (net, debits, credits_, sent, received) in sums.items()
    }


def check_windows(facts: Facts, joint: Mapping[Window, frozenset[Window]]) -> Check:
    """Windows follow R4: one is open per asset, none is settled twice or without its ledger's word (R4, R23).

    joint: windows that share links; they close, and become final, in one step (R20).
    """
    found = Findings()
    journal = _Journal(facts.batches, facts.answers, found)
    last = -1
    for event in facts.said.windows:
        if event.log_offset < last or event.time_ms != facts.time_ms(event.log_offset):
            journal.differ(event, "it does not stand at that place of the log, or at another time")
        last = max(last, event.log_offset)
        journal.take(event)
    for batch in journal.by_id.values():
        track = journal.tracks.get((batch.asset, batch.window))
        if track is None or batch.id not in track.states:
            found.add(f"batch {batch.sequence} is of a window that did not send it")
    linked = _check_joint(journal, joint)
    states = [track.event.state for track in journal.tracks.values()]
    waiting = sum(_waits(journal, track) for track in journal.tracks.values())
    if waiting:
        found.wait_for(f"{waiting} windows wait for their ledger")
    failed = states.count("FAILED") + states.count("ABORTED")
    return found.check(
        "windows settle once, on their ledger's word",
        "R4 R20 R23",
        facts.netting_set,
        f"{len(states):,} windows: {states.count('SETTLED'):,} settled, {waiting:,} waiting, {failed:,} failed, "
        f"{len(journal.opened):,} open; {linked:,} settled together with others",
    )


def _waits(journal: _Journal, track: _Track) -> bool:
    """Whether a batch of it has no answer yet: what waits for others that failed waits for operators."""
    return track.event.state == "PENDING_SETTLEMENT" and any(
        track.states.get(batch.id) == "PENDING_SETTLEMENT"
        and not journal.said(batch, "POSTED", 1 << 62)
        for batch in track.batches
    )


def _check_joint(journal: _Journal, joint: Mapping[Window, frozenset[Window]]) -> int:
    """R20: batches name exactly the windows they share links with; those close, and are final, in one step."""
    found, windows = journal.found, journal.by_id
    for batch in windows.values():
        window = batch.asset, batch.window
        others = {(o.asset, o.window) for name in batch.linked if (o := windows.get(name))}
        if len([name for name in batch.linked if name not in windows]):
            found.add(f"batch {batch.sequence} is linked with a batch that is not there")
        elif others != joint.get(window, frozenset((window,))) - {window}:
            found.add(f"batch {batch.sequence} is linked with other windows than its links are in")
    _check_promptness(journal, joint)
    for group in set(joint.values()):
        names = " and ".join(f"{number} of {asset}" for asset, number in sorted(group))
        for what, at in (("closed", journal.closed_at), ("settled", journal.settled_at)):
            if len({at.get(window) for window in group}) > 1:
                found.add(f"windows {names} share links and were not {what} together")
    return sum(window in joint for window in journal.settled_at)


def _check_promptness(journal: _Journal, joint: Mapping[Window, frozenset[Window]]) -> None:
    """R23: final with the last answer that was missing, of this window or of one it is joint with; not later."""
    answered: dict[Window, int] = {}
    for window, track in journal.tracks.items():
        offsets = [
            journal.answers.at(batch.id, batch.hash, batch.ledger, "POSTED")
            for batch in track.batches
        ]
        answered[window] = max((at for at in offsets if at is not None), default=-1)
    for window, at in journal.settled_at.items():
        if journal.tracks[window].event.batch:
            last = max(answered.get(one, -1) for one in joint.get(window, (window,)))
            if at != last:
                asset, number = window
                journal.found.add(
                    f"window {number} of {asset} is SETTLED at log offset {at}, the last answer was at {last}"
                )
