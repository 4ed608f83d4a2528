"""The ledger as it is: every batch with its entries, every balance, and what contradicts itself.

One read-only snapshot of PostgreSQL. Nothing here decides or writes; comparing it with topics is not done here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import msgspec

from clearing.ledgers import schema
from clearing.ledgers.connection import CONNECT_TIMEOUT_S

_PREFETCH_BATCHES = 200


class LedgerBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch and what the ledger made of it. entries: minor units at `scale` by participant, none if refused."""

    id: str
    hash: str
    kind: str
    asset: str
    scale: int
    window: int
    version: int
    sequence: int
    source_offset: int
    epoch: int
    status: str
    reason: str
    confirmed: bool
    entries: dict[str, int]


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Minor units at `scale`; overdraft None: the counter account, which has no floor."""

    asset: str
    participant: str
    scale: int
    balance: int
    overdraft: int | None


class Audit:
    """Queries about one ledger, all as of the same moment."""

    def __init__(self, connection: asyncpg.Connection, ledger: str) -> None:
        self._connection = connection
        self._ledger = ledger

    async def netting_sets(self) -> list[str]:
        """Every netting set this ledger has heard of."""
        rows = await self._connection.fetch(_NETTING_SETS, self._ledger)
        return [row["netting_set"] for row in rows]

    async def batches(self, netting_set: str) -> AsyncIterator[LedgerBatch]:
        """Batches in the order of their chain, a bounded number in memory."""
        async for row in self._connection.cursor(
            _BATCHES, self._ledger, netting_set, prefetch=_PREFETCH_BATCHES
        ):
            fields = dict(row)
            entries = zip(fields.pop("participants"), fields.pop("amounts"), strict=True)
            yield LedgerBatch(**fields, entries=dict(entries))

    async def balances(self, netting_set: str) -> AsyncIterator[Balance]:
        """Every account, by asset and participant."""
        async for row in self._connection.cursor(_BALANCES, self._ledger, netting_set):
            yield Balance(**dict(row))

    async def faults(self, netting_set: str) -> AsyncIterator[str]:
        """What is wrong in the books, as sentences; nothing if all holds (R1).

        Balances against the sums of their entries, entries against their batches, each asset against
        zero, running balances, progress.
        """
        async for row in self._connection.cursor(_FAULTS, self._ledger, netting_set):
            yield f"{row['asset']}: {row['fault']}"


@asynccontextmanager
async def open_audit(dsn: str, ledger: str = "postgres") -> AsyncIterator[Audit]:
    """A snapshot of the ledger. Raises asyncpg's errors, and Failure when it is of another version."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        await schema.check_version(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield Audit(connection, ledger)
    finally:
        await connection.close()


_NETTING_SETS = """
SELECT netting_set FROM clearing.progress WHERE ledger = $1 ORDER BY netting_set"""
_BATCHES = """
SELECT b.id, b.hash, b.kind, b.asset, s.scale, b.window_number AS window, b.version, b.sequence, b.source_offset,
       b.epoch, b.status, b.reason, b.confirmed_at IS NOT NULL AS confirmed, e.participants, e.amounts
FROM clearing.batches AS b
JOIN clearing.assets AS s USING (ledger, netting_set, asset)
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(a.participant ORDER BY a.participant), '{}') AS participants,
           coalesce(array_agg(e.amount ORDER BY a.participant), '{}') AS amounts
    FROM clearing.entries AS e JOIN clearing.accounts AS a ON a.id = e.account WHERE e.batch = b.number
) AS e
WHERE b.ledger = $1 AND b.netting_set = $2 ORDER BY b.sequence"""
_BALANCES = """
SELECT asset, participant, scale, balance, overdraft
FROM clearing.accounts JOIN clearing.assets USING (ledger, netting_set, asset)
WHERE ledger = $1 AND netting_set = $2 ORDER BY asset, participant"""
_FAULTS = """
SELECT asset, fault FROM clearing.faults WHERE ledger = $1 AND netting_set = $2 ORDER BY asset, fault"""
