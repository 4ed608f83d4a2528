"""Verification says yes to every example: each capability of the engine, as a whole installation."""

from collections.abc import Callable

import msgspec
import pytest

from clearing.names import PROBE
from clearing.observe.round_trip import MESSAGE
from tests.verify.conftest import EXAMPLES
from tests.verify.forge import LINKS, MEMBERS, check_of
from tests.verify.world import SCHEME, World, written

NAMES = sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir())


@pytest.mark.parametrize("name", NAMES)
async def test_an_example_holds(example: Callable[[str], World], name: str) -> None:
    report = await example(name).verify()
    assert [(c.name, c.differences, c.pending) for c in report.checks if c.verdict != "ok"] == []
    assert report.ok
    for flow in report.flows:
        states = [
            getattr(flow, field.removesuffix("_value"))
            for field in flow.__struct_fields__
            if field.endswith("_value") and field != "entered_value"
        ]
        assert flow.entered == sum(states) + flow.done + flow.requested


async def test_claims_say_how_much_they_compared(example: Callable[[str], World]) -> None:
    report = await example("partial-delivery").verify()
    assert "2 acceptances of links, 1 links waited, 0 still do" in check_of(report, LINKS).compared
    assert "5 payments in 4 windows with a batch" in check_of(report, MEMBERS).compared


async def test_what_became_of_what_entered(example: Callable[[str], World]) -> None:  # R30
    """By count and value; a fail counts as what its rest is."""
    (flow, instructions) = (await example("queue").verify()).flows
    assert (flow.asset, flow.entered, flow.entered_value) == ("HKD", 6, "24")
    assert (flow.accepted, flow.accepted_value) == (4, "12")
    assert (flow.cancelled, flow.cancelled_value) == (1, "7")
    assert (flow.expired, flow.expired_value) == (1, "5")
    assert instructions.what == "instructions"
    assert (instructions.entered, instructions.done, instructions.refused) == (3, 2, 1)
    (recast,) = (await example("recast").verify()).flows
    assert (recast.recast, recast.recast_value) == (2, "70")
    assert (recast.repeated, recast.accepted_value) == (1, "35")


async def test_probes_are_told_apart() -> None:
    """Refused once, then repeated: they are no instruction of a bank, and every claim holds with them."""
    with written(SCHEME, "hk") as (world, scenario):
        for _ in range(3):
            scenario.simulations["hk"].pay(PROBE, msgspec.json.encode(MESSAGE))
    report = await world.verify()
    assert report.ok, [check for check in report.checks if check.verdict != "ok"]
    (probes,) = report.flows
    assert (probes.what, probes.entered, probes.refused, probes.repeated) == ("probes", 3, 1, 2)
