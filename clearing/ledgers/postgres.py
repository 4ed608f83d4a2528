"""The PostgreSQL ledger: double-entry postings in the schema `clearing`, one transaction per `post`.

Takes proved records from clearing.ledgers.sink; the database has the last word on every rule (see the
migrations). The owner's row in `progress` is locked first, so that all writers of a netting set queue there.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import groupby

import asyncpg
import msgspec

from clearing import failpoints
from clearing.config import Settings
from clearing.core.commands import Confirmation
from clearing.core.faults import Halt, HaltKind
from clearing.core.state import NO_HASH
from clearing.ledgers import statements
from clearing.ledgers.chain import (
    AccountRecord,
    BatchRecord,
    LedgerRecord,
    Progress,
    follow,
    is_repeat,
    is_scheme_account,
)
from clearing.ledgers.connection import connected, faults_named, worth_another_try
from clearing.ledgers.funds import Account, Refusal, refusal, running_balances
from clearing.ledgers.ledger import LedgerUnavailable, Posted, Source, StaleOwner

POST_ATTEMPTS = 5

_encode_short = msgspec.json.Encoder().encode
_decode_short = msgspec.json.Decoder(dict[str, str]).decode


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
                HaltKind.LEDGER_CONFLICT,
                f"the ledger {self.name} has read netting set {source.netting_set} from {row['topic']}/"
                f"{row['partition']}, not from {source.topic}/{source.partition}: is this the right database?",
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
            failpoints.at("sink.committing")
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
        """Open or change accounts of participants; the last word on each counts."""
        overdrafts: dict[tuple[str, str], int | None] = {}
        assets: set[str] = set()
        for record in records:
            account = record.account
            if account.ledger != self.name:
                continue
            if account.asset not in assets:
                await self._declare_asset(source, account.asset, account.scale)
                assets.add(account.asset)
            overdrafts[account.asset, account.participant] = record.overdraft
        if overdrafts:
            await self._set_overdrafts(source, overdrafts)

    async def _set_overdrafts(
        self, source: Source, overdrafts: Mapping[tuple[str, str], int | None]
    ) -> None:
        """(asset, participant) → overdraft; an account that is not there is opened."""
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
            raise Halt(
                HaltKind.LEDGER_CONFLICT,
                f"{asset} comes with scale {scale}; its accounts are kept at scale {there}",
            )

    async def _post_batch(self, source: Source, epoch: int, record: BatchRecord) -> Confirmation:
        """Post one batch, or remember why not; within the caller's transaction."""
        batch = record.batch
        await self._declare_asset(source, batch.asset, batch.scale)
        accounts = await self._standing(source, record)
        refused = refusal(record, accounts, self.name)
        number = await self._insert_batch(source, epoch, record, refused)
        if refused is None and record.lines:
            unopened = [name for name, account in accounts.items() if account.id is None]
            if unopened:
                await self._set_overdrafts(source, {(batch.asset, name): None for name in unopened})
                accounts = await self._standing(source, record)
            await self._insert_entries(number, record, accounts)
        return Confirmation(
            ledger=self.name,
            batch=batch.id,
            hash=batch.hash,
            status="REFUSED" if refused else "POSTED",
            reason=refused.reason if refused else "",
            epoch=epoch,
            short=refused.short if refused else {},
        )

    async def _standing(self, source: Source, record: BatchRecord) -> dict[str, Account]:
        """The accounts a batch moves; one of the scheme's own is as good as there."""
        accounts = {
            name: Account(None, 0, None) for name in record.moves if is_scheme_account(name)
        }
        rows = await self._connection.fetch(
            statements.STANDING,
            self.name,
            source.netting_set,
            record.batch.asset,
            list(record.moves),
        )
        accounts.update(
            (row["participant"], Account(row["id"], row["balance"], row["overdraft"]))
            for row in rows
        )
        return accounts

    async def _insert_batch(
        self, source: Source, epoch: int, record: BatchRecord, refused: Refusal | None
    ) -> int:
        batch = record.batch
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
            batch.part,
            batch.parts,
            batch.linked,
            batch.sequence,
            source.topic,
            source.partition,
            record.offset,
            epoch,
            "REFUSED" if refused else "POSTED",
            refused.reason if refused else "",
            _encode_short(refused.short if refused else {}).decode(),
            0 if refused else len(record.lines),
        )
        assert number is not None
        return number

    async def _insert_entries(
        self, number: int, record: BatchRecord, accounts: Mapping[str, Account]
    ) -> None:
        ids = {"": None} | {name: account.id for name, account in accounts.items()}
        entries = [line.entry for line in record.lines]
        await self._connection.execute(
            statements.INSERT_ENTRIES,
            number,
            [line.number for line in record.lines],
            [ids[entry.participant] for entry in entries],
            [ids[entry.counterparty] for entry in entries],
            [entry.payment or None for entry in entries],
            [line.net for line in record.lines],
            running_balances(record, accounts),
        )

    async def unconfirmed(self, source: Source, limit: int) -> list[Confirmation]:
        """See Ledger."""
        with faults_named():
            rows = await self._connection.fetch(
                statements.UNCONFIRMED, self.name, source.netting_set, limit
            )
        return [
            Confirmation(ledger=self.name, **{**row, "short": _decode_short(row["short"])})
            for row in rows
        ]

    async def mark_confirmed(self, batches: Sequence[str]) -> None:
        """See Ledger."""
        with faults_named():
            await self._connection.execute(statements.MARK_CONFIRMED, list(batches))


def _progress(row: asyncpg.Record) -> Progress:
    return Progress(
        epoch=row["epoch"],
        next_offset=row["next_offset"],
        sequence=row["sequence"],
        hash=row["hash"],
    )
