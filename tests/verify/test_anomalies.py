"""The auditor can fail: every anomaly it answers for is forged once, and the claim that answers it fails.

As the documentation's table: anomaly, what was forged, and which claim has to notice, whatever others say.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import msgspec
import pytest
from aiokafka import TopicPartition

from clearing.core.outputs import SettlementBatch, WindowEvent
from clearing.core.reasons import Code
from clearing.log.records import (
    OUTCOMES_KEY,
    TRANSACTION_KEY,
    decode_event,
    decode_outcomes,
    decode_settlement,
    decode_transaction,
    encode_outcomes,
)
from clearing.messages import FinalRecord
from clearing.verify.anomalies import ANOMALIES, ANSWERS
from clearing.verify.report import Check
from clearing.verify.watch import LedgerWatch
from tests.verify.forge import (
    ABORTED,
    AGAIN,
    ARRIVED,
    AT_EVERY_READ,
    BALANCES,
    CHAIN,
    CONFIRMED,
    IDS,
    JOURNAL,
    LEDGER,
    LIMITS,
    MEMBERS,
    OFFSETS,
    OUTCOMES,
    REPLAY,
    SOURCES,
    STATUS_ORDER,
    WINDOWS,
    WRITER,
    ZERO,
    change_batch,
    change_event,
    change_outcome,
    change_status,
    check_of,
    encode,
    find_event,
    first,
    replace,
)
from tests.verify.world import START_MS, Record, World


def _lose_a_payment(world: World) -> None:
    topic = world.topics.payments("hk", "ALPHA")
    records = world.records(topic)
    hole = records[3].offset
    records[3:] = [record._replace(offset=record.offset + 1) for record in records[3:]]
    records.insert(3, records[2]._replace(offset=hole))


def _lose_an_outcome(world: World) -> None:
    records = world.records(world.topics.outcomes)
    del records[first(records, OUTCOMES_KEY)]


def _publish_one_more(world: World) -> None:
    topic = world.topics.payments("hk", "ALPHA")
    world.add(topic, None, world.records(topic)[0].value, START_MS)


def _stop_the_engine(world: World) -> None:
    last = world.records(world.topics.log)[-1]
    world.add(world.topics.log, last.key, last.value, last.timestamp)


def _accept_a_repeat(world: World) -> None:
    """As if the id had been forgotten: the repeat was taken as a payment of its own."""
    for place, record in enumerate(world.records(world.topics.outcomes)):
        if record.key == OUTCOMES_KEY and _take_repeat(world, place):
            return
    raise AssertionError("nothing was repeated")


def _take_repeat(world: World, place: int) -> bool:
    outcomes = decode_outcomes(world.records(world.topics.outcomes)[place].value or b"")
    taken = outcomes.repeat & (outcomes.codes == 0)
    if not taken.any():
        return False
    outcomes.repeat = outcomes.repeat & ~taken
    outcomes.windows = {"HKD": 1, "COIN": 1} | outcomes.windows
    value = encode_outcomes(world.netting_set, outcomes)
    world.replace(world.topics.outcomes, place, value=value)
    return True


def _post_twice(world: World) -> None:
    world.books.postings.append(world.books.postings[-1])


def _say_another_thing_again(world: World) -> None:
    topic = world.topics.status("ALPHA")
    again = msgspec.json.decode(world.records(topic)[-1].value or b"") | {"time_ms": 1}
    world.add(topic, b"hk", encode(again), START_MS)


def _other_bytes_for_the_second(world: World) -> None:
    partition = TopicPartition(world.topics.outcomes, 0)
    records = list(world.records(world.topics.outcomes))
    records[4] = records[4]._replace(value=(records[4].value or b"") + b" ")
    world.second[partition] = records


def _nothing_there_for_the_second(world: World) -> None:
    log = TopicPartition(world.topics.log, 0)
    world.second[log] = world.records(world.topics.log)[:-1]


def _change_a_source(world: World) -> None:
    topic = world.topics.payments("hk", "ALPHA")
    order = msgspec.json.decode(world.records(topic)[0].value or b"")
    world.replace(topic, 0, value=encode(order | {"amount": "77"}))


def _transactions(world: World) -> list[int]:
    journal = world.records(world.topics.journal)
    return [place for place, record in enumerate(journal) if record.key == TRANSACTION_KEY]


def _second_owner(world: World) -> None:
    """Another engine wrote the same transaction too."""
    place = _transactions(world)[2]
    journal = world.records(world.topics.journal)
    said = decode_transaction(journal[place].value or b"")
    journal.insert(place, journal[place]._replace(value=encode(replace(said, owner="other"))))


def _tear_the_last_transaction(world: World) -> None:
    places = _transactions(world)
    journal = world.records(world.topics.journal)
    last = max(place for place, record in enumerate(journal) if record.key != TRANSACTION_KEY)
    for place in reversed([place for place in places if place > last]):
        del journal[place]


def _lose_a_transaction(world: World) -> None:
    del world.records(world.topics.journal)[_transactions(world)[3]]


def _event_of_another_transaction(world: World) -> None:
    """What one transaction wrote stands before the end of the one before it."""
    journal = world.records(world.topics.journal)
    for place in _transactions(world)[:-1]:
        if journal[place + 1].key != TRANSACTION_KEY:
            one, other = journal[place], journal[place + 1]
            journal[place] = other._replace(offset=one.offset)
            journal[place + 1] = one._replace(offset=other.offset)
            return
    raise AssertionError("no transaction begins with an event")


def _aborted_batch(world: World) -> tuple[Record, SettlementBatch]:
    """A batch that a transaction took back, at an offset where only a marker is now."""
    topic = world.topics.settlements
    records = world.records(topic)
    known = {record.offset for record in records}
    message = next(
        batch
        for record in records
        if isinstance(batch := decode_settlement(record.value or b""), SettlementBatch)
        and batch.kind == "net"
    )
    taken_back = replace(message, id="a" * 32, hash="a" * 64)
    hole = next(n for n in range(world.ends[TopicPartition(topic, 0)]) if n not in known)
    record = Record(hole, START_MS, taken_back.id.encode(), encode(taken_back))
    world.aborted[TopicPartition(topic, 0)] = [record]
    return record, taken_back


def _tell_of_an_aborted_batch(world: World) -> None:
    _, batch = _aborted_batch(world)
    change_status(world, "ALPHA", FinalRecord, lambda final: replace(final, hash=batch.hash))


def _post_from_an_aborted_record(world: World) -> None:
    record, _ = _aborted_batch(world)
    world.books.postings[3].source_offset = record.offset


def _settle_before_the_answer(world: World) -> None:
    _, event = find_event(world, WindowEvent, state="SETTLED", asset="HKD")
    change_event(
        world,
        WindowEvent,
        {"state": "SETTLED", "asset": "HKD"},
        log_offset=event.log_offset - 1,
    )


def _confirm_what_is_not_there(world: World) -> None:
    del world.books.postings[2]


def _go_back(world: World) -> None:
    records = world.records(world.topics.log)
    records[4], records[5] = records[5], records[4]


def _swap(world: World, topic: str, wanted: Callable[[Record], bool]) -> None:
    records = world.records(topic)
    one, other = [place for place, record in enumerate(records) if wanted(record)][:2]
    first_, second = records[one], records[other]
    world.replace(topic, one, key=second.key, value=second.value)
    world.replace(topic, other, key=first_.key, value=first_.value)


def _swap_outcomes(world: World) -> None:
    _swap(world, world.topics.outcomes, lambda record: record.key == OUTCOMES_KEY)


def _swap_batches(world: World) -> None:
    _swap(
        world, world.topics.settlements, lambda record: b"settlement_batch" in (record.value or b"")
    )


def _skip_a_status(world: World) -> None:
    """What a bank is told second of a log record stands there, what it is told first does not."""
    topic = world.topics.status("ALPHA")
    said = msgspec.json.decode(world.records(topic)[2].value or b"")
    world.replace(topic, 2, value=encode(said | {"index": 1}))


def _create_money(world: World) -> None:
    account = next(iter(world.books.balances))
    world.books.balances[account] += 1


def _unbalance_a_batch(world: World) -> None:
    change_batch(
        world,
        lambda batch: replace(
            batch,
            entries=[replace(batch.entries[0], net="1.00"), *batch.entries[1:]],
        ),
    )


def _move_between_banks(world: World) -> None:
    change_batch(world, lambda batch: replace(batch, payments=batch.payments + 1))


def _write_from_outside(world: World) -> None:
    last = world.records(world.topics.settlements)[-1]
    world.add(world.topics.settlements, last.key, last.value, last.timestamp)


def _say_something_else(world: World) -> None:
    change_outcome(world, lambda codes: codes == _code("NET_DEBIT_CAP"), _code("LIQUIDITY"))


def _write_twice(world: World) -> None:
    """What a hanging transaction leaves if the next owner does not know of it."""
    records = world.records(world.topics.outcomes)
    place = first(records, OUTCOMES_KEY)
    world.add(world.topics.outcomes, records[place].key, records[place].value, START_MS)


def _overdraw(world: World) -> None:
    change_outcome(world, lambda codes: codes == _code("NET_DEBIT_CAP"), 0)


def _code(name: str) -> int:
    return Code[name]


class Forgery(NamedTuple):
    """An anomaly, how it was forged, and the claim that has to notice."""

    anomaly: str
    how: str
    forge: Callable[[World], None]
    claim: str


FORGERIES = (
    Forgery("lost-write", "a payment record has no row in the log", _lose_a_payment, SOURCES),
    Forgery("lost-write", "a record of outcomes is gone", _lose_an_outcome, OUTCOMES),
    Forgery("unseen", "a payment that nobody read", _publish_one_more, SOURCES),
    Forgery("unseen", "a log record behind the journal", _stop_the_engine, ARRIVED),
    Forgery("duplicate", "a repeat was taken as a new payment", _accept_a_repeat, IDS),
    Forgery("duplicate", "a batch is posted twice", _post_twice, LEDGER),
    Forgery(
        "duplicate", "a status twice, with another text", _say_another_thing_again, STATUS_ORDER
    ),
    Forgery(
        "inconsistent-offsets",
        "a second reader gets other bytes",
        _other_bytes_for_the_second,
        AGAIN,
    ),
    Forgery("inconsistent-offsets", "the log has another amount", _change_a_source, SOURCES),
    Forgery("G0", "two owners wrote a transaction each", _second_owner, JOURNAL),
    Forgery("G1a", "banks are told of an aborted batch", _tell_of_an_aborted_batch, ABORTED),
    Forgery("G1a", "the sink read an aborted record", _post_from_an_aborted_record, LEDGER),
    Forgery("G1b", "events without their transaction", _tear_the_last_transaction, JOURNAL),
    Forgery("G1c", "a window is settled before the answer", _settle_before_the_answer, WINDOWS),
    Forgery(
        "precommitted-read", "confirmed, and not committed", _confirm_what_is_not_there, CONFIRMED
    ),
    Forgery("poll-skip", "a second reader is given less", _nothing_there_for_the_second, AGAIN),
    Forgery("nonmonotonic-poll", "the log is read in another order", _go_back, OFFSETS),
    Forgery("int-poll-skip", "rows without an outcome", _lose_an_outcome, OUTCOMES),
    Forgery("int-nonmonotonic-poll", "outcomes of two records swapped", _swap_outcomes, REPLAY),
    Forgery("nonmonotonic-send", "two batches swapped", _swap_batches, CHAIN),
    Forgery("int-send-skip", "a transaction is missing", _lose_a_transaction, JOURNAL),
    Forgery("int-send-skip", "a status is missing before another", _skip_a_status, STATUS_ORDER),
    Forgery(
        "int-nonmonotonic-send", "an event before its place", _event_of_another_transaction, JOURNAL
    ),
    Forgery("bank", "a balance is one unit more", _create_money, BALANCES),
    Forgery("bank", "a batch does not sum to zero", _unbalance_a_batch, ZERO),
    Forgery("X-foreign-writer", "a batch again, by somebody else", _write_from_outside, CHAIN),
    Forgery("X-foreign-writer", "an outcome that no replay makes", _say_something_else, WRITER),
    Forgery("duplicate", "outcomes of one log record stand there twice", _write_twice, WRITER),
    Forgery("X-wrong-value", "a batch counts one payment more", _move_between_banks, MEMBERS),
    Forgery("X-rule", "accepted beyond its cap", _overdraw, LIMITS),
)


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda f: f"{f.anomaly}: {f.how}")
async def test_a_forged_history_is_noticed(world: World, forgery: Forgery) -> None:
    forgery.forge(world)
    report = await world.verify()
    check = check_of(report, forgery.claim)
    assert check.verdict != "ok", check
    assert forgery.anomaly in check.anomalies
    assert not report.ok


def test_every_anomaly_is_forged() -> None:
    assert {forgery.anomaly for forgery in FORGERIES} == {anomaly.name for anomaly in ANOMALIES}


async def test_every_claim_answers_for_something(day: World) -> None:
    """And the table names no claim that is not made."""
    report = await deepcopy(day).verify()
    known = {anomaly.name for anomaly in ANOMALIES}
    made = {check.name: set(check.anomalies) for check in report.checks}
    assert made.keys() | {AT_EVERY_READ} == ANSWERS.keys()
    assert all(made.values())
    assert set().union(*made.values()) <= known


def test_a_ledger_that_does_not_sum_to_zero_once() -> None:  # R1
    def watched(*totals: int) -> Check:
        watch = LedgerWatch("")
        for sequence, total in enumerate(totals):
            watch.reads += 1
            watch.take_total("hk", "postgres", "HKD", total)
            watch.take_progress("hk", "postgres", sequence, 1)
        return watch.check()

    assert watched(0, 0, 0).verdict == "ok"
    assert "3 reads, between which 2 batches" in watched(0, 0, 0).compared
    assert watched(0, -5, 0).verdict == "FAILED"


@pytest.mark.parametrize(("sequence", "epoch"), [(4, 2), (5, 1)])
def test_a_ledger_that_goes_back(sequence: int, epoch: int) -> None:  # R31
    watch = LedgerWatch("")
    watch.take_progress("hk", "postgres", 5, 2)
    watch.take_progress("hk", "postgres", sequence, epoch)
    assert watch.check().verdict == "FAILED"


async def test_aborted_records_are_counted_and_harm_nobody(world: World) -> None:
    """What is written again after an abort is the same; what is not was used by nobody."""
    _aborted_batch(world)
    report = await world.verify()
    check = check_of(report, ABORTED)
    assert report.ok
    assert "1 aborted records" in check.compared
    assert "1 batches, 1 of which were not written again" in check.compared


def test_events_are_found_by_their_fields(day: World) -> None:
    """The forger's own tools: what is changed is what was meant."""
    world = deepcopy(day)
    place, event = find_event(world, WindowEvent, state="OPEN")
    value = world.records(world.topics.journal)[place].value or b""
    assert decode_event(value) == event
