"""`python -m loadtests.recovery`: from kill -9 to the next committed output, of engine and sink, part by part.

With more and more payments remembered and rows in the ledger, with and without a snapshot. The output is seen by a
read_committed reader, a transaction of the engine or a confirmation of the sink; the parts come from what the new
process logs.
"""

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import asyncpg
import msgspec
import numpy as np
import uvloop
from cyclopts import App, Parameter
from rich.console import Console

from clearing import kafka
from clearing.config import Settings
from clearing.dev.banks import BATCH_BYTES, Banks, send
from clearing.dev.folders import run_folder
from clearing.dev.records import Fields, line_of
from clearing.dev.screen import Screen
from clearing.dev.services import Services, supervised
from clearing.dev.setup import in_force, prepare, read_scheme, servers, stop_on_terminate
from clearing.dev.tasks import task_group
from clearing.dev.watch import Watch
from clearing.dev.workload import PLAIN, Stream, streams
from clearing.failures import ExitCode, explain
from loadtests.console import quiet
from loadtests.figures import Machine, machine
from loadtests.recovered import Measured, Recovered, markdown
from loadtests.takeover import PEER, take_over

app = App(name="python -m loadtests.recovery", help_format="markdown")

SCHEME = Path(__file__).with_name("queues.toml")
NETTING_SET, AT_ONCE = "load", "DEPO"  # what is paid in it is settled payment by payment, at once
COUNTS = {"intake": 1, "engine": 1, "sink": 1}
TRICKLE_S = (
    0.02  # how often a payment comes while a service is down: something to do for it at once
)
SNAPSHOT_EVERY_S = 5
PAUSE_S = 1.0  # of trickle before each kill
TIMEOUT_S = 600.0
POLL_S = 0.002

# Role → (part, the log line it ends with), in this order. What comes last ends with the output.
PARTS: Mapping[str, list[tuple[str, str]]] = {
    "engine": [
        ("process", "starting"),
        ("group", "ready"),
        ("fencing, journal", "recovering"),
        ("snapshot", "snapshot_loaded"),
        ("replay", "serving"),
    ],
    "sink": [("process", "starting"), ("ledger, group", "ready"), ("ownership", "owned")],
}
LAST_PART = "first output"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """payments: how many are cleared before each row of measurements; replays: of the log from its first record."""

    payments: list[int]
    repeat: int = 5
    replays: int = 2
    seed: int = 1


@dataclass(slots=True)
class Bench:
    """An installation at work, and what has been published to it."""

    options: Options
    settings: Settings
    services: Services
    watch: Watch
    banks: Banks
    partition: int
    note: Callable[[str], None]
    rows: list[Measured] = field(default_factory=list[Measured])

    @property
    def stream(self) -> Stream:
        return next(s for s in self.banks.streams if s.netting_set == NETTING_SET)

    async def clear(self, payments: int) -> None:
        """So many are cleared in all, and a snapshot has them."""
        progress = self.watch.progress
        await self.banks.publish(payments - self.banks.published.rows)
        await _until(lambda: progress.cleared >= payments)
        goal = progress.transactions[self.partition][-1][0] if payments else 0
        self.note(f"{progress.cleared:,} payments cleared in {goal:,} transactions")
        await asyncio.sleep(3 * SNAPSHOT_EVERY_S)

    async def measure(self, role: str, *, snapshot: bool = True) -> None:
        """One row: kill it again and again while payments trickle in."""
        taken: list[dict[str, float]] = []
        async with self._trickle():
            for _ in range(self.options.repeat if snapshot else self.options.replays):
                await asyncio.sleep(PAUSE_S)
                taken.append(await self._kill(role, snapshot=snapshot))
        measured = Measured(
            role=role,
            payments=self.watch.progress.cleared,
            ledger_rows=await self._ledger_rows(),
            snapshot=snapshot,
            seconds={part: [one[part] for one in taken] for part in taken[0]},
        )
        self._keep(measured)

    async def measure_takeovers(self) -> None:
        """One row: engines that stand by for one another, each in turn stopped while it serves."""
        taken: list[dict[str, float]] = []
        self.services.start(PEER)
        await self.services.ready(PEER)
        async with self._trickle():
            for _ in range(self.options.repeat):
                await asyncio.sleep(PAUSE_S)
                taken.append(
                    await take_over(self.services, self.watch, self.partition, NETTING_SET)
                )
        await self.services.stop(PEER)
        self._keep(
            Measured(
                role="standby",
                payments=self.watch.progress.cleared,
                ledger_rows=0,
                snapshot=True,
                seconds={part: [one[part] for one in taken] for part in taken[0]},
            )
        )

    def _keep(self, measured: Measured) -> None:
        self.rows.append(measured)
        whole = measured.seconds["in all"]
        self.note(
            f"{measured.name}: {np.median(whole):.2f} s ({min(whole):.2f} to {max(whole):.2f})"
        )

    async def _kill(self, role: str, *, snapshot: bool) -> dict[str, float]:
        """Seconds of each part, and in all."""
        service, progress = self.services[f"{role}-1"], self.watch.progress
        made, confirmed = progress.transactions[self.partition], len(progress.confirmed)
        pid, killed_s = self.services.kill(service.name), time.time()
        if not snapshot:
            shutil.rmtree(self.settings.snapshot_folder)
        if role == "engine":
            await _until(lambda: made[-1][1] != pid)
        else:
            await _until(
                lambda: (
                    service.child.pid != pid
                    and service.says("owned", netting_set=NETTING_SET) is not None
                )
            )
            await _until(lambda: len(progress.confirmed) > confirmed)
        return self._parts(role, killed_s, time.time())

    def _parts(self, role: str, killed_s: float, output_s: float) -> dict[str, float]:
        """From the log of the process that came after; a part it does not speak of took no time."""
        service, seconds, at_s = self.services[f"{role}-1"], dict[str, float](), killed_s
        for part, event in PARTS[role]:
            said = service.says(event, netting_set=NETTING_SET)
            end_s = datetime.fromisoformat(str(said["timestamp"])).timestamp() if said else at_s
            seconds[part], at_s = end_s - at_s, end_s
        return seconds | {LAST_PART: output_s - at_s, "in all": output_s - killed_s}

    @asynccontextmanager
    async def _trickle(self) -> AsyncIterator[None]:
        """Payments that are settled at once, one by one, for as long as the block lasts."""
        task = asyncio.create_task(self._pay())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()):
            raise error

    async def _pay(self) -> None:
        stream = self.stream
        line = next(line for line in stream.lines if line.asset.spec.id == AT_ONCE)
        topic = self.settings.topics.payments(NETTING_SET, stream.bank)
        producer = kafka.producer(self.settings.bootstrap, max_batch_size=BATCH_BYTES)
        async with kafka.started(producer):
            for number in range(sys.maxsize):
                fields = Fields(
                    id=str(uuid4()),
                    debtor=stream.bank,
                    creditor=line.creditors[number % len(line.creditors)],
                    asset=AT_ONCE,
                    amount="0.01",
                    value_date=line.value_date,
                    end_to_end_id=f"trickle-{number}",
                    priority="NORM",
                )
                await send(producer, topic, [line_of(fields)])
                await asyncio.sleep(TRICKLE_S)

    async def _ledger_rows(self) -> int:
        connection = await asyncpg.connect(self.settings.dsn)
        try:
            return await connection.fetchval("SELECT count(*) FROM clearing.entries")
        finally:
            await connection.close()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110  what it waits for happens in other processes
            await asyncio.sleep(POLL_S)


async def run(options: Options, screen: Screen) -> Recovered:
    """All rows, on servers of its own."""
    stop_on_terminate()
    with run_folder("recovery") as folder:
        screen.note("starting the servers")
        async with servers(folder.path, screen.note) as made:
            settings = msgspec.structs.replace(
                made.settings, snapshot_every_s=SNAPSHOT_EVERY_S, standby=True
            )
            scheme = read_scheme(SCHEME)
            partitions = await prepare(settings, scheme, by="recovery")
            async with supervised(settings, folder.path / "services", COUNTS) as services:
                await services.ready()
                await in_force(settings, partitions)
                scales = {name: asset.spec.scale for name, asset in scheme.assets.items()}
                watch = Watch(settings.bootstrap, settings.topics, [*partitions.values()], scales)
                made_streams = streams(
                    scheme,
                    payments=2 * max(options.payments) + 1_000,
                    seed=options.seed,
                    mix=PLAIN._replace(bulk=1.0),
                )
                alone = [s for s in made_streams if s.netting_set == NETTING_SET]
                banks = Banks(settings.bootstrap, settings.topics, alone, scales)
                bench = Bench(
                    options, settings, services, watch, banks, partitions[NETTING_SET], screen.note
                )
                async with task_group() as group:
                    started = asyncio.Event()
                    watching = group.create_task(watch.run(started))
                    await started.wait()
                    await _measure_all(bench)
                    watching.cancel()
                return Recovered(
                    machine=_machine(), options=msgspec.to_builtins(options), rows=bench.rows
                )


async def _measure_all(bench: Bench) -> None:
    for payments in sorted(bench.options.payments):
        await bench.clear(payments)
        await bench.measure("engine")
        await bench.measure("sink")
        if payments and bench.options.replays:
            await bench.measure("engine", snapshot=False)
        await bench.measure_takeovers()


def _machine() -> Machine:
    return machine(0.0)


@app.default
def recovery(
    *,
    payments: tuple[int, ...] = (1_000, 1_000_000, 5_000_000),
    repeat: int = 5,
    replays: int = 2,
    seed: int = 1,
    json: Annotated[bool, Parameter(negative="")] = False,
    output: Path | None = None,
) -> ExitCode:
    """Kill -9 the engine and the sink, again and again, with more and more behind them; say how long they take.

        python -m loadtests.recovery
        python -m loadtests.recovery --payments 1000 --payments 10000000 --repeat 10

    Parameters
    ----------
    payments
        How many are remembered by the engine; one in twenty is two rows of the ledger.
    repeat
        How often each is killed.
    replays
        How often the engine is to start without any snapshot: it replays the log from its first record.
    seed
        Of the payments.
    json
        Print the figures as JSON instead of a table.
    output
        Write the figures to this file with .json and with .md.
    """
    screen = Screen(Console(stderr=True, width=None if sys.stderr.isatty() else 200))
    options = Options(payments=list(payments), repeat=repeat, replays=replays, seed=seed)
    quiet()
    try:
        recovered = uvloop.run(run(options, screen))
    except (Exception, KeyboardInterrupt) as error:
        failure = explain(error, bootstrap="", dsn="")
        screen.console.print(f"no figures: {failure.message}", style="red", markup=False)
        return failure.code
    encoded = msgspec.json.format(msgspec.json.encode(recovered)).decode()
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.with_suffix(".json").write_text(encoded + "\n")
        output.with_suffix(".md").write_text(markdown(recovered))
    print(encoded if json else markdown(recovered))
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
