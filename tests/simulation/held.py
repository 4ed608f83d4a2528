"""Fetches that find nothing: held at the broker until there is something.

Consumers ask to be held for 100 ms and ask again. That costs ten requests a second of each, and changes nothing as
long as they would ask the same: here a fetch is held for long, and let go when its consumer wants something else.
"""

from collections.abc import Callable, Mapping, Sequence

from tests.simulation.broker import Broker
from tests.simulation.partitions import Name, Partition

LONGEST_S = 20.0
SHARE_OF_TIMEOUT = 0.8  # of the client's request timeout, after which it would break the connection
# How long a consumer that wants something else waits for the answer to what it asked before: at most this.
AS_ASKED_S = 0.1


class HeldFetch:
    """positions: what is fetched. is_due: whether there is something to tell. reply: tells it."""

    def __init__(
        self,
        broker: Broker,
        partitions: Sequence[Partition],
        positions: Mapping[Name, int],
        is_due: Callable[[], bool],
        reply: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._partitions = partitions
        self._positions = positions
        self._is_due = is_due
        self._reply = reply
        self._let_go = False
        for partition in partitions:
            partition.waiters[id(self)] = self._look
        self._timer = broker.later(LONGEST_S, self._end)

    def hold(self, timeout_s: float) -> None:
        """Its client gives up after so long."""
        self._timer.cancel()
        self._timer = self._broker.later(min(LONGEST_S, timeout_s * SHARE_OF_TIMEOUT), self._end)

    def compare(self, wanted: Mapping[Name, int]) -> None:
        """Its consumer looks for something to do: if it wants what was not asked for, that was in vain."""
        if self._let_go or wanted.items() <= self._positions.items():
            return
        self._let_go = True
        self._timer.cancel()
        self._timer = self._broker.later(self._broker.chance.random() * AS_ASKED_S, self._end)

    def drop(self) -> None:
        """Nobody waits for it any more."""
        self._let_go = True
        self._timer.cancel()
        for partition in self._partitions:
            partition.waiters.pop(id(self), None)

    def _look(self) -> None:
        if self._is_due():
            self._end()

    def _end(self) -> None:
        self.drop()
        self._reply()
