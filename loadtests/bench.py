"""The load test: each stage alone over the same backlog, then all together; a proof; only then figures.

Alone: payments are published first, then one stage after the other is started, so that each has the machine (and
the broker) to itself. Together: everything runs while a process of its own publishes.
"""

import asyncio
import os
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from clearing import kafka
from clearing.core.commands import Confirmation
from clearing.dev.banks import Banks, send
from clearing.dev.drill import close_windows
from clearing.dev.folders import run_folder
from clearing.dev.proof import differences, prove
from clearing.dev.services import Services, supervised
from clearing.dev.setup import (
    Servers,
    in_force,
    prepare,
    read_scheme,
    renamed,
    servers,
    stop_on_terminate,
)
from clearing.dev.tally import Tally
from clearing.dev.tasks import task_group
from clearing.dev.watch import Watch
from clearing.dev.workload import PLAIN, streams
from clearing.scheme.model import Scheme
from loadtests.figures import Figures, Options, machine
from loadtests.meter import Group, Measured, cpu_seconds, measure
from loadtests.publish import Order, Published, in_process_of_its_own, run_module
from loadtests.raw import Read, Reading

SCHEME = Path(__file__).with_name("scheme.toml")
PUBLISH_TIMEOUT_S = 600.0
SETTLE_TIMEOUT_S = 120.0
ROUNDS = 100  # windows closed one after the other, so that the sink has enough to be measured by
ROUND_ROWS = 4  # of each bank
LATENCY_S = 10.0

Note = Callable[[str], None]


class Unproven(Exception):
    """The verification does not hold, or what came out is not what went in: there are no figures."""


@dataclass(slots=True)
class Bench:
    """One load test at work. `plan` grows with what is published."""

    options: Options
    made: Servers
    scheme: Scheme
    partitions: dict[str, int]
    services: Services
    watch: Watch
    admin: AIOKafkaAdminClient
    confirmations: AIOKafkaConsumer
    note: Note
    plan: Tally = field(default_factory=Tally)
    stages: list[Measured] = field(default_factory=list[Measured])
    _entries: int = 0

    @property
    def scales(self) -> dict[str, int]:
        return {name: asset.spec.scale for name, asset in self.scheme.assets.items()}

    def groups(self) -> Group:
        """Pids by role, servers too where they are ours."""
        running = {
            role: [
                self.services.pid(name)
                for name in self.services.of(role)
                if self.services[name].wanted
            ]
            for role in ("intake", "engine", "dispatch", "sink")
        }
        embedded = self.made.embedded
        if embedded.kafka:
            running["kafka"] = [embedded.kafka.pid]
        if embedded.postgres:
            running["postgres"] = [embedded.postgres.pid]
        return {role: pids for role, pids in running.items() if pids}

    async def publish(self, phase: int) -> Published:
        """The backlog, or the same again: everything acknowledged, in the plan."""
        made = self.made.settings
        order = Order(
            bootstrap=made.bootstrap,
            prefix=made.topic_prefix,
            run=self.made.run,
            scheme=str(SCHEME),
            payments=self.options.payments,
            payments_in_all=3 * self.options.payments,
            seed=100 * self.options.seed + phase,
            odd=self.options.odd,
            bulk=self.options.bulk,
        )
        published = await in_process_of_its_own(order, PUBLISH_TIMEOUT_S)
        self.plan.add(published.tally())
        return published

    async def raw(self) -> Read:
        topics = self.made.settings.topics
        reading = Reading(
            bootstrap=self.made.settings.bootstrap,
            topics=[
                topics.payments(netting_set, bank)
                for netting_set, banks in self.scheme.members.items()
                for bank in banks
            ],
        )
        broker = self.made.embedded.kafka
        before = cpu_seconds(broker.pid) if broker else 0.0
        read = await run_module("loadtests.raw", reading, Read, PUBLISH_TIMEOUT_S)
        if broker is None:
            return read
        return msgspec.structs.replace(read, kafka_cpu_s=cpu_seconds(broker.pid) - before)

    async def alone(
        self,
        role: str,
        total: int,
        progress: Callable[[], Awaitable[int]],
        *,
        unit: str = "payments",
        count: int = 1,
    ) -> None:
        """Run one role until `total` is done, and stop it."""
        self.note(f"{role} alone over {total:,} {unit}")
        names = [f"{role}-{n + 1}" for n in range(count)]
        self.services.start(*names)
        self.stages.append(await measure(f"{role} alone", unit, total, progress, self.groups))
        await self.services.stop(*names)

    async def logged(self) -> int:
        return self.watch.progress.logged

    async def cleared(self) -> int:
        return self.watch.progress.cleared

    async def told(self) -> int:
        """Rows told to banks, by the offsets dispatch has committed."""
        topics = self.made.settings.topics
        done = await self.admin.list_consumer_group_offsets(topics.group("dispatch"))
        rows = 0
        for partition, marks in self.watch.progress.cleared_at.items():
            found = done.get(TopicPartition(topics.outcomes, partition))
            at = bisect_left(marks, (found.offset, 0)) if found else 0
            rows += marks[at - 1][1] if at else 0
        return rows

    async def posted(self) -> int:
        """Entries of the batches the ledger has confirmed."""
        for records in (await self.confirmations.getmany(timeout_ms=0)).values():
            for record in records:
                answer = msgspec.json.decode(record.value or b"", type=Confirmation)
                self._entries += self.watch.progress.batches[answer.batch]
        return self._entries

    async def rounds(self) -> None:
        """Many small windows: a few payments of every bank, then a command that closes them all."""
        self.note(f"closing {ROUNDS} windows of each asset, for the sink")
        made = streams(
            self.scheme,
            payments=3 * self.options.payments,
            seed=100 * self.options.seed + 2,
            mix=PLAIN,
        )
        settings, names = self.made.settings, ("intake-1", "engine-1")
        self.services.start(*names)
        producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap, enable_idempotence=True)
        async with kafka.started(producer):
            for number in range(ROUNDS):
                for stream in made:
                    topic = settings.topics.payments(stream.netting_set, stream.bank)
                    await send(producer, topic, stream.take(ROUND_ROWS))
                sent = sum(stream.tally.rows for stream in made)
                goal = self.plan.rows + sent
                await self._until(lambda goal=goal: self.watch.progress.cleared >= goal)
                await close_windows(settings, self.partitions, f"round-{number}")
        for stream in made:
            self.plan.add(stream.tally)
        accepted = self.plan.outcomes["accepted"]
        progress = self.watch.progress
        await self._until(lambda: progress.in_batches >= accepted)
        await self.services.stop(*names)

    async def together(self) -> None:
        """Everything at work while a process of its own publishes."""
        self.note(f"all together over {self.options.payments:,} payments")
        names = [f"intake-{n + 1}" for n in range(self.options.intakes)]
        self.services.start(*names, "engine-1", "dispatch-1", "sink-1")
        await self.services.ready()
        before = await self.told()

        async def told() -> int:
            return await self.told() - before

        async with task_group() as group:
            group.create_task(self.publish(3))
            total = self.options.payments
            self.stages.append(await measure("together", "payments", total, told, self.groups))

    async def latency(self) -> dict[str, float]:
        """Quantiles of published until readable by the bank, at a modest rate."""
        rows = int(self.options.rate * LATENCY_S)
        self.note(f"latency at {self.options.rate:,.0f} payments/s for {LATENCY_S:.0f} s")
        made = streams(
            self.scheme,
            payments=3 * self.options.payments,
            seed=100 * self.options.seed + 4,
            mix=PLAIN,
        )
        settings = self.made.settings
        banks = Banks(settings.bootstrap, settings.topics, made, self.scales)
        started = asyncio.Event()
        follower = asyncio.create_task(banks.follow(started))
        try:
            await started.wait()
            await banks.publish(rows, self.options.rate)
            await self._until(lambda: banks.told.rows >= rows)
        finally:
            follower.cancel()
            await asyncio.wait([follower])
        self.plan.add(banks.plan())
        times = sorted(banks.told.latencies_s)
        return {
            name: 1000 * times[int(part * (len(times) - 1))]
            for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        }

    async def settle(self) -> None:
        await close_windows(self.made.settings, self.partitions, "end")
        await self._until(lambda: self.watch.progress.all_settled)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while not condition():  # noqa: ASYNC110  what it waits for happens in other processes
                await asyncio.sleep(0.01)

    async def prove(self) -> int:
        """The number of claims that hold. Raises Unproven."""
        self.note("verifying")
        report = await prove(self.made.settings)
        found = differences(self.plan, report, self.watch.progress, self.scales)
        found += [
            f"{check.name}: {line}"
            for check in report.checks
            for line in (*check.differences, *check.pending)
        ]
        if found or not report.ok:
            raise Unproven("; ".join(found))
        return len(report.checks)


async def run(options: Options, note: Note) -> Figures:
    """The whole load test, on servers of its own or the user's. Raises Unproven, Stalled, TimeoutError."""
    stop_on_terminate()
    load = os.getloadavg()[0]
    async with bench(options, note) as at_work:
        note(f"publishing {options.payments:,} payments")
        published = await at_work.publish(1)
        note("reading them raw")
        raw = await at_work.raw()
        total = options.payments
        await at_work.alone("intake", total, at_work.logged, count=options.intakes)
        await at_work.alone("engine", total, at_work.cleared)
        await at_work.alone("dispatch", total, at_work.told)
        await at_work.rounds()
        entries = sum(at_work.watch.progress.batches.values())
        await at_work.alone("sink", entries, at_work.posted, unit="entries")
        await at_work.together()
        latency_ms = await at_work.latency()
        await at_work.settle()
        claims = await at_work.prove()
        return Figures(
            machine=machine(load),
            options=options,
            published=published,
            raw=raw,
            stages=at_work.stages,
            latency_ms=latency_ms,
            log_bytes_per_payment=at_work.watch.progress.log_bytes / at_work.plan.rows,
            claims=claims,
        )


@asynccontextmanager
async def bench(options: Options, note: Note) -> AsyncIterator[Bench]:
    """Servers, topics, scheme and ledger ready; no service runs yet; the topics are watched."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(run_folder("loadtest")).path
        note("starting the servers")
        made = await stack.enter_async_context(
            servers(folder, note, options.bootstrap, options.dsn)
        )
        scheme = renamed(read_scheme(SCHEME), made.run)
        partitions = await prepare(made.settings, scheme, by="loadtest")
        services = await stack.enter_async_context(
            supervised(made.settings, folder / "services", {})
        )
        services.start("intake-1", "engine-1")
        await in_force(made.settings, partitions)
        await services.stop("intake-1", "engine-1")
        admin = await stack.enter_async_context(kafka.administration(made.settings.bootstrap))
        answers = kafka.consumer(made.settings.bootstrap, client="loadtest-confirmations")
        await stack.enter_async_context(kafka.started(answers))
        answers.assign(
            [TopicPartition(made.settings.topics.confirmations, p) for p in partitions.values()]
        )
        await answers.seek_to_beginning()
        scales = {name: asset.spec.scale for name, asset in scheme.assets.items()}
        watch = Watch(
            made.settings.bootstrap, made.settings.topics, list(partitions.values()), scales
        )
        started = asyncio.Event()
        group = await stack.enter_async_context(task_group())
        watching = group.create_task(watch.run(started))
        stack.callback(watching.cancel)
        await started.wait()
        yield Bench(options, made, scheme, partitions, services, watch, admin, answers, note)
