"""A netting set as it stands now, for those who look: explain, queue, drill, optimise.

Followed beside the engine (clearing.engine.follower), or from a saved log. What is done to the copy stays with it.
"""

import dataclasses
from pathlib import Path

from clearing import logfile
from clearing.core import snapshot
from clearing.core.ids import Remembered
from clearing.core.state import NettingSet
from clearing.engine.follower import Follower, Live, Tell, last_transaction, silent
from clearing.engine.machine import Machine

__all__ = ["Follower", "Live", "Tell", "from_file", "last_transaction", "silent", "without_ids"]

_TELL_EVERY_RECORDS = 1_000


def from_file(path: Path, tell: Tell = silent) -> Live:
    """The netting set of a saved log after its last record. Raises ValueError if the file is none."""
    live = Live(Machine(logfile.netting_set_of(path)))
    for number, record in enumerate(logfile.read(path), start=1):
        live.apply(*record)
        if number % _TELL_EVERY_RECORDS == 0:
            tell(f"{number:,} log records")
    live.forget_entered()
    return live


def without_ids(state: NettingSet) -> NettingSet:
    """A copy to try things on: without what it remembers of payments that do not wait, which may be gigabytes."""
    bare = dataclasses.replace(state, ids=Remembered(state.seed), members={})
    return snapshot.load(memoryview(b"".join(snapshot.dump(bare))), state.seed)
