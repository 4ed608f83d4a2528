"""What the ledger has written stays written, whoever asks, and whatever right they have (R1, R23)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from ledger_by_hand import copied, ledger_to_copy
from settlement_chain import ALPHA, SettlementChain, balances, faults, records, source

from clearing.dev.postgres import EmbeddedPostgres
from clearing.ledgers.connection import connected
from clearing.ledgers.postgres import PostgresLedger


@pytest.fixture(scope="module")
async def template(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    async with ledger_to_copy(postgres, "ledger_final") as name:
        yield name


@pytest.fixture
async def books_dsn(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    async with copied(postgres, template) as dsn:
        yield dsn


@pytest.fixture
async def books(books_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Plain SQL access to a ledger of the test's own."""
    connection = await asyncpg.connect(books_dsn)
    yield connection
    await connection.close()


FINAL = "entries_are_final"


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE clearing.entries SET amount = amount * 2", FINAL),
        ("UPDATE clearing.entries SET balance = 0 WHERE false", FINAL),
        ("DELETE FROM clearing.entries", FINAL),
        ("TRUNCATE clearing.entries", FINAL),
        ("DELETE FROM clearing.batches", "batches_are_final"),
        ("TRUNCATE clearing.batches CASCADE", "batches_are_final"),
        ("UPDATE clearing.batches SET hash = 'x'", "batches_stay"),
        (
            "UPDATE clearing.batches SET status = 'REFUSED', reason = 'x', entries = 0",
            "batches_stay",
        ),
        ("UPDATE clearing.accounts SET balance = balance + 1", "accounts_move_by_entries"),
        ("UPDATE clearing.accounts SET participant = 'X' || participant", "accounts_stay"),
        ("DELETE FROM clearing.accounts", "accounts_remain"),
        (
            (
                "INSERT INTO clearing.accounts (ledger, netting_set, asset, participant, balance, overdraft) "
                "VALUES ('postgres', 'hk', 'HKD', 'RICHHKHH', 100, 0)"
            ),
            "accounts_open_empty",
        ),
        (
            (
                "INSERT INTO clearing.accounts (ledger, netting_set, asset, participant) "
                "VALUES ('postgres', 'hk', 'HKD', 'FREEHKHH')"
            ),
            "accounts_only_the_scheme_is_unbounded",
        ),
        (
            (
                "INSERT INTO clearing.accounts (ledger, netting_set, asset, participant, overdraft) "
                "VALUES ('postgres', 'hk', 'HKD', '$POOL', 0)"
            ),
            "accounts_only_the_scheme_is_unbounded",
        ),
        (
            "UPDATE clearing.accounts SET overdraft = NULL WHERE overdraft = 0",
            "accounts_only_the_scheme_is_unbounded",
        ),
        (
            "UPDATE clearing.accounts SET overdraft = -1 WHERE overdraft = 0",
            "accounts_overdraft_check",
        ),
        ("UPDATE clearing.assets SET scale = 3", "assets_remain"),
        ("UPDATE clearing.progress SET epoch = epoch - 1", "progress_goes_on"),
        ("UPDATE clearing.progress SET next_offset = 0", "progress_goes_on"),
        ("UPDATE clearing.progress SET sequence = 1", "progress_goes_on"),
        ("UPDATE clearing.progress SET topic = 'x'", "progress_goes_on"),
        ("DELETE FROM clearing.progress", "progress_remains"),
        # entries that sum to zero, added to a batch that is complete
        (
            (
                "INSERT INTO clearing.entries (batch, line, account, amount, balance) "
                "SELECT (SELECT min(number) FROM clearing.batches), 9, a.id, 1, a.balance + 1 "
                "FROM clearing.accounts AS a WHERE a.participant = 'BETAHKHH' AND a.netting_set = 'hk'"
            ),
            "entries_sum_to_zero",
        ),
        # the entries of two batches in one statement
        (
            (
                "INSERT INTO clearing.entries (batch, line, account, amount, balance) "
                "SELECT b.number, 9 + a.id, a.id, 1, a.balance + 1 "
                "FROM clearing.batches AS b, clearing.accounts AS a WHERE a.netting_set = 'cn'"
            ),
            "entries_post",
        ),
    ],
)
async def test_what_is_written_stays_written(
    books: asyncpg.Connection, statement: str, constraint: str
) -> None:
    before = await balances(books)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await books.execute(statement)
    assert getattr(refused.value, "constraint_name", None) == constraint
    assert await balances(books) == before
    assert await faults(books) == []


async def test_a_confirmation_is_noted_once_and_stays(books: asyncpg.Connection) -> None:
    await books.execute("UPDATE clearing.batches SET confirmed_at = now()")
    for change in ("NULL", "now() + '1 day'"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="only once"):
            await books.execute(f"UPDATE clearing.batches SET confirmed_at = {change}")


ROLES = Path(__file__).parents[2] / "ops" / "sql" / "ledger_roles.sql"


async def test_the_role_that_posts_can_post_and_nothing_else(
    books: asyncpg.Connection, books_dsn: str
) -> None:
    """ops/sql/ledger_roles.sql: balances move through entries, whoever holds the sink's password."""
    await books.execute(ROLES.read_text("utf-8"))
    await books.execute(ROLES.read_text("utf-8"))  # running it again changes nothing
    last_hash: Any = await books.fetchval(
        "SELECT hash FROM clearing.progress WHERE netting_set = 'hk'"
    )
    chain = SettlementChain(sequence=2, previous=last_hash)
    messages = [chain.account("NEWBHKHH"), chain.batch({ALPHA: -1_00, "NEWBHKHH": 1_00}, window=2)]
    async with connected(books_dsn) as session:
        await session.execute("SET ROLE clearing_sink")
        ledger = PostgresLedger(session, "postgres")
        owned = await ledger.take_ownership(source(), "least", None)
        posted = await ledger.post(source(), owned.epoch, records(messages, 20))
        assert [c.status for c in posted.confirmations] == ["POSTED"]
        await ledger.mark_confirmed([posted.confirmations[0].batch])
        for attack in (
            "UPDATE clearing.accounts SET balance = 1",
            "UPDATE clearing.batches SET hash = ''",
            "DELETE FROM clearing.entries",
            "ALTER TABLE clearing.entries DISABLE TRIGGER ALL",
            "SELECT clearing.check_entries(1)",
            "UPDATE clearing.batches SET short = '{}'",
            "SET session_replication_role = replica",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await session.execute(attack)
    assert (await balances(books))["HKD", "NEWBHKHH"] == 1_00
    assert await faults(books) == []
