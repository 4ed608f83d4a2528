"""Verification: batches of every model, later versions, linked legs and windows (R2, R4, R6, R18-R25)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from clearing.core.commands import Confirmation, RegisterAsset, RegisterPair
from clearing.core.outputs import Entry, SettlementBatch, ShortfallEvent, WindowEvent
from clearing.core.reasons import Code
from clearing.core.registry import Delay, SettlementModel
from clearing.verify.commands import Answers
from clearing.verify.links import check_links
from clearing.verify.settled import check_members
from clearing.verify.windows import check_windows
from tests.verify.forge import (
    CHAIN,
    CONFIRMED,
    LEDGER,
    LINKS,
    MEMBERS,
    RESOLUTIONS,
    SHORTFALLS,
    WINDOWS,
    change_batch,
    change_event,
    change_resolution,
    check_of,
    drop_event,
    failed,
    find_event,
    replace,
    said,
)
from tests.verify.world import World, played

Example = Callable[[str], World]


def entries(batch: SettlementBatch, number: int, **changed: Any) -> SettlementBatch:
    """The batch with one of its lines changed; numbers from 0."""
    lines = [*batch.entries]
    lines[number] = replace(lines[number], **changed)
    return replace(batch, entries=lines)


async def test_a_line_of_a_gross_batch(example: Example) -> None:  # R6
    for changed in ({"payment": "00000000-0000-4000-8000-000000000009"}, {"counterparty": "X"}):
        world = example("gross")
        change_batch(world, lambda batch, c=changed: entries(batch, 0, **c), "gross")
        report = await world.verify()
        assert {MEMBERS, CHAIN, LEDGER} <= failed(report)
        assert "line 1 is" in said(report, MEMBERS)


async def test_a_gross_batch_without_one_of_its_payments(example: Example) -> None:  # R6
    world = example("gross")
    change_batch(world, lambda batch: replace(batch, entries=batch.entries[2:]), "gross")
    assert "it has 2 lines, not 4" in said(await world.verify(), MEMBERS)


async def test_a_batch_of_another_model_than_its_asset(example: Example) -> None:  # R6
    facts = await example("gross").facts()
    assert not check_members(facts).differences
    _respecify(facts.commands, model=SettlementModel())
    assert "it is GROSS, which its asset is not" in " ".join(check_members(facts).differences)


async def test_what_is_to_be_settled_at_once(example: Example) -> None:  # R6
    """The window of the recast example holds payments of one log record and is closed by a later one."""
    facts = await example("recast").facts()
    assert not check_members(facts).differences
    _respecify(facts.commands, model=SettlementModel(delay=Delay.IMMEDIATE))
    assert "with the log record" in " ".join(check_members(facts).differences)


async def test_a_batch_of_another_asset(example: Example) -> None:  # R3
    world = example("recast")
    change_batch(world, lambda batch: replace(batch, issuer="Somebody else"))
    assert "is of another asset than HKD" in said(await world.verify(), MEMBERS)


def _respecify(commands: list[Any], **changed: Any) -> None:
    for n, one in enumerate(commands):
        if isinstance(one.command, RegisterAsset):
            spec = replace(one.command.asset, **changed)
            commands[n] = one._replace(command=replace(one.command, asset=spec))


# Parts.

SCHEME = """
name = "Parts"
[netting_sets.main]
[assets.HKD]
netting_set = "main"
issuer = "HKMA"
ledger = "postgres"
kind = "cash"
scale = 2
model = "GROSS/MULTILATERAL/DEFERRED"
accounts = { prefunded = "100000" }
[participants.ALPHA]
[participants.BRAVO]
"""


@pytest.fixture(scope="module")
def long_window() -> World:
    """A window of 2,400 payments settled one by one, in log records of 800: parts of 1,600 and 800."""
    lines: list[dict[str, Any]] = []
    for n in range(2_400):
        if n % 800 == 0:
            lines.append({"at": 1_767_614_400_000 + n})
        message = {
            "type": "payment",
            "id": f"00000000-0000-4000-8000-{n:012d}",
            "debtor": ("ALPHA", "BRAVO")[n % 2],
            "creditor": ("BRAVO", "ALPHA")[n % 2],
            "asset": "HKD",
            "amount": f"{1 + n % 7}",
            "value_date": "2026-01-05",
            "end_to_end_id": f"E{n}",
        }
        lines.append(message)
    return played(SCHEME, [json.dumps(line).encode() for line in lines])


async def test_a_long_window_has_parts(long_window: World) -> None:  # R6
    report = await long_window.verify()
    assert [(c.name, c.differences) for c in report.checks if c.verdict != "ok"] == []
    parts = [b for b in (await long_window.facts()).batches if b.kind == "gross"]
    assert [(b.part, b.parts, b.payments) for b in parts] == [(1, 2, 1_600), (2, 2, 800)]


async def test_a_part_that_nobody_sent(long_window: World) -> None:  # R2, R6
    facts = await long_window.facts()
    facts.batches = [batch for batch in facts.batches if batch.part != 2]
    assert "parts of its window are not all there" in " ".join(check_members(facts).differences)


async def test_a_part_cut_elsewhere(long_window: World) -> None:  # R6
    facts = await long_window.facts()
    one, other = (batch for batch in facts.batches if batch.kind == "gross")
    moved = one.entries[-2:]
    facts.batches = [
        replace(one, entries=one.entries[:-2], payments=one.payments - 1),
        replace(other, entries=[*moved, *other.entries], payments=other.payments + 1),
    ]
    assert check_members(facts).differences


# Set-off.


def _cleared(batch: SettlementBatch, less: int) -> SettlementBatch:
    """The same circle, with so much less of it cleared: still fair, and not the most."""

    def shift(entry: Entry) -> Entry:
        off = int(float(entry.set_off))
        now = off - less * (1 if off > 0 else -1)
        net = float(entry.net) - off + now
        return replace(entry, set_off=f"{now:.2f}", net=f"{net:.2f}")

    return replace(batch, entries=[shift(entry) for entry in batch.entries])


async def test_set_off_that_could_clear_more(example: Example) -> None:  # R18
    world = example("set-off")
    change_batch(world, lambda batch: _cleared(batch, 10))
    assert "does not clear the most" in said(await world.verify(), MEMBERS)


@pytest.mark.parametrize(
    ("number", "set_off", "net", "what"),
    [
        (0, "61.00", "-39.00", "changes what ALPHA nets"),
        (0, "61.00", "-39.00", "not the same for both"),
        (2, "-70.00", "-10.00", "more than one owes the other"),
    ],
)
async def test_set_off_that_is_wrong(
    example: Example, number: int, set_off: str, net: str, what: str
) -> None:  # R18
    world = example("set-off")
    change_batch(world, lambda batch: entries(batch, number, set_off=set_off, net=net))
    assert what in said(await world.verify(), MEMBERS)


async def test_set_off_where_there_is_none(example: Example) -> None:  # R18
    facts = await example("set-off").facts()
    _respecify(facts.commands, set_off=False)
    assert "its asset has no set-off" in " ".join(check_members(facts).differences)


# Later versions.


async def test_a_version_that_bears_something_else(example: Example) -> None:  # R25
    world = example("waterfall")
    change_batch(
        world, lambda batch: entries(batch, 1, net="49.00", debits="11.00"), "net", version=2
    )
    assert {MEMBERS, LEDGER} <= failed(await world.verify())


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"collateral": "11.00", "pool": "24.00"}, "taken from its collateral"),
        ({"collateral": "10.00", "pool": "26.00"}, "not the 50.00 that were lacking"),
        ({"shortfall": "51.00", "pool": "26.00"}, "did not say that 51.00 were lacking"),
        ({"survivors": {"BRAVO": "15.00"}}, "more than it was to receive"),
        ({"survivors": {"BRAVO": "-5.00", "CHARLIE": "20.00"}}, "bears less than nothing"),
    ],
)
async def test_a_shortfall_that_is_not_borne_as_it_should(
    example: Example, changed: dict[str, Any], what: str
) -> None:  # R25
    world = example("waterfall")
    if what.startswith("more than"):
        change_batch(world, lambda batch: entries(batch, 1, net="14.00"), "net", version=1)
    change_event(world, ShortfallEvent, {}, **changed)
    report = await world.verify()
    assert SHORTFALLS in failed(report)
    assert what in said(report, SHORTFALLS)


async def test_a_version_nobody_asked_for(example: Example) -> None:  # R4, R25
    world = example("waterfall")
    drop_event(world, ShortfallEvent)
    assert "nobody asked for version 2" in said(await world.verify(), MEMBERS)


async def test_a_version_that_was_left_out(example: Example) -> None:  # R4
    world = example("recast")
    change_batch(world, lambda batch: replace(batch, version=3), "net", version=2)
    assert "version 3 follows no version before it" in said(await world.verify(), MEMBERS)


async def test_a_recast_that_keeps_a_payment(example: Example) -> None:  # R25
    world = example("recast")
    change_resolution(world, {"code": Code.RECAST}, lambda _: [])
    assert {MEMBERS, SHORTFALLS} <= failed(await world.verify())


@pytest.mark.parametrize("changed", [{"amount": "1.00"}, {"window": 2}, {"log_offset": 1}])
async def test_a_recast_of_what_was_in_no_window(
    example: Example, changed: dict[str, Any]
) -> None:  # R25
    world = example("recast")
    change_resolution(world, {"code": Code.RECAST}, **changed)
    assert "was in no window it aborted" in said(await world.verify(), RESOLUTIONS)


async def test_an_aborted_window_its_ledger_had_not_refused(example: Example) -> None:  # R23
    world = example("recast")
    place, event = find_event(world, WindowEvent, state="ABORTED")
    assert place
    change_event(world, WindowEvent, {"state": "ABORTED"}, log_offset=event.log_offset - 1)
    assert "had not said REFUSED" in said(await world.verify(), WINDOWS)


async def test_who_was_short_as_the_ledger_has_it(example: Example) -> None:  # R25
    world = example("recast")
    posting = next(p for p in world.books.postings if p.status == "REFUSED")
    posting.short = {"BRAVO": "50.00"}
    assert "is not what its ledger has" in said(await world.verify(), CONFIRMED)


# Links.


async def test_one_leg_without_the_other(example: Example) -> None:  # R19, R20
    world = example("dvp")
    change_resolution(world, {"how": "LINK"}, lambda _: [])
    report = await world.verify()
    assert "1 of 2 legs of a link were accepted" in said(report, LINKS)


async def test_legs_that_do_not_end_together(example: Example) -> None:  # R20
    facts = await example("dvp").facts()
    assert [life.waits for life in facts.lives] == [False] * 3
    world = example("partial-delivery")
    change_resolution(world, {"how": "LINK", "debtor": "ALPHA"}, lambda _: [])
    assert "did not end with the others" in said(await world.verify(), LINKS)


async def test_a_part_out_of_proportion(example: Example) -> None:  # R22
    world = example("partial-delivery")
    wanted = {"how": "PARTIAL", "asset": "HKD"}
    change_resolution(world, wanted, amount="500.00", remaining="500.00")
    assert "are not in proportion" in said(await world.verify(), LINKS)


async def test_a_link_of_assets_that_are_no_pair(example: Example) -> None:  # R21
    facts = await example("dvp").facts()
    assert not check_links(facts).differences
    facts.commands = [c for c in facts.commands if not isinstance(c.command, RegisterPair)]
    assert "which are no pair" in " ".join(check_links(facts).differences)


async def test_windows_that_share_links_are_linked(example: Example) -> None:  # R20
    world = example("pvp")
    change_batch(world, lambda batch: replace(batch, linked=[]))
    report = await world.verify()
    assert "linked with other windows" in said(report, WINDOWS)
    assert LEDGER in failed(report)


async def test_windows_that_share_links_settle_together(example: Example) -> None:  # R20
    """USD had been posted before: that alone makes nothing final."""
    world = example("pvp")
    assert "2 settled together with others" in check_of(await world.verify(), WINDOWS).compared
    _, event = find_event(world, WindowEvent, state="SETTLED", asset="USD")
    change_event(
        world, WindowEvent, {"state": "SETTLED", "asset": "USD"}, log_offset=event.log_offset - 1
    )
    assert "were not settled together" in said(await world.verify(), WINDOWS)


async def test_a_window_that_is_settled_late(example: Example) -> None:  # R23
    """Its ledger had posted it in the record before."""
    world = example("gross")
    _, event = find_event(world, WindowEvent, state="SETTLED", window=1)
    later = {"log_offset": event.log_offset + 1}
    change_event(world, WindowEvent, {"state": "SETTLED", "window": 1}, **later)
    assert "the last answer was at" in said(await world.verify(), WINDOWS)


async def test_an_event_at_another_time(example: Example) -> None:  # R4
    world = example("gross")
    _, event = find_event(world, WindowEvent, state="OPEN", window=2)
    change_event(world, WindowEvent, {"state": "OPEN", "window": 2}, time_ms=event.time_ms + 1)
    assert "at another time" in said(await world.verify(), WINDOWS)


async def test_a_window_settled_while_a_part_is_not_posted(long_window: World) -> None:  # R4, R23
    facts = await long_window.facts()
    second = next(batch for batch in facts.batches if batch.part == 2)

    def is_of_it(message: object) -> bool:
        return isinstance(message, Confirmation) and message.batch == second.id

    facts.table.control = [row for row in facts.table.control if not is_of_it(row.item.message)]
    facts.answers = Answers(facts.table)
    check = check_windows(facts, {})
    assert f"had not said POSTED of {second.id}" in " ".join(check.differences)
