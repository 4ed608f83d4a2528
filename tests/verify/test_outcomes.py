"""Verification: one outcome a row, ids, what was rejected (R28, R30)."""

from clearing.log.records import OUTCOMES_KEY, decode_outcomes, encode_outcomes
from tests.verify.forge import (
    FLOWS,
    IDS,
    MEMBERS,
    OUTCOMES,
    REJECTED,
    REPLAY,
    STATUSES,
    change_outcome,
    failed,
    first,
)
from tests.verify.world import START_MS, World


async def test_outcomes_of_a_log_record_are_missing(world: World) -> None:  # R30
    place = first(world.records(world.topics.outcomes), OUTCOMES_KEY)
    del world.records(world.topics.outcomes)[place]
    broken = failed(await world.verify())
    assert {OUTCOMES, FLOWS, MEMBERS, REPLAY} <= broken


async def test_outcomes_that_stand_there_twice(world: World) -> None:
    records = world.records(world.topics.outcomes)
    place = first(records, OUTCOMES_KEY)
    world.add(world.topics.outcomes, records[place].key, records[place].value, START_MS)
    assert {OUTCOMES, REPLAY} <= failed(await world.verify())


async def test_an_accepted_payment_turned_into_a_refusal(world: World) -> None:  # R2
    change_outcome(world, lambda codes: codes == 0, 58)
    assert {MEMBERS, STATUSES, REPLAY} <= failed(await world.verify())


async def test_a_refused_payment_that_was_accepted(world: World) -> None:  # R2, R28
    change_outcome(world, lambda codes: codes == 41, 0)
    assert {IDS, MEMBERS, REPLAY} <= failed(await world.verify())


async def test_a_new_row_dropped_as_read_before(world: World) -> None:  # R30
    change_outcome(world, lambda codes: codes == 0, 2)
    assert {OUTCOMES, FLOWS, MEMBERS} <= failed(await world.verify())


async def test_a_row_read_twice_that_counted_twice(world: World) -> None:  # R28
    change_outcome(world, lambda codes: codes == 2, 0)
    assert {OUTCOMES, REPLAY} <= failed(await world.verify())


async def test_a_payment_in_another_window_than_its_batch(world: World) -> None:  # R2: torn window
    records = world.records(world.topics.outcomes)
    place = first(records, OUTCOMES_KEY)
    outcomes = decode_outcomes(records[place].value or b"")
    outcomes.windows["HKD"] += 1
    world.replace(world.topics.outcomes, place, value=encode_outcomes("hk", outcomes))
    assert {MEMBERS, REPLAY} <= failed(await world.verify())


async def test_a_rejected_record_is_missing(world: World) -> None:  # R30
    del world.records(world.topics.rejected)[0]
    assert {REJECTED, REPLAY} <= failed(await world.verify())
