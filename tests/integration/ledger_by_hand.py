"""Test helpers: a ledger with a few postings to copy, and postings as a foreign program would write them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from settlement_chain import (
    ALPHA,
    BETA,
    SettlementChain,
    opening,
    records,
    settings,
    source,
)

from clearing.dev.postgres import EmbeddedPostgres
from clearing.ledgers import schema
from clearing.ledgers.postgres import open_ledger


@asynccontextmanager
async def ledger_to_copy(postgres: EmbeddedPostgres, name: str) -> AsyncIterator[str]:
    """Name of a database: funding 100.00 and a net batch of 30.00 in "hk", both posted under epoch 1."""
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute(f'CREATE DATABASE "{name}"')
    dsn = postgres.dsn_of(name)
    await schema.migrate(dsn)
    chain, other = SettlementChain(), SettlementChain("cn")
    async with open_ledger(settings(dsn), "postgres") as ledger:
        owned = await ledger.take_ownership(source(), "a", None)
        messages = [*opening(chain), chain.batch({ALPHA: -30_00, BETA: 30_00})]
        await ledger.post(source(), owned.epoch, records(messages))
        await ledger.take_ownership(source("cn", 1), "a", None)
        await ledger.post(source("cn", 1), 1, records([other.account(ALPHA), other.account(BETA)]))
    yield name
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


@asynccontextmanager
async def copied(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    """DSN of a copy, removed in the end with whoever is still connected."""
    name = f"{template}_copy"
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield postgres.dsn_of(name)
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


async def account(books: asyncpg.Connection, participant: str, netting_set: str = "hk") -> Any:
    return await books.fetchrow(
        "SELECT id, balance FROM clearing.accounts WHERE participant = $1 AND netting_set = $2",
        participant,
        netting_set,
    )


Side = tuple[str, int, str, UUID | None]  # account, amount, counterparty, payment
PAYMENT, ANOTHER = UUID(int=1, version=4), UUID(int=2, version=4)


def pair(debtor: str, creditor: str, units: int, payment: UUID | None = None) -> list[Side]:
    return [(debtor, -units, creditor, payment), (creditor, units, debtor, payment)]


async def post_by_hand(
    books: asyncpg.Connection,
    amounts: dict[str, int] | list[Side],
    *,
    netting_set: str = "hk",
    advance: bool = True,
    one_statement: bool = True,
    running_off_by: int = 0,
    first_line: int = 1,
    **changes: object,
) -> None:
    """A posting as a foreign program would write it; `changes` to the row in batches."""
    sides: list[Side] = (
        [(name, amount, "", None) for name, amount in amounts.items()]
        if isinstance(amounts, dict)
        else amounts
    )
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
        "entries": len(sides),
    } | changes
    columns = ", ".join(row)
    values = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    async with books.transaction():
        number = await books.fetchval(
            f"INSERT INTO clearing.batches ({columns}) VALUES ({values}) RETURNING number",
            *row.values(),
        )
        ids: dict[str, int | None] = {"": None}
        after: dict[str, int] = {}
        for name in {name for side in sides for name in (side[0], side[2]) if name}:
            there = await account(books, name, netting_set)
            ids[name], after[name] = there["id"], there["balance"] + running_off_by
        lines: list[tuple[object, ...]] = []
        for line, (name, amount, counterparty, payment) in enumerate(sides, first_line):
            after[name] += amount
            lines.append((number, line, ids[name], ids[counterparty], payment, amount, after[name]))
        parts = [lines] if one_statement else [[line] for line in lines]
        for part in filter(None, parts):
            await books.execute(
                "INSERT INTO clearing.entries (batch, line, account, counterparty, payment, amount, balance) "
                "SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::bigint[], $5::uuid[], "
                "$6::bigint[], $7::bigint[])",
                *map(list, zip(*part, strict=True)),
            )
        if advance:
            await books.execute(
                "UPDATE clearing.progress SET next_offset = 9, sequence = 3 WHERE netting_set = 'hk'"
            )
