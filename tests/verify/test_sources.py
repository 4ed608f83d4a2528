"""Verification: the sources and the log (R30, F14), and what is behind or older than topics keep."""

import msgspec
import pyarrow as pa
import pytest

from clearing.log import payments
from clearing.log.records import TRANSACTION_KEY, decode_transaction
from tests.verify.forge import OUTCOMES, REJECTED, REPLAY, SOURCES, STATUSES, encode, failed, first
from tests.verify.world import START_MS, Record, World


async def test_a_payment_nobody_read_is_missing_from_the_log(world: World) -> None:  # R30
    """A record that stands before the place the log has covered, and has no row."""
    topic = world.topics.payments("hk", "ALPHA")
    records = world.records(topic)
    hole = records[3].offset
    records[3:] = [record._replace(offset=record.offset + 1) for record in records[3:]]
    records.insert(3, records[2]._replace(offset=hole))
    assert SOURCES in failed(await world.verify())


async def test_a_row_without_a_record_is_found(world: World) -> None:  # R30
    del world.records(world.topics.payments("hk", "BRAVO"))[4]
    assert SOURCES in failed(await world.verify())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", "77"),
        ("creditor", "NOBODY"),
        ("asset", "GOLD"),
        ("debtor", "BRAVO"),
        ("id", "11111111-2222-4333-8444-555555555555"),
        ("end_to_end_id", "FORGED"),
        ("value_date", "2026-01-07"),
        ("priority", "HIGH"),
        ("expires_at", "2027-01-01T00:00:00Z"),
        ("window", 9),
    ],
)
async def test_a_row_that_says_something_else_than_its_record(
    world: World, field: str, value: object
) -> None:  # R30
    topic = world.topics.payments("hk", "ALPHA")
    order = msgspec.json.decode(world.records(topic)[0].value or b"")
    world.replace(topic, 0, value=encode(order | {field: value}))
    assert SOURCES in failed(await world.verify())


async def test_the_hash_of_what_was_rejected_is_that_of_its_record(world: World) -> None:  # R30
    topic = world.topics.payments("hk", "CHARLIE")
    place = next(i for i, r in enumerate(world.records(topic)) if r.value == b"not json")
    world.replace(topic, place, value=b"not json either")
    assert SOURCES in failed(await world.verify())


async def test_a_command_that_is_not_in_the_log(world: World) -> None:  # R30
    topic = world.topics.commands
    place = next(i for i, r in enumerate(world.records(topic)) if b"close-0" in (r.value or b""))
    changed = (world.records(topic)[place].value or b"").replace(b"close-0", b"close-9")
    world.replace(topic, place, value=changed)
    assert SOURCES in failed(await world.verify())


async def test_what_was_published_since_is_behind_not_wrong(world: World) -> None:
    topic = world.topics.payments("hk", "ALPHA")
    world.add(topic, None, world.records(topic)[0].value, START_MS)
    report = await world.verify()
    assert not report.failed
    assert not report.ok
    sources = next(check for check in report.checks if check.name == SOURCES)
    assert sources.verdict == "behind"
    assert sources.pending == [f"1 records of {topic} are not in the log yet"]


async def test_a_log_record_that_is_not_processed_yet_is_behind(world: World) -> None:
    """The engine's outputs of the last transaction are taken away: the log is ahead of the journal."""
    last = _cut_last_transaction(world)
    report = await world.verify(ledger=False)
    assert not report.ok
    processed = next(c for c in report.checks if c.name == "the engine has processed the log")
    assert processed.verdict == "behind"
    assert str(last) in processed.pending[0]
    assert REPLAY not in failed(report)


async def test_a_log_record_that_was_lost(world: World) -> None:  # F14
    del world.records(world.topics.log)[20]
    broken = failed(await world.verify())
    assert {SOURCES, REPLAY} <= broken


async def test_the_first_records_of_the_log_are_lost(world: World) -> None:  # F14
    del world.records(world.topics.log)[:2]
    world.aged.add(world.topics.log)
    report = await world.verify()
    replay = next(check for check in report.checks if check.name == REPLAY)
    assert "begins at offset 2" in replay.differences[0]


async def test_the_tail_of_the_log_is_lost(world: World) -> None:  # F14
    del world.records(world.topics.log)[-1]
    report = await world.verify()
    replay = next(check for check in report.checks if check.name == REPLAY)
    assert any("tail is lost" in difference for difference in replay.differences)


async def test_a_row_dropped_from_a_log_record(world: World) -> None:  # R30
    """Intake packed one payment less than it acknowledged."""
    place = first(world.records(world.topics.log), payments.KEY)
    opened = payments.open_batch(world.records(world.topics.log)[place].value or b"")
    world.replace(world.topics.log, place, value=_without_row(opened, 1))
    broken = failed(await world.verify())
    assert {SOURCES, OUTCOMES, REPLAY} <= broken


async def test_what_is_older_than_its_topic_keeps_is_believed(world: World) -> None:
    """Payments, status and rejected topics keep their records for a time; the log keeps everything."""
    for topic, records in (
        (world.topics.payments("hk", "ALPHA"), 25),
        (world.topics.payments("hk", "CHARLIE"), 60),
        (world.topics.status("ALPHA"), 4),
        (world.topics.status("BRAVO"), 3),
        (world.topics.rejected, 5),
        (world.topics.confirmations, 2),
    ):
        assert len(world.records(topic)) > records or topic == world.topics.payments(
            "hk", "CHARLIE"
        )
        del world.records(topic)[:records]
        world.aged.add(topic)
    report = await world.verify()
    assert [(c.name, c.differences, c.pending) for c in report.checks if c.verdict != "ok"] == []
    sources = next(check for check in report.checks if check.name == SOURCES)
    assert "rows are older than their topics keep" in sources.compared


async def test_what_is_kept_of_an_aged_topic_is_still_compared(world: World) -> None:
    for topic in (world.topics.status("ALPHA"), world.topics.rejected):
        del world.records(topic)[:2]
        del world.records(topic)[2]
        world.aged.add(topic)
    assert {STATUSES, REJECTED, REPLAY} <= failed(await world.verify())


# helpers


def _without_row(opened: payments.OpenedBatch, row: int) -> bytes:
    """The log record without one of its rows."""
    keep = pa.array([i != row for i in range(len(opened))])
    batch = opened.batch.filter(keep)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _cut_last_transaction(world: World) -> int:
    """Take away what the engine's last transaction wrote; how many log records it was about."""
    topics = world.topics
    journal = world.records(topics.journal)
    ends = [i for i, record in enumerate(journal) if record.key == TRANSACTION_KEY]
    before = decode_transaction(journal[ends[-2]].value or b"")
    after = decode_transaction(journal[ends[-1]].value or b"")
    del journal[ends[-2] + 1 :]
    for topic in (
        topics.outcomes,
        topics.settlements,
        topics.rejected,
        topics.positions,
        topics.windows,
    ):
        records = world.records(topic)
        records[:] = [r for r in records if _log_offset(world, topic, r) < before.next_offset]
    return after.next_offset - before.next_offset


def _log_offset(world: World, topic: str, record: Record) -> int:
    """Log offset a record was caused by, by its time stamp: each log record has its own."""
    return next(
        r.offset for r in world.records(world.topics.log) if r.timestamp == record.timestamp
    )
