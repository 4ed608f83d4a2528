"""What became of payments, minute by minute, of one netting set. Pure, from `outcomes`.

Batches are folded, not rows: one count of codes for a log record, however many payments it has.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from clearing.core.outputs import Outcomes, Resolutions
from clearing.core.reasons import FIRST_REJECT, REASONS, Code
from clearing.messages_views import ActivityView, activity_key
from clearing.views.fold import Change

MINUTE_MS = 60_000
MINUTES_KEPT = 1_440

_INSTRUCTIONS = (Code.DONE, Code.REQUESTED)
_ISO = {int(code): reason.iso for code, reason in REASONS.items()}


class Told(NamedTuple):
    """A record of `outcomes` at `offset`: outcomes of rows, or resolutions of what had waited."""

    offset: int
    said: Outcomes | Resolutions


class Activity:
    """Minutes of one netting set. Begun with those that are known."""

    def __init__(self, netting_set: str, minutes: Iterable[ActivityView] = ()) -> None:
        self.netting_set = netting_set
        self._minutes = {minute.minute_ms: minute for minute in minutes}
        self._newest_ms = max(self._minutes, default=0)

    def take(self, records: Iterable[Told]) -> list[Change]:
        """Records in their order; the minutes they change, and those that are forgotten for them.

        A reader that was set back has some of them twice.
        """
        changed: dict[int, _Minute] = {}
        for offset, said in records:
            minute_ms = said.time_ms // MINUTE_MS * MINUTE_MS
            known = changed.get(minute_ms) or self._minutes.get(minute_ms)
            if known is not None and offset <= known.offset:
                continue
            if minute_ms <= self._newest_ms - MINUTES_KEPT * MINUTE_MS:
                continue  # seen before, and forgotten
            changed.setdefault(minute_ms, _Minute()).take(offset, said)
        changes: list[Change] = []
        for minute_ms, added in changed.items():
            minute = added.onto(self._minutes.get(minute_ms), self.netting_set, minute_ms)
            self._minutes[minute_ms] = minute
            self._newest_ms = max(self._newest_ms, minute_ms)
            changes.append(Change("activity", activity_key(self.netting_set, minute_ms), minute))
        return changes + self._forgotten()

    def _forgotten(self) -> list[Change]:
        bound_ms = self._newest_ms - MINUTES_KEPT * MINUTE_MS
        old = [minute_ms for minute_ms in self._minutes if minute_ms <= bound_ms]
        for minute_ms in old:
            del self._minutes[minute_ms]
        return [Change("activity", activity_key(self.netting_set, old_ms), None) for old_ms in old]


class _Minute:
    """What records add to one minute."""

    def __init__(self) -> None:
        self._codes = np.zeros(256, np.int64)  # of rows, by outcome code
        self._left = np.zeros(256, np.int64)  # of payments that waited
        self._repeated = 0
        self._first = self._last = -1  # log offsets
        self.offset = -1

    def take(self, offset: int, said: Outcomes | Resolutions) -> None:
        if isinstance(said, Outcomes):
            codes = said.codes
            if said.repeat.any():
                self._repeated += int(said.repeat.sum())
                codes = codes[~said.repeat]
            self._codes += np.bincount(codes, minlength=256)
        else:
            self._left += np.bincount([item.code for item in said.items], minlength=256)
        self._first = said.log_offset if self._first < 0 else self._first
        self._last, self.offset = said.log_offset, offset

    def onto(self, known: ActivityView | None, netting_set: str, minute_ms: int) -> ActivityView:
        before = known or ActivityView(
            netting_set=netting_set,
            minute_ms=minute_ms,
            log_offset_first=self._first,
            log_offset_last=self._last,
            offset=self.offset,
        )
        codes, left = self._codes, self._left
        reasons = Counter(before.by_reason)
        refused = codes + left
        for code in np.flatnonzero(refused[FIRST_REJECT:]).tolist():
            reasons[_ISO[code + FIRST_REJECT]] += int(refused[code + FIRST_REJECT])
        return replace(
            before,
            accepted=before.accepted + int(codes[Code.ACCEPTED]),
            queued=before.queued + int(codes[Code.QUEUED]),
            refused=before.refused + int(codes[FIRST_REJECT:].sum()),
            repeated=before.repeated + self._repeated,
            instructions=before.instructions + int(codes[list(_INSTRUCTIONS)].sum()),
            released=before.released + int(left[Code.ACCEPTED]),
            ended=before.ended + int(left[FIRST_REJECT:].sum()),
            by_reason=dict(sorted(reasons.items())),
            log_offset_last=self._last,
            offset=self.offset,
        )
