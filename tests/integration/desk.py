"""A bank as tests have it (test_clearing_*.py): what it says by clearing.client, and all that it was told.

Nothing here sleeps for luck: a test waits, within a bound, until it was told what it should be, or something else.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Unpack

from clearing.client import Answer, Bank, Request, Status, Told
from clearing.client.orders import Fields, Terms
from clearing.messages import Link, Payment, Return, TokenTransfer

BOUND_S = 30
Order = Payment | TokenTransfer


async def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait, within a bound, for what others bring about in this loop; `what` says what it was in the end."""
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline, f"after {BOUND_S} s: {what()}"
        await asyncio.sleep(0.01)


def soon() -> Iterator[datetime]:
    """When something may expire: ever later, for machines on which a second is too short for it to wait at all."""
    for seconds in (1, 4, 16):
        yield datetime.now(UTC) + timedelta(seconds=seconds)


class Desk:
    """A bank as a test has it: what it says, and all that it was told since the module began."""

    def __init__(self, bank: Bank, today: date) -> None:
        self.bank = bank
        self.today = today
        self.told: list[Told] = []

    @property
    def name(self) -> str:
        return self.bank.name

    async def listen(self) -> None:
        async for one in self.bank.told():
            self.told.append(one)

    def order(self, to: str, asset: str, amount: str, **given: Unpack[Fields]) -> Order:
        """A payment that is not sent yet."""
        fields: Fields = {"value_date": self.today, **given}
        return self.bank.payment(to, asset, amount, **fields)

    async def pay(self, to: str, asset: str, amount: str, **given: Unpack[Fields]) -> Order:
        order = self.order(to, asset, amount, **given)
        await self.bank.publish([order])
        return order

    async def settle(self, trade: Link, **given: Unpack[Terms]) -> str:
        """Pay the one leg of this bank; its id."""
        terms: Terms = {"value_date": self.today, **given}
        [leg] = await self.bank.settle(trade, **terms)
        return leg

    async def give_back(
        self, original: Order, amount: str | None = None, reason: str = "AC04"
    ) -> str:
        """Return what was paid, or a part of it; the return's id."""
        return await self.bank.give_back(original, amount, reason=reason, value_date=self.today)

    def statuses(self, about: Order | Return | str) -> list[Status]:
        """What it was told of a payment, its own or received, or of an instruction, so far."""
        id_ = about if isinstance(about, str) else about.id
        return [one for one in self.told if isinstance(one, Status) and one.id == id_]

    def heard(self, about: Order | Return | str) -> list[str]:
        """As words: "PDNG", "RJCT TM01"."""
        return [f"{one.status} {one.reason}".rstrip() for one in self.statuses(about)]

    async def hears(self, about: Order | Return | str, *wanted: str) -> list[Status]:
        """Wait until it was told just this, in this order."""

        def has_heard() -> bool:
            heard = self.heard(about)
            assert heard == list(wanted[: len(heard)]), f"{self.name} heard {heard}, not {wanted}"
            return len(heard) == len(wanted)

        await until(has_heard, lambda: f"{self.name} has heard {self.heard(about)}, not {wanted}")
        return self.statuses(about)

    async def first_heard(self, about: Order | str) -> str:
        await until(lambda: bool(self.heard(about)), lambda: f"{self.name} has heard nothing")
        return self.heard(about)[0]

    async def is_asked(self, cancellation: str) -> Request:
        """Wait for another bank's request to give something back."""
        return await self._told(Request, lambda one: one.id == cancellation)

    async def is_answered(self, cancellation: str) -> Answer:
        return await self._told(Answer, lambda one: one.request == cancellation)

    async def _told(self, kind: type[Any], which: Callable[[Any], bool]) -> Any:
        def found() -> list[Told]:
            return [one for one in self.told if isinstance(one, kind) and which(one)]

        await until(lambda: bool(found()), lambda: f"{self.name} was told no such {kind.__name__}")
        [one] = found()
        return one
