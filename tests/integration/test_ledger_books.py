"""The ledger's schema and sessions, and the views in which people read its books (R1, F10)."""

import asyncio

import asyncpg
import pytest
from settlement_chain import (
    ALPHA,
    BETA,
    SettlementChain,
    opening,
    payment_id,
    records,
    settings,
    source,
)

from clearing.core.outputs import Settlement
from clearing.failures import Failure
from clearing.ledgers import connection as sessions
from clearing.ledgers import schema
from clearing.ledgers.postgres import open_ledger
from clearing.names import FUNDING_ACCOUNT


async def posted(dsn: str, messages: list[Settlement]) -> None:
    """Messages posted to a ledger that did not exist before."""
    await schema.migrate(dsn)
    async with open_ledger(settings(dsn), "postgres") as ledger:
        owned = await ledger.take_ownership(source(), "a", None)
        await ledger.post(source(), owned.epoch, records(messages))


async def selected(dsn: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def test_migrating_at_once_from_many_processes(fresh_dsn: str) -> None:
    versions = await asyncio.gather(*(schema.migrate(fresh_dsn) for _ in range(4)))
    assert set(versions) == {schema.head_version()}
    async with sessions.connected(fresh_dsn):
        pass  # and the sink accepts it


async def test_a_database_of_another_version_is_named(fresh_dsn: str) -> None:
    with pytest.raises(Failure, match="has not been created, this program works with version"):
        async with open_ledger(settings(fresh_dsn), "postgres"):
            pytest.fail("opened without a schema")
    await schema.migrate(fresh_dsn)
    connection = await asyncpg.connect(fresh_dsn)
    await connection.execute("UPDATE clearing.alembic_version SET version_num = '9999'")
    await connection.close()
    with pytest.raises(Failure, match="has version 9999") as failure:
        async with open_ledger(settings(fresh_dsn), "postgres"):
            pytest.fail("opened with a foreign schema")
    assert "newer program" in failure.value.hint


async def test_a_session_never_acknowledges_what_is_not_on_disk(fresh_dsn: str) -> None:
    """F10: synchronous_commit = off in the database does not reach the ledger."""
    await schema.migrate(fresh_dsn)
    connection = await asyncpg.connect(fresh_dsn)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    await connection.close()
    async with sessions.connected(fresh_dsn) as session:
        assert await session.fetchval("SHOW synchronous_commit") == "on"


@pytest.mark.parametrize("dsn", ["", "mysql://somewhere"])
async def test_a_dsn_that_names_no_ledger_is_a_plain_failure(dsn: str) -> None:
    with pytest.raises(Failure, match="dsn"):
        async with open_ledger(settings(dsn), "postgres"):
            pytest.fail("opened")


async def test_the_views_show_batches_balances_and_no_faults(fresh_dsn: str) -> None:
    chain = SettlementChain()
    messages = [
        *opening(chain),
        chain.batch({ALPHA: -30_00, BETA: 30_00}),
        chain.batch({ALPHA: -99_00, BETA: 99_00}, window=2),
        chain.gross([(BETA, ALPHA, 10_00)], window=3),
        chain.bilateral([(ALPHA, BETA, 10_00, 0)], window=4),
    ]
    await posted(fresh_dsn, messages)
    statements = await selected(
        fresh_dsn,
        "SELECT participant, amount::text, counterparty, payment::text FROM clearing.statements "
        "ORDER BY number, line",
    )
    assert [tuple(row) for row in statements] == [
        (ALPHA, "100.00", None, None),
        (FUNDING_ACCOUNT, "-100.00", None, None),
        (ALPHA, "-30.00", None, None),
        (BETA, "30.00", None, None),
        (BETA, "-10.00", ALPHA, payment_id(3, 0)),
        (ALPHA, "10.00", BETA, payment_id(3, 0)),
        (ALPHA, "-10.00", BETA, None),
        (BETA, "10.00", ALPHA, None),
    ]
    accounts = await selected(fresh_dsn, "SELECT * FROM clearing.balances ORDER BY participant")
    assert [(row["participant"], str(row["balance"]), row["overdraft"]) for row in accounts] == [
        (FUNDING_ACCOUNT, "-100.00", None),
        (ALPHA, "70.00", 0),
        (BETA, "30.00", 0),
    ]
    assert await selected(fresh_dsn, "SELECT * FROM clearing.faults") == []


async def test_the_faults_view_finds_what_somebody_forced_into_the_database(fresh_dsn: str) -> None:
    """The check can fail: a superuser who switches the guards off leaves contradictions behind."""
    chain = SettlementChain()
    messages = [
        *opening(chain),
        chain.batch({ALPHA: -30_00, BETA: 30_00}),
        chain.gross([(ALPHA, BETA, 1_00), (ALPHA, BETA, 2_00)], window=2),
    ]
    await posted(fresh_dsn, messages)
    connection = await asyncpg.connect(fresh_dsn)
    await connection.execute("SET session_replication_role = replica")  # no triggers
    await connection.execute("UPDATE clearing.entries SET balance = balance + 1 WHERE amount = 100")
    await connection.execute("UPDATE clearing.entries SET amount = 201 WHERE amount = 200")
    await connection.execute(
        "UPDATE clearing.accounts SET balance = 0 WHERE participant = $1", BETA
    )
    await connection.execute("DELETE FROM clearing.entries WHERE amount = 3000")
    await connection.execute("UPDATE clearing.progress SET sequence = 1")
    await connection.close()
    rows = await selected(fresh_dsn, "SELECT fault FROM clearing.faults")
    found = "\n".join(row["fault"] for row in rows)
    assert "all accounts together hold -3300, not zero" in found
    assert "1 entries of 2, sum -3000" in found
    assert "4 entries of 4, sum 1" in found
    assert "line 4 names a counterparty whose line does not mirror it" in found
    assert "balance 3101 after line 2 of batch number 3" in found
    assert "sequence 2 at offset 6, progress is at 1 and 9" in found
