"""The last inputs of one netting set that could not be read. Pure, from `rejected`."""

from collections import deque
from collections.abc import Iterable

from clearing.core.outputs import Rejected
from clearing.messages_views import RejectView, reject_key
from clearing.views.fold import Change

REJECTS_KEPT = 1_000


class Rejects:
    """Begun with those that are known, in any order."""

    def __init__(self, netting_set: str, rejects: Iterable[RejectView] = ()) -> None:
        self.netting_set = netting_set
        self._offsets = deque(sorted(one.offset for one in rejects))

    def take(self, rejected: Rejected, partition: int, offset: int) -> list[Change]:
        """A record of `rejected`; what it changes."""
        if self._offsets and offset <= self._offsets[-1]:
            return []
        view = RejectView(
            netting_set=self.netting_set, partition=partition, offset=offset, rejected=rejected
        )
        changes = [Change("rejects", reject_key(self.netting_set, offset), view)]
        self._offsets.append(offset)
        while len(self._offsets) > REJECTS_KEPT:
            old = reject_key(self.netting_set, self._offsets.popleft())
            changes.append(Change("rejects", old, None))
        return changes
