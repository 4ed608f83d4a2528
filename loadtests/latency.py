"""`python -m loadtests.latency`: from published to readable by the bank, rung by rung up to saturation and beyond.

Servers and services are the real ones, each a process; so are the banks that publish and the banks that read. Each
rung waits until everything of the one before is told. Figures only of payments that were all answered, once.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from cyclopts import App, Parameter
from rich.console import Console

from clearing import kafka
from clearing.core.commands import Confirmation
from clearing.core.outputs import SettlementBatch
from clearing.dev.folders import run_folder
from clearing.dev.proof import prove
from clearing.dev.services import ROLES, Services, supervised
from clearing.dev.setup import Servers, in_force, prepare, read_scheme, renamed, servers
from clearing.dev.setup import stop_on_terminate as end_like_ctrl_c
from clearing.failures import ExitCode, explain
from clearing.log.records import TRANSACTION_KEY, decode_settlement
from loadtests.console import quiet
from loadtests.curve import svg, table
from loadtests.figures import Machine, machine
from loadtests.listen import Heard, Listening
from loadtests.meter import cpu_seconds
from loadtests.pace import Pace, Paced
from loadtests.publish import run_module
from loadtests.rungs import Closings, Moments, Pacing, Rung, Unfit, rung

SCHEME = Path(__file__).with_name("scheme.toml")
RATES = (100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 20_000.0, 40_000.0, 80_000.0)
ROWS_MAX = 600_000  # of a rung: what publisher and reader keep in memory
START_S = 4.0  # for both processes to begin; the publisher makes its payments meanwhile
MAKE_ROWS_PER_S = 20_000
# What is measured is an installation that has been at work for a while: its broker's JVM has compiled what runs
# often. Cycles count for that, not payments: few enough of them to be published and proved in no time.
WARM_UP_RATE = 3_000.0
WARM_UP_ROWS = 135_000
GRACE_S = 1.5  # for the windows that closed while the last payments were told
DRAIN_S = 120.0
PROCESS_TIMEOUT_S = 300.0
EVERY_MS = 1_000  # of the windows of scheme.toml, which close on the full second
WIDTH = 130  # of the tables where the output is no terminal

app = App(name="python -m loadtests.latency", help_format="markdown")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """rates: payments/s of the rungs; each publishes for `seconds`, of which `warm` are not counted."""

    rates: list[float]
    seconds: float
    warm: float
    seed: int
    bootstrap: str = ""
    dsn: str = ""

    def rows(self, rate: float) -> int:
        return min(ROWS_MAX, max(1, int(rate * self.seconds)))


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of a run. claims: of the verification that holds over everything published; 0: not asked."""

    machine: Machine
    options: Options
    rungs: list[Rung]
    claims: int


@dataclass(slots=True)
class Climb:
    """An installation at work. partition: of the one netting set."""

    options: Options
    made: Servers
    services: Services
    banks: list[str]
    netting_set: str
    partition: int
    reader: AIOKafkaConsumer
    folder: Path
    note: Callable[[str], None]

    async def rung(self, number: int, rate: float, rows: int) -> Rung:
        """Publish so many payments at this rate and listen, each in a process of its own.

        Raises Unfit, RuntimeError.
        """
        self.note(f"{rate:,.0f} payments/s: {rows:,} payments")
        settings, topics = self.made.settings, self.made.settings.topics
        starts = await self._ends()
        start_at_s = time.time() + START_S + rows / MAKE_ROWS_PER_S
        heard_file, sent_file = (
            self.folder / f"heard-{number}.npz",
            self.folder / f"sent-{number}.npz",
        )
        listening = Listening(
            bootstrap=settings.bootstrap,
            banks=self.banks,
            status=[
                (topics.status(b), starts[TopicPartition(topics.status(b), 0)]) for b in self.banks
            ],
            outcomes=(topics.outcomes, self.partition, starts[self._place(topics.outcomes)]),
            rows=rows,
            grace_s=GRACE_S,
            deadline_s=start_at_s + rows / rate + DRAIN_S,
            output=str(heard_file),
        )
        pace = Pace(
            bootstrap=settings.bootstrap,
            prefix=settings.topic_prefix,
            run=self.made.run,
            scheme=str(SCHEME),
            payments=rows,
            payments_in_all=2 * sum(map(self.options.rows, self.options.rates)) + 2 * WARM_UP_ROWS,
            seed=1_000 * self.options.seed + number,
            rate=rate,
            start_at_s=start_at_s,
            output=str(sent_file),
        )
        publishing = asyncio.create_task(
            run_module("loadtests.pace", pace, Paced, PROCESS_TIMEOUT_S)
        )
        try:
            async with asyncio.TaskGroup() as group:
                hearing = group.create_task(
                    run_module("loadtests.listen", listening, Heard, PROCESS_TIMEOUT_S)
                )
                cpu = group.create_task(self._cpu(start_at_s, publishing))
                paced = await publishing
        finally:
            publishing.cancel()
        heard = hearing.result()
        if heard.ready_s > paced.began_s + self.options.warm:
            raise Unfit("the reader was not ready in time: a longer --warm gives it that")
        moments, closings, transactions = await self._collect(
            starts, heard, paced, np.load(heard_file), np.load(sent_file)
        )
        pacing = Pacing(rate, self.options.warm, paced.began_s, paced.sent_s, transactions)
        return rung(moments, pacing, closings, cpu.result())

    async def _cpu(self, start_at_s: float, publishing: asyncio.Task[Paced]) -> dict[str, float]:
        """CPU seconds of each role while it is published."""
        await asyncio.sleep(max(0.0, start_at_s - time.time()))
        before = self._cpu_now()
        await asyncio.wait([publishing])
        return {role: seconds - before[role] for role, seconds in self._cpu_now().items()}

    def _cpu_now(self) -> dict[str, float]:
        embedded = self.made.embedded
        pids = {role: self.services.pid(f"{role}-1") for role in ROLES}
        if embedded.kafka:
            pids["kafka"] = embedded.kafka.pid
        if embedded.postgres:
            pids["postgres"] = embedded.postgres.pid
        return {role: cpu_seconds(pid) for role, pid in pids.items()}

    def _place(self, topic: str) -> TopicPartition:
        return TopicPartition(topic, self.partition)

    async def _ends(self) -> dict[TopicPartition, int]:
        """Where everything that is read of a rung ends now."""
        topics = self.made.settings.topics
        places = [TopicPartition(topics.status(bank), 0) for bank in self.banks]
        places += map(
            self._place,
            (topics.log, topics.outcomes, topics.settlements, topics.confirmations, topics.journal),
        )
        return await self.reader.end_offsets(places)

    async def _read(self, topic: str, starts: dict[TopicPartition, int]) -> list[kafka.RawRecord]:
        place = self._place(topic)
        self.reader.assign([place])
        return [record async for record in kafka.read_to_end(self.reader, place, starts[place])]

    async def _collect(
        self,
        starts: dict[TopicPartition, int],
        heard: Heard,
        paced: Paced,
        read: "np.lib.npyio.NpzFile",
        sent: "np.lib.npyio.NpzFile",
    ) -> tuple[Moments, Closings, int]:
        """What the two processes noted, and what stands in the topics; the number of transactions."""
        topics = self.made.settings.topics
        if paced.banks != self.banks:
            raise Unfit(f"banks {paced.banks} have published, {self.banks} have listened")
        log = await self._read(topics.log, starts)
        moments = Moments(
            sent=[(int(base), sent[f"sent_ns_{bank}"]) for bank, base in enumerate(sent["bases"])],
            told=read["rows"],
            outcomes=read["outcomes"],
            log_ms={record.offset: record.timestamp for record in log},
        )
        journal = await self._read(topics.journal, starts)
        transactions = sum(record.key == TRANSACTION_KEY for record in journal)
        return moments, await self._closings(starts, heard), transactions

    async def _closings(self, starts: dict[TopicPartition, int], heard: Heard) -> Closings:
        topics = self.made.settings.topics
        posted: dict[str, int] = {}
        for record in await self._read(topics.confirmations, starts):
            answer = msgspec.json.decode(record.value or b"", type=Confirmation)
            posted.setdefault(answer.batch, record.timestamp)
        rows: list[tuple[float, float, float, float]] = []
        for record in await self._read(topics.settlements, starts):
            batch = decode_settlement(record.value or b"")
            if not isinstance(batch, SettlementBatch) or not batch.window:
                continue
            due_ms = (batch.opened_at_ms // EVERY_MS + 1) * EVERY_MS
            if batch.id in posted and batch.id in heard.finals:
                last_ms = heard.finals[batch.id][1]
                rows.append((due_ms, batch.closed_at_ms, posted[batch.id], last_ms))
        return Closings(*np.array(rows, np.float64).reshape(-1, 4).T)


@asynccontextmanager
async def climbing(options: Options, note: Callable[[str], None]) -> AsyncIterator[Climb]:
    """Servers, topics, scheme and all services at work."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(run_folder("latency")).path
        note("starting the servers")
        made = await stack.enter_async_context(
            servers(folder, note, options.bootstrap, options.dsn, long_lived=True)
        )
        scheme = renamed(read_scheme(SCHEME), made.run)
        partitions = await prepare(made.settings, scheme, by="latency")
        services = await stack.enter_async_context(
            supervised(made.settings, folder / "services", dict.fromkeys(ROLES, 1))
        )
        await services.ready()
        await in_force(made.settings, partitions)
        reader = kafka.consumer(made.settings.bootstrap, client="loadtest-latency")
        await stack.enter_async_context(kafka.started(reader))
        ((netting_set, partition),) = partitions.items()
        banks = list(scheme.members[netting_set])
        yield Climb(options, made, services, banks, netting_set, partition, reader, folder, note)


async def run(options: Options, note: Callable[[str], None], *, proof: bool) -> Ladder:
    """The whole ladder, on servers of its own or the user's."""
    end_like_ctrl_c()
    load = os.getloadavg()[0]
    async with climbing(options, note) as climb:
        note("warming up: clients that connect, code that is compiled, banks that are looked up")
        await climb.rung(len(options.rates), WARM_UP_RATE, WARM_UP_ROWS)
        rungs = [
            await climb.rung(n, rate, options.rows(rate)) for n, rate in enumerate(options.rates)
        ]
        claims = await _claims(climb) if proof else 0
    return Ladder(machine=machine(load), options=options, rungs=rungs, claims=claims)


async def _claims(climb: Climb) -> int:
    climb.note("verifying")
    report = await prove(climb.made.settings)
    if not report.ok:
        raise Unfit("; ".join(line for check in report.checks for line in check.differences))
    return len(report.checks)


@app.default
def latency(
    *,
    rate: Annotated[tuple[float, ...], Parameter(negative="")] = RATES,
    seconds: float = 8.0,
    warm: float = 2.0,
    seed: int = 1,
    proof: bool = True,
    bootstrap: str = "",
    dsn: str = "",
    json: Annotated[bool, Parameter(negative="")] = False,
    output: Path | None = None,
) -> ExitCode:
    """Publish at one rate after the other; say how long it takes until banks can read what became of it, and where.

    One JSON payment a record, sixteen banks, one netting set, windows that close every second. About 20 s a rung,
    and a minute to warm up.

        python -m loadtests.latency
        python -m loadtests.latency --rate 1000 --rate 20000 --seconds 20 --output latency
        python -m loadtests.latency --bootstrap kafka-1:9092 --dsn postgresql://…

    Parameters
    ----------
    rate
        Payments per second of a rung; may be said several times. More than the machine can do shows saturation.
    seconds
        How long each rung publishes; shorter where that would be more than 600,000 payments.
    warm
        Seconds at the beginning of a rung that are not counted.
    seed
        Same seed, same payments.
    proof
        Verify everything at the end.
    bootstrap
        Your Kafka: HOST:PORT,… Topics are made with a prefix of their own and deleted afterwards.
    dsn
        Your PostgreSQL, a database for trying things: what is posted stays.
    json
        Print the figures as JSON instead of tables.
    output
        Write the figures to this file with .json, and the curve with .svg.
    """
    console = Console(stderr=True)
    options = Options(
        rates=list(rate), seconds=seconds, warm=warm, seed=seed, bootstrap=bootstrap, dsn=dsn
    )
    quiet()
    note = lambda text: console.print(f"[dim]{text}[/dim]")  # noqa: E731
    try:
        ladder = uvloop.run(run(options, note, proof=proof))
    except (Exception, KeyboardInterrupt) as error:
        failure = explain(error, bootstrap=bootstrap, dsn=dsn)
        console.print(f"no figures: {failure.message}", style="red", markup=False)
        return failure.code
    encoded = msgspec.json.format(msgspec.json.encode(ladder)).decode()
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.with_suffix(".json").write_text(encoded + "\n")
        output.with_suffix(".svg").write_text(svg(ladder.rungs, _title(ladder)))
    if json:
        print(encoded)
    else:
        Console(width=None if sys.stdout.isatty() else WIDTH).print(table(ladder.rungs))
    return ExitCode.OK


def _title(ladder: Ladder) -> str:
    at = ladder.machine
    return f"published → status readable by the bank, {at.cores} cores with broker and banks"


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
