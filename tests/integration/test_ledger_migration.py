"""A ledger with years of postings is brought up to date: nothing of it changes, and it goes on (R1, R7)."""

from pathlib import Path

import asyncpg
import pytest
from settlement_chain import (
    ALPHA,
    BETA,
    SettlementChain,
    answers,
    balances,
    faults,
    opening,
    records,
    settings,
    source,
)

from clearing.core.outputs import SettlementBatch
from clearing.failures import Failure
from clearing.ledgers import schema
from clearing.ledgers.chain import BatchRecord, LedgerRecord
from clearing.ledgers.connection import connected
from clearing.ledgers.postgres import PostgresLedger, open_ledger
from clearing.names import FUNDING_ACCOUNT

FIRST = schema.MIGRATIONS / "versions" / "v0001_ledger.sql"
ROLES = Path(__file__).parents[2] / "ops" / "sql" / "ledger_roles.sql"


async def first_version(dsn: str) -> asyncpg.Connection:
    """A database as the program of version 0001 left it, without data."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE SCHEMA clearing")
    await connection.execute(FIRST.read_text("utf-8"))
    await connection.execute(
        "CREATE TABLE clearing.alembic_version (version_num varchar(32) PRIMARY KEY);"
        "INSERT INTO clearing.alembic_version VALUES ('0001')"
    )
    return connection


async def post_as_before(old: asyncpg.Connection, posted: list[LedgerRecord]) -> None:
    """What the program of version 0001 wrote: one entry an account, no line, $FUNDING from the start."""
    await old.execute(
        "INSERT INTO clearing.assets VALUES ('postgres', 'hk', 'HKD', 2);"
        "INSERT INTO clearing.progress (ledger, netting_set, topic, partition, owner, epoch, hash) "
        "VALUES ('postgres', 'hk', 'settlements', 0, 'old', 4, repeat('0', 64));"
        "INSERT INTO clearing.accounts (ledger, netting_set, asset, participant, overdraft) VALUES "
        f"('postgres', 'hk', 'HKD', '{FUNDING_ACCOUNT}', NULL), "
        f"('postgres', 'hk', 'HKD', '{BETA}', 0), ('postgres', 'hk', 'HKD', '{ALPHA}', 0)"
    )
    for record in posted:
        if isinstance(record, BatchRecord):
            await _post_one_as_before(old, record)


async def _post_one_as_before(old: asyncpg.Connection, record: BatchRecord) -> None:
    batch = record.batch
    there = {
        row["participant"]: row
        for row in await old.fetch("SELECT participant, id, balance FROM clearing.accounts")
    }
    short = [n for n, move in record.moves.items() if n == ALPHA and there[n]["balance"] + move < 0]
    async with old.transaction():
        number = await old.fetchval(
            "INSERT INTO clearing.batches (id, hash, ledger, netting_set, asset, kind, window_number, "
            "version, sequence, source_topic, source_partition, source_offset, epoch, status, reason, entries) "
            "VALUES ($1, $2, 'postgres', 'hk', 'HKD', $3, $4, 1, $5, 'settlements', 0, $6, 4, $7, $8, $9) "
            "RETURNING number",
            batch.id,
            batch.hash,
            batch.kind,
            batch.window,
            batch.sequence,
            record.offset,
            "REFUSED" if short else "POSTED",
            f"{ALPHA} is short" if short else "",
            0 if short else len(record.moves),
        )
        if not short:
            await old.execute(
                "INSERT INTO clearing.entries (batch, account, amount, balance) SELECT $1, * "
                "FROM unnest($2::bigint[], $3::bigint[], $4::bigint[])",
                number,
                [there[name]["id"] for name in record.moves],
                list(record.moves.values()),
                [there[name]["balance"] + move for name, move in record.moves.items()],
            )
        await old.execute(
            "UPDATE clearing.progress SET next_offset = $1, sequence = $2, hash = $3",
            record.offset + 1,
            batch.sequence,
            batch.hash,
        )


STATEMENTS = (
    "SELECT ledger, netting_set, asset, participant, number, posted_at, kind, window_number, version, "
    "amount, balance, batch, hash FROM clearing.statements ORDER BY number, participant"
)


async def test_a_ledger_of_the_first_version_is_brought_up_to_date_and_goes_on(
    fresh_dsn: str,
) -> None:
    old = await first_version(fresh_dsn)
    chain = SettlementChain()
    messages = [
        *opening(chain),
        chain.batch({ALPHA: -30_00, BETA: 30_00}),
        chain.batch({ALPHA: -90_00, BETA: 90_00}, window=2),  # refused
        chain.batch({BETA: -5_00, ALPHA: 5_00}, window=3),
    ]
    await post_as_before(old, records(messages))
    await old.execute(ROLES.read_text("utf-8"))
    statements, accounts = await old.fetch(STATEMENTS), await balances(old)
    assert len(statements) == 6
    with pytest.raises(Failure, match="has version 0001") as failure:
        async with open_ledger(settings(fresh_dsn), "postgres"):
            pytest.fail("opened with the schema of before")
    assert "clearing sink --migrate" in failure.value.hint

    assert await schema.migrate(fresh_dsn) == schema.head_version()

    assert await old.fetch(STATEMENTS) == statements
    assert await balances(old) == accounts
    assert await faults(old) == []
    lines = await old.fetch(
        "SELECT batch, array_agg(line ORDER BY line) FROM clearing.entries GROUP BY 1"
    )
    assert {tuple(row["array_agg"]) for row in lines} == {(1, 2)}

    # It goes on where it stood, with the rights it had: batches of before are known, the next ones are of pairs.
    new = [
        chain.gross([(ALPHA, BETA, 80_00), (BETA, ALPHA, 60_00)], window=4),
        chain.batch({ALPHA: -55_01, BETA: 55_01}, window=5),
        chain.batch({ALPHA: -90_00, BETA: 80_00, "$POOL": 10_00}, window=2, version=2),
    ]
    async with connected(fresh_dsn) as session:
        await session.execute("SET ROLE clearing_sink")
        ledger = PostgresLedger(session, "postgres")
        owned = await ledger.take_ownership(source(), "new", None)
        assert (owned.epoch, owned.next_offset, owned.sequence) == (5, 11, 4)
        posted = await ledger.post(source(), owned.epoch, records([*messages, *new]))
        assert [(c.status, c.short) for c in posted.confirmations] == [
            ("POSTED", {}),
            ("REFUSED", {ALPHA: "0.01"}),
            ("REFUSED", {ALPHA: "35.00"}),
        ]
        # What was never confirmed of the batches of before is confirmed now, as it was answered.
        sent = [message for message in [*messages, *new] if isinstance(message, SettlementBatch)]
        told = await ledger.unconfirmed(source(), 10)
        assert [(c.batch, c.hash) for c in told] == [(batch.id, batch.hash) for batch in sent]
        assert [c.reason for c in told][2] == f"{ALPHA} is short"
    assert list((await answers(old)).values()).count("POSTED") == 4
    assert await faults(old) == []
    await old.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE clearing.entries SET amount = amount + 1",
        "UPDATE clearing.entries SET line = line + 10",
        "DELETE FROM clearing.entries",
        "UPDATE clearing.batches SET part = 2, parts = 2",
        "UPDATE clearing.accounts SET balance = 0",
    ],
)
async def test_what_was_posted_before_is_guarded_after(fresh_dsn: str, statement: str) -> None:
    """R23: no guard stays switched off by the migration."""
    old = await first_version(fresh_dsn)
    chain = SettlementChain()
    await post_as_before(old, records([*opening(chain), chain.batch({ALPHA: -1, BETA: 1})]))
    await schema.migrate(fresh_dsn)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await old.execute(statement)
    assert await faults(old) == []
    await old.close()


async def test_the_program_of_before_cannot_post_to_it(fresh_dsn: str) -> None:
    """A sink that was running through the migration halts instead of writing what nobody can read."""
    old = await first_version(fresh_dsn)
    await post_as_before(old, records(opening(SettlementChain())))
    await schema.migrate(fresh_dsn)
    chain = SettlementChain(sequence=1)
    late = records([chain.batch({ALPHA: -1, BETA: 1})], 20)[0]
    assert isinstance(late, BatchRecord)
    with pytest.raises(asyncpg.NotNullViolationError, match="line"):
        await _post_one_as_before(old, late)
    assert await old.fetchval("SELECT count(*) FROM clearing.batches") == 1
    await old.close()
