"""Verification: windows, positions, the journal and the replay (R4, R8, R11, R23, R29)."""

from typing import Any

import pytest

from clearing.core.outputs import WindowEvent
from clearing.log.records import TRANSACTION_KEY, decode_position, decode_transaction
from tests.verify.forge import (
    POSITIONS,
    REPLAY,
    SOURCES,
    WINDOWS,
    encode,
    failed,
    find_event,
    replace,
)
from tests.verify.world import START_MS, World


async def test_a_window_settled_twice(world: World) -> None:  # R4
    place, event = find_event(world, WindowEvent, state="SETTLED")
    world.add(
        world.topics.journal, world.records(world.topics.journal)[place].key, encode(event), 0
    )
    assert {WINDOWS, REPLAY} <= failed(await world.verify())


async def test_a_window_settled_without_its_ledgers_word(world: World) -> None:  # R23
    """The ledger's confirmation carries another hash."""
    topic = world.topics.log
    for place, record in enumerate(world.records(topic)):
        if b'"type":"confirmation"' in (record.value or b"") and b'"window"' not in (
            record.value or b""
        ):
            value = (record.value or b"").replace(
                b'"status":"POSTED"', b'"status":"REFUSED","reason":"x"'
            )
            world.replace(topic, place, value=value)
    assert {WINDOWS, SOURCES, REPLAY} <= failed(await world.verify())


async def test_an_event_that_is_missing(world: World) -> None:  # R4
    place, _ = find_event(world, WindowEvent, state="PENDING_SETTLEMENT")
    del world.records(world.topics.journal)[place]
    assert REPLAY in failed(await world.verify())


@pytest.mark.parametrize("field", ["position", "prefunded", "headroom"])
async def test_a_changed_position(world: World, field: str) -> None:  # R8, R11
    records = world.records(world.topics.positions)
    position = decode_position(records[-1].value or b"")
    changed = replace(position, **{field: "1.00" if position.asset == "HKD" else "1.000000"})
    world.replace(world.topics.positions, -1, value=encode(changed))
    assert {POSITIONS, REPLAY} <= failed(await world.verify())


async def test_a_compacted_topic_without_its_older_records_is_sound(world: World) -> None:
    """The broker may drop all but the last record of a key."""
    for topic in (world.topics.positions, world.topics.windows):
        last = {record.key: record for record in world.records(topic)}
        world.records(topic)[:] = sorted(last.values())
    assert (await world.verify()).ok


async def test_a_compacted_topic_that_lost_the_last_record_of_a_key(world: World) -> None:
    records = world.records(world.topics.windows)
    last = {record.key: record for record in records}
    records.remove(next(iter(last.values())))
    assert REPLAY in failed(await world.verify())


@pytest.mark.parametrize("field", ["chain", "records", "time_ms", "sequence"])
async def test_a_journal_that_says_something_else(world: World, field: str) -> None:  # R29
    records = world.records(world.topics.journal)
    place = next(i for i, r in enumerate(records) if r.key == TRANSACTION_KEY and i > 20)
    said = decode_transaction(records[place].value or b"")
    other: dict[str, Any] = {"chain": "00" * 32} if field == "chain" else {field: 99_999}
    world.replace(world.topics.journal, place, value=encode(replace(said, **other)))
    assert REPLAY in failed(await world.verify())


@pytest.mark.parametrize(
    "topic", ["outcomes", "settlements", "windows", "positions", "rejected", "journal"]
)
async def test_a_foreign_record_in_an_output_topic(world: World, topic: str) -> None:
    world.add(getattr(world.topics, topic), b"foreign", b"\xff\x00 what is this", START_MS)
    report = await world.verify()
    assert REPLAY in failed(report)
