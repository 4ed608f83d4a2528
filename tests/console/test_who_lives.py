"""Processes by what they said last: alive, late, ended, and when one that is gone is not shown any more."""

from typing import Any

from msgspec.structs import replace

from clearing.console import pages
from clearing.console.overview import overview
from clearing.console.scene import live_scene
from clearing.messages_views import Heartbeat, Served, encode
from tests.console.stage import Stage


def test_who_ended_is_not_late_and_who_was_replaced_is_forgotten(stage: Stage) -> None:
    """A killed process is shown until others do what it did, and for an hour: it may be the one that is missed."""
    now_ms = stage.desk.now_ms
    hk = {"hk": Served(epoch=None, owned_since_ms=0, next_offset=None)}
    hour_ms, moment_ms = 3_600_001, 60_000

    def beat(service: str, pid: int, age_ms: int, **more: Any) -> None:
        said = Heartbeat(
            service=service, instance="", host="h", pid=pid, version="", started_at_ms=0,
            at_ms=now_ms - age_ms, state="ready", netting_sets=hk, details={},
        )  # fmt: skip
        value = encode(replace(said, **more))
        stage.board.take("heartbeats", "", f"{service}{pid}".encode(), value, now_ms)

    beat("intake", 1, 0)
    beat("intake", 2, moment_ms)  # killed just now
    beat("intake", 3, hour_ms)  # killed, and 1 does what it did
    beat("intake", 4, moment_ms, state="stopping")
    beat("intake", 5, hour_ms, state="stopping")
    beat("sink", 6, hour_ms)  # killed, and nobody does what it did
    scene = live_scene(stage.board, ["hk"], now_ms, stale=False, missing=(), statuses={})
    rows = pages.heartbeats(scene)
    assert rows is not None
    assert [(row.pid, row.late, row.ended) for row in rows] == [
        (1, False, False),
        (2, True, False),
        (4, False, True),
        (6, True, False),
    ]
    counts = overview(scene).services
    assert counts is not None
    assert (counts.ready, counts.late, counts.stopping) == (1, 2, 0)
