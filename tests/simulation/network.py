"""The simulated network: delays, and what a fault plan does to single requests.

A connection stands where aiokafka's own would (`aiokafka.client.create_conn`); what it sends are the client's
request structures. Requests of one connection stay in order, and so do the answers, as in TCP.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from tests.simulation.answers import Answers
from tests.simulation.connections import Connection
from tests.simulation.loop import VirtualLoop
from tests.simulation.processes import Process, current
from tests.simulation.protocol import error_code, name_of, refuse
from tests.simulation.rules import Rule, Sent

TYPICAL_S, TAIL_S, TAIL_SHARE = 0.001, 0.03, 0.02
CONNECTING_SHARE = 0.5  # of connections that take time to be made


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
        self._lost: set[Process] = set()  # of whom nothing arrives any more
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
        if node not in self._answers.broker.up() or self._chance.random() < CONNECTING_SHARE:
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

    def lose_sent(self, process: Process) -> None:
        """What is on its way from this process arrives nowhere: who was to take it has gone too."""
        self._lost.add(process)

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
        rule = None
        if self.rules:
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
        self.loop.post(at, None, self._pass_through, connection, request, future, rule)

    def _pass_through(
        self, connection: Connection, request: Any, future: asyncio.Future[Any], rule: Rule | None
    ) -> None:
        """A request arrives, unless something has come in between."""
        process = connection.process
        if process in self._lost:
            return
        if process is not None and process.name in self._cut:
            later = partial(self._pass_through, connection, request, future, rule)
            self._cut[process.name].append(later)
            return
        answered = partial(self._answer, connection, future, rule)
        if rule is not None and rule.action == "error":
            response = refuse(request, error_code(rule.error))
            assert response is not None, f"{name_of(request)} has no place for an error"
            answered(response)
            return
        held = self._answers.handle(connection.node, connection.client, request, answered)
        if held is not None:
            connection.hold(held)
        if rule is not None and rule.action == "duplicate":
            again = self._answers.handle(
                connection.node, connection.client, request, lambda _: None
            )
            if again is not None:
                again.drop()
        if rule is not None and rule.action == "break_after":
            self._reset(connection)

    def _answer(
        self, connection: Connection, future: asyncio.Future[Any], rule: Rule | None, response: Any
    ) -> None:
        action = rule.action if rule is not None else ""
        if action == "lose_response" or not connection.open:
            return
        delay_s = self._delay_s()
        if rule is not None and action == "delay_response":
            delay_s += rule.delay_s
        at = max(connection.answered_until, self.loop.now + delay_s)
        connection.answered_until = at
        process = connection.process
        if process is not None and process.name in self._cut:
            self._cut[process.name].append(partial(self._receive, connection, future, response))
        else:
            self.loop.post(at, connection.context, connection.receive, future, response)

    def _receive(self, connection: Connection, future: asyncio.Future[Any], response: Any) -> None:
        """Now, in the client's own hands."""
        self.loop.post(self.loop.now, connection.context, connection.receive, future, response)
