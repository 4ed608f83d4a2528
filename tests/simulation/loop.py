"""An asyncio event loop over virtual time: nothing sleeps, nothing is read from outside, every order is fixed.

Each handle belongs to the simulated process in whose context it was scheduled (`PROCESS`); handles of a frozen
process wait, those of a dead one never run. What happens inside is decided by what was scheduled, in which order.
"""

import asyncio
import contextvars
import functools
import gc
import itertools
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, TypeVar

from tests.simulation.burial import end, silence

if TYPE_CHECKING:
    from tests.simulation.processes import Process

PROCESS: "contextvars.ContextVar[Process | None]" = contextvars.ContextVar("process", default=None)
# More callbacks than this without time passing: something spins.
MOST_AT_ONCE = 200_000
SHORTEST_S = 1e-6
THREAD_SLOWEST_S = 0.01

_NOBODY = contextvars.Context()

Result = TypeVar("Result")


class Livelock(Exception):
    """Callbacks went on for ever while time stood still."""


class Handle(list[Any]):
    """[(callback, *arguments) or None, context]: a list, because hundreds of thousands are made."""

    __slots__ = ()

    def cancel(self) -> None:
        self[0] = None

    def cancelled(self) -> bool:
        return self[0] is None


# What runs once: a handle, or the same as a tuple where nobody could cancel it.
Due = Handle | tuple[tuple[Any, ...], contextvars.Context]


class _Future(asyncio.Future[Any]):
    """Hashed by serial number: by address, the order of a set of them would differ from run to run."""

    _serial = 0

    def __hash__(self) -> int:
        if not self._serial:
            loop: Any = self._loop
            self._serial = loop.serial()
        return self._serial


class _Task(asyncio.Task[Any]):
    """Hashed by serial number, as futures are."""

    _serial = 0

    def __hash__(self) -> int:
        if not self._serial:
            loop: Any = self._loop
            self._serial = loop.serial()
        return self._serial


def _calling_soon(ready: "deque[Due]") -> Callable[..., Any]:
    def call_soon(*call: Any, context: contextvars.Context | None = None) -> Handle | None:
        """(callback, *arguments). Who says in which context is asyncio itself, and wants no handle."""
        if context is not None:
            ready.append((call, context))
            return None
        handle = Handle((call, contextvars.copy_context()))
        ready.append(handle)
        return handle

    return call_soon


class VirtualLoop(asyncio.AbstractEventLoop):
    """Time goes to the next timer when nothing else is to be done; it starts at 0.

    complaints: what asyncio told its exception handler, in words. slowest_s: see run_in_executor.
    """

    # Of the instance, not methods: they are called more often than anything else here.
    call_soon: Any
    call_soon_threadsafe: Any

    def __init__(self, chance: Callable[[], float]) -> None:
        self.now = 0.0
        self.complaints: list[str] = []
        self.steps = 0
        self._chance = chance
        self._ready: deque[Due] = deque()
        self._timers: list[tuple[float, int, Due]] = []
        self.running = False
        self.serial = itertools.count(1).__next__
        self.call_soon = self.call_soon_threadsafe = _calling_soon(self._ready)
        self.create_future = functools.partial(_Future, loop=self)
        self.get_debug = bool  # no
        self._closed = False
        # Strong: a task that nobody holds must not end by garbage collection, nor run its `finally` then.
        self._tasks: list[_Task] = []

    # Running

    def run_for(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Run for so long, or until the condition holds (looked at whenever time passes). Whether it holds."""
        end = self.now + seconds
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        self.running = True
        try:
            return self._run(end, until)
        finally:
            self.running = False
            asyncio._set_running_loop(before)

    def _run(self, end: float, until: Callable[[], bool] | None) -> bool:
        ready, timers, pop = self._ready, self._timers, heappop
        take = ready.popleft
        at_once = 0
        while True:
            while ready and at_once < MOST_AT_ONCE:
                at_once += 1
                call, context = due = take()
                if call is None:
                    continue
                process = context.get(PROCESS)
                if process is not None and process.blocked:
                    process.hold(due)
                    continue
                try:
                    context.run(*call)
                except BaseException as error:
                    self._failed(process, error)
            if at_once >= MOST_AT_ONCE:
                raise Livelock(f"at {self.now:.6f}s: {ready[0] if ready else timers[0]!r}")
            while timers and timers[0][2][0] is None:
                pop(timers)
            if timers and timers[0][0] <= self.now:
                ready.append(pop(timers)[2])
                continue
            if until is not None and until():
                return True
            if not timers or timers[0][0] > end:
                self.now = end
                return until is not None and until()
            self.now, _, due = pop(timers)
            ready.append(due)
            self.steps += at_once
            at_once = 0

    def _failed(self, process: "Process | None", error: BaseException) -> None:
        """A callback raised. It went through asyncio's own hands, unless it is nobody's or a kill."""
        if process is None:
            raise error  # the simulation's own mistake
        if isinstance(error, Exception):
            self.call_exception_handler({"message": "a callback failed", "exception": error})
        elif process.alive:
            raise error  # else it has just killed itself: that is all

    def release(self, held: list[Due]) -> None:
        """What a frozen process was to do meanwhile, in its order."""
        self._ready.extend(held)

    def bury(self, *, collect: bool) -> None:
        """End for good: nothing runs any more, and what is left goes without noise. collect: also what lies in
        cycles."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()
        before = asyncio._get_running_loop()
        with silence():
            asyncio._set_running_loop(self)  # for the `finally` blocks of what ends here
            while self._tasks:
                tasks, self._tasks = self._tasks, []
                for task in tasks:
                    task._log_destroy_pending = False  # pyright: ignore[reportAttributeAccessIssue]
                    if not task.done():
                        end(task.get_coro())
                task = tasks = None
            if collect:
                gc.collect()
            asyncio._set_running_loop(before)

    # What asyncio asks of a loop

    def call_later(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, delay: float, *call: Any, context: contextvars.Context | None = None
    ) -> Any:
        # A delay too small to be added to the time would be none, and whoever waits for it would spin.
        if delay < SHORTEST_S:
            delay = SHORTEST_S if delay > 0 else 0.0
        return self._timer(self.now + delay, call, context)

    def call_at(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, when: float, *call: Any, context: contextvars.Context | None = None
    ) -> Any:
        return self._timer(when, call, context)

    def call_in_nobodys_name(self, delay: float, *call: Any) -> Any:
        """call_later of the world and the broker, whoever's handle runs now."""
        return self._timer(self.now + delay, call, _NOBODY)

    def _timer(
        self, when: float, call: tuple[Any, ...], context: contextvars.Context | None
    ) -> Handle:
        if context is None:  # an empty one is false, and somebody's
            context = contextvars.copy_context()
        handle = Handle((call, context))
        heappush(self._timers, (when, self.serial(), handle))
        return handle

    def post(self, when: float, context: contextvars.Context | None, *call: Any) -> None:
        """call_at of what nobody will cancel. context: None for nobody's."""
        due = (call, _NOBODY if context is None else context)
        heappush(self._timers, (when, self.serial(), due))

    def time(self) -> float:
        return self.now

    def create_task(
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        task = _Task(coro, loop=self, name=name or "task", context=context)  # else it counts them
        self._tasks.append(task)
        return task

    def run_in_executor(
        self, executor: object, func: Callable[..., Result], *args: Any
    ) -> asyncio.Future[Result]:
        """In place, a moment later: a thread of a process that dies meanwhile has done nothing."""
        future: asyncio.Future[Result] = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:
                future.set_exception(error)

        self.call_later(self._chance() * THREAD_SLOWEST_S, work)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def is_running(self) -> bool:
        return self.running

    def is_closed(self) -> bool:
        return self._closed
