"""Which rows of a run are probes (ops/adr/0019-probe.md): no bank has planned them, so a run does not count them.

Only the log says whose a row is, only `outcomes` what became of it, and either may be read first. Pure.
"""

from dataclasses import replace

import numpy as np

from clearing.core.inputs import Bool
from clearing.core.outputs import Outcomes

Place = tuple[int, int]  # partition, log offset


class ProbeRows:
    """Told of log records and of their outcomes, each in its own order; remembers what has no counterpart yet."""

    def __init__(self) -> None:
        self._rows: dict[Place, Bool] = {}  # of log records whose outcomes were not read
        self._early: dict[Place, Outcomes] = {}  # of log records that were not read
        self._read: dict[int, int] = {}  # by partition: the last log record

    def logged(self, partition: int, offset: int, probes: Bool) -> Outcomes | None:
        """A log record: which of its rows are probes. Their outcomes, if they were counted before it was read."""
        self._read[partition] = offset
        early = self._early.pop((partition, offset), None)
        for place in [p for p in self._early if p[0] == partition and p[1] < offset]:
            del self._early[place]  # its log record was there before anybody watched
        if not probes.any():
            return None
        if early is not None:
            return _chosen(early, probes)
        self._rows[partition, offset] = probes
        return None

    def without(self, partition: int, outcomes: Outcomes) -> Outcomes:
        """The outcomes of a log record but for those of probes, as far as that is known by now."""
        place = partition, outcomes.log_offset
        probes = self._rows.pop(place, None)
        if probes is not None:
            return _chosen(outcomes, ~probes)
        if outcomes.log_offset > self._read.get(partition, -1):
            self._early[place] = outcomes
        return outcomes


def _chosen(outcomes: Outcomes, rows: Bool) -> Outcomes:
    at = np.flatnonzero(rows)
    return replace(outcomes, codes=outcomes.codes[at], repeat=outcomes.repeat[at])
