"""The live stream (server-sent events): the overview whenever something has changed, and which pages have."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
from litestar import get
from litestar.response import Stream

from clearing.console.access import Who
from clearing.console.answers import Asked, desk_of, who_asks
from clearing.console.desk import STREAMS_MOST, Desk
from clearing.console.refusals import Refusal, as_refusal
from clearing.console.routes_reading import READ, Some

INTERVAL_S = 1.0
AT_LATEST_S = 5.0
RECONNECT_MS = 2_000
OF_ONE_MOST = 4


class Hello(msgspec.Struct, frozen=True):
    now_ms: int
    interval_ms: int


class Changed(msgspec.Struct, frozen=True):
    versions: dict[str, int]


class Bye(msgspec.Struct, frozen=True):
    why: str


@get("/api/stream", opt=READ)
async def stream(request: Asked, netting_set: Some = None) -> Stream:
    desk, who = desk_of(request), who_asks(request)
    desk.names(netting_set)
    if who.session.streams >= OF_ONE_MOST or desk.streams >= STREAMS_MOST:
        raise Refusal.busy(f"{OF_ONE_MOST} streams of a session are enough", 5)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(
        _events(request, desk, who, netting_set), media_type="text/event-stream", headers=headers
    )


async def _events(
    request: Asked, desk: Desk, who: Who, netting_set: str | None
) -> AsyncIterator[bytes]:
    desk.streams += 1
    who.session.streams += 1
    try:
        yield f"retry: {RECONNECT_MS}\n".encode() + _event(
            "hello", msgspec.json.encode(Hello(desk.now_ms, int(INTERVAL_S * 1000)))
        )
        seen: dict[str, int] | None = None
        quiet_s = 0.0
        while not desk.stopping.is_set():
            # A stream keeps no session awake: whoever has left is logged out under it.
            now = desk.door.who(request, touch=False)
            if now is None or not now.may("read"):
                yield _event("bye", msgspec.json.encode(Bye("the session is over")))
                return
            versions = desk.board.versions()
            if versions != seen or quiet_s >= AT_LATEST_S:
                async for said in _news(desk, netting_set, versions):
                    yield said
                seen, quiet_s = versions, 0.0
            quiet_s += INTERVAL_S
            await _pause(desk)
    finally:
        desk.streams -= 1
        who.session.streams -= 1


async def _news(
    desk: Desk, netting_set: str | None, versions: dict[str, int]
) -> AsyncIterator[bytes]:
    try:
        yield _event("overview", await desk.overview_json(netting_set))
    except Exception as error:
        refusal = as_refusal(error)
        if refusal is None:
            raise
        yield _event("problem", msgspec.json.encode(refusal.problem))
    yield _event("changed", msgspec.json.encode(Changed(versions)))


async def _pause(desk: Desk) -> None:
    """A moment, or until the console stops."""
    try:
        async with asyncio.timeout(INTERVAL_S):
            await desk.stopping.wait()
    except TimeoutError:
        pass


def _event(name: str, data: bytes) -> bytes:
    """JSON has no line breaks: one data line."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


ROUTES = [stream]
