"""Threads that work on copies of the state: the page stays alive while a log is replayed or a queue is searched.

Each has an event loop of its own, does one thing at a time, and lets so many wait; the rest are told to come again.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from clearing.console.refusals import Refusal

WAITING_MOST = 8
ANSWER_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0

T = TypeVar("T")


class Workshop:
    """Starts with its first piece of work. name: what it is busy with, for whoever is told to come again."""

    def __init__(self, name: str, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._one_at_a_time: asyncio.Lock | None = None
        self._inside = 0

    async def do(self, work: Callable[[], Awaitable[T]]) -> T:
        """What the work comes to, done in the thread. Raises Refusal where it is too busy or takes too long.

        Work that took too long goes on: what it has built is there for who asks next.
        """
        if self._inside >= WAITING_MOST:
            raise Refusal.busy(f"{self._name}: {self._inside} questions wait already")
        self._inside += 1
        future = asyncio.run_coroutine_threadsafe(self._in_turn(work), self._started())
        future.add_done_callback(lambda _: self._left())
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError as error:
            raise Refusal.busy(
                f"{self._name}: still at work after {self._timeout_s:g} s", 5
            ) from error

    @property
    def is_idle(self) -> bool:
        """It has begun, and has nothing to do."""
        return self._loop is not None and not self._inside

    def _left(self) -> None:
        self._inside -= 1

    async def _in_turn(self, work: Callable[[], Awaitable[T]]) -> T:
        assert self._one_at_a_time is not None, "made with the loop"
        async with self._one_at_a_time:
            return await work()

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._one_at_a_time = asyncio.Lock()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        return self._loop

    def _run(self) -> None:
        assert self._loop is not None, "made before the thread"
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def stop(self, clean_up: Callable[[], Awaitable[None]] | None = None) -> None:
        """End the thread; clean_up is run in it first. What is at work there is cancelled."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return

        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=STOP_TIMEOUT_S) if others else None
            if clean_up is not None:
                await clean_up()

        try:
            async with asyncio.timeout(2 * STOP_TIMEOUT_S):
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(end(), loop))
        finally:
            loop.call_soon_threadsafe(loop.stop)
            await asyncio.to_thread(thread.join, STOP_TIMEOUT_S)
            if not thread.is_alive():
                loop.close()
            self._loop = self._thread = None
