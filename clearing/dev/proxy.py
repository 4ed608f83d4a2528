"""Proxies that make a network bad at will: one for any TCP protocol, one that knows Kafka's requests.

    async with KafkaProxy() as proxy, EmbeddedKafka(folder, proxy_port=proxy.port) as kafka:
        proxy.upstream = kafka.behind_proxy
        held = proxy.delay_request(Api.END_TXN, client="clearing-engine-*")
        ...  # clients of proxy.bootstrap stay on the proxy for everything
        held.release()

For tests and load tests, on loopback, in the event loop of whoever makes the trouble. Order is kept on every
connection, as TCP keeps it: what is delayed delays what comes after it, what is lost takes the rest with it.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any, Self, TypeAlias

from clearing.dev.process import free_port
from clearing.dev.proxy_rules import Exchange, Fate, Request, Rule

CHUNK_BYTES = 1 << 16
FRAME_BYTES_MAX = 64 << 20
# A client that is gone is answered for so long: what it sent last is to reach the server.
LINGER_S = 2.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


class Connection:
    """One client's connection and ours to the server. client: its id, as its first request says."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self.reader, self.writer = reader, writer
        self.client = ""
        self.is_silent = False
        self.pending: deque[Exchange] = deque()  # not answered yet, in the order of their requests
        self.drained = asyncio.Event()

    @property
    def peer(self) -> tuple[str, int]:
        """Address and port of the client: whose they are, the system knows (`psutil.net_connections`)."""
        return self.writer.get_extra_info("peername")[:2]

    def reset(self) -> None:
        """Close it with a RST: the client hears of it at once, and what was on its way is lost."""
        reset(self.writer)


class TcpProxy:
    """Listens on `port` of loopback and forwards to `upstream` (host, port), which may change or be away.

    Faults stay until `heal()`. A connection that was made silent stays so for ever: its bytes are lost.
    """

    def __init__(self, upstream: tuple[str, int] | None = None, *, port: int | None = None) -> None:
        self.upstream = upstream
        self.port = free_port(port)
        self.connections: set[Connection] = set()
        self.refused = 0
        self.errors: list[Exception] = []  # of the proxy itself; raised at its end
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._rates: dict[str, int] = {}  # pattern of clients → bytes/s
        self._silent: set[str] = set()
        self._cut: set[str] = set()
        self._changed = asyncio.Event()

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def throttle(self, bytes_per_s: int, client: str = "*") -> None:
        """Let no more pass in either direction of each connection. 0: nothing at all, nor is anything lost:
        packets are dropped somewhere, and sent again once that has healed."""
        self._rates[client] = bytes_per_s
        self._change()

    async def half_open(self, client: str = "*") -> None:
        """Swallow everything in both directions, and say nothing: the other end has forgotten the connection."""
        self._silent.add(client)
        for connection in self._of(client):
            connection.is_silent = True
        self._change()

    async def reset(self, client: str = "*") -> int:
        """Reset the connections there are, once; new ones are welcome. How many there were."""
        found = self._of(client)
        for connection in found:
            connection.reset()
        return len(found)

    async def cut(self, client: str = "*") -> None:
        """Reset all connections and refuse new ones. Of one kind of client: reset them at their first request."""
        self._cut.add(client)
        if client == "*":
            await self._stop_listening()
        await self.reset(client)
        self._change()

    async def heal(self) -> None:
        """End throttle, cut and half_open."""
        self._rates.clear()
        self._silent.clear()
        self._cut.clear()
        self._change()
        if self._server is None:
            await self._listen()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop_listening()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.errors and error is None:
            raise self.errors[0]

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, limit=CHUNK_BYTES
        )

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _of(self, client: str) -> list[Connection]:
        return [one for one in self.connections if fnmatchcase(one.client, client)]

    def _change(self) -> None:
        """Whoever waits, because of a fault, looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _accept(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(reader, writer)
        self.connections.add(connection)
        try:
            await self._connect(connection)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # one of both ends is gone, or the proxy ends: nobody waits for this task
        except Exception as fault:
            self.errors.append(fault)
        finally:
            self.connections.discard(connection)
            self._tasks.discard(task)
            writer.close()

    async def _connect(self, connection: Connection) -> None:
        """Serve one connection to its end. Raises OSError and EOFError when it ends."""
        try:
            assert self.upstream is not None, "the proxy was not told where to forward to"
            reader, writer = await asyncio.open_connection(*self.upstream, limit=CHUNK_BYTES)
        except OSError:
            self.refused += 1
            connection.reset()
            return
        tasks = [
            asyncio.create_task(self._forward(connection, writer)),
            asyncio.create_task(self._return(connection, reader)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[1] not in done:
                await self._linger(connection)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.close()

    async def _linger(self, connection: Connection) -> None:
        """The client is gone: what it asked last is to be answered, by whomever that will be heard."""

    async def _forward(self, connection: Connection, server: Writer) -> None:
        self._admit(connection)
        while data := await connection.reader.read(CHUNK_BYTES):
            await self._deliver(connection, server, data)

    async def _return(self, connection: Connection, server: Reader) -> None:
        while data := await server.read(CHUNK_BYTES):
            await self._answer_with(connection, data)

    async def _answer_with(self, connection: Connection, data: bytes) -> None:
        """Give it to the client, if that is still there."""
        with contextlib.suppress(ConnectionError):
            await self._deliver(connection, connection.writer, data)

    def _admit(self, connection: Connection) -> None:
        """Faults that stand are also for the connections that come later, once it is known whose they are."""
        if any(fnmatchcase(connection.client, pattern) for pattern in self._cut):
            connection.reset()
            raise ConnectionResetError("the proxy is to cut this client")
        if any(fnmatchcase(connection.client, pattern) for pattern in self._silent):
            connection.is_silent = True

    async def _deliver(self, connection: Connection, to: Writer, data: bytes) -> None:
        """Write as fast as it may go; nothing where the connection is silent."""
        view = memoryview(data)
        while view and not connection.is_silent:
            rate, changed = self._rate(connection), self._changed
            part = len(view) if rate is None else min(rate, max(1, rate // 10))
            if (
                to.is_closing()
            ):  # uvloop's transports, unlike asyncio's, do not take what nobody will get
                raise ConnectionResetError("this connection has been reset")
            to.write(view[:part])
            await to.drain()
            view = view[part:]
            if rate is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), part / rate if rate else None)

    def _rate(self, connection: Connection) -> int | None:
        rates = [r for pattern, r in self._rates.items() if fnmatchcase(connection.client, pattern)]
        return min(rates, default=None)


class KafkaProxy(TcpProxy):
    """Forwards requests and responses one by one, and asks its rules about each.

    The methods that make a rule take what Rule takes: client, skip, times, where. Versions of the protocol are
    the client's choice; aiokafka's are understood throughout, others as far as the header, which is all that
    losing, delaying and closing need. No SASL (its tokens have no header).
    """

    def __init__(self, upstream: tuple[str, int] | None = None, *, port: int | None = None) -> None:
        super().__init__(upstream, port=port)
        self.rules: list[Rule] = []

    def drop_request(self, api: int, **match: Any) -> Rule:
        """It is lost on its way: the broker never sees it, nor what the client sends after it."""
        return self.add(Rule(api, fate=Fate.LOSE, **match))

    def drop_response(self, api: int, **match: Any) -> Rule:
        """The broker has done it, the client never hears of it, nor of what comes after it."""
        return self.add(Rule(api, fate=Fate.LOSE, on_response=True, **match))

    def delay_request(self, api: int, delay_s: float | None = None, **match: Any) -> Rule:
        """Forward it later, None: when released; also if the client has gone by then."""
        return self.add(Rule(api, delay_s=delay_s, **match))

    def delay_response(self, api: int, delay_s: float | None = None, **match: Any) -> Rule:
        """The broker has done it, the client hears of it later, None: when released."""
        return self.add(Rule(api, delay_s=delay_s, on_response=True, **match))

    def close_before(self, api: int, **match: Any) -> Rule:
        """Reset the connection instead of forwarding it."""
        return self.add(Rule(api, fate=Fate.CLOSE, **match))

    def close_after(self, api: int, **match: Any) -> Rule:
        """Reset the connection instead of giving the client the response: the broker has done it."""
        return self.add(Rule(api, fate=Fate.CLOSE, on_response=True, **match))

    def answer(self, api: int, error: int, **match: Any) -> Rule:
        """Answer it with an error code; the broker never sees it. For apis that `error_answer` knows."""
        return self.add(Rule(api, error=error, **match))

    def falsify(self, api: int, error: int, **match: Any) -> Rule:
        """The broker has done it, the client is told that it has not."""
        return self.add(Rule(api, error=error, on_response=True, **match))

    def on_request(self, api: int, call: Callable[[Exchange], object], **match: Any) -> Rule:
        """Call before it is forwarded: what the call kills has sent it."""
        return self.add(Rule(api, call=call, **match))

    def on_response(self, api: int, call: Callable[[Exchange], object], **match: Any) -> Rule:
        """Call before the client gets the response: the broker has done it."""
        return self.add(Rule(api, call=call, on_response=True, **match))

    def add(self, rule: Rule) -> Rule:
        self.rules.append(rule)
        return rule

    def remove(self, *rules: Rule) -> None:
        """These act no more; what they hold is released."""
        for rule in rules:
            rule.release()
            self.rules.remove(rule)

    async def heal(self) -> None:
        """End all faults and remove all rules."""
        self.remove(*self.rules)
        await super().heal()

    async def _forward(self, connection: Connection, server: Writer) -> None:
        while True:
            request = Request.parse(frame := await _read_frame(connection.reader))
            if not connection.client:
                connection.client = request.client
                self._admit(connection)
            exchange = Exchange(request, connection.peer)
            if request.answered:
                connection.pending.append(exchange)
                connection.drained.clear()
            fate = await self._fate(connection, exchange, response=False)
            if exchange.answer is not None:
                await self._answer(connection)
            elif fate is Fate.PASS:
                await self._deliver(connection, server, _framed(frame))

    async def _return(self, connection: Connection, server: Reader) -> None:
        while True:
            frame = await _read_frame(server)
            exchange = connection.pending[0]
            assert frame[:4] == exchange.request.correlation.to_bytes(4, "big"), "out of order"
            exchange.response = frame
            exchange.answered.set()
            await self._fate(connection, exchange, response=True)
            connection.pending.popleft()
            await self._answer_with(connection, _framed(exchange.answer or frame))
            await self._answer(connection)

    async def _answer(self, connection: Connection) -> None:
        """Send answers of our own whose turn it is."""
        pending = connection.pending
        while pending and pending[0].response is None and (answer := pending[0].answer) is not None:
            pending.popleft()
            await self._answer_with(connection, _framed(answer))
        if not pending:
            connection.drained.set()

    async def _fate(self, connection: Connection, exchange: Exchange, *, response: bool) -> Fate:
        """Let the rules act. Raises ConnectionResetError where one of them closes the connection."""
        if connection.is_silent:
            return Fate.LOSE
        for rule in [one for one in self.rules if one.takes(exchange, response=response)]:
            fate = await rule.act(exchange)
            if fate is Fate.CLOSE:
                connection.reset()
                raise ConnectionResetError("a rule closes the connection")
            if fate is Fate.LOSE:
                connection.is_silent = True
                return fate
        return Fate.PASS

    async def _linger(self, connection: Connection) -> None:
        if connection.pending and not connection.is_silent:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(connection.drained.wait(), LINGER_S)


async def _read_frame(reader: Reader) -> bytes:
    """One request or response. Raises IncompleteReadError (an EOFError) at the end, OSError."""
    size = int.from_bytes(await reader.readexactly(4), "big")
    assert size <= FRAME_BYTES_MAX, f"a frame of {size} bytes: this is not Kafka's protocol"
    return await reader.readexactly(size)


def _framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(4, "big") + frame


def reset(writer: Writer) -> None:
    """Close with a RST instead of a FIN."""
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None and not writer.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
