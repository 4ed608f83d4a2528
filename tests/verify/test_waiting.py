"""Verification: what waits ends once and counts once, is told, and stays within limits (R8-R12, R17, R28, R30)."""

from collections.abc import Callable
from typing import Any

import pytest

from clearing.core.commands import ReleaseQueued, SetReservation, SetValuation
from clearing.core.outputs import LinkedLeg, Resolution
from clearing.core.reasons import Code
from clearing.log.records import RESOLUTION_KEY, decode_position
from clearing.messages import StatusRecord
from clearing.verify.limits import check_limits
from clearing.verify.waiting import check_resolutions
from tests.verify.forge import (
    FLOWS,
    IDS,
    INSTRUCTIONS,
    LIMITS,
    MEMBERS,
    OUTCOMES,
    POSITIONS,
    RESOLUTIONS,
    STATUSES,
    change_outcome,
    change_resolution,
    change_status,
    encode,
    failed,
    first,
    replace,
    said,
)
from tests.verify.world import START_MS, World

Example = Callable[[str], World]
RELEASE: dict[str, Any] = {"code": Code.ACCEPTED, "how": "SINGLE"}
LEG = LinkedLeg(id="00000000-0000-4000-8000-000000000009", terms="0" * 32, leg=0, legs=2)


async def test_a_release_that_nobody_told_of(example: Example) -> None:  # R17, R30
    world = example("queue")
    change_resolution(world, RELEASE, lambda _: [])
    assert {MEMBERS, POSITIONS, STATUSES} <= failed(await world.verify())


async def test_a_release_that_stands_there_twice(example: Example) -> None:  # R30
    world = example("queue")
    change_resolution(world, RELEASE, lambda item: [item, item])
    broken = failed(await world.verify())
    assert {RESOLUTIONS, FLOWS, MEMBERS} <= broken


async def test_resolutions_lost_as_a_record(example: Example) -> None:
    world = example("gridlock")
    records = world.records(world.topics.outcomes)
    del records[first(records, RESOLUTION_KEY)]
    assert {MEMBERS, STATUSES} <= failed(await world.verify())


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"amount": "3.00"}, "do not add up to what waited"),
        ({"amount": "x"}, "no decimal"),
        ({"amount": "1.00", "remaining": "1.00"}, "partly released with no rest"),
        ({"row": 0, "log_offset": 10}, "with another id than their row"),
        ({"row": 99}, "of no row of the log"),
        ({"debtor": "CHARLIE"}, "with another debtor"),
        ({"creditor": "CHARLIE"}, "with another creditor"),
        ({"asset": "GOLD"}, "with another asset"),
        ({"kind": 2}, "with another kind or source"),
        ({"source": ("payments.main.ALPHA", 0, 77, -1)}, "with another kind or source"),
        ({"return_of": "00000000-0000-4000-8000-000000000009"}, "return another original"),
        ({"amount_sent": "5.00"}, "tell another amount than was sent"),
        ({"link": LEG}, "of another leg or link"),
        ({"how": ""}, "released in no way"),
        ({"how": "CHANCE"}, "in a way that is unknown"),
        ({"window": 0}, "released into no window"),
        ({"code": Code.DONE, "window": 0, "how": ""}, "with a code that ends nothing"),
    ],
)
async def test_a_resolution_that_says_something_else(
    example: Example, changed: dict[str, Any], what: str
) -> None:  # R17
    world = example("queue")
    change_resolution(world, RELEASE, **changed)
    report = await world.verify()
    assert RESOLUTIONS in failed(report)
    assert what in said(report, RESOLUTIONS)


@pytest.mark.parametrize("field", ["id", "terms", "leg", "legs", "partial"])
async def test_a_leg_that_is_another_one(example: Example, field: str) -> None:  # R19
    other: dict[str, Any] = {"id": LEG.id, "terms": LEG.terms, "leg": 9, "legs": 9, "partial": True}

    def change(item: Resolution) -> list[Resolution]:
        assert item.link is not None
        return [replace(item, link=replace(item.link, **{field: other[field]}))]

    world = example("dvp")
    change_resolution(world, {"how": "LINK"}, change)
    assert "of another leg or link" in said(await world.verify(), RESOLUTIONS)


async def test_a_release_of_what_had_been_accepted(example: Example) -> None:  # R17
    """The row had not waited."""
    world = example("queue")
    change_outcome(world, lambda codes: codes == Code.QUEUED, Code.ACCEPTED)
    report = await world.verify()
    assert "of rows that did not wait" in said(report, RESOLUTIONS)


async def test_what_ended_ends_once(example: Example) -> None:
    world = example("queue")
    change_resolution(world, {"code": Code.EXPIRED}, lambda item: [item, item])
    assert {RESOLUTIONS, FLOWS} <= failed(await world.verify())


async def test_an_instruction_that_was_accepted_like_a_payment(example: Example) -> None:  # R30
    world = example("queue")
    change_outcome(world, lambda codes: codes == Code.DONE, Code.ACCEPTED)
    assert OUTCOMES in failed(await world.verify())


async def test_a_payment_that_was_carried_out_like_an_instruction(example: Example) -> None:
    world = example("queue")
    change_outcome(world, lambda codes: codes == Code.ACCEPTED, Code.DONE)
    assert {OUTCOMES, MEMBERS} <= failed(await world.verify())


async def test_what_is_queued_in_the_positions(example: Example) -> None:
    for name in ("queued", "queued_payments"):
        world = example("gridlock")
        records = world.records(world.topics.positions)
        place = next(n for n, r in enumerate(records) if b"ALPHA" in (r.key or b""))
        place = max(n for n, r in enumerate(records) if r.key == records[place].key)
        position = decode_position(records[place].value or b"")
        assert (position.queued, position.queued_payments) == ("20.00", 1)
        changed: Any = "19.00" if name == "queued" else 2
        world.replace(
            world.topics.positions, place, value=encode(replace(position, **{name: changed}))
        )
        assert name in said(await world.verify(), POSITIONS)


async def test_a_repeat_hears_what_has_become_of_its_original(example: Example) -> None:  # R28
    """P1 was accepted, then taken out by a recast: that is what its sender is to hear."""
    world = example("recast")
    change_outcome(world, lambda codes: codes == Code.RECAST, Code.ACCEPTED, repeats=True)
    assert IDS in failed(await world.verify())


async def test_a_cancellation_nobody_asked_for(example: Example) -> None:  # R12
    world = example("queue")
    change_resolution(world, {"code": Code.EXPIRED}, code=Code.CANCELLED)
    assert "its sender did not cancel" in said(await world.verify(), INSTRUCTIONS)


async def test_a_cancellation_that_cancelled_nothing(example: Example) -> None:  # R12
    world = example("queue")
    change_resolution(world, {"code": Code.CANCELLED}, code=Code.CUTOFF)
    assert "cancelled nothing" in said(await world.verify(), INSTRUCTIONS)


# Why it ended, and how it left.


async def test_what_had_not_expired(example: Example) -> None:  # R17
    world = example("queue")
    change_resolution(world, {"code": Code.CANCELLED}, code=Code.EXPIRED)
    assert "of what had not expired" in said(await world.verify(), RESOLUTIONS)


async def test_what_waits_though_it_has_expired(example: Example) -> None:  # R17
    world = example("queue")
    change_resolution(world, {"code": Code.EXPIRED}, lambda _: [])
    assert "wait though they have expired" in said(await world.verify(), RESOLUTIONS)


async def test_what_was_released_though_it_had_expired(example: Example) -> None:  # R17
    world = example("queue")
    change_resolution(world, {"code": Code.EXPIRED}, code=Code.ACCEPTED, how="SINGLE", window=1)
    assert "releasing what had expired" in said(await world.verify(), RESOLUTIONS)


async def test_what_was_dropped_where_no_window_closed(example: Example) -> None:  # R17
    world = example("queue")
    change_resolution(world, {"code": Code.EXPIRED}, code=Code.CUTOFF)
    assert "where no window closed" in said(await world.verify(), RESOLUTIONS)


@pytest.mark.parametrize(
    ("name", "how", "instead", "what"),
    [
        ("queue", "SINGLE", "LINK", "with a link they are not in"),
        ("dvp", "LINK", "SINGLE", "of legs released alone"),
        ("gridlock", "MULTILATERAL", "OPERATOR", "other payments at log offset"),
    ],
)
async def test_a_release_in_another_way(
    example: Example, name: str, how: str, instead: str, what: str
) -> None:  # R15, R20
    world = example(name)
    change_resolution(world, {"how": how}, how=instead)
    assert what in said(await world.verify(), RESOLUTIONS)


async def test_what_an_operator_released(world: World) -> None:  # R15
    """A command that was done, and nothing left."""
    facts = await world.facts()
    one = facts.commands[0]
    release = ReleaseQueued(id="r", by="a", payments=["00000000-0000-4000-8000-000000000009"])
    facts.commands.append(one._replace(command=release))
    assert "than they commanded" in " ".join(check_resolutions(facts).differences)


# Limits.


@pytest.mark.parametrize(
    ("name", "code", "who"),
    [
        ("gridlock", Code.QUEUED, "ALPHA was debited"),
        ("bilateral-limits", Code.BILATERAL_LIMIT, "ALPHA paid BRAVO 1.00 GBP more"),
        ("value-check", Code.VALUE_CHECK, "its positions did not cover its debts"),
        ("four-eyes", Code.LIQUIDITY, "ALPHA was debited"),
    ],
)
async def test_a_payment_that_was_accepted_beyond_a_limit(
    example: Example, name: str, code: Code, who: str
) -> None:  # R8, R10
    world = example(name)
    change_outcome(world, lambda codes: codes == code, Code.ACCEPTED)
    assert who in said(await world.verify(), LIMITS)


async def test_a_set_is_asked_as_one(example: Example) -> None:  # R8, R15
    """Of the three that left together none could have left alone."""
    world = example("gridlock")
    assert LIMITS not in failed(await world.verify())
    change_resolution(world, {"how": "MULTILATERAL"}, how="SINGLE")
    assert LIMITS in failed(await world.verify())


async def test_a_reservation_counts(example: Example) -> None:  # R8
    """With 2 more kept back, ALPHA could not have paid what it did."""
    facts = await example("queue").facts()
    assert not check_limits(facts).differences
    for n, one in enumerate(facts.commands):
        if isinstance(one.command, SetReservation):
            more = replace(one.command, reserved="6")
            facts.commands[n] = one._replace(command=more)
    assert check_limits(facts).differences


async def test_a_price_counts(example: Example) -> None:  # R10
    facts = await example("value-check").facts()
    assert not check_limits(facts).differences
    for n, one in enumerate(facts.commands):
        if isinstance(one.command, SetValuation) and one.command.asset == "CNH":
            facts.commands[n] = one._replace(command=replace(one.command, haircut_bp=9_000))
    assert check_limits(facts).differences


# What banks hear.


def _without_first(field: str) -> Callable[[StatusRecord], StatusRecord | None]:
    def change(message: StatusRecord) -> StatusRecord | None:
        rows = getattr(message, field)
        return replace(message, **{field: rows[1:]}) if rows else None

    return change


@pytest.mark.parametrize(
    ("name", "participant", "field"),
    [
        ("queue", "ALPHA", "statuses"),
        ("queue", "BRAVO", "receipts"),
        ("recast", "BRAVO", "withdrawn"),
        ("return-and-recall", "BRAVO", "requests"),
        ("return-and-recall", "ALPHA", "answers"),
    ],
)
async def test_what_a_bank_was_not_told(
    example: Example, name: str, participant: str, field: str
) -> None:  # R41
    world = example(name)
    change_status(world, participant, StatusRecord, _without_first(field))
    assert failed(await world.verify()) == {STATUSES}


@pytest.mark.parametrize(
    ("name", "status", "changed"),
    [
        ("queue", "CANC", {"amount": "6"}),
        ("queue", "CNCL", {"status": "PDCR"}),
        ("queue", "RJCT", {"status": "CANC"}),
        ("partial-delivery", "ACSP", {"remaining": "7"}),
    ],
)
async def test_a_bank_that_was_told_something_else(
    example: Example, name: str, status: str, changed: dict[str, Any]
) -> None:  # R41
    world = example(name)

    def change(message: StatusRecord) -> StatusRecord | None:
        statuses = list(message.statuses)
        for n, one in enumerate(statuses):
            if one.status == status and ("remaining" not in changed or one.remaining):
                statuses[n] = replace(one, **changed)
                return replace(message, statuses=statuses)
        return None

    change_status(world, "ALPHA", StatusRecord, change)
    assert failed(await world.verify()) == {STATUSES}


async def test_what_is_older_than_a_status_topic_keeps_is_believed(example: Example) -> None:  # R41
    """Also of what was told later: what a bank hears of a payment may lie on both sides."""
    for name, banks in (("queue", ("ALPHA", "BRAVO")), ("recast", ("ALPHA", "CHARLIE"))):
        for kept in (1, 2, 3):
            world = example(name)
            for bank in banks:
                topic = world.topics.status(bank)
                del world.records(topic)[:-kept]
                world.aged.add(topic)
            report = await world.verify()
            assert [(c.name, c.differences) for c in report.checks if c.verdict != "ok"] == []


async def test_a_foreign_resolution_is_noted(world: World) -> None:
    """On a day on which nothing waited."""
    world.add(world.topics.outcomes, RESOLUTION_KEY, b'{"what": 1}', START_MS)
    assert RESOLUTIONS not in failed(await world.verify())
    assert "outcomes offset" in said(await world.verify(), "replay gives the same bytes")
