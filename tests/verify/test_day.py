"""A sound day holds: every claim is ok, each having compared something."""

from tests.verify.forge import LEDGER
from tests.verify.world import World


async def test_a_sound_day_holds(world: World) -> None:
    """Every claim is ok, and every kind of outcome was there to be compared."""
    report = await world.verify()
    assert [(c.name, c.differences, c.pending) for c in report.checks if c.verdict != "ok"] == []
    assert report.ok
    assert len({check.name for check in report.checks}) == len(report.checks) == 30
    totals = {
        name: sum(getattr(flow, name) for flow in report.flows)
        for name in ("entered", "accepted", "refused", "rejected", "repeated")
    }
    assert min(totals.values()) > 0
    assert totals["entered"] == sum(totals.values()) - totals["entered"]
    assert all(check.compared for check in report.checks)
    assert report.batches == 10


async def test_without_a_ledger_the_topics_are_verified(world: World) -> None:
    report = await world.verify(ledger=False)
    assert report.ok
    assert LEDGER not in {check.name for check in report.checks}
