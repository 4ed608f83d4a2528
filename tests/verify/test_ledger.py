"""Verification: the ledger (R1, R2, R23)."""

from copy import deepcopy

import pytest

from tests.verify.forge import BALANCES, LEDGER, failed
from tests.verify.world import World


async def test_a_batch_the_ledger_does_not_have(world: World) -> None:  # R2
    del world.books.postings[2]
    assert LEDGER in failed(await world.verify())


async def test_a_batch_the_ledger_has_not_reached_is_behind(world: World) -> None:
    """The last one, and the engine has not been told of it either."""
    world.books.postings.pop()
    world.books.sequences["postgres"] -= 1
    report = await world.verify()
    assert LEDGER in failed(report)  # the journal says SETTLED: that cannot be
    ledger = next(check for check in report.checks if check.name == LEDGER)
    assert ledger.pending == ["1 batches are not posted yet by postgres"]


async def test_a_batch_only_the_ledger_has(world: World) -> None:
    forged = deepcopy(world.books.postings[0])
    forged.id = "e" * 32
    world.books.postings.append(forged)
    assert LEDGER in failed(await world.verify())


async def test_a_batch_posted_twice(world: World) -> None:  # R2
    world.books.postings.append(world.books.postings[-1])
    assert LEDGER in failed(await world.verify())


async def test_a_refused_batch_that_was_posted_half(world: World) -> None:
    world.books.postings[-1].status = "REFUSED"
    assert LEDGER in failed(await world.verify())


@pytest.mark.parametrize("by", [1, -1])
async def test_an_entry_of_another_amount(world: World, by: int) -> None:  # R2
    entries = world.books.postings[-1].entries
    entries[1] = entries[1]._replace(units=entries[1].units + by)
    assert LEDGER in failed(await world.verify())


async def test_a_balance_that_is_not_the_sum_of_its_entries(world: World) -> None:  # R1
    account = next(iter(world.books.balances))
    world.books.balances[account] += 1
    assert BALANCES in failed(await world.verify())


async def test_an_entry_that_does_not_continue_its_balance(world: World) -> None:  # R1
    account, amount, balance = world.books.running[3]
    world.books.running[3] = (account, amount, balance + 1)
    assert BALANCES in failed(await world.verify())
