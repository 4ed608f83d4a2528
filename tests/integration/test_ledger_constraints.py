"""The ledger's tables under attack with plain SQL: the database itself keeps the books right (R1, R2, R31)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from settlement_chain import (
    ALPHA,
    BETA,
    SettlementChain,
    balances,
    faults,
    opening,
    records,
    settings,
    source,
)

from clearing.ledgers import schema
from clearing.ledgers.connection import connected
from clearing.ledgers.postgres import PostgresLedger, open_ledger
from clearing.names import FUNDING_ACCOUNT


@pytest.fixture
async def books(fresh_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Plain SQL access to a ledger: funding 100.00 and a net batch of 30.00, both posted under epoch 1."""
    await schema.migrate(fresh_dsn)
    chain, other = SettlementChain(), SettlementChain("cn")
    async with open_ledger(settings(fresh_dsn), "postgres") as ledger:
        owned = await ledger.take_ownership(source(), "a", None)
        messages = [*opening(chain), chain.batch({ALPHA: -30_00, BETA: 30_00})]
        await ledger.post(source(), owned.epoch, records(messages))
        await ledger.take_ownership(source("cn", 1), "a", None)
        await ledger.post(source("cn", 1), 1, records([other.account(ALPHA), other.account(BETA)]))
    connection = await asyncpg.connect(fresh_dsn)
    yield connection
    await connection.close()


async def account(books: asyncpg.Connection, participant: str, netting_set: str = "hk") -> Any:
    return await books.fetchrow(
        "SELECT id, balance FROM clearing.accounts WHERE participant = $1 AND netting_set = $2",
        participant,
        netting_set,
    )


async def post_by_hand(
    books: asyncpg.Connection,
    amounts: dict[str, int],
    *,
    netting_set: str = "hk",
    advance: bool = True,
    one_statement: bool = True,
    running_off_by: int = 0,
    **changes: object,
) -> None:
    """A posting as a foreign program would write it; `changes` to the row in batches."""
    row: dict[str, object] = {
        "id": "by-hand",
        "hash": "f" * 64,
        "ledger": "postgres",
        "netting_set": "hk",
        "asset": "HKD",
        "kind": "net",
        "window_number": 2,
        "version": 1,
        "sequence": 3,
        "source_topic": "settlements",
        "source_partition": 0,
        "source_offset": 8,
        "epoch": 1,
        "status": "POSTED",
        "reason": "",
        "entries": len(amounts),
    } | changes
    columns = ", ".join(row)
    values = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    async with books.transaction():
        number = await books.fetchval(
            f"INSERT INTO clearing.batches ({columns}) VALUES ({values}) RETURNING number",
            *row.values(),
        )
        lines = []
        for name, amount in amounts.items():
            there = await account(books, name, netting_set)
            lines.append((number, there["id"], amount, there["balance"] + amount + running_off_by))
        parts = [lines] if one_statement else [[line] for line in lines]
        for part in filter(None, parts):
            await books.execute(
                "INSERT INTO clearing.entries (batch, account, amount, balance) SELECT * "
                "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])",
                *map(list, zip(*part, strict=True)),
            )
        if advance:
            await books.execute(
                "UPDATE clearing.progress SET next_offset = 9, sequence = 3 WHERE netting_set = 'hk'"
            )


async def test_a_right_posting_by_hand_passes(books: asyncpg.Connection) -> None:
    """So that the refusals below are about what each of them changes."""
    await post_by_hand(books, {ALPHA: -70_00, BETA: 70_00})
    assert (await balances(books))["HKD", BETA] == 100_00
    assert await faults(books) == []


@pytest.mark.parametrize(
    ("posting", "constraint"),
    [
        # R1
        ({"amounts": {ALPHA: -1_00, BETA: 99}}, "entries_sum_to_zero"),
        ({"amounts": {BETA: 1_00}}, "entries_sum_to_zero"),
        ({"amounts": {ALPHA: -1, BETA: 1}, "entries": 3}, "entries_sum_to_zero"),
        ({"amounts": {ALPHA: -1, BETA: 1}, "one_statement": False}, "entries_sum_to_zero"),
        ({"amounts": {ALPHA: 0, BETA: 0}}, "entries_amount_check"),
        # no debit below the floor
        ({"amounts": {ALPHA: -70_01, BETA: 70_01}}, "accounts_floor"),
        ({"amounts": {BETA: -30_01, FUNDING_ACCOUNT: 30_01}}, "accounts_floor"),
        # balances are what the entries say
        ({"amounts": {ALPHA: -1, BETA: 1}, "running_off_by": 1}, "entries_post"),
        ({"amounts": {ALPHA: -1, BETA: 1}, "netting_set": "cn"}, "entries_post"),
        # R31
        ({"amounts": {ALPHA: -1, BETA: 1}, "epoch": 2}, "batches_are_whole"),
        ({"amounts": {ALPHA: -1, BETA: 1}, "epoch": 0}, "batches_are_whole"),
        ({"amounts": {ALPHA: -1, BETA: 1}, "advance": False}, "batches_are_whole"),
        ({"amounts": {ALPHA: -1, BETA: 1}, "source_offset": 9}, "batches_are_whole"),
        ({"amounts": {ALPHA: -1, BETA: 1}, "source_topic": "elsewhere"}, "batches_are_whole"),
        # R2, R7
        ({"amounts": {ALPHA: -1, BETA: 1}, "window_number": 1}, "batches_window_settles_once"),
        (
            {"amounts": {ALPHA: -1, BETA: 1}, "sequence": 2},
            "batches_ledger_netting_set_sequence_key",
        ),
        # a refusal is a refusal
        (
            {"amounts": {ALPHA: -1, BETA: 1}, "status": "REFUSED", "reason": "short"},
            "batches_refusal_has_no_entries",
        ),
        (
            {"amounts": {ALPHA: -1, BETA: 1}, "status": "REFUSED", "entries": 0},
            "batches_refusal_has_reason",
        ),
        ({"amounts": {}, "entries": 0, "status": "DRAFT"}, "batches_status_check"),
        (
            {"amounts": {ALPHA: -1, BETA: 1}, "asset": "CNH"},
            "batches_ledger_netting_set_asset_fkey",
        ),
    ],
)
async def test_a_wrong_posting_is_refused_whole(
    books: asyncpg.Connection, posting: dict[str, Any], constraint: str
) -> None:
    before = await balances(books)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await post_by_hand(books, **posting)
    assert getattr(refused.value, "constraint_name", None) == constraint
    assert await balances(books) == before
    assert await books.fetchval("SELECT count(*) FROM clearing.batches") == 2
    assert await faults(books) == []


async def test_a_batch_id_is_unique(books: asyncpg.Connection) -> None:
    known = await books.fetchval("SELECT id FROM clearing.batches WHERE kind = 'net'")
    with pytest.raises(asyncpg.UniqueViolationError):
        await post_by_hand(books, {ALPHA: -1, BETA: 1}, id=known)


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
            "accounts_only_funding_is_unbounded",
        ),
        (
            "UPDATE clearing.accounts SET overdraft = NULL WHERE overdraft = 0",
            "accounts_only_funding_is_unbounded",
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
                "INSERT INTO clearing.entries (batch, account, amount, balance) "
                "SELECT (SELECT min(number) FROM clearing.batches), a.id, 1, a.balance + 1 "
                "FROM clearing.accounts AS a WHERE a.participant = 'BETAHKHH' AND a.netting_set = 'hk'"
            ),
            "entries_sum_to_zero",
        ),
        # the entries of two batches in one statement
        (
            (
                "INSERT INTO clearing.entries (batch, account, amount, balance) "
                "SELECT b.number, a.id, 1, a.balance + 1 FROM clearing.batches AS b, clearing.accounts AS a "
                "WHERE a.netting_set = 'cn'"
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


async def test_an_account_is_not_moved_through_a_batch_of_another_asset(
    books: asyncpg.Connection,
) -> None:
    """R3"""
    await books.execute("INSERT INTO clearing.assets VALUES ('postgres', 'hk', 'CNH', 2)")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="are not of its asset"):
        await post_by_hand(books, {ALPHA: -1, BETA: 1}, asset="CNH")


ROLES = Path(__file__).parents[2] / "ops" / "sql" / "ledger_roles.sql"


async def test_the_role_that_posts_can_post_and_nothing_else(
    books: asyncpg.Connection, fresh_dsn: str
) -> None:
    """ops/sql/ledger_roles.sql: balances move through entries, whoever holds the sink's password."""
    await books.execute(ROLES.read_text("utf-8"))
    await books.execute(ROLES.read_text("utf-8"))  # running it again changes nothing
    last_hash: Any = await books.fetchval(
        "SELECT hash FROM clearing.progress WHERE netting_set = 'hk'"
    )
    chain = SettlementChain(sequence=2, previous=last_hash)
    messages = [chain.account("NEWBHKHH"), chain.batch({ALPHA: -1_00, "NEWBHKHH": 1_00}, window=2)]
    async with connected(fresh_dsn) as session:
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
            "SET session_replication_role = replica",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await session.execute(attack)
    assert (await balances(books))["HKD", "NEWBHKHH"] == 1_00
    assert await faults(books) == []
