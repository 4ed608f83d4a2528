"""`python -m loadtests.kills`: millions of payments, hundreds of kills and other faults, the proof, a report.

The long form of tests/faults/test_processes.py: the same drill, as long and as hard as you like. Part of the
traffic waits: gridlocks, trades of two legs, payments that are taken back. Its servers are its own: it kills them.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import uvloop
from cyclopts import App, Parameter
from rich.console import Console

from clearing.config import Settings
from clearing.dev.drill import Drill, Drilled, run_drill
from clearing.dev.folders import RunFolder, run_folder
from clearing.dev.kafka import EmbeddedKafka
from clearing.dev.points import Points
from clearing.dev.postgres import EmbeddedPostgres
from clearing.dev.screen import Screen
from clearing.dev.services import supervised
from clearing.dev.setup import in_force, prepare, read_scheme, stop_on_terminate
from clearing.dev.workload import MIXED, SIMPLE
from clearing.failures import ExitCode, explain
from loadtests.aside import ProxyAside
from loadtests.console import quiet
from loadtests.faults import plan
from loadtests.prove import prove_in_process_of_its_own
from loadtests.storm import Storm
from loadtests.survived import Options, Survived, markdown, survived
from loadtests.trouble import MAKERS

app = App(name="python -m loadtests.kills", help_format="markdown")

SCHEME = Path(__file__).with_name("scheme.toml")
QUEUES = Path(__file__).with_name("queues.toml")
COUNTS = {"intake": 2, "engine": 2, "dispatch": 2, "sink": 2}
# Waits often enough to be seen all the time, and so seldom that what piles up while engines are down is soon gone.
MIX = MIXED._replace(
    stuck=1e-4, ring=2e-5, trade=5e-4, returned=5e-4, recalled=2e-4, bulk=0.95, stream_every=20
)
# A broker that was killed reads its last segments again: not gigabytes of them.
BROKER = {"log.segment.bytes": 64 << 20, "num.recovery.threads.per.data.dir": 2}
CHUNK_S = 1.0  # of latency others tell more: here every payment is to cost little
FAILURES_MAX = 1_000  # a service that finds no broker tries again: how often depends on the broker
START_TIMEOUT_MS = 300_000
STALL_S = 300.0  # a broker that was killed has gigabytes to look through
LINE_S = 10.0
RATE_OVER_S = 60.0


@dataclass(slots=True)
class _Servers:
    kafka: EmbeddedKafka
    postgres: EmbeddedPostgres
    proxy: ProxyAside


@asynccontextmanager
async def _servers(folder: Path) -> AsyncIterator[_Servers]:
    """Our own, with a proxy before the broker."""
    async with ProxyAside() as proxy:
        kafka = EmbeddedKafka(
            folder / "kafka",
            settings=BROKER,
            start_timeout_ms=START_TIMEOUT_MS,
            proxy_port=proxy.port,
        )
        async with kafka, EmbeddedPostgres(folder / "postgres") as postgres:
            await proxy.forward_to(kafka.behind_proxy)
            yield _Servers(kafka, postgres, proxy)


async def run(options: Options, screen: Screen) -> Survived:
    """The whole of it; what came of it also where it failed. What fails is kept in the cache folder."""
    stop_on_terminate()
    started, began = datetime.now(UTC), time.monotonic()
    with run_folder("kills") as folder:
        screen.note("starting the servers")
        storm: Storm | None = None
        result: Drilled | None = None
        wrong = ""
        try:
            async with (
                _servers(folder.path) as servers,
                _stormy(options, screen, folder, servers) as storm,
            ):
                async with _progress(storm, screen):
                    result = await run_drill(
                        storm.drill, lambda: storm.run(MAKERS), prove_in_process_of_its_own
                    )
                wrong = _wrong(result)
        except Exception as error:
            if storm is None:
                raise
            screen.console.print_exception()
            wrong = f"{type(error).__name__}: {error}"
        finally:
            if wrong or result is None:
                folder.keep()
                screen.note(f"data and logs are kept in {folder.path}")
        return survived(options, storm, result, wrong, started, time.monotonic() - began)


@asynccontextmanager
async def _stormy(
    options: Options, screen: Screen, folder: RunFolder, servers: _Servers
) -> AsyncIterator[Storm]:
    """Services behind the proxy, the drill, and the faults that are planned for it."""
    settings = Settings(
        bootstrap=servers.kafka.bootstrap,
        dsn=servers.postgres.dsn,
        snapshots=str(folder.path / "snapshots"),
    )
    scheme = read_scheme(SCHEME if options.plain else QUEUES)
    partitions = await prepare(settings, scheme, by="kills")
    points = Points(folder.path / "points")
    behind_proxy = msgspec.structs.replace(settings, bootstrap=servers.proxy.bootstrap)
    async with supervised(
        behind_proxy,
        folder.path / "services",
        COUNTS,
        command=points.command,
        failures_max=FAILURES_MAX,
    ) as services:
        await services.ready()
        await in_force(settings, partitions)
        drill = Drill(
            settings,
            scheme,
            partitions,
            services,
            payments=options.payments,
            seed=options.seed,
            mix=SIMPLE._replace(bulk=MIX.bulk) if options.plain else MIX,
            rows_per_s=options.rate,
            stall_s=STALL_S,
        )
        drill.banks.chunk_s = CHUNK_S
        planned = plan(options.faults, options.payments, options.seed, options.only)
        screen.note(f"publishing {options.payments:,} payments; {options.faults} faults")
        yield Storm(
            drill,
            servers.kafka,
            servers.postgres,
            servers.proxy,
            points,
            planned,
            lambda text: screen.note(f"[red]{text}[/red]"),
        )


def _wrong(result: Drilled) -> str:
    """What does not hold; "" if all does."""
    wrong = [] if result.ok else [str(result)]
    for partition, made in result.drill.watch.progress.transactions.items():
        numbers = [sequence for sequence, _ in made]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            wrong.append(f"transactions of partition {partition} do not follow on one another")
    return "\n".join(wrong)


@asynccontextmanager
async def _progress(storm: Storm, screen: Screen) -> AsyncIterator[None]:
    """Says how far it is for as long as the block lasts."""
    task = asyncio.create_task(_lines(storm, screen))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _lines(storm: Storm, screen: Screen) -> None:
    drill = storm.drill
    progress, told = drill.watch.progress, drill.banks.told
    seen: list[tuple[float, int]] = []
    while True:
        now = time.monotonic()
        seen = [(at, rows) for at, rows in seen if now - at <= RATE_OVER_S] + [(now, told.rows)]
        (then, before), rows = seen[0], told.rows
        rate = (rows - before) / (now - then) if now > then else 0.0
        left = max(0, drill.payments - rows)
        eta = f", {left / rate / 60:.1f} min to go" if rate and left else ""
        screen.note(
            f"{drill.phase}: published {drill.published:,}, in the log {progress.logged:,}, "
            f"cleared {progress.cleared:,}, told {rows:,} ({rate:,.0f}/s{eta}); "
            f"{progress.outcomes['queued']:,} wait; windows settled {progress.settled:,}, "
            f"batches {len(progress.confirmed):,}/{len(progress.batches):,}; "
            f"faults {len(storm.incidents)}/{len(storm.planned)}"
        )
        await asyncio.sleep(LINE_S)


@app.default
def kills(
    *,
    payments: int = 1_000_000,
    faults: int = 25,
    seed: int = 1,
    rate: float = 12_000.0,
    plain: Annotated[bool, Parameter(negative="")] = False,
    only: tuple[str, ...] = (),
    json: Annotated[bool, Parameter(negative="")] = False,
    output: Path | None = None,
) -> ExitCode:
    """Publish, let everything die that can, let it drain and settle, prove it, report.

    Two of each service. They are killed at random moments and at fail-points and put to sleep, the broker and
    PostgreSQL are killed and restarted, the network between them fails. Exit code 0 only if every claim of
    `clearing verify` holds and the banks' own plan agrees in counts, values, reasons, nets and finality.

        python -m loadtests.kills --payments 1000000 --faults 25 --seed 7
        python -m loadtests.kills --payments 20000000 --faults 540 --rate 14000 --output ops/proof/long-run
        python -m loadtests.kills --plain        nothing waits, nothing is linked

    Parameters
    ----------
    payments
        How many the banks publish.
    faults
        How many faults, kill -9 among them.
    seed
        Of payments, faults, victims and moments.
    rate
        Payments per second, of all banks together.
    plain
        Two netted assets without queues, as in the load test, instead of every way to settle, wait and be linked.
    only
        These kinds of faults, as the report names them, and no others.
    json
        Print the report as JSON.
    output
        Write the report to this file with .json and with .md.
    """
    screen = Screen(Console(stderr=True, width=None if sys.stderr.isatty() else 200))
    options = Options(
        payments=payments, faults=faults, seed=seed, rate=rate, plain=plain, only=only
    )
    quiet()
    try:
        report = uvloop.run(run(options, screen))
    except (Exception, KeyboardInterrupt) as error:
        failure = explain(error, bootstrap="", dsn="")
        screen.console.print(failure.message, style="red", markup=False)
        return failure.code
    encoded = msgspec.json.format(msgspec.json.encode(report)).decode()
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.with_suffix(".json").write_text(encoded + "\n")
        output.with_suffix(".md").write_text(markdown(report))
    print(encoded if json else markdown(report))
    return ExitCode.OK if report.ok else ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
