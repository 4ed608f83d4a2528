"""The ledger's tables under attack with plain SQL: the database itself keeps the books right (R1, R2, R6, R31)."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from ledger_by_hand import ANOTHER, PAYMENT, copied, ledger_to_copy, pair, post_by_hand
from settlement_chain import ALPHA, BETA, balances, faults

from clearing.dev.postgres import EmbeddedPostgres
from clearing.names import FUNDING_ACCOUNT


@pytest.fixture(scope="module")
async def template(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    async with ledger_to_copy(postgres, "ledger_constraints") as name:
        yield name


@pytest.fixture
async def books(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[asyncpg.Connection]:
    """Plain SQL access to a ledger of the test's own."""
    async with copied(postgres, template) as dsn:
        connection = await asyncpg.connect(dsn)
        yield connection
        await connection.close()


async def test_a_right_posting_by_hand_passes(books: asyncpg.Connection) -> None:
    """So that the refusals below are about what each of them changes."""
    await post_by_hand(books, {ALPHA: -70_00, BETA: 70_00})
    assert (await balances(books))["HKD", BETA] == 100_00
    assert await faults(books) == []


@pytest.mark.parametrize(
    "posting",
    [
        # The floor is for the batch: ALPHA pays 120.00 out of 70.00 and of what it gets back.
        {
            "amounts": [
                *pair(ALPHA, BETA, 120_00),
                *pair(BETA, FUNDING_ACCOUNT, 90_00),
                *pair(FUNDING_ACCOUNT, ALPHA, 60_00),
            ]
        },
        {
            "amounts": pair(ALPHA, BETA, 60_00),
            "first_line": 7,
        },  # lines of zero before it are left out
        {"amounts": pair(ALPHA, BETA, 60_00, PAYMENT), "kind": "gross"},
        {
            "amounts": [*pair(ALPHA, BETA, 90_00, PAYMENT), *pair(BETA, ALPHA, 30_00, ANOTHER)],
            "kind": "gross",
            "part": 2,
            "parts": 3,
        },
        # R22: a payment delivered in two parts
        {
            "amounts": [*pair(ALPHA, BETA, 50_00, PAYMENT), *pair(ALPHA, BETA, 10_00, PAYMENT)],
            "kind": "gross",
        },
    ],
)
async def test_a_right_posting_of_pairs_by_hand_passes(
    books: asyncpg.Connection, posting: dict[str, Any]
) -> None:
    """R6"""
    await post_by_hand(books, **posting)
    assert (await balances(books))["HKD", ALPHA] == 10_00
    assert await faults(books) == []


PAIRS = "entries_mirror_each_other"


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
        # … and none below it by a batch of pairs
        ({"amounts": pair(ALPHA, BETA, 70_01)}, "accounts_floor"),
        (
            {"amounts": [*pair(BETA, FUNDING_ACCOUNT, 5), *pair(ALPHA, BETA, 70_01)]},
            "accounts_floor",
        ),
        # R6: lines that name a counterparty mirror each other
        ({"amounts": [*pair(ALPHA, BETA, 5), (ALPHA, -1, "", None), (BETA, 1, "", None)]}, PAIRS),
        ({"amounts": [(ALPHA, -5, BETA, None), (BETA, 5, FUNDING_ACCOUNT, None)]}, PAIRS),
        ({"amounts": [(ALPHA, -5, BETA, None), (FUNDING_ACCOUNT, 5, ALPHA, None)]}, PAIRS),
        ({"amounts": [(ALPHA, -5, ALPHA, None), (ALPHA, 5, ALPHA, None)]}, PAIRS),
        ({"amounts": [*pair(ALPHA, BETA, 5)[:1], *pair(ALPHA, BETA, 6)]}, PAIRS),
        ({"amounts": pair(ALPHA, BETA, 5)[:1] + pair(ALPHA, BETA, 6)[1:]}, PAIRS),
        ({"amounts": pair(ALPHA, BETA, 5), "first_line": 2}, PAIRS),
        ({"amounts": pair(ALPHA, BETA, 5), "kind": "funding"}, PAIRS),
        ({"amounts": pair(ALPHA, BETA, 5), "kind": "gross"}, PAIRS),
        ({"amounts": {ALPHA: -5, BETA: 5}, "kind": "gross"}, PAIRS),
        ({"amounts": pair(ALPHA, BETA, 5, PAYMENT)}, PAIRS),
        (
            {
                "amounts": pair(ALPHA, BETA, 5, PAYMENT)[:1] + pair(ALPHA, BETA, 5, ANOTHER)[1:],
                "kind": "gross",
            },
            PAIRS,
        ),
        (
            {"amounts": [(ALPHA, -5, "", PAYMENT), (BETA, 5, "", PAYMENT)], "kind": "gross"},
            "entries_payment_is_to_somebody",
        ),
        # … and name each pair, or each account, once
        ({"amounts": [*pair(ALPHA, BETA, 5), *pair(ALPHA, BETA, 6)]}, "entries_name_each_once"),
        ({"amounts": [*pair(ALPHA, BETA, 5), *pair(BETA, ALPHA, 6)]}, "entries_name_each_once"),
        (
            {"amounts": [(ALPHA, -2, "", None), (ALPHA, 1, "", None), (BETA, 1, "", None)]},
            "entries_name_each_once",
        ),
        ({"amounts": {ALPHA: -1, BETA: 1}, "first_line": 0}, "entries_line_check"),
        ({"amounts": {ALPHA: -1, BETA: 1}, "part": 2}, "batches_part_is_one_of_parts"),
        ({"amounts": {ALPHA: -1, BETA: 1}, "part": 0}, "batches_part_is_one_of_parts"),
        ({"amounts": {ALPHA: -1, BETA: 1}, "kind": "other"}, "batches_kind_check"),
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
            {
                "amounts": pair(ALPHA, BETA, 5, PAYMENT),
                "kind": "gross",
                "window_number": 1,
                "part": 2,
                "parts": 2,
            },
            "batches_parts_of_one_window",
        ),
        (
            {"amounts": {ALPHA: -1, BETA: 1}, "window_number": 1, "part": 2, "parts": 2},
            "batches_parts_of_one_window",
        ),
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
            {"amounts": {ALPHA: -1, BETA: 1}, "short": f'{{"{ALPHA}": "0.01"}}'},
            "batches_short_is_refused",
        ),
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


async def test_an_account_is_not_moved_through_a_batch_of_another_asset(
    books: asyncpg.Connection,
) -> None:
    """R3"""
    await books.execute("INSERT INTO clearing.assets VALUES ('postgres', 'hk', 'CNH', 2)")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="are not of its asset"):
        await post_by_hand(books, {ALPHA: -1, BETA: 1}, asset="CNH")
