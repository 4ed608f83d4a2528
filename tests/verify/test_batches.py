"""Verification: batches by themselves and against their payments (R1, R2, R7)."""

from decimal import Decimal
from typing import Any

import pytest

from clearing.core.outputs import Entry, SettlementBatch
from tests.verify.forge import (
    CHAIN,
    FUNDING,
    LEDGER,
    MEMBERS,
    POSITIONS,
    REPLAY,
    WINDOWS,
    ZERO,
    change_batch,
    failed,
    replace,
)
from tests.verify.world import START_MS, World


def _moved(batch: SettlementBatch, by: int) -> SettlementBatch:
    """Money moved between the first two entries: still zero in sum if both are moved."""
    first, second, *rest = batch.entries
    return replace(batch, entries=[_add(first, by), _add(second, -by), *rest])


def _add(entry: Entry, units: int) -> Entry:
    return replace(
        entry,
        net=str(Decimal(entry.net) + units),
        credits=str(Decimal(entry.credits) + units),
    )


async def test_a_changed_entry_that_still_sums_to_zero(world: World) -> None:  # R2
    change_batch(world, lambda batch: _moved(batch, 1))
    broken = failed(await world.verify())
    assert {MEMBERS, CHAIN, LEDGER, REPLAY} <= broken
    assert ZERO not in broken


async def test_a_batch_that_does_not_sum_to_zero(world: World) -> None:  # R1
    change_batch(
        world, lambda batch: replace(batch, entries=[_add(batch.entries[0], 1), *batch.entries[1:]])
    )
    assert {ZERO, MEMBERS} <= failed(await world.verify())


@pytest.mark.parametrize(
    "change",
    [
        {"payments": 1},
        {"gross": "1.00"},
        {"members_root": "ab" * 32},
        {"log_first": 0},
        {"log_last": 1},
    ],
)
async def test_a_batch_that_claims_other_members(
    world: World, change: dict[str, Any]
) -> None:  # R2
    change_batch(world, lambda batch: replace(batch, **change))
    assert {MEMBERS, CHAIN} <= failed(await world.verify())


async def test_a_batch_with_another_id(world: World) -> None:  # R7
    change_batch(world, lambda batch: replace(batch, id="f" * 32))
    assert {CHAIN, WINDOWS, LEDGER} <= failed(await world.verify())


async def test_a_doubled_batch(world: World) -> None:  # R7
    record = world.records(world.topics.settlements)[-1]
    world.add(world.topics.settlements, record.key, record.value, START_MS)
    assert {CHAIN, REPLAY} <= failed(await world.verify())


async def test_a_lost_batch(world: World) -> None:  # R2, R7
    del world.records(world.topics.settlements)[-1]
    assert {MEMBERS, WINDOWS, LEDGER, REPLAY} <= failed(await world.verify())


async def test_funding_nobody_commanded(world: World) -> None:
    change_batch(world, lambda batch: _moved(batch, 100), "funding")
    assert {FUNDING, CHAIN, POSITIONS} <= failed(await world.verify())
