"""A drill: banks publish, services are killed while they work, everything drains and settles.

The demo shows one, the tests and `python -m loadtests.kills` run others. It needs running Kafka and PostgreSQL
and supervised services; it starts none of them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from clearing import kafka
from clearing.config import Settings
from clearing.core.commands import CloseWindow
from clearing.dev.banks import Banks
from clearing.dev.blows import Blow, Kill
from clearing.dev.proof import differences, prove
from clearing.dev.services import ROLES, Services
from clearing.dev.tasks import task_group
from clearing.dev.watch import Watch
from clearing.dev.workload import MIXED, Mix, streams
from clearing.scheme.model import Scheme
from clearing.verify import Report

POLL_S = 0.02
QUIET_S = 0.8  # longer than the interval at which the engine writes positions
AGAIN_POLL_S = 0.1
STALL_S = 60.0


class DrillFailed(Exception):
    """It did not drain; the message says what is missing where."""


@dataclass(slots=True)
class Drill:
    """One run over `services`; `partitions`: netting set → its partition, as `scheme.load` reports them.

    without, apart: banks and assets that the workload leaves to others, see clearing.dev.workload.streams.
    stall_s: nothing at all has moved for so long: it never will.
    """

    settings: Settings
    scheme: Scheme
    partitions: Mapping[str, int]
    services: Services
    payments: int
    seed: int
    mix: Mix = MIXED
    rows_per_s: float = 0
    blows: Sequence[Blow] = ()
    without: frozenset[str] = frozenset()
    apart: frozenset[str] = frozenset()
    stall_s: float = STALL_S
    phase: str = "starting"
    kills: list[Kill] = field(default_factory=list[Kill])
    watch: Watch = field(init=False)
    banks: Banks = field(init=False)
    began_s: float = field(init=False)
    _group: asyncio.TaskGroup = field(init=False)

    def __post_init__(self) -> None:
        topics, bootstrap = self.settings.topics, self.settings.bootstrap
        scales = {name: asset.spec.scale for name, asset in self.scheme.assets.items()}
        self.watch = Watch(bootstrap, topics, sorted(self.partitions.values()), scales)
        made = streams(
            self.scheme,
            payments=self.payments,
            seed=self.seed,
            mix=self.mix,
            without=self.without,
            apart=self.apart,
        )
        self.banks = Banks(bootstrap, topics, made, scales, also=self.without)
        self.began_s = time.monotonic()

    @property
    def published(self) -> int:
        return self.banks.published.rows

    def outstanding(self, role: str) -> int:
        """What the stage has yet to do: rows, for the sink batches."""
        progress, told = self.watch.progress, self.banks.told
        return {
            "intake": self.published - progress.logged,
            "engine": progress.logged - progress.cleared,
            "dispatch": progress.cleared - told.rows,
            "sink": progress.unconfirmed,
        }[role]

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Watch the topics and the banks' inboxes for as long as the block lasts."""
        async with task_group() as group:
            ready = [asyncio.Event(), asyncio.Event()]
            followers = [
                group.create_task(self.watch.run(ready[0])),
                group.create_task(self.banks.follow(ready[1])),
            ]
            await asyncio.gather(*(event.wait() for event in ready))
            self._group = group
            try:
                yield
            finally:
                for follower in followers:
                    follower.cancel()

    async def work(self) -> None:
        """Publish everything, with the blows in between, and wait until all banks were told and no payment waits
        that need not. Raises DrillFailed."""
        self.phase = "working"
        async with task_group() as group:
            publishing = group.create_task(self.banks.publish(self.payments, self.rows_per_s))
            group.create_task(self._strike())
            await self.until(publishing.done, "banks to publish everything")
        self.phase = "draining"
        await self.until(lambda: self.banks.told.rows >= self.published, "banks to be told")
        await self.until(self._is_drained, "queues to empty")

    def _is_drained(self) -> bool:
        """Whether only those payments wait that are to wait until somebody closes their window (R14)."""
        return len(self.banks.told.waiting) <= self.banks.plan().outcomes["dropped"]

    async def settle(self) -> None:
        """Close all windows by command, and wait until the ledger has confirmed every batch."""
        self.phase = "settling"
        progress, told = self.watch.progress, self.banks.told
        await close_windows(self.settings, self.partitions, f"drill-{self.seed}")
        await self.until(lambda: progress.all_settled, "windows to settle")
        await self.until(lambda: told.finals >= progress.finals, "banks to hear of finality")
        await self.until(lambda: not told.waiting, "banks to hear what became of what waited")
        await self._quiet()
        self.phase = "settled"

    async def _strike(self) -> None:
        """Kill what is planned, each when its moment has come: none waits for another's."""
        async with task_group() as group:
            for blow in self.blows:
                group.create_task(self._blow(blow))

    async def _blow(self, blow: Blow) -> None:
        names = self.services.of(blow.role)
        name = names[blow.which % len(names)]
        service = self.services[name]
        await self.until(
            lambda: self._due(blow) and service.child.running,
            f"{name} to be at work, to kill it",
        )
        outstanding = self.outstanding(blow.role)
        pid = self.services.kill(name)
        at_s = time.monotonic() - self.began_s
        kill = Kill(name, pid, self.published, outstanding, at_s)
        self.kills.append(kill)
        self._group.create_task(self._until_again(kill))

    async def _until_again(self, kill: Kill) -> None:
        """Note how long it takes until the service says that it works again (or was killed before it did)."""
        began = time.monotonic()
        service = self.services[kill.service]
        count = service.killed
        while service.killed == count:
            if service.child.pid != kill.pid and service.says("ready"):
                kill.again_s = time.monotonic() - began
                return
            await asyncio.sleep(AGAIN_POLL_S)

    def _due(self, blow: Blow) -> bool:
        if self.published < min(blow.at_rows, self.payments):
            return False
        return not blow.working or self.outstanding(blow.role) > 0

    def _moving(self) -> tuple[int, ...]:
        """Changes whenever anything gets on."""
        progress, told = self.watch.progress, self.banks.told
        return (
            self.published,
            progress.logged,
            progress.cleared,
            told.rows,
            len(told.waiting),
            told.finals,
            len(progress.batches),
            len(progress.confirmed),
            progress.settled,
            len(progress.commands),
        )

    async def _quiet(self) -> None:
        """Wait until engines write nothing for a while: positions follow a moment later, at a bounded rate."""
        async with asyncio.timeout(self.stall_s):
            made, since = -1, time.monotonic()
            while time.monotonic() - since < QUIET_S:
                if (now := sum(map(len, self.watch.progress.transactions.values()))) != made:
                    made, since = now, time.monotonic()
                await asyncio.sleep(POLL_S)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for `condition`; raises DrillFailed when nothing has moved for STALL_S."""
        moved, moved_at = self._moving(), time.monotonic()
        while not condition():
            await asyncio.sleep(POLL_S)
            if (now := self._moving()) != moved:
                moved, moved_at = now, time.monotonic()
            elif time.monotonic() - moved_at > self.stall_s:
                behind = ", ".join(f"{role} {self.outstanding(role):,}" for role in ROLES)
                raise DrillFailed(
                    f"waited for {what}, but nothing has moved for {self.stall_s:.0f} s; "
                    f"published {self.published:,}, yet to do: {behind}; "
                    f"payments that wait: {len(self.banks.told.waiting):,}; "
                    f"{self.banks.unsaid}; "
                    f"batches refused: {self.watch.progress.refused_batches or 'none'}"
                )


async def close_windows(settings: Settings, partitions: Mapping[str, int], name: str) -> None:
    """Close every open window by command; `name` makes the command's id."""
    producer = kafka.producer(settings.bootstrap, client="clearing-drill")
    async with kafka.started(producer):
        for netting_set, partition in partitions.items():
            identity = f"{name}-{time.time_ns():x}"
            command = CloseWindow(id=identity, by="drill")
            value = msgspec.json.encode(command)
            topic = settings.topics.commands
            await producer.send_and_wait(topic, value, netting_set.encode(), partition)


@dataclass(frozen=True, slots=True)
class Drilled:
    """What a whole drill came to. differences: what is not as the banks planned."""

    drill: Drill
    report: Report
    differences: list[str]

    @property
    def ok(self) -> bool:
        return self.report.ok and not self.differences

    def __str__(self) -> str:
        """Everything that is wrong, for a test or a person to read."""
        failed = [
            f"{check.scope}: {check.name} ({check.rule}): {line}"
            for check in self.report.checks
            for line in (*check.differences, *check.pending)
        ]
        kills = [f"killed {kill.service} at {kill.published:,}" for kill in self.drill.kills]
        return "\n".join([*failed, *self.differences, *kills])


async def run_drill(
    drill: Drill,
    during: Callable[[], Coroutine[Any, Any, None]] | None = None,
    proof: Callable[[Settings], Coroutine[Any, Any, Report]] = prove,
) -> Drilled:
    """The whole of it: work, settle, prove. during: what else is to happen while banks publish."""
    async with drill.following():
        async with task_group() as group:
            group.create_task(drill.work())
            if during is not None:
                group.create_task(during())
        await drill.settle()
    report = await proof(drill.settings)
    banks = drill.banks
    found = differences(banks.plan(), report, drill.watch.progress, banks.scales, banks.told)
    return Drilled(drill, report, found)
