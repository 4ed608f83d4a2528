"""Verification says yes to a sound day, and no to every way of changing one, naming the claim that broke."""

from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from clearing.core.batches import batch_hash
from clearing.core.outputs import Entry, SettlementBatch, WindowEvent
from clearing.log import payments
from clearing.log.records import (
    OUTCOMES_KEY,
    TRANSACTION_KEY,
    decode_event,
    decode_outcomes,
    decode_position,
    decode_settlement,
    decode_transaction,
    encode_outcomes,
)
from clearing.messages import FinalRecord, StatusRecord
from clearing.verify.report import Report
from clearing.verify.statuses import decode_status
from tests.verify.world import START_MS, Record, World, build

encode = msgspec.json.encode
replace = msgspec.structs.replace

SOURCES = "every record of the sources is in the log once"
OUTCOMES = "every row of the log has one outcome"
FLOWS = "in = accepted + refused + rejected + repeated"
IDS = "no id counts twice"
REJECTED = "what could not be read is kept"
ZERO = "every batch sums to zero"
MEMBERS = "batches are the sum of their payments"
FUNDING = "funding is what was commanded"
CHAIN = "batches are chained"
WINDOWS = "windows settle once, on their ledger's word"
POSITIONS = "positions are what is unsettled"
REPLAY = "replay gives the same bytes"
LEDGER = "the ledger equals the batches"
BALANCES = "balances are the sum of their entries"
STATUSES = "banks were told the truth"


@pytest.fixture(scope="module")
def day() -> World:
    return build()


@pytest.fixture
def world(day: World) -> World:
    """The same day for every test, each with its own copy to change."""
    return deepcopy(day)


def failed(report: Report) -> set[str]:
    return {check.name for check in report.checks if check.verdict == "FAILED"}


async def test_a_sound_day_holds(world: World) -> None:
    """Every claim is ok, and every kind of outcome was there to be compared."""
    report = await world.verify()
    assert [(c.name, c.differences, c.pending) for c in report.checks if c.verdict != "ok"] == []
    assert report.ok
    assert len(report.checks) == 16
    totals = {
        name: sum(getattr(flow, name) for flow in report.flows)
        for name in ("entered", "accepted", "refused", "rejected", "repeated")
    }
    assert min(totals.values()) > 0
    assert totals["entered"] == sum(totals.values()) - totals["entered"]
    assert sum(check.compared.count(",") >= 0 for check in report.checks) == 16
    assert report.batches == 10


async def test_without_a_ledger_the_topics_are_verified(world: World) -> None:
    report = await world.verify(ledger=False)
    assert report.ok
    assert LEDGER not in {check.name for check in report.checks}


# the sources and the log (R30, F14)


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
    place = _first(world.records(world.topics.log), payments.KEY)
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


# Outcomes.


async def test_outcomes_of_a_log_record_are_missing(world: World) -> None:  # R30
    place = _first(world.records(world.topics.outcomes), OUTCOMES_KEY)
    del world.records(world.topics.outcomes)[place]
    broken = failed(await world.verify())
    assert {OUTCOMES, FLOWS, MEMBERS, REPLAY} <= broken


async def test_outcomes_that_stand_there_twice(world: World) -> None:
    records = world.records(world.topics.outcomes)
    place = _first(records, OUTCOMES_KEY)
    world.add(world.topics.outcomes, records[place].key, records[place].value, START_MS)
    assert {OUTCOMES, REPLAY} <= failed(await world.verify())


async def test_an_accepted_payment_turned_into_a_refusal(world: World) -> None:  # R2
    _change_outcome(world, lambda codes: codes == 0, 58)
    assert {MEMBERS, STATUSES, REPLAY} <= failed(await world.verify())


async def test_a_refused_payment_that_was_accepted(world: World) -> None:  # R2, R28
    _change_outcome(world, lambda codes: codes == 41, 0)
    assert {IDS, MEMBERS, REPLAY} <= failed(await world.verify())


async def test_a_new_row_dropped_as_read_before(world: World) -> None:  # R30
    _change_outcome(world, lambda codes: codes == 0, 2)
    assert {OUTCOMES, FLOWS, MEMBERS} <= failed(await world.verify())


async def test_a_row_read_twice_that_counted_twice(world: World) -> None:  # R28
    _change_outcome(world, lambda codes: codes == 2, 0)
    assert {OUTCOMES, REPLAY} <= failed(await world.verify())


async def test_a_payment_in_another_window_than_its_batch(world: World) -> None:  # R2: torn window
    records = world.records(world.topics.outcomes)
    place = _first(records, OUTCOMES_KEY)
    outcomes = decode_outcomes(records[place].value or b"")
    outcomes.windows["HKD"] += 1
    world.replace(world.topics.outcomes, place, value=encode_outcomes("hk", outcomes))
    assert {MEMBERS, REPLAY} <= failed(await world.verify())


async def test_a_rejected_record_is_missing(world: World) -> None:  # R30
    del world.records(world.topics.rejected)[0]
    assert {REJECTED, REPLAY} <= failed(await world.verify())


# Batches: zero sums, members, chain.


def _change_batch(
    world: World, change: Callable[[SettlementBatch], SettlementBatch], kind: str = "net"
) -> None:
    """Change the first batch of a kind and give it the hash of its new content: a careful forger."""
    records = world.records(world.topics.settlements)
    for place, record in enumerate(records):
        message = decode_settlement(record.value or b"")
        if isinstance(message, SettlementBatch) and message.kind == kind:
            changed = change(message)
            changed = replace(changed, hash=batch_hash(changed))
            world.replace(world.topics.settlements, place, value=encode(changed))
            return
    raise AssertionError(f"no {kind} batch")


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
    _change_batch(world, lambda batch: _moved(batch, 1))
    broken = failed(await world.verify())
    assert {MEMBERS, CHAIN, LEDGER, REPLAY} <= broken
    assert ZERO not in broken


async def test_a_batch_that_does_not_sum_to_zero(world: World) -> None:  # R1
    _change_batch(
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
    _change_batch(world, lambda batch: replace(batch, **change))
    assert {MEMBERS, CHAIN} <= failed(await world.verify())


async def test_a_batch_with_another_id(world: World) -> None:  # R7
    _change_batch(world, lambda batch: replace(batch, id="f" * 32))
    assert {CHAIN, WINDOWS, LEDGER} <= failed(await world.verify())


async def test_a_doubled_batch(world: World) -> None:  # R7
    record = world.records(world.topics.settlements)[-1]
    world.add(world.topics.settlements, record.key, record.value, START_MS)
    assert {CHAIN, REPLAY} <= failed(await world.verify())


async def test_a_lost_batch(world: World) -> None:  # R2, R7
    del world.records(world.topics.settlements)[-1]
    assert {MEMBERS, WINDOWS, LEDGER, REPLAY} <= failed(await world.verify())


async def test_funding_nobody_commanded(world: World) -> None:
    _change_batch(world, lambda batch: _moved(batch, 100), "funding")
    assert {FUNDING, CHAIN, POSITIONS} <= failed(await world.verify())


# Windows, positions, journal.


async def test_a_window_settled_twice(world: World) -> None:  # R4
    place, event = _event(world, "SETTLED")
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
    place, _ = _event(world, "PENDING_SETTLEMENT")
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


# the ledger (R1, R2, R23)


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
    entries[next(iter(entries))] += by
    assert LEDGER in failed(await world.verify())


async def test_a_balance_that_is_not_the_sum_of_its_entries(world: World) -> None:  # R1
    account = next(iter(world.books.balances))
    world.books.balances[account] += 1
    assert BALANCES in failed(await world.verify())


async def test_an_entry_that_does_not_continue_its_balance(world: World) -> None:  # R1
    account, amount, balance = world.books.running[3]
    world.books.running[3] = (account, amount, balance + 1)
    assert BALANCES in failed(await world.verify())


# what the banks were told (R23, R41)


def _change_status(world: World, change: Callable[[Any], Any], kind: type) -> None:
    topic = world.topics.status("ALPHA")
    for place, record in enumerate(world.records(topic)):
        message = decode_status(record.value or b"")
        if isinstance(message, kind):
            world.replace(topic, place, value=encode(change(message)))
            return
    raise AssertionError(f"no {kind}")


async def test_a_status_that_was_not_told(world: World) -> None:  # R41
    _change_status(world, lambda m: replace(m, statuses=m.statuses[1:]), StatusRecord)
    assert failed(await world.verify()) == {STATUSES}


async def test_a_receipt_that_was_not_told(world: World) -> None:  # R41
    _change_status(world, lambda m: replace(m, receipts=m.receipts[1:]), StatusRecord)
    assert failed(await world.verify()) == {STATUSES}


async def test_a_status_told_with_another_amount(world: World) -> None:  # R41
    def change(message: StatusRecord) -> StatusRecord:
        place = next(i for i, s in enumerate(message.statuses) if s.status == "ACSP")
        statuses = list(message.statuses)
        statuses[place] = replace(statuses[place], amount="123")
        return replace(message, statuses=statuses)

    _change_status(world, change, StatusRecord)
    assert failed(await world.verify()) == {STATUSES}


async def test_a_final_notice_of_another_batch(world: World) -> None:  # R23
    _change_status(world, lambda m: replace(m, hash="00" * 32), FinalRecord)
    assert failed(await world.verify()) == {STATUSES}


async def test_a_status_told_twice_is_dropped_by_its_place(world: World) -> None:
    """Dispatch is at least once: the sequence tells a reader what it has seen."""
    topic = world.topics.status("ALPHA")
    last = world.records(topic)[-1]
    world.add(topic, last.key, last.value, START_MS)
    report = await world.verify()
    assert report.ok
    statuses = next(check for check in report.checks if check.name == STATUSES)
    assert "1 records stood there twice" in statuses.compared


async def test_a_bank_that_was_not_told_the_end_is_behind(world: World) -> None:
    world.records(world.topics.status("BRAVO")).pop()
    report = await world.verify()
    statuses = next(check for check in report.checks if check.name == STATUSES)
    assert statuses.verdict == "behind"
    assert statuses.pending == ["dispatch is behind for 1 of 3 banks"]


async def test_a_bank_without_a_status_topic(world: World) -> None:
    for partitions in (world.partitions, world.ends):
        for partition in list(partitions):
            if partition.topic == world.topics.status("BRAVO"):
                del partitions[partition]
    assert failed(await world.verify()) == {STATUSES}


# helpers


def _first(records: list[Record], key: bytes) -> int:
    return next(place for place, record in enumerate(records) if record.key == key)


def _event(world: World, state: str) -> tuple[int, WindowEvent]:
    for place, record in enumerate(world.records(world.topics.journal)):
        if record.key != TRANSACTION_KEY:
            event = decode_event(record.value or b"")
            if isinstance(event, WindowEvent) and event.state == state and event.batch:
                return place, event
    raise AssertionError(f"no window became {state}")


def _change_outcome(world: World, which: Callable[[np.ndarray], np.ndarray], code: int) -> None:
    """Give the first row of a kind another outcome."""
    records = world.records(world.topics.outcomes)
    for place, record in enumerate(records):
        if record.key == OUTCOMES_KEY:
            outcomes = decode_outcomes(record.value or b"")
            rows = np.flatnonzero(which(outcomes.codes) & ~outcomes.repeat)
            if len(rows):
                codes = outcomes.codes.copy()
                codes[rows[0]] = code
                outcomes.codes = codes
                world.replace(world.topics.outcomes, place, value=encode_outcomes("hk", outcomes))
                return
    raise AssertionError("no such row")


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
