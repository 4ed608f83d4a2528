"""How a reader of one partition behaves, judged by what it did lately and not by any threshold on its lag. Pure.

The rules are Burrow's (LinkedIn's lag checker), and one more for transactions that hang. What is looked at comes
from clearing.observe.sampler, a `Look` every second or so; a sliding window of them is judged as a whole.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from clearing.views.model import StageStatus

WINDOW_S = 20.0
JUDGED_FROM_S = 10.0  # a shorter window says nothing yet; the engine's recovery takes a few seconds
_LOOKS_MAX = 200
_LOOKS_MIN = 3


class Look(NamedTuple):
    """One look at one reader of one partition.

    position: the next offset it reads, as far as it has made it durable. lag_records: records it could read and has
    not (markers are none). stable_end, end: last stable offset and end of the partition. members: processes that
    are at work on it, None: not known.
    """

    at_ms: int
    position: int
    lag_records: int
    stable_end: int
    end: int
    members: int | None


class Window:
    """The looks of the last WINDOW_S at one reader, oldest first; never more than a few hundred."""

    def __init__(self) -> None:
        self.looks: deque[Look] = deque(maxlen=_LOOKS_MAX)

    def add(self, look: Look) -> None:
        """A clock that was set back begins a new window: nothing can be said over the leap."""
        if self.looks and look.at_ms <= self.looks[-1].at_ms:
            self.looks.clear()
        self.looks.append(look)
        while look.at_ms - self.looks[0].at_ms > WINDOW_S * 1000:
            self.looks.popleft()


def classify(looks: Sequence[Look]) -> StageStatus:
    """The first of these that holds, over looks from oldest to newest:

    REWOUND    its position went back: offsets were reset, or a ledger was restored from a backup
    HUNG_TXN   records are there, but a transaction that does not end keeps the last stable offset where it is
    OK         it had nothing left to read at some time of the window: whatever there is now is new
    STOPPED    nobody was at work on it all the time
    STALLED    somebody is at work, but its position has not moved
    SLOW       it moves, and what is left grows: the least of late is more than the most of before
    OK         else: it moves and keeps pace, or the window is too short to be judged
    """
    if any(later.position < earlier.position for earlier, later in pairwise(looks)):
        return "REWOUND"
    if not looks or len(looks) < _LOOKS_MIN or _span_s(looks) < JUDGED_FROM_S:
        return "OK"
    if is_held_back(looks):
        return "HUNG_TXN"
    if any(look.lag_records == 0 for look in looks):
        return "OK"
    if all(look.members == 0 for look in looks):
        return "STOPPED"
    if looks[0].position == looks[-1].position:
        return "STALLED"
    return "SLOW" if _grows(looks) else "OK"


def is_held_back(looks: Sequence[Look]) -> bool:
    """Whether the last stable offset stood still below the end all the time: no transaction of ours lasts."""
    return all(
        look.stable_end < look.end and look.stable_end == looks[0].stable_end for look in looks
    )


def velocity_per_s(looks: Sequence[Look]) -> float | None:
    """Offsets read in a second while there was something to read: the median over such intervals, None without one.

    An idle reader could do more than what came in: intervals in which it had nothing left say nothing.
    """
    rates = [
        (later.position - earlier.position) * 1000 / (later.at_ms - earlier.at_ms)
        for earlier, later in pairwise(looks)
        if earlier.lag_records and later.position >= earlier.position
    ]
    return median(rates) if rates else None


def drain_s(lag_records: int, per_s: float | None) -> float | None:
    """Until what waits now has been read, what comes after it waits behind it. None: not known, or never so far."""
    if not lag_records:
        return 0.0
    return lag_records / per_s if per_s else None


def _grows(looks: Sequence[Look]) -> bool:
    third = len(looks) // 3
    before, of_late = list(looks)[:third], list(looks)[-third:]
    return min(one.lag_records for one in of_late) > max(one.lag_records for one in before)


def _span_s(looks: Sequence[Look]) -> float:
    return (looks[-1].at_ms - looks[0].at_ms) / 1000
