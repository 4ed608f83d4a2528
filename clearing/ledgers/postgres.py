"""The PostgreSQL ledger: double-entry postings in the schema `clearing`, one transaction per `post`.

Takes proved records from clearing.ledgers.sink; the database has the last word on every rule (see the
migrations). The owner's row in `progress` is locked first, so that all writers of a netting set queue there.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

import asyncpg

from clearing.config import Settings
from clearing.core.commands import Confirmation
from clearing.core.faults import Halt
from clearing.core.money import show
from clearing.core.outputs import SettlementBatch
from clearing.core.state import NO_HASH
from clearing.ledgers import statements
from clearing.ledgers.chain import (
    MAX_UNITS,
    AccountRecord,
    BatchRecord,
    LedgerRecord,
    Progress,
    follow,
    is_repeat,
)
from clearing.ledgers.connection import connected, faults_named, worth_another_try
from clearing.ledgers.ledger import LedgerUnavailable, Posted, Source, StaleOwner
from clearing.names import FUNDING_ACCOUNT

POST_ATTEMPTS = 5
NAMED_IN_REASON = 3


@asynccontextmanager
async def open_ledger(settings: Settings, name: str) -> AsyncIterator["PostgresLedger"]:
    """A session with the ledger at settings.dsn. Raises LedgerUnavailable, or Failure: not migrated."""
    async with connected(settings.dsn) as connection:
        yield PostgresLedger(connection, name)


class PostgresLedger:
    """One connection, used by one task. `name`: the ledger whose assets are posted here."""

    def __init__(self, connection: asyncpg.Connection, name: str) -> None:
        self._connection = connection
        self.name = name

    async def take_ownership(self, source: Source, owner: str, held: int | None) -> Progress:
        """See Ledger. After a failover that lost commits the epoch may be lower than held: it is passed."""
        with faults_named():
            row = await self._connection.fetchrow(
                statements.TAKE_OWNERSHIP,
                self.name,
                source.netting_set,
                source.topic,
                source.partition,
                owner,
                held,
                NO_HASH,
            )
            if row is None:
                raise StaleOwner(f"epoch {held} has passed to another owner")
        if (row["topic"], row["partition"]) != (source.topic, source.partition):
            raise Halt(
                f"the ledger {self.name} has read netting set {source.netting_set} from {row['topic']}/"
                f"{row['partition']}, not from {source.topic}/{source.partition}: is this the right database?"
            )
        return _progress(row)

    async def post(self, source: Source, epoch: int, records: Sequence[LedgerRecord]) -> Posted:
        """See Ledger. One transaction; bounded retries on deadlock and serialization failure."""
        with faults_named():
            for _ in range(POST_ATTEMPTS - 1):
                try:
                    return await self._post(source, epoch, records)
                except asyncpg.PostgresError as error:
                    if not worth_another_try(error):
                        raise
            return await self._post(source, epoch, records)

    async def _post(self, source: Source, epoch: int, records: Sequence[LedgerRecord]) -> Posted:
        confirmations: list[Confirmation] = []
        async with self._connection.transaction(isolation="read_committed"):
            progress = await self._locked_progress(source, epoch)
            records = [record for record in records if record.offset >= progress.next_offset]
            if not records:
                return Posted(progress, confirmations)
            known = await self._known_hashes(records)
            for kind, group in groupby(records, type):
                if kind is AccountRecord:
                    await self._open_accounts(source, list(group))  # type: ignore[arg-type]
                    continue
                for record in group:
                    assert isinstance(record, BatchRecord)
                    batch = record.batch
                    if is_repeat(batch, known.get(batch.id)):
                        continue
                    progress = follow(progress, batch)
                    if batch.ledger == self.name:
                        confirmations.append(await self._post_batch(source, epoch, record))
                        known[batch.id] = batch.hash
            progress = await self._advance(source, progress, records[-1].offset + 1)
        return Posted(progress, confirmations)

    async def _locked_progress(self, source: Source, epoch: int) -> Progress:
        row = await self._connection.fetchrow(
            statements.LOCK_PROGRESS, self.name, source.netting_set
        )
        if row is None or row["epoch"] < epoch:
            raise LedgerUnavailable(f"epoch {epoch} is gone: a failover lost the last commits")
        if row["epoch"] > epoch:
            raise StaleOwner(f"epoch {epoch} has passed to {row['owner']}, epoch {row['epoch']}")
        return _progress(row)

    async def _advance(self, source: Source, progress: Progress, next_offset: int) -> Progress:
        row = await self._connection.fetchrow(
            statements.ADVANCE,
            self.name,
            source.netting_set,
            next_offset,
            progress.sequence,
            progress.hash,
        )
        assert row is not None
        return _progress(row)

    async def _known_hashes(self, records: Sequence[LedgerRecord]) -> dict[str, str]:
        ids = [record.batch.id for record in records if isinstance(record, BatchRecord)]
        if not ids:
            return {}
        rows = await self._connection.fetch(statements.KNOWN, ids)
        return {row["id"]: row["hash"] for row in rows}

    async def _open_accounts(self, source: Source, records: list[AccountRecord]) -> None:
        """Open or change accounts; the counter account $FUNDING comes with the first of an asset."""
        overdrafts: dict[tuple[str, str], int | None] = {}
        for record in records:
            account = record.account
            if account.ledger != self.name:
                continue
            if (account.asset, FUNDING_ACCOUNT) not in overdrafts:
                await self._declare_asset(source, account.asset, account.scale)
                overdrafts[account.asset, FUNDING_ACCOUNT] = None
            if account.participant != FUNDING_ACCOUNT:
                overdrafts[account.asset, account.participant] = record.overdraft
        if overdrafts:
            await self._connection.execute(
                statements.OPEN_ACCOUNTS,
                self.name,
                source.netting_set,
                [asset for asset, _ in overdrafts],
                [participant for _, participant in overdrafts],
                list(overdrafts.values()),
            )

    async def _declare_asset(self, source: Source, asset: str, scale: int) -> None:
        there = await self._connection.fetchval(
            statements.DECLARE_ASSET, self.name, source.netting_set, asset, scale
        )
        if there != scale:
            raise Halt(f"{asset} comes with scale {scale}; its accounts are kept at scale {there}")

    async def _post_batch(self, source: Source, epoch: int, record: BatchRecord) -> Confirmation:
        """Post one batch, or remember why not; within the caller's transaction."""
        batch = record.batch
        await self._declare_asset(source, batch.asset, batch.scale)
        rows = await self._connection.fetch(
            statements.STANDING, self.name, source.netting_set, batch.asset, record.participants
        )
        standing = {row["participant"]: row for row in rows}
        reason = refusal(record, standing, self.name)
        number = await self._connection.fetchval(
            statements.INSERT_BATCH,
            batch.id,
            batch.hash,
            self.name,
            batch.netting_set,
            batch.asset,
            batch.kind,
            batch.window,
            batch.version,
            batch.sequence,
            source.topic,
            source.partition,
            record.offset,
            epoch,
            "REFUSED" if reason else "POSTED",
            reason,
            0 if reason else len(record.amounts),
        )
        if not reason and record.amounts:
            accounts = [standing[participant] for participant in record.participants]
            await self._connection.execute(
                statements.INSERT_ENTRIES,
                number,
                [account["id"] for account in accounts],
                record.amounts,
                [
                    account["balance"] + amount
                    for account, amount in zip(accounts, record.amounts, strict=True)
                ],
            )
        return _confirmation(self.name, batch, reason, epoch)

    async def unconfirmed(self, source: Source, limit: int) -> list[Confirmation]:
        """See Ledger."""
        with faults_named():
            rows = await self._connection.fetch(
                statements.UNCONFIRMED, self.name, source.netting_set, limit
            )
        return [Confirmation(ledger=self.name, **row) for row in rows]

    async def mark_confirmed(self, batches: Sequence[str]) -> None:
        """See Ledger."""
        with faults_named():
            await self._connection.execute(statements.MARK_CONFIRMED, list(batches))


def refusal(record: BatchRecord, standing: Mapping[str, Mapping[str, Any]], ledger: str) -> str:
    """Why a batch cannot be posted, "" if it can.

    standing: id, balance, overdraft (None: no floor) by participant. A debit may not end below
    -overdraft; money may always come in (R9).
    """
    batch = record.batch
    missing = [name for name in record.participants if name not in standing]
    if missing:
        return f"no account in {batch.asset} at ledger {ledger}: {_named(missing)}"
    short: list[str] = []
    for participant, amount in zip(record.participants, record.amounts, strict=True):
        balance, overdraft = (
            standing[participant]["balance"] + amount,
            standing[participant]["overdraft"],
        )
        if abs(balance) > MAX_UNITS:
            return f"the balance of {participant} in {batch.asset} would pass what can be counted"
        if amount < 0 and overdraft is not None and balance < -overdraft:
            short.append(
                f"{participant} is short of {show(-overdraft - balance, batch.scale)} {batch.asset}"
            )
    return _named(short)


def _named(items: list[str]) -> str:
    """A list that stays readable: the first few, and how many more."""
    more = len(items) - NAMED_IN_REASON
    return ", ".join(items[:NAMED_IN_REASON]) + (f" and {more} more" if more > 0 else "")


def _confirmation(ledger: str, batch: SettlementBatch, reason: str, epoch: int) -> Confirmation:
    return Confirmation(
        ledger=ledger,
        batch=batch.id,
        hash=batch.hash,
        status="REFUSED" if reason else "POSTED",
        reason=reason,
        epoch=epoch,
    )


def _progress(row: asyncpg.Record) -> Progress:
    return Progress(
        epoch=row["epoch"],
        next_offset=row["next_offset"],
        sequence=row["sequence"],
        hash=row["hash"],
    )
