"""What the views show of a real installation: windows, payments, who did what, how far behind everybody is."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from clearing.messages_views import (
    ActivityView,
    AuditView,
    BatchView,
    Heartbeat,
    LagSample,
    WindowView,
    decode_heartbeat,
)
from clearing.observe.views import Latest
from clearing.reading import partitions
from clearing.views.fold_audit import broken_link
from tests.integration.cleared import Clearing, Installation, cleared
from tests.integration.viewing import BOUND_S, until_shown, views_at_work

NETTING_SET = "viewed"
ASSETS = {"SHOWN": {}}


@pytest.fixture(scope="module")
async def clearing(installation: Installation) -> AsyncIterator[Clearing]:
    async with cleared(installation, NETTING_SET) as clearing:
        yield clearing


async def test_views_tell_what_the_engine_did(clearing: Clearing) -> None:
    settings = replace(clearing.installation.settings, probe_every_s=0)
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    async with views_at_work(settings):
        await clearing.fund("SHOWN", ALPHA=100)
        order = await alpha.pay("BRAVO", "SHOWN", "60")
        await bravo.hears(order, "ACSP")
        await alpha.hears(await alpha.pay("BRAVO", "SHOWN", "60"), "RJCT AM04")
        await clearing.close("SHOWN")
        await bravo.hears(order, "ACSP", "ACSC")

        windows: list[WindowView] = await until_shown(
            settings,
            "windows",
            clearing.partition,
            lambda found: [one.state for one in found] == ["SETTLED", "OPEN"],
        )
        assert (windows[0].payments, windows[0].gross) == (1, "60.00")
        assert windows[0].finality["postgres"].state == "FINAL"
        assert windows[1].payments is None  # of the open one only the engine knows

        batches: list[BatchView] = await until_shown(
            settings,
            "batches",
            clearing.partition,
            lambda found: [one.state for one in found] == ["FINAL", "FINAL"],
        )
        told = {one.id: one.hash for one in clearing.batches}
        assert {one.id: one.hash for one in batches} == told
        assert sorted(one.kind for one in batches) == ["funding", "net"]

        activity: list[ActivityView] = await until_shown(
            settings,
            "activity",
            clearing.partition,
            lambda found: sum(one.accepted + one.refused for one in found) == 2,
        )
        assert sum(one.by_reason.get("AM04", 0) for one in activity) == 1

        audit: list[AuditView] = await until_shown(
            settings,
            "audit",
            clearing.partition,
            lambda found: any(one.command == "close_window" for one in found),
        )
        audit.sort(key=lambda entry: entry.number)
        assert broken_link(audit) == ""
        assert [one.command for one in audit if one.by == "test"][-2:] == ["fund", "close_window"]

        samples: list[LagSample] = await until_shown(
            settings, "lag", 0, lambda found: bool(found and found[0].stages)
        )
        assert {"intake", "engine", "dispatch", "sink"} <= {one.stage for one in samples[0].stages}


async def test_every_service_says_that_it_lives_and_what_it_serves(clearing: Clearing) -> None:
    settings = clearing.installation.settings
    await clearing.fund("SHOWN", ALPHA=1)  # the engine has served it
    latest = Latest(settings.topics.heartbeats, decode_heartbeat)
    beats: dict[str, Heartbeat] = {}
    async with partitions(settings.bootstrap, "test") as reader, asyncio.timeout(BOUND_S):
        while not all(_serves(beats.get(name)) for name in ("intake", "engine", "sink")):
            await asyncio.sleep(0.2)
            beats = {one.service: one for one in await latest.refresh(reader, [0])}
    assert beats["dispatch"].state == "ready"
    assert beats["engine"].instance == "engine-1"
    served = beats["engine"].netting_sets[NETTING_SET]
    assert served.epoch is not None
    assert served.next_offset
    assert beats["sink"].netting_sets[NETTING_SET].epoch


def _serves(beat: Heartbeat | None) -> bool:
    return beat is not None and beat.state == "ready" and NETTING_SET in beat.netting_sets
