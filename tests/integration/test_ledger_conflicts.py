"""The ledger beside other writers of its database: deadlocks, serialization failures, changed overdrafts (F9)."""

import asyncio

import asyncpg
import pytest
from hooked_connection import Moment, hooked, once
from settlement_chain import (
    ALPHA,
    BETA,
    SettlementChain,
    balances,
    faults,
    opening,
    records,
    source,
)

from clearing.core.outputs import Settlement
from clearing.ledgers import postgres, schema, statements
from clearing.ledgers.chain import Progress
from clearing.ledgers.ledger import LedgerUnavailable
from clearing.ledgers.postgres import PostgresLedger


@pytest.fixture
async def other(fresh_dsn: str) -> asyncpg.Connection:
    """Somebody else's session."""
    await schema.migrate(fresh_dsn)
    return await asyncpg.connect(fresh_dsn)  # ended with the database


async def opened(ledger: PostgresLedger, messages: list[Settlement]) -> Progress:
    owned = await ledger.take_ownership(source(), "a", None)
    return (await ledger.post(source(), owned.epoch, records(messages))).progress


async def test_a_deadlock_is_tried_again(fresh_dsn: str, other: asyncpg.Connection) -> None:
    """F9: an operator holds an account and asks for our progress; we are the one that PostgreSQL ends."""
    session = await hooked(fresh_dsn)
    await session.execute("SET deadlock_timeout = '20ms'")
    ledger, chain = PostgresLedger(session, "postgres"), SettlementChain()
    owned = await opened(ledger, opening(chain))
    operator = other.transaction()
    await operator.start()
    await other.execute("UPDATE clearing.accounts SET overdraft = 0 WHERE participant = $1", ALPHA)
    tasks: list[asyncio.Task[None]] = []

    async def ask_for_the_progress() -> None:
        await other.execute("SELECT FROM clearing.progress FOR UPDATE")
        await operator.commit()

    async def cross() -> None:
        tasks.append(asyncio.create_task(ask_for_the_progress()))
        watcher = await asyncpg.connect(fresh_dsn)
        for _ in range(1_000):
            if await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("the operator does not wait for the progress")
        await watcher.close()

    session.hook = once(statements.LOCK_PROGRESS, "after", cross)
    batch = chain.batch({ALPHA: -1, BETA: 1})
    posted = await ledger.post(source(), owned.epoch, records([batch], 10))
    await tasks[0]
    assert [c.status for c in posted.confirmations] == ["POSTED"]
    assert (await balances(other))["HKD", BETA] == 1
    assert await faults(other) == []


async def test_an_overdraft_lowered_while_we_post_refuses_the_batch(
    fresh_dsn: str, other: asyncpg.Connection
) -> None:
    """The database refuses what we had found good a moment before; we look again and say why."""
    session = await hooked(fresh_dsn)
    ledger, chain = PostgresLedger(session, "postgres"), SettlementChain()
    owned = await opened(ledger, [chain.account(ALPHA, "10.00"), chain.account(BETA)])

    async def lower() -> None:
        await other.execute(
            "UPDATE clearing.accounts SET overdraft = 0 WHERE participant = $1", ALPHA
        )

    session.hook = once(statements.STANDING, "after", lower)
    batch = chain.batch({ALPHA: -5_00, BETA: 5_00})
    posted = await ledger.post(source(), owned.epoch, records([batch], 10))
    assert [(c.status, c.reason) for c in posted.confirmations] == [
        ("REFUSED", f"{ALPHA} is short of 5.00 HKD")
    ]
    assert await faults(other) == []


async def test_conflicts_without_end_are_given_up(
    fresh_dsn: str, other: asyncpg.Connection
) -> None:
    """The number of attempts is bounded; then the session is in doubt, and the sink pauses."""
    attempts = 0

    async def conflict(query: str, moment: Moment) -> None:
        nonlocal attempts
        if (query, moment) == (statements.ADVANCE, "after"):
            attempts += 1
            raise asyncpg.SerializationError("could not serialize access")

    session = await hooked(fresh_dsn)
    ledger, chain = PostgresLedger(session, "postgres"), SettlementChain()
    owned = await opened(ledger, opening(chain))
    session.hook = conflict
    with pytest.raises(LedgerUnavailable, match="could not serialize"):
        await ledger.post(source(), owned.epoch, records([chain.batch({ALPHA: -1, BETA: 1})], 10))
    assert attempts == postgres.POST_ATTEMPTS
    assert (await balances(other))["HKD", BETA] == 0
