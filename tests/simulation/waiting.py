"""asyncio.wait for less. Kafka's client waits in it for nearly everything, thousands of times a run."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any


async def wait(
    fs: Iterable[asyncio.Future[Any]],
    *,
    timeout: float | None = None,  # noqa: ASYNC109  as asyncio.wait has it
    return_when: str = asyncio.ALL_COMPLETED,
) -> tuple[set[asyncio.Future[Any]], set[asyncio.Future[Any]]]:
    """As asyncio.wait, the same step by step. Not for FIRST_EXCEPTION."""
    assert return_when != asyncio.FIRST_EXCEPTION, "nobody here asks for it"
    futures = set(fs)
    assert futures, "there is nothing to wait for"
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def release(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = loop.call_later(timeout, release) if timeout is not None else None
    told = release
    if return_when == asyncio.ALL_COMPLETED and len(futures) > 1:
        told = _nth(len(futures), release)
    for future in futures:
        future.add_done_callback(told)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for future in futures:
            future.remove_done_callback(told)
    done = {future for future in futures if future.done()}
    return done, futures - done


def _nth(times: int, act: Callable[[], None]) -> Callable[[object], None]:
    """What does it when called for so many times."""

    def count(_: object) -> None:
        nonlocal times
        times -= 1
        if not times:
            act()

    return count
