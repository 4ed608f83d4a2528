"""Payments looked for in the logs, which may take minutes: a search says how far it is and can be ended.

It is shared by all who ask for the same payment, is asked for again and again by whoever waits for it, and ends by
itself when nobody does any more. What it found is kept for a moment: from the list of hits to the payment's page.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from clearing.console.refusals import Refusal
from clearing.explain.story import Story
from clearing.live import Tell

ANSWER_S = 1.0  # whoever asks is told by then how far it is
UNASKED_S = 5.0
SEARCHES_MOST = 8

# Netting set, payment, who is told how far it is: its life, None where the netting set does not know it.
Find = Callable[[str, UUID, Tell], Awaitable[Story | None]]


class Looking(msgspec.Struct, frozen=True):
    """It is looked for. said: where, in words."""

    said: str


class NobodyAsks(Exception):
    """The search is over before its end."""


@dataclass(eq=False)
class _Search:
    asked_s: float
    said: str = "other searches come first"
    is_over: bool = False
    is_told: bool = False
    task: asyncio.Task[Story | None] = field(init=False)

    def tell(self, said: str) -> None:
        """In the thread that looks: how far it is. Raises NobodyAsks."""
        if self.is_over:
            raise NobodyAsks
        self.said = said


class Lives:
    """find: looks through the log of one netting set; calls its Tell at least with every chunk of it."""

    def __init__(self, find: Find, clock: Callable[[], float] = time.monotonic) -> None:
        self._find = find
        self._clock = clock
        self._searches: dict[UUID, _Search] = {}

    @property
    def searched(self) -> list[UUID]:
        """Payments that are looked for, or were found a moment ago."""
        return list(self._searches)

    async def of(
        self, payment: UUID, netting_sets: list[str], *, anew: bool = False
    ) -> Story | Looking | None:
        """Its life, or how far the search for it is. netting_sets: in which to look, in this order.

        anew: not what somebody was told a moment ago. Raises Refusal where too much is looked for, and what `find`
        raises.
        """
        search = self._searches.get(payment)
        if search is None or (anew and search.is_told):
            search = self._begun(payment, netting_sets)
        search.asked_s = self._clock()
        done, _ = await asyncio.wait({search.task}, timeout=ANSWER_S)
        if not done:
            return Looking(search.said)
        search.is_told = True
        if search.task.cancelled():
            raise Refusal.busy("the search was ended", 5)
        if search.task.exception() is not None:
            self._searches.pop(payment, None)  # whoever asks again begins again
        return search.task.result()

    def _begun(self, payment: UUID, netting_sets: list[str]) -> _Search:
        for done in [each for each, search in self._searches.items() if search.task.done()]:
            if done == payment or len(self._searches) >= SEARCHES_MOST:
                del self._searches[done]
        if len(self._searches) >= SEARCHES_MOST:
            raise Refusal.busy(f"{SEARCHES_MOST} payments are looked for already", 5)
        search = _Search(self._clock())
        search.task = asyncio.create_task(self._look(search, payment, netting_sets))
        self._searches[payment] = search
        return search

    async def _look(self, search: _Search, payment: UUID, netting_sets: list[str]) -> Story | None:
        try:
            for name in netting_sets:
                if story := await self._find(name, payment, search.tell):
                    return story
            return None
        finally:
            search.is_over = True

    async def keep_tidy(self) -> None:
        """Until cancelled: end what nobody asks for any more, and forget what it has found."""
        while True:
            await asyncio.sleep(ANSWER_S)
            self.tidy()

    def tidy(self) -> None:
        self._end(asked_before_s=self._clock() - UNASKED_S)

    def stop(self) -> None:
        self._end(asked_before_s=float("inf"))

    def _end(self, asked_before_s: float) -> None:
        for payment, search in list(self._searches.items()):
            if search.asked_s < asked_before_s:
                search.is_over = True
                search.task.cancel()
                search.task.add_done_callback(_heard)
                del self._searches[payment]


def _heard(task: "asyncio.Task[Story | None]") -> None:
    """Nobody asks any more how it ended."""
    if not task.cancelled():
        task.exception()
