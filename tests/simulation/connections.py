"""A connection of a client to a node: what aiokafka's client uses of its own AIOKafkaConnection."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaConnectionError

from tests.simulation.held import HeldFetch
from tests.simulation.loop import VirtualLoop
from tests.simulation.partitions import Name
from tests.simulation.processes import current
from tests.simulation.protocol import newest


class Carrier(Protocol):
    """What carries requests: the network."""

    loop: VirtualLoop

    def send(
        self, connection: "Connection", request: Any, future: "asyncio.Future[Any]"
    ) -> None: ...
    def closed(self, connection: "Connection") -> None: ...


class Connection:
    """What aiokafka's client uses of an AIOKafkaConnection."""

    def __init__(
        self,
        network: Carrier,
        node: int,
        client: str,
        timeout_s: float,
        on_close: Callable[[Any, Any], None] | None,
    ) -> None:
        self.node = node
        self.client = client
        self.process = current()
        self.context = contextvars.copy_context()
        self.open = True
        self.sent_until = 0.0  # nothing sent later arrives before
        self.answered_until = 0.0
        self._network = network
        self._timeout_s = timeout_s
        self._on_close = on_close
        self._unanswered: deque[tuple[float, asyncio.Future[Any]]] = deque()  # with their deadlines
        self._watched = False
        self._held: HeldFetch | None = None

    def hold(self, fetch: HeldFetch) -> None:
        """A consumer has one fetch at a time at each node: of an older one it does not want the answer."""
        if self._held is not None:
            self._held.drop()
        self._held = fetch
        fetch.hold(self._timeout_s)
        if not self.open:
            fetch.drop()

    def wants(self, positions: Mapping[Name, int]) -> None:
        """Its consumer would fetch this now."""
        if self._held is not None:
            self._held.compare(positions)

    def connected(self) -> bool:
        return self.open

    def send(self, request: Any, expect_response: bool = True) -> asyncio.Future[Any]:
        """The answer, or TimeoutError, or KafkaConnectionError when the connection ends before."""
        if not self.open:
            raise KafkaConnectionError(f"No connection to node {self.node}")
        loop = self._network.loop
        future = loop.create_future()
        while self._unanswered and self._unanswered[0][1].done():
            self._unanswered.popleft()
        self._unanswered.append((loop.now + self._timeout_s, future))
        if not self._watched:
            self._watch_in(self._timeout_s)
        self._network.send(self, request.build(newest(type(request))), future)
        return future

    def _watch_in(self, seconds: float) -> None:
        self._watched = True
        self._network.loop.call_later(seconds, self._give_up, context=self.context)

    def _give_up(self) -> None:
        """What is not answered by now never is. All have the same time-out: the oldest comes first."""
        self._watched = False
        now = self._network.loop.now
        while self._unanswered:
            deadline, future = self._unanswered[0]
            if not future.done():
                if deadline > now:
                    self._watch_in(deadline - now)
                    return
                future.set_exception(TimeoutError())
            self._unanswered.popleft()

    def receive(self, future: asyncio.Future[Any], response: Any) -> None:
        if self.open and not future.done():
            future.set_result(response)

    def reset(self) -> None:
        """The other side has closed it, or something on the way."""
        self.close(CloseReason.CONNECTION_BROKEN, ConnectionResetError())

    def close(
        self, reason: CloseReason | None = None, exc: BaseException | None = None
    ) -> asyncio.Future[None]:
        if self.open:
            self.open = False
            self._network.closed(self)
            for _, future in self._unanswered:
                if not future.done():
                    error = KafkaConnectionError(f"Connection to node {self.node} closed")
                    error.__cause__ = exc
                    future.set_exception(error)
            if self._on_close is not None:
                on_close, self._on_close = self._on_close, None
                on_close(self, reason)
        done = self._network.loop.create_future()
        done.set_result(None)
        return done
