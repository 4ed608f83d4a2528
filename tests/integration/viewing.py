"""Eyes for what the views show, and a process's worth of views inside a test."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from clearing.config import Settings
from clearing.messages_views import (
    decode_activity,
    decode_audit,
    decode_batch,
    decode_lag,
    decode_reject,
    decode_window,
)
from clearing.names import ViewName
from clearing.observe.views import Latest
from clearing.reading import partitions
from clearing.views.lag import OpenSampler, open_sampler
from clearing.views.worker import run

BOUND_S = 90.0

_DECODE: dict[ViewName, Callable[[bytes], Any]] = {
    "windows": decode_window,
    "batches": decode_batch,
    "activity": decode_activity,
    "rejects": decode_reject,
    "audit": decode_audit,
    "lag": decode_lag,
}


@asynccontextmanager
async def views_at_work(
    settings: Settings, instance: str = "", sampler: OpenSampler = open_sampler
) -> AsyncIterator[None]:
    """The views, from ready on; they must not end by themselves."""
    ready = asyncio.Event()
    named = msgspec.structs.replace(settings, instance=instance)
    working = asyncio.create_task(run(named, ready.set, sampler=sampler))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait([working, waiting], timeout=BOUND_S, return_when=asyncio.FIRST_COMPLETED)
        assert ready.is_set(), [working, *asyncio.all_tasks()]  # and what each waits for
        yield
        assert not working.done(), working
    finally:
        waiting.cancel()
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


async def shown(settings: Settings, view: ViewName, partition: int) -> list[Any]:
    """What a view shows of a partition, by key; all of it must be readable."""
    async with partitions(settings.bootstrap, "test") as reader:
        latest = Latest(settings.topics.view(view), _DECODE[view])
        found = await latest.refresh(reader, [partition])
    assert not latest.unreadable
    return found


async def until_shown(
    settings: Settings, view: ViewName, partition: int, holds: Callable[[list[Any]], bool]
) -> list[Any]:
    """What is shown once it is as expected."""
    found: list[Any] = []
    deadline_s = time.monotonic() + BOUND_S
    while time.monotonic() < deadline_s:
        found = await shown(settings, view, partition)
        if holds(found):
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{view}: {found}")
