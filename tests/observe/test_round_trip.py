"""The probe: what it sends is sound and moves nothing; what comes back is matched by where it was published."""

import msgspec

from clearing.core.inputs import Kind
from clearing.intake.fields import Row
from clearing.intake.instructions import check
from clearing.messages import PriorityChange
from clearing.names import PARTICIPANT, PROBE, Topics
from clearing.observe.round_trip import LOST_AFTER_S, MESSAGE, Flights

EAST, WEST = (Topics().payments(name, PROBE) for name in ("east", "west"))
LOST_MS = int(LOST_AFTER_S * 1000) + 1


def test_it_is_an_instruction_without_an_amount() -> None:
    document = msgspec.json.decode(msgspec.json.encode(MESSAGE))
    row = check(document)
    assert isinstance(row, Row)
    assert (row.kind, row.amount, row.asset) == (Kind.PRIORITY, 0, "")
    assert row.debtor == PROBE
    assert PARTICIPANT.fullmatch(PROBE)  # it has topics like anybody
    assert msgspec.convert(document, PriorityChange) == MESSAGE


def test_there_and_back() -> None:
    flights = Flights()
    assert flights.latest is None
    flights.sent(EAST, 7, 1_000)
    assert flights.latest is None  # nothing is known yet, which is no zero
    flights.seen(EAST, 7, 1_042)
    assert flights.latest is not None
    assert (flights.latest.sent_at_ms, flights.latest.seen_at_ms) == (1_000, 1_042)
    assert (flights.latest.round_trip_ms, flights.latest.lost) == (42, 0)


def test_the_slowest_netting_set_is_told() -> None:
    flights = Flights()
    for topic, took in ((EAST, 42), (WEST, 900)):
        flights.sent(topic, 1, 1_000)
        flights.seen(topic, 1, 1_000 + took)
    assert flights.latest is not None
    assert flights.latest.round_trip_ms == 900


def test_one_that_does_not_come_back_is_lost() -> None:
    flights = Flights()
    flights.sent(EAST, 1, 0)
    flights.seen(EAST, 1, 10)
    flights.sent(EAST, 2, 1_000)
    flights.expire(1_000 + LOST_MS - 1)
    assert flights.latest is not None
    assert flights.latest.lost == 0
    flights.expire(1_000 + LOST_MS)
    lost = flights.latest
    assert lost is not None
    assert (lost.sent_at_ms, lost.seen_at_ms, lost.round_trip_ms, lost.lost) == (
        1_000,
        None,
        None,
        1,
    )
    flights.seen(EAST, 2, 99_000)  # too late
    flights.sent(EAST, 3, 100_000)
    flights.seen(EAST, 3, 100_005)
    assert flights.latest is not None
    assert (flights.latest.round_trip_ms, flights.latest.lost) == (5, 1)


def test_what_others_sent_says_nothing() -> None:
    flights = Flights()
    flights.sent(EAST, 1, 0)
    flights.seen(EAST, 9, 10)
    flights.seen(WEST, 1, 10)
    assert flights.latest is None
