"""Where a service process can be made to die: at a named point of its loop, or with one of its requests to Kafka.

A request kills its sender right before the broker gets it, which then does it for nobody; an answer right before it
would be read.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from clearing.dev.drill import Drill
from clearing.dev.points import POINTS, Points
from clearing.dev.proxy import KafkaProxy
from clearing.dev.proxy_rules import Api, Exchange
from tests.faults.harness import until


@dataclass(frozen=True)
class Wire:
    """On the way to or from Kafka."""

    api: Api
    client: str
    answered: bool

    def __str__(self) -> str:
        return f"{self.api.name} {'answered' if self.answered else 'sent'}"


AGAIN_S = 45
PATIENCE_S = 300  # while others are killed too, it may be long until somebody comes by
Place = str | Wire
Chain = tuple[Place, ...]  # armed at the same time; the first is what brings the others about


def _both(client: str, *apis: Api) -> list[Place]:
    return [Wire(api, client, answered) for api in apis for answered in (False, True)]


_ENGINE, _INIT = "clearing-engine-*", Api.INIT_PRODUCER_ID
WIRES: Mapping[str, Sequence[Place]] = {
    "intake": _both("clearing-intake", Api.PRODUCE, Api.OFFSET_COMMIT),
    "engine": _both(_ENGINE, _INIT, Api.ADD_PARTITIONS_TO_TXN, Api.PRODUCE, Api.END_TXN),
    "dispatch": _both("clearing-dispatch", Api.PRODUCE, Api.OFFSET_COMMIT),
    "sink": _both("clearing-sink-postgres", Api.PRODUCE),
}
PLACES = {role: [*POINTS[role], *WIRES[role]] for role in POINTS}

# What is passed at the start only is armed together with what kills the process first: so a recovery dies at one
# place, and the recovery after it at the next.
_STARTS: Sequence[Chain] = (
    ("transact.begun", "engine.fencing", "engine.recover.journal_read"),
    ("transact.sent", "engine.fenced", "engine.recover.replayed"),
    ("transact.acknowledged", "engine.recover.snapshot_loaded", "engine.recover.replaying"),
    ("transact.committed", Wire(_INIT, _ENGINE, False), Wire(_INIT, _ENGINE, True)),
    ("sink.posting", "sink.owned"),
)


def chains(role: str) -> list[Chain]:
    """All places of a role."""
    made = [chain for chain in _STARTS if chain[0] in PLACES[role]]
    there = {place for chain in made for place in chain}
    return made + [(place,) for place in PLACES[role] if place not in there]


class Killer:
    """Kills services of a drill that runs behind a proxy. killed: places by role, as often as it happened.

    pids: of the processes that died, by role: fewer, where two places were come by at the same moment.
    """

    def __init__(self, drill: Drill, points: Points, proxy: KafkaProxy) -> None:
        self.drill = drill
        self.points = points
        self.proxy = proxy
        self.killed: dict[str, list[Place]] = {role: [] for role in PLACES}
        self.pids: dict[str, set[int]] = {role: set() for role in PLACES}

    async def strike(self, role: str, chain: Chain) -> None:
        """Have processes of a role die at all places of a chain, and wait until they have."""
        async with asyncio.TaskGroup() as group:
            # What brings the others about comes last.
            tasks = [group.create_task(self._kill(role, place)) for place in reversed(chain)]
            group.create_task(self._bring_about(role, chain[0], tasks))
        for task, place in zip(tasks, reversed(chain), strict=True):
            self._note(role, place, task.result())

    async def _bring_about(
        self, role: str, first: Place, tasks: Sequence[asyncio.Task[int]]
    ) -> None:
        """Another start, while some place is not come by: who was to come by was killed for another chain."""
        while (await asyncio.wait(tasks, timeout=AGAIN_S))[1]:
            if tasks[-1].done():
                self._note(role, first, await self._kill(role, first))

    def _note(self, role: str, place: Place, pid: int) -> None:
        services = self.drill.services
        assert any(pid in services[name].pids for name in services.of(role)), (pid, place)
        self.killed[role].append(place)
        self.pids[role].add(pid)

    async def _kill(self, role: str, place: Place) -> int:
        if isinstance(place, Wire):
            return await self._kill_on_the_wire(role, place)
        self.points.forget(place)
        self.points.arm(place)
        await until(
            lambda: not self.points.armed(place), f"a process to die at {place}", PATIENCE_S
        )
        (pid,) = self.points.hits(place)
        return pid

    async def _kill_on_the_wire(self, role: str, place: Wire) -> int:
        services = self.drill.services
        victims: list[int] = []

        def kill(exchange: Exchange) -> None:
            for name in services.of(role):
                if not victims and exchange.peer[1] in _ports(services.pid(name)):
                    victims.append(services.kill(name))

        on = self.proxy.on_response if place.answered else self.proxy.on_request
        rule = on(place.api, kill, client=place.client, times=None)
        await until(lambda: any(victims), f"a process to die at {place}", PATIENCE_S)
        self.proxy.remove(rule)
        return victims[0]


def _ports(pid: int) -> set[int]:
    """Local ports of a process that is connected to Kafka, none if it is dead."""
    try:
        return {one.laddr.port for one in psutil.Process(pid).net_connections("tcp")}
    except psutil.NoSuchProcess:
        return set()
