"""Simulated processes: what kill -9, SIGSTOP and SIGCONT do to them, their pid and their clock.

Everything a process schedules belongs to it (tests/simulation/loop.py); the broker and the world belong to none.
"""

import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

from tests.simulation.loop import PROCESS, Due, VirtualLoop


class Killed(BaseException):
    """Unwinds whoever kills his own process. Nothing that it does on the way out has an effect outside."""


def current() -> "Process | None":
    """The process that runs now, None in the world's or the broker's hands."""
    return PROCESS.get()


class Process:
    """One process of a service, from its start to its end; a restarted one is another.

    error: what ended it by itself. skew_s: what its wall clock is off, to be set at any time (F12).
    """

    def __init__(
        self, loop: VirtualLoop, name: str, pid: int, main: Callable[[], Awaitable[Any]]
    ) -> None:
        self.name = name
        self.pid = pid
        self.alive = True
        self.frozen = False
        self.blocked = False
        self.ended = False
        self.error: BaseException | None = None
        self.skew_s = 0.0
        self.context = contextvars.Context()
        self.context.run(PROCESS.set, self)
        self._loop = loop
        self._held: list[Due] = []
        self._on_death: list[Callable[[], None]] = []
        # Through a handle of its own, so that nothing of it runs in the hands of whoever starts it.
        loop.call_soon(self._begin, main, context=self.context)

    def __repr__(self) -> str:
        return f"{self.name}[{self.pid}]"

    def on_death(self, callback: Callable[[], None]) -> None:
        """Called when it is killed or ends."""
        self._on_death.append(callback)

    def kill(self) -> None:
        """kill -9. Nothing of it runs any more, whatever its `finally` blocks would have done."""
        if not self.alive:
            return
        self._die()
        if current() is self:
            raise Killed

    def freeze(self) -> None:
        """SIGSTOP: what falls due waits; the world goes on."""
        if self.alive:
            self.frozen = self.blocked = True

    def thaw(self) -> None:
        """SIGCONT: what has fallen due meanwhile runs, in its order."""
        if self.alive and self.frozen:
            self.frozen = self.blocked = False
            held, self._held = self._held, []
            self._loop.release(held)

    def hold(self, due: Due) -> None:
        """Something fell due while it is blocked."""
        if self.alive:
            self._held.append(due)

    def _begin(self, main: Callable[[], Awaitable[Any]]) -> None:
        async def run() -> None:
            try:
                await main()
            except KeyboardInterrupt:  # of the person who looks on
                raise
            except BaseException as error:
                if self.alive:
                    self.error = error
            finally:
                if self.alive:
                    self.ended = True
                    self._die()

        self._loop.create_task(run(), context=self.context)

    def _die(self) -> None:
        self.alive = False
        self.blocked = True
        self._held.clear()
        for callback in self._on_death:
            callback()
