"""The simulated network: connections of the clients, delays, and what a fault plan does to single requests.

A connection stands where aiokafka's own would (`aiokafka.client.create_conn`); what it sends are the client's
request structures. Requests of one connection stay in order, and so do the answers, as in TCP.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaConnectionError

from tests.simulation.answers import VERSIONS, Answers, error_code, name_of
from tests.simulation.held import HeldFetch
from tests.simulation.loop import VirtualLoop
from tests.simulation.partitions import Name
from tests.simulation.processes import Process, current

TYPICAL_S, TAIL_S, TAIL_SHARE = 0.001, 0.03, 0.02


@dataclass(slots=True)
class Rule:
    """A fault for the next `count` requests that match; hits: how many did.

    process, api: None matches any. action: lose_request, lose_response, delay_request, delay_response,
    duplicate, break_before, break_after (the broker did it), error (the broker did nothing and answers this, by the
    protocol's name: NOT_COORDINATOR). skip: so many pass before.
    """

    action: str
    api: str | None = None
    process: str | None = None
    delay_s: float = 0.0
    error: str = ""
    count: int = 1
    skip: int = 0
    hits: int = 0

    def matches(self, api: str, process: str) -> bool:
        if self.hits >= self.count or self.api not in (None, api):
            return False
        if self.process not in (None, process):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        return True


@dataclass(slots=True)
class Sent:
    """A request under way: `api` of `process` to `node`; what the network's watcher is told of."""

    process: str
    api: str
    node: int
    request: Any
    fault: str

    def words(self) -> str:
        return f"{self.api} to node {self.node} {self.fault}"


class Connection:
    """What aiokafka's client uses of an AIOKafkaConnection."""

    def __init__(
        self,
        network: "Network",
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
        self._network.send(self, request.prepare(VERSIONS), future)
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


class Network:
    """rules: the faults to come, the first that matches counts. watch: told of every request (traces)."""

    def __init__(self, loop: VirtualLoop, answers: Answers, chance: Random) -> None:
        self.loop = loop
        self.rules: list[Rule] = []
        self.watch: Callable[[Sent], None] | None = None
        self.requests = 0
        self._answers = answers
        self._chance = chance
        self._connections: dict[Connection, None] = {}
        self._cut: dict[str, list[Callable[[], None]]] = {}  # what was to pass meanwhile
        answers.broker.on_node_stopped = self._node_stopped

    async def connect(
        self,
        host: str,
        port: int,
        *,
        client_id: str = "aiokafka",
        request_timeout_ms: int = 40_000,
        on_close: Callable[[Any, Any], None] | None = None,
        **_: Any,
    ) -> Connection:
        """In the place of aiokafka.conn.create_conn; the bootstrap address is whichever node is up."""
        timeout_s = request_timeout_ms / 1000
        up = self._answers.broker.up()
        node = port if host.startswith("node") else (self._chance.choice(up) if up else 0)
        process = current()
        if process is not None and process.name in self._cut:
            await asyncio.sleep(timeout_s)
            raise TimeoutError
        await asyncio.sleep(2 * self._delay_s())  # there and back, versions included
        if node not in self._answers.broker.up():
            raise ConnectionRefusedError(f"node {node} is down")
        connection = Connection(self, node, client_id, timeout_s, on_close)
        self._connections[connection] = None
        return connection

    def closed(self, connection: Connection) -> None:
        self._connections.pop(connection, None)

    def died(self, process: Process) -> None:
        """A process is dead: what it has sent still arrives, nothing reaches it any more."""
        for connection in [c for c in self._connections if c.process is process]:
            connection.open = False
            del self._connections[connection]

    def cut(self, process: str) -> None:
        """Nothing passes between this process and the cluster, and no connection notices."""
        self._cut.setdefault(process, [])

    def heal(self, process: str) -> None:
        """What was held back goes on its way, as TCP sends it again."""
        for passing in self._cut.pop(process, []):
            passing()

    def _node_stopped(self, node: int) -> None:
        for connection in [c for c in self._connections if c.node == node]:
            self._reset(connection)

    def _reset(self, connection: Connection) -> None:
        """The client hears of it in its own time: a frozen process when it goes on."""
        self.loop.call_at(self.loop.now, connection.reset, context=connection.context)

    def _delay_s(self) -> float:
        chance = self._chance.random
        return TYPICAL_S * (0.2 + chance()) if chance() > TAIL_SHARE else TAIL_S * chance()

    def send(self, connection: Connection, request: Any, future: asyncio.Future[Any]) -> None:
        """Carry a request to its node, and what the node answers back."""
        self.requests += 1
        process = connection.process.name if connection.process else ""
        api = name_of(request)
        rule = next((rule for rule in self.rules if rule.matches(api, process)), None)
        action = ""
        if rule is not None:
            rule.hits += 1
            action = rule.action
        if self.watch is not None:
            self.watch(Sent(process, api, connection.node, request, action))
        if action == "lose_request":
            return
        if action == "break_before":
            self._reset(connection)
            return
        delay_s = self._delay_s()
        if rule is not None and action == "delay_request":
            delay_s += rule.delay_s
        at = connection.sent_until = max(connection.sent_until, self.loop.now + delay_s)

        def answered(response: Any) -> None:
            self._answer(connection, future, response, rule)

        def arrive() -> None:
            if rule is not None and action == "error":
                response = self._answers.refuse(request, error_code(rule.error))
                assert response is not None, f"{api} has no place for an error"
                answered(response)
                return
            held = self._answers.handle(connection.node, connection.client, request, answered)
            if held is not None:
                connection.hold(held)
            if action == "duplicate":
                self._answers.handle(connection.node, connection.client, request, lambda _: None)
            if action == "break_after":
                self._reset(connection)

        self._carry(process, at, arrive)

    def _answer(
        self, connection: Connection, future: asyncio.Future[Any], response: Any, rule: Rule | None
    ) -> None:
        action = rule.action if rule is not None else ""
        if action == "lose_response" or not connection.open:
            return
        delay_s = self._delay_s()
        if rule is not None and action == "delay_response":
            delay_s += rule.delay_s
        at = max(connection.answered_until, self.loop.now + delay_s)
        connection.answered_until = at
        process = connection.process.name if connection.process else ""

        def arrive() -> None:
            self.loop.call_at(
                self.loop.now, connection.receive, future, response, context=connection.context
            )

        if process in self._cut:
            self._cut[process].append(arrive)
        else:
            self.loop.call_at(at, connection.receive, future, response, context=connection.context)

    def _carry(self, process: str, at: float, arrive: Callable[[], None]) -> None:
        def pass_through() -> None:
            if process in self._cut:
                self._cut[process].append(arrive)
            else:
                arrive()

        self.loop.call_in_nobodys_name(at - self.loop.now, pass_through)
