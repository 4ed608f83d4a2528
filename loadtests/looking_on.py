"""Somebody who looks on at the console while something else is measured: its stream of events, and the page asked
for again after each change, as a browser does. Reads a console that runs; says how often it was told something.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import msgspec

PAGE = "/api/activity?minutes=60"  # the one below the first page's overview
TIMEOUT_S = 30.0


class _Envelope(msgspec.Struct):
    now_ms: int
    data_ms: int | None


@dataclass(slots=True)
class Seen:
    """overviews: told by the stream; apart_s: the longest time between two; old_s: the oldest data shown since the
    first was; pages: asked for and answered."""

    overviews: int = 0
    apart_s: float = 0.0
    old_s: float = 0.0
    pages: int = 0


@asynccontextmanager
async def looking_on(address: str, user: str, password: str) -> AsyncIterator[Seen]:
    """Somebody is logged in and looks for as long as the block lasts. Raises what goes wrong there at its end."""
    headers = {"Origin": address}
    async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT_S, headers=headers) as client:
        reply = await client.post("/api/login", json={"user": user, "password": password})
        reply.raise_for_status()
        seen = Seen()
        looking = asyncio.create_task(_look(client, seen))
        try:
            yield seen
        finally:
            looking.cancel()
            await asyncio.wait([looking])
        if not looking.cancelled():
            looking.result()


async def _look(client: httpx.AsyncClient, seen: Seen) -> None:
    last_s, event = 0.0, ""
    async with client.stream("GET", "/api/stream") as stream:
        stream.raise_for_status()
        async for line in stream.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "overview":
                last_s = _take(seen, msgspec.json.decode(value, type=_Envelope), last_s)
            elif name == "data" and event == "changed":
                (await client.get(PAGE)).raise_for_status()
                seen.pages += 1


def _take(seen: Seen, said: _Envelope, last_s: float) -> float:
    now_s = time.monotonic()
    seen.overviews += 1
    if last_s:
        seen.apart_s = max(seen.apart_s, now_s - last_s)
    if said.data_ms is not None:
        seen.old_s = max(seen.old_s, (said.now_ms - said.data_ms) / 1000)
    return now_s
