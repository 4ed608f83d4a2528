"""kill -9 at every named point of every service, while banks publish: each payment counts exactly once (F1).

The points are those of clearing.dev.points, the services are processes, Kafka and PostgreSQL are real. What a
process leaves at any of them, its successor has to find: in the journal, in the ledger, in the group's offsets.
"""

import random
from pathlib import Path

from clearing.dev.drill import Drill
from clearing.dev.points import POINTS, Points
from clearing.dev.tasks import task_group
from tests.faults.conftest import Observe
from tests.faults.harness import drilled, sequences_are_whole, settings_of, until

# What is passed at the start only is armed together with what kills the process first: so a recovery dies at one
# point, and the recovery after it at the next.
CHAINS = {
    "engine": (
        ("transact.begun", "engine.fencing", "engine.recover.journal_read"),
        ("transact.sent", "engine.fenced", "engine.recover.replayed"),
        ("transact.acknowledged", "engine.recover.snapshot_loaded", "engine.recover.replaying"),
        ("transact.committed", "engine.recover.replaying"),
        ("engine.read",),
        ("engine.applied",),
        ("engine.snapshot.writing",),
        ("engine.snapshot.written",),
        ("engine.snapshot.renamed",),
    ),
    "sink": (
        ("sink.posting", "sink.owned"),
        *((point,) for point in POINTS["sink"] if point not in ("sink.posting", "sink.owned")),
    ),
    "intake": tuple((point,) for point in POINTS["intake"]),
    "dispatch": tuple((point,) for point in POINTS["dispatch"]),
}
OBSERVED = {
    "intake": "source read again from the committed offset, what the log had left out by the engine",
    "engine": "fenced, outcome read from the journal, replayed: nothing lost, nothing settled twice",
    "dispatch": "banks told the rest, nothing twice",
    "sink": "batch found in the ledger by its id, or posted; confirmed once more",
}


def chains(role: str, seed: int) -> list[tuple[str, ...]]:
    """Points that are armed at the same time, in the order in which the test goes through them."""
    made = list(CHAINS[role])
    random.Random(f"{role} {seed}").shuffle(made)
    return made


def test_the_chains_leave_no_point_out() -> None:
    for role, points in POINTS.items():
        assert {point for chain in CHAINS[role] for point in chain} == set(points)


async def until_hit(points: Points, point: str) -> None:
    await until(lambda: not points.armed(point), f"a process to die at {point}")


async def test_a_kill_at_every_point_of_every_service(
    bootstrap: str,
    fresh_dsn: str,
    topic_prefix: str,
    tmp_path: Path,
    rounds: int,
    observed: Observe,
) -> None:  # F1 R15 R17 R28 R29 R30
    settings = settings_of(bootstrap, fresh_dsn, topic_prefix, tmp_path, snapshot_every_s=0.5)
    points = Points(tmp_path / "points")
    hit: dict[str, list[str]] = {role: [] for role in POINTS}

    async def strike(drill: Drill, role: str, chain: tuple[str, ...]) -> None:
        before = {point: points.hits(point) for point in chain}
        for point in reversed(chain):  # what brings the others about comes last
            points.arm(point)
        for point in chain:
            await until_hit(points, point)
            (pid,) = points.hits(point) - before[point]
            assert any(pid in drill.services[name].pids for name in drill.services.of(role))
            hit[role].append(point)

    async def walk(drill: Drill, role: str) -> None:
        for number in range(rounds):
            for chain in chains(role, number):
                await strike(drill, role, chain)

    async def everywhere(drill: Drill) -> None:
        async with task_group() as group:
            for role in POINTS:
                group.create_task(walk(drill, role))
        drill.banks.finish()

    result = await drilled(
        settings,
        tmp_path,
        {"intake": 2, "engine": 2, "dispatch": 1, "sink": 1},
        payments=60_000 * rounds,
        rows_per_s=1_000,
        seed=17,
        during=everywhere,
        command=points.command,
    )
    assert result.ok, result
    assert sequences_are_whole(result.drill)
    services = result.drill.services
    for role, found in hit.items():
        assert set(found) == set(POINTS[role])
        assert sum(services[name].restarts for name in services.of(role)) == len(found)
        for point in POINTS[role]:
            observed("F1", f"kill -9 of the {role} at {point}", found.count(point), OBSERVED[role])
