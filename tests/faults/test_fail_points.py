"""kill -9 at every named point of every service, and with every kind of request that matters to Kafka (F1).

Banks publish meanwhile; the services are processes, Kafka and PostgreSQL are real. What a process leaves at any of
these places its successor has to find: in the journal, in the ledger, in the group's offsets.
"""

import random
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from clearing.dev.drill import Drill
from clearing.dev.points import Points
from clearing.dev.tasks import task_group
from tests.faults.conftest import Observe
from tests.faults.harness import drilled, sequences_are_whole
from tests.faults.places import PLACES, Chain, Killer, Place, chains
from tests.faults.proxied import both_settings, broker_behind_proxy

COUNTS = {"intake": 2, "engine": 2, "dispatch": 1, "sink": 1}
OBSERVED = {
    "intake": "sources read again from the committed offset; what the log had was left out by the engine",
    "engine": "predecessor fenced, outcome read from the journal, state replayed; nothing settled twice",
    "dispatch": "banks told the rest, nothing twice",
    "sink": "batch found in the ledger by its id, or posted; confirmed once more",
}


def test_every_place_is_in_one_chain() -> None:
    for role, places in PLACES.items():
        found = [place for chain in chains(role) for place in chain]
        assert sorted(map(str, found)) == sorted(map(str, places))


@pytest.mark.thorough
async def test_a_kill_at_every_place_of_every_service(
    fresh_dsn: str, tmp_path: Path, rounds: int, observed: Observe
) -> None:  # F1 R15 R17 R28 R29 R30
    # A broker that gets no turn on a busy machine is not to be taken for dead: here only services die.
    patient = {"broker.session.timeout.ms": 60_000}
    async with broker_behind_proxy(tmp_path, **patient) as (kafka, proxy):
        straight, proxied = both_settings(kafka, proxy, fresh_dsn, tmp_path)
        proxied = msgspec.structs.replace(proxied, snapshot_every_s=0.5)
        points = Points(tmp_path / "points")
        killed: dict[str, list[Place]] = {}
        pids: dict[str, set[int]] = {}

        async def kill_everywhere(drill: Drill) -> None:
            killer = Killer(drill, points, proxy)
            killed.update(killer.killed)
            pids.update(killer.pids)
            async with task_group() as group:
                for role in PLACES:
                    made = planned(role, rounds)
                    for walker in range(COUNTS[role]):
                        group.create_task(walk(killer, role, made[walker :: COUNTS[role]]))
            drill.banks.finish()

        result = await drilled(
            straight,
            tmp_path,
            COUNTS,
            payments=60_000 * rounds,
            rows_per_s=400,
            seed=17,
            during=kill_everywhere,
            command=points.command,
            proxied=proxied,
        )
    assert result.ok, str(result)
    assert sequences_are_whole(result.drill)
    services = result.drill.services
    for role, found in killed.items():
        assert set(found) == {place for chain in planned(role, rounds) for place in chain}
        assert sum(services[name].restarts for name in services.of(role)) == len(pids[role])
        for place in set(found):
            observed("F1", f"kill -9: {role}, {place}", found.count(place), OBSERVED[role])


def planned(role: str, rounds: int) -> list[Chain]:
    """All places of a role, so many times, each time in another order that is always the same.

    Once, in the short form, only the points in our own code: Kafka's moments take their time.
    """
    made: list[Chain] = []
    for number in range(rounds):
        mixed = [kept for chain in chains(role) if (kept := chain if rounds > 1 else ours(chain))]
        random.Random(f"{role} {number}").shuffle(mixed)
        made += mixed
    return made


def ours(chain: Chain) -> Chain:
    return tuple(place for place in chain if isinstance(place, str))


async def walk(killer: Killer, role: str, through: Iterable[Chain]) -> None:
    for chain in through:
        await killer.strike(role, chain)
