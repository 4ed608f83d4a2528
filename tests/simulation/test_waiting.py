"""What stands in the place of asyncio.wait does what it does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.simulation.waiting import wait

Futures = set[asyncio.Future[Any]]
Wait = Callable[..., Awaitable[tuple[Futures, Futures]]]


@pytest.fixture(params=[asyncio.wait, wait], ids=["asyncio", "ours"])
def waiting(request: pytest.FixtureRequest) -> Wait:
    return request.param


async def test_for_all_or_for_the_first(waiting: Wait) -> None:
    loop = asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()
    loop.call_soon(first.set_result, 1)
    one = await waiting({first, second}, return_when=asyncio.FIRST_COMPLETED)
    assert one == ({first}, {second})
    loop.call_soon(second.set_exception, ValueError())
    assert await waiting([first, second]) == ({first, second}, set())
    assert isinstance(second.exception(), ValueError)


async def test_no_longer_than_it_may(waiting: Wait) -> None:
    never = asyncio.get_running_loop().create_future()
    assert await waiting([never], timeout=0.001) == (set(), {never})
    assert await waiting([never], timeout=0) == (set(), {never})


async def test_a_wait_that_is_cancelled_leaves_nothing_behind(waiting: Wait) -> None:
    future = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waiting([future], timeout=60))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not future.cancelled()
    assert not future.remove_done_callback(lambda _: None)
    assert not future._callbacks
