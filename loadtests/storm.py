"""Faults on purpose while a drill works: begun when their moment has come, recorded, watched until all is well.

What happens when comes from a plan (loadtests.faults), how it is done from loadtests.trouble; whether anything was
lost is for the drill to say.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clearing.dev.drill import Drill
from clearing.dev.kafka import EmbeddedKafka
from clearing.dev.points import Points
from clearing.dev.postgres import EmbeddedPostgres
from clearing.dev.tasks import task_group
from loadtests.aside import ProxyAside
from loadtests.faults import Incident, Planned

POLL_S = 0.05
AT_ONCE = 10  # faults under way at the same time
AGAIN_TIMEOUT_S = 120.0

Note = Callable[[str], None]


@dataclass(slots=True)
class Storm:
    """All faults of one run. missed: fail-points that were armed and that nobody came by.

    locks: of what can be in one kind of trouble only at a time, such as a server.
    """

    drill: Drill
    kafka: EmbeddedKafka
    postgres: EmbeddedPostgres
    proxy: ProxyAside
    points: Points
    planned: Sequence[Planned]
    note: Note
    incidents: list[Incident] = field(default_factory=list[Incident])
    missed: list[str] = field(default_factory=list[str])
    locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def run(self, makers: Mapping[str, "Maker"]) -> None:
        """Everything that is planned, each when its moment has come; ends when all of it works again."""
        room = asyncio.Semaphore(AT_ONCE)
        async with task_group() as group:
            for one in self.planned:
                await self.drill.until(
                    lambda at=one.at_rows: self.drill.published >= at, "banks to publish"
                )
                await room.acquire()
                task = group.create_task(makers[one.kind](self, np.random.default_rng(one.chance)))
                task.add_done_callback(lambda _: room.release())

    @property
    def is_over(self) -> bool:
        """Everything that was published is through: nobody comes by a fail-point any more."""
        drill = self.drill
        return drill.phase != "working" and drill.banks.told.rows >= drill.published

    # --- the record ------------------------------------------------------------------------------------------

    def happened(self, kind: str, whom: str, met: str) -> Incident:
        """Put a fault that is about to happen on record."""
        drill = self.drill
        incident = Incident(
            kind=kind,
            at_s=round(time.monotonic() - drill.began_s, 2),
            published=drill.published,
            whom=whom,
            met=met,
        )
        self.incidents.append(incident)
        self.note(f"{len(self.incidents)}. {kind}: {whom} ({met})")
        return incident

    async def see(self, incident: Incident, works: Callable[[], bool]) -> None:
        """Wait until what was hit works again, and note how long that took since it happened."""
        if await self.until(works, AGAIN_TIMEOUT_S):
            again_s = time.monotonic() - self.drill.began_s - incident.at_s
            incident.again_s = round(again_s, 2)

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for it; whether it came true in time."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    # --- how it stands ---------------------------------------------------------------------------------------

    def desk(self, role: str) -> str:
        """What a stage has yet to do."""
        unit = "batches" if role == "sink" else "messages"
        return f"{max(0, self.drill.outstanding(role)):,} {unit} on its desk"

    def restarted(self, name: str, pid: int) -> Callable[[], bool]:
        """Whether the process after `pid` works: an engine's netting sets have transactions by another process."""
        service, progress = self.drill.services[name], self.drill.watch.progress
        served = [p for p in self.drill.partitions.values() if progress.engine(p) == pid]

        def works() -> bool:
            if any(progress.engine(p) == pid for p in served):
                return False
            return service.child.pid != pid and service.says("ready") is not None

        return works

    def transacts(self, partition: int, more: int = 1) -> Callable[[], bool]:
        """Whether a netting set has so many more transactions than now."""
        made = self.drill.watch.progress.transactions.setdefault(partition, [])
        goal = len(made) + more
        return lambda: len(made) >= goal

    def gets_on(self, *roles: str) -> Callable[[], bool]:
        """Whether these stages have got on since now, as far as they have anything to do."""
        marks = {role: self._done(role) for role in roles}

        def works() -> bool:
            return all(
                self._done(role) > mark or self.drill.outstanding(role) <= 0
                for role, mark in marks.items()
            )

        return works

    def _done(self, role: str) -> int:
        progress, told = self.drill.watch.progress, self.drill.banks.told
        return {
            "intake": progress.logged,
            "engine": progress.cleared,
            "dispatch": told.rows,
            "sink": len(progress.confirmed),
        }[role]


Maker = Callable[[Storm, np.random.Generator], Coroutine[Any, Any, None]]
