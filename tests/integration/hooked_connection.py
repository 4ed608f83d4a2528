"""Test helper: a PostgreSQL connection that calls back around each statement it sends."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import asyncpg

Moment = Literal["before", "after"]
Hook = Callable[[str, Moment], Awaitable[None]]


class HookedConnection(asyncpg.Connection):
    """`hook(statement, moment)` is awaited before a statement is sent and after its reply has come."""

    hook: Hook | None = None

    async def _around(self, send: Callable[..., Awaitable[Any]], query: str, *args: Any) -> Any:
        if self.hook is not None:
            await self.hook(query, "before")
        result = await send(query, *args)
        if self.hook is not None:
            await self.hook(query, "after")
        return result

    async def execute(self, query: str, *args: Any, **_: Any) -> str:
        return await self._around(super().execute, query, *args)

    async def fetch(self, query: str, *args: Any, **_: Any) -> list[Any]:
        return await self._around(super().fetch, query, *args)

    async def fetchrow(self, query: str, *args: Any, **_: Any) -> Any:
        return await self._around(super().fetchrow, query, *args)

    async def fetchval(self, query: str, *args: Any, **_: Any) -> Any:
        return await self._around(super().fetchval, query, *args)


async def hooked(dsn: str, hook: Hook | None = None) -> HookedConnection:
    connection: Any = await asyncpg.connect(dsn, connection_class=HookedConnection)
    connection.hook = hook
    return connection


def once(
    statement: str, moment: Moment, act: Callable[[], Awaitable[None]], passes: int = 0
) -> Hook:
    """A hook that acts at the (passes + 1)-th time, and never again."""
    left = passes

    async def hook(query: str, at: Moment) -> None:
        nonlocal left
        if (query, at) == (statement, moment):
            left -= 1
            if left == -1:
                await act()

    return hook
