"""What a ledger must be able to do so that the sink posts each settlement batch to it exactly once.

The sink (clearing.ledgers.sink) reads and confirms; a ledger keeps accounts and its own place in the topic.
clearing.ledgers.postgres is the first one; another one (a token contract, a bank's core system, a topic) is
a class with the four methods of `Ledger` and a function that opens a session with it:

    @asynccontextmanager
    async def open_my_ledger(settings: Settings, name: str) -> AsyncIterator[Ledger]:
        async with my_client(settings) as client:
            yield MyLedger(client, name)

    await sink.run(settings, ledger="my-ledger", open_ledger=open_my_ledger)

`name` is the `ledger` of the scheme's assets. What it must keep in ONE atomic step per `post`: the
postings, the batch ids with their hashes, and the progress. A ledger that cannot (a chain) must be able to
find out afterwards which batch ids it holds. Two processes may be alive at once: the older epoch is refused.
clearing.ledgers.chain has the checks that are the same for every ledger, clearing.ledgers.funds whether its
accounts can carry a batch.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from clearing.config import Settings
from clearing.core.commands import Confirmation
from clearing.ledgers.chain import LedgerRecord, Progress


class Source(NamedTuple):
    """The partition of `settlements` that carries one netting set."""

    netting_set: str
    topic: str
    partition: int


class Posted(NamedTuple):
    """What `post` did: the progress it reached, and its answer to each batch that was new to it."""

    progress: Progress
    confirmations: list[Confirmation]


class StaleOwner(Exception):
    """Somebody else owns the netting set by now; nothing was written (R31)."""


class LedgerUnavailable(Exception):
    """The session is lost or in doubt: it is not known whether the last call took effect.

    The sink discards the session, opens another, takes ownership again and goes on from the progress it
    then reads (F9).
    """


class Ledger(Protocol):
    """One session. Every method may raise LedgerUnavailable; a fault that must not be passed over is a Halt."""

    async def take_ownership(self, source: Source, owner: str, held: int | None) -> Progress:
        """Raise the epoch, durably, and return the progress: from here on every older owner is refused.

        held: the epoch this owner has, None when the group has newly assigned the source. An owner
        that holds an epoch may renew it only if nobody has raised it since. Raises StaleOwner.
        """
        ...

    async def post(self, source: Source, epoch: int, records: Sequence[LedgerRecord]) -> Posted:
        """Post records in the order of their offsets; all of it or nothing, with the progress.

        Records below the progress are dropped: they were read before. A batch of another ledger is only
        followed in the chain. A batch that cannot be posted is remembered as REFUSED with its reason and
        everybody who is short (R25), so that the answer is the same whenever it is given; a batch id that is
        known with the same hash has no effect. An account may have several lines in a batch: they are one
        posting, and clearing.ledgers.funds has what it needs. Raises StaleOwner, Halt.
        """
        ...

    async def unconfirmed(self, source: Source, limit: int) -> list[Confirmation]:
        """Answers not marked as confirmed, oldest first, at most `limit`."""
        ...

    async def mark_confirmed(self, batches: Sequence[str]) -> None:
        """Remember that the engine's topic has these answers. Repeating it changes nothing."""
        ...


OpenLedger = Callable[[Settings, str], AbstractAsyncContextManager[Ledger]]
