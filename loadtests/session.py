"""A benchmark at work: servers, services, what is published and how far everything has come.

Its parts are in loadtests.stages (each stage alone) and loadtests.contest (everything together, and the peers).
"""

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from clearing import kafka
from clearing.core.commands import Confirmation
from clearing.dev.drill import close_windows
from clearing.dev.folders import run_folder
from clearing.dev.proof import differences, prove
from clearing.dev.services import Services, supervised
from clearing.dev.setup import Servers, in_force, prepare, read_scheme, renamed, servers
from clearing.dev.tally import Tally
from clearing.dev.tasks import task_group
from clearing.dev.watch import Watch
from clearing.scheme.model import Scheme
from loadtests.figures import ROLES, Options
from loadtests.gate import Flow, Invalid, gate
from loadtests.meter import STALL_S, Group, Stalled
from loadtests.publish import Order, Published
from loadtests.workloads import WORKLOADS, Workload

SCHEME = Path(__file__).with_name("bench.toml")
PUBLISH_TIMEOUT_S = 600.0
READY_TIMEOUT_MS = 300_000
POLL_S = 0.02

Note = Callable[[str], None]


@dataclass(slots=True)
class Session:
    """`plan` grows with what is published; payments_in_all: a bound on that, by which amounts are drawn."""

    options: Options
    folder: Path
    made: Servers
    scheme: Scheme
    partitions: dict[str, int]
    services: Services
    watch: Watch
    admin: AIOKafkaAdminClient
    confirmations: AIOKafkaConsumer
    note: Note
    payments_in_all: int
    plan: Tally = field(default_factory=Tally)
    _entries: int = 0
    _orders: int = 0

    @property
    def scales(self) -> dict[str, int]:
        return {name: asset.spec.scale for name, asset in self.scheme.assets.items()}

    @property
    def kafka_pid(self) -> int:
        """0 where the broker is the user's."""
        broker = self.made.embedded.kafka
        return broker.pid if broker else 0

    def netting_set(self, workload: Workload) -> str:
        """As it is called in this run."""
        return f"{self.made.run}-{workload.netting_set}" if self.made.run else workload.netting_set

    def sources(self, netting_set: str) -> list[str]:
        """The payments topics of a netting set."""
        topics = self.made.settings.topics
        return [topics.payments(netting_set, bank) for bank in self.scheme.members[netting_set]]

    def groups(self) -> Group:
        """Pids by role, servers too where they are ours."""
        running = {
            role: [
                self.services.pid(name)
                for name in self.services.of(role)
                if self.services[name].wanted
            ]
            for role in ROLES
        }
        if self.kafka_pid:
            running["kafka"] = [self.kafka_pid]
        if postgres := self.made.embedded.postgres:
            running["postgres"] = [postgres.pid]
        return {role: pids for role, pids in running.items() if pids}

    def order(self, workload: str, payments: int, topic: str = "") -> Order:
        """What to publish next: another seed each time. topic: see Order."""
        self._orders += 1
        settings = self.made.settings
        return Order(
            bootstrap=settings.bootstrap,
            prefix=settings.topic_prefix,
            run=self.made.run,
            scheme=str(SCHEME),
            workload=workload,
            payments=payments,
            payments_in_all=self.payments_in_all,
            seed=1_000 * self.options.seed + self._orders,
            topic=topic,
        )

    async def starts(self, netting_set: str) -> dict[str, int]:
        """Where the payments topics end now."""
        found = await self.confirmations.end_offsets(
            [TopicPartition(topic, 0) for topic in self.sources(netting_set)]
        )
        return {partition.topic: offset for partition, offset in found.items()}

    async def told(self) -> int:
        """Rows told to banks so far, by the offsets dispatch has committed."""
        topics = self.made.settings.topics
        done = await self.admin.list_consumer_group_offsets(topics.group("dispatch"))
        rows = 0
        for partition, marks in self.watch.progress.cleared_at.items():
            found = done.get(TopicPartition(topics.outcomes, partition))
            at = bisect_left(marks, (found.offset, 0)) if found else 0
            rows += marks[at - 1][1] if at else 0
        return rows

    async def posted(self) -> int:
        """Entries of the batches the ledger has confirmed so far."""
        for records in (await self.confirmations.getmany(timeout_ms=0)).values():
            for record in records:
                answer = msgspec.json.decode(record.value or b"", type=Confirmation)
                # Prefunding was batched before anybody watched.
                self._entries += self.watch.progress.batches.get(answer.batch, 0)
        return self._entries

    async def until(self, what: str, done: Callable[[], bool]) -> None:
        """Wait for it. Raises Stalled when nothing has moved for STALL_S."""
        progress = self.watch.progress
        moved, since = (), time.monotonic()
        while not done():
            await asyncio.sleep(POLL_S)
            now = progress.logged, progress.cleared, len(progress.confirmed), progress.settled
            if now != moved:
                moved, since = now, time.monotonic()
            elif time.monotonic() - since > STALL_S:
                raise Stalled(f"waited for {what}, but nothing has moved for {STALL_S:.0f} s")

    async def settle(self) -> None:
        """Close all windows, and wait until the ledger has all batches."""
        await close_windows(self.made.settings, self.partitions, "end")
        await self.until("windows to settle", lambda: self.watch.progress.all_settled)

    async def prove(self) -> int:
        """The number of claims that hold. Raises Invalid."""
        self.note("verifying")
        report = await prove(self.made.settings)
        found = differences(self.plan, report, self.watch.progress, self.scales)
        found += [
            f"{check.name}: {line}"
            for check in report.checks
            for line in (*check.differences, *check.pending)
        ]
        if found or not report.ok:
            raise Invalid("; ".join(found) or "the verification does not hold")
        return len(report.checks)


class Mark:
    """How far everything had come at one moment, and what has come since."""

    def __init__(self, session: Session, told: int) -> None:
        progress = session.watch.progress
        self._session = session
        self._logged, self._cleared, self._told = progress.logged, progress.cleared, told
        self._outcomes = Counter(progress.outcomes)
        self._log_bytes = progress.log_bytes

    @property
    def logged(self) -> int:
        return self._session.watch.progress.logged - self._logged

    @property
    def cleared(self) -> int:
        return self._session.watch.progress.cleared - self._cleared

    @property
    def log_bytes(self) -> int:
        return self._session.watch.progress.log_bytes - self._log_bytes

    async def told(self) -> int:
        return await self._session.told() - self._told

    async def gate(self, what: str, published: Published, *, settled: bool) -> None:
        """Raises Invalid unless exactly what was published has come through. settled: the ledger too has it."""
        progress = self._session.watch.progress
        outcomes = Counter(progress.outcomes)
        outcomes.subtract(self._outcomes)
        flow = Flow(
            entered=published.rows,
            logged=self.logged,
            cleared=self.cleared,
            told=await self.told(),
            planned=published.outcomes,
            outcomes=outcomes,
            unconfirmed=progress.unconfirmed if settled else None,
        )
        gate(what, flow)


@asynccontextmanager
async def session(options: Options, note: Note, payments_in_all: int) -> AsyncIterator[Session]:
    """Servers, topics, scheme and ledger ready; no service runs yet; the topics are watched."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(run_folder("loadtest")).path
        note("starting the servers")
        made = await stack.enter_async_context(
            servers(folder, note, options.bootstrap, options.dsn)
        )
        settings = made.settings
        scheme = renamed(read_scheme(SCHEME), made.run)
        partitions = await prepare(settings, scheme, by="loadtest")
        services = await stack.enter_async_context(supervised(settings, folder / "services", {}))
        services.start("intake-1", "engine-1")
        await in_force(settings, partitions)
        await services.stop("intake-1", "engine-1")
        admin = await stack.enter_async_context(kafka.administration(settings.bootstrap))
        answers = kafka.consumer(settings.bootstrap, client="loadtest-confirmations")
        await stack.enter_async_context(kafka.started(answers))
        answers.assign(
            [TopicPartition(settings.topics.confirmations, p) for p in partitions.values()]
        )
        await answers.seek_to_beginning()
        scales = {name: asset.spec.scale for name, asset in scheme.assets.items()}
        watch = Watch(settings.bootstrap, settings.topics, list(partitions.values()), scales)
        started = asyncio.Event()
        group = await stack.enter_async_context(task_group())
        watching = group.create_task(watch.run(started))
        stack.callback(watching.cancel)
        await started.wait()
        yield Session(
            options=options,
            folder=folder,
            made=made,
            scheme=scheme,
            partitions=partitions,
            services=services,
            watch=watch,
            admin=admin,
            confirmations=answers,
            note=note,
            payments_in_all=payments_in_all,
        )


def chosen(names: Sequence[str]) -> list[Workload]:
    """Workloads by name; all of them if none is named."""
    return [WORKLOADS[name] for name in names or WORKLOADS]
