"""A KafkaProxy in a process of its own: what a drill computes in its event loop does not slow down its services.

Commands go over a pipe, one after the other; each is answered at once.
"""

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Coroutine
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import uvloop

from clearing.dev.proxy import KafkaProxy
from clearing.dev.proxy_rules import Rule

ORPHAN_POLL_S = 1.0


class ProxyAside:
    """The proxy's faults, as KafkaProxy has them; rules are numbers here."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
        self._turn = asyncio.Lock()
        self.port = 0

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def forward_to(self, upstream: tuple[str, int]) -> None:
        await self._ask("forward_to", upstream)

    async def reset(self, client: str) -> int:
        return await self._ask("reset", client)

    async def cut(self, client: str) -> None:
        await self._ask("cut", client)

    async def heal(self) -> None:
        await self._ask("heal")

    async def drop_response(self, api: int, client: str) -> int:
        return await self._ask("drop_response", api, client)

    async def delay_request(self, api: int, client: str) -> int:
        return await self._ask("delay_request", api, client)

    async def hits(self, rule: int) -> int:
        """How often it has acted."""
        return await self._ask("hits", rule)

    async def remove(self, rule: int) -> None:
        await self._ask("remove", rule)

    async def _ask(self, command: str, *arguments: object) -> Any:
        async with self._turn:
            return await asyncio.to_thread(self._exchange, command, arguments)

    def _exchange(self, command: str, arguments: tuple[object, ...]) -> Any:
        self._pipe.send((command, arguments))
        return self._pipe.recv()

    async def __aenter__(self) -> Self:
        self._process.start()
        self.port = await asyncio.to_thread(self._pipe.recv)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        await asyncio.to_thread(self._process.join)


class _Commands:
    """What can be asked for, on the side of the proxy."""

    def __init__(self, proxy: KafkaProxy) -> None:
        self.proxy = proxy
        self.rules: list[Rule] = []

    async def forward_to(self, upstream: tuple[str, int]) -> None:
        self.proxy.upstream = upstream

    async def reset(self, client: str) -> int:
        return await self.proxy.reset(client)

    async def cut(self, client: str) -> None:
        await self.proxy.cut(client)

    async def heal(self) -> None:
        await self.proxy.heal()

    async def drop_response(self, api: int, client: str) -> int:
        return self._remember(self.proxy.drop_response(api, client=client))

    async def delay_request(self, api: int, client: str) -> int:
        return self._remember(self.proxy.delay_request(api, client=client))

    async def hits(self, rule: int) -> int:
        return len(self.rules[rule].hits)

    async def remove(self, rule: int) -> None:
        self.proxy.remove(self.rules[rule])

    def _remember(self, rule: Rule) -> int:
        self.rules.append(rule)
        return len(self.rules) - 1


def _serve(pipe: Connection, parent: int) -> None:
    """The process: until it is terminated, or its parent is gone."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    uvloop.run(_answer(pipe))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_POLL_S)
    os._exit(1)


async def _answer(pipe: Connection) -> None:
    async with KafkaProxy() as proxy:
        commands = _Commands(proxy)
        pipe.send(proxy.port)
        while True:
            command, arguments = await asyncio.to_thread(pipe.recv)
            answer: Coroutine[Any, Any, object] = getattr(commands, command)(*arguments)
            pipe.send(await answer)
