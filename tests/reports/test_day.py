"""The report of a day against a count by hand, over every example and a random day; and its edges."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from msgspec.structs import replace as changed

from clearing.reports import Day, DayReport, of_participant
from clearing.reports.model import AccountDay
from tests.reports.conftest import Report
from tests.reports.oracle import Counted, count
from tests.verify.conftest import EXAMPLES
from tests.verify.world import World, build

NAMES = sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir())
NUMBERS = ("refused", "unreadable", "repeated", "instructions")
SUMS = (
    "sent", "received", "taken_out_sent", "taken_out_received", "queued", "released", "ended", "waiting",
)  # fmt: skip


def check(report: DayReport, counted: Counted) -> None:
    """Every number of the report is the one counted by hand, and none is missing."""
    assert report.limits == []
    accounts = {(row.participant, row.asset): row for row in report.accounts}
    wanted = {key[:2] for key in counted.numbers if counted.numbers[key]}
    assert wanted <= accounts.keys()
    for key, row in accounts.items():
        _check_account(row, counted, *key)
    reasons = {
        (row.participant, row.asset, row.kind, row.reason): sum(
            other.payments
            for other in report.reasons
            if (other.participant, other.asset, other.kind, other.reason)
            == (row.participant, row.asset, row.kind, row.reason)
        )
        for row in report.reasons
    }
    assert reasons == dict(counted.reasons)
    nets = {(row.participant, row.asset, row.window): Decimal(row.net) for row in report.nets}
    assert nets == counted.nets
    windows = {(row.asset, row.window): row.finality_ms for row in report.windows}
    assert windows == counted.finality_ms


def _check_account(row: AccountDay, counted: Counted, participant: str, asset: str) -> None:
    for name in NUMBERS:
        assert getattr(row, name) == counted.numbers[participant, asset, name], (row, name)
    for name in SUMS:
        assert getattr(row, name) == counted.numbers[participant, asset, name], (row, name)
        value = getattr(row, f"{name}_value")
        assert Decimal(value or 0) == counted.values[participant, asset, name], (row, name)
    assert row.longest_wait_ms == counted.longest_ms.get((participant, asset)), row


@pytest.mark.parametrize("name", NAMES)
async def test_an_example_is_what_is_counted_by_hand(
    example: Callable[[str], World], report: Report, name: str
) -> None:
    world = example(name)
    found = await report(world)
    check(found, count(world, _whole(world)))
    assert found.windows


@pytest.mark.parametrize("name", ["day", *NAMES])
async def test_a_day_begins_and_ends_anywhere(
    example: Callable[[str], World], report: Report, name: str
) -> None:
    """What waits at midnight, windows that become final on the next day, a transaction over midnight."""
    world = build(3) if name == "day" else example(name)
    whole = _whole(world)
    times = sorted({record.timestamp for record in world.records(world.topics.log)})
    for midnight_ms in {times[len(times) // 3], times[2 * len(times) // 3], times[-1]}:
        for day in (
            Day(whole.date, "UTC", whole.from_ms, midnight_ms),
            Day(whole.date, "UTC", midnight_ms, whole.to_ms),
        ):
            check(await report(world, day), count(world, day))


async def test_two_halves_are_the_whole(world: World, report: Report) -> None:
    whole = _whole(world)
    times = sorted({record.timestamp for record in world.records(world.topics.log)})
    middle_ms = times[len(times) // 2]
    halves = [
        await report(world, Day(whole.date, "UTC", *bounds))
        for bounds in ((whole.from_ms, middle_ms), (middle_ms, whole.to_ms))
    ]
    total = await report(world)
    assert [half.is_complete for half in halves] == [True, False]
    for name in ("accepted", "refused", "windows", "batches"):
        split = sum(getattr(row, name) for half in halves for row in half.assets)
        assert split == sum(getattr(row, name) for row in total.assets) > 0, name
    for name in ("accepted_value", "gross", "net"):
        split = sum(Decimal(getattr(row, name)) for half in halves for row in half.assets)
        assert split == sum(Decimal(getattr(row, name)) for row in total.assets) > 0, name


async def test_a_random_day(world: World, report: Report) -> None:
    """Refused, unreadable, repeated, read twice, in bulks; names nobody registered are no asset's."""
    found = await report(world)
    check(found, count(world, _whole(world)))
    assert {row.asset for row in found.assets} == {"COIN", "HKD"}
    assert {row.asset for row in found.accounts} == {"", "COIN", "HKD"}
    unknown = [row for row in found.reasons if row.reason == "AM03"]
    assert [(row.participant, row.asset, row.value) for row in unknown] == [("CHARLIE", "", None)]
    unread = [row for row in found.exceptions if row.kind == "unreadable"]
    banks = {row.participant for row in unread}
    assert banks == {"ALPHA", "BRAVO", "CHARLIE", ""}, "the last: commands"
    assert sum(row.times for row in unread if row.participant) == sum(
        row.unreadable for row in found.accounts
    )
    for row in found.assets:
        nets = [Decimal(net.net) for net in found.nets if net.asset == row.asset]
        assert sum(nets) == 0  # R1
        assert row.windows_final <= row.windows


async def test_a_participant_is_told_nothing_of_others(world: World, report: Report) -> None:
    whole = await report(world)
    found = of_participant(whole, "ALPHA")
    assert found.accounts
    assert found.nets
    assert found.windows
    assert {row.participant for row in (*found.accounts, *found.nets, *found.reasons)} == {"ALPHA"}
    assert found.assets == found.batches == []
    assert {(row.payments, row.gross) for row in found.windows} == {(None, None)}
    assert {row.participant for row in found.exceptions} <= {"ALPHA", ""}
    assert of_participant(whole, "NOBODY") == changed(
        whole,
        participant="NOBODY",
        **{key: [] for key in ("assets", "accounts", "reasons", "windows", "batches", "nets")},
        exceptions=[],
    )


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("recast", ["aborted", "recast", "sent_again"]),
        ("waterfall", ["aborted", "sent_again", "shortfall"]),
    ],
)
async def test_exceptions_are_told(
    example: Callable[[str], World], report: Report, name: str, kinds: list[str]
) -> None:
    found = await report(example(name))
    assert sorted({row.kind for row in found.exceptions}) == kinds
    lost = of_participant(found, "BRAVO")
    assert all("lacks" not in row.text for row in lost.exceptions if row.participant != "BRAVO")


async def test_what_cannot_be_known_is_said_and_is_not_zero(world: World, report: Report) -> None:
    """The first records of the log are gone: nobody can say what waited."""
    world.aged.add(world.topics.log)
    partition = next(at for at in world.partitions if at.topic == world.topics.log)
    midnight_ms = world.records(world.topics.log)[4].timestamp
    del world.partitions[partition][:2]
    whole = _whole(world)
    found = await report(world, Day(whole.date, "UTC", midnight_ms, whole.to_ms))
    assert [(row.waiting, row.waiting_value) for row in found.assets] == [(None, None)] * 2
    assert "what waited at the end of the day is not known" in found.limits[0]


async def test_an_empty_day(world: World, report: Report) -> None:
    whole = _whole(world)
    later = Day(whole.date, "UTC", whole.to_ms, whole.to_ms + 1)
    found = await report(world, later)
    assert not found.is_complete
    assert (found.accounts, found.windows, found.exceptions) == ([], [], [])


def _whole(world: World) -> Day:
    return Day.at(world.records(world.topics.log)[0].timestamp)
