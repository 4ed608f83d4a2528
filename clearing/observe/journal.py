"""What the journal's events leave to be shown: windows that ended, deadlocks, shortfalls, open proposals. Pure."""

from bisect import insort
from collections.abc import Iterable

from clearing.core.outputs import (
    DeadlockEvent,
    Event,
    Position,
    ProposalEvent,
    ShortfallEvent,
    WindowEvent,
)

ENDED_SHOWN = 12
SHORTFALLS_SHOWN = 12


class Journal:
    """Takes events of all netting sets, in order within each. Keeps what is shown, and what is open."""

    def __init__(self) -> None:
        self._ended: dict[tuple[str, str, int], WindowEvent] = {}
        self._deadlocks: dict[tuple[str, str], DeadlockEvent] = {}
        self._shortfalls: list[ShortfallEvent] = []  # oldest first
        self._proposals: dict[tuple[str, str], ProposalEvent] = {}

    def take(self, event: Event) -> None:
        match event:
            case WindowEvent() if event.state != "OPEN":
                self._ended[event.netting_set, event.asset, event.window] = event
                if len(self._ended) > ENDED_SHOWN:
                    del self._ended[min(self._ended, key=lambda key: self._ended[key].time_ms)]
            case DeadlockEvent():
                self._deadlocks[event.netting_set, event.asset] = event
            case ShortfallEvent():
                insort(self._shortfalls, event, key=lambda event: event.time_ms)
                del self._shortfalls[:-SHORTFALLS_SHOWN]
            case ProposalEvent(state="PROPOSED"):
                self._proposals[event.netting_set, event.proposal] = event
            case ProposalEvent():
                self._proposals.pop((event.netting_set, event.proposal), None)
            case _:
                pass  # commands and confirmations are answered where they were given

    def ended(self) -> list[WindowEvent]:
        """Latest event of each window that left OPEN, newest first."""
        return sorted(self._ended.values(), key=lambda event: event.time_ms, reverse=True)

    def deadlocks(self, positions: Iterable[Position]) -> list[DeadlockEvent]:
        """The latest of each asset (R16), left out where nothing waits any more."""
        waiting = {(one.netting_set, one.asset) for one in positions if one.queued_payments}
        return [self._deadlocks[key] for key in sorted(self._deadlocks.keys() & waiting)]

    def shortfalls(self) -> list[ShortfallEvent]:
        """Newest first (R25)."""
        return self._shortfalls[::-1]

    def proposals(self) -> list[ProposalEvent]:
        """Neither approved nor withdrawn yet, oldest first (R33)."""
        return sorted(self._proposals.values(), key=lambda event: event.time_ms)
