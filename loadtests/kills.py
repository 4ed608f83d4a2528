"""`python -m loadtests.kills`: a million payments, twenty kill -9 of random processes at random moments, the proof.

The long form of tests/faults/test_processes.py: the same drill, as long and as hard as you like. Part
of the traffic waits: gridlocks, trades of two legs, payments that are taken back.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec
import uvloop
from cyclopts import App, Parameter
from rich.console import Console

from clearing.dev.blows import random_blows
from clearing.dev.drill import Drill, Drilled, run_drill
from clearing.dev.folders import run_folder
from clearing.dev.screen import Screen, latency
from clearing.dev.services import supervised
from clearing.dev.setup import prepare, read_scheme, renamed, servers, stop_on_terminate
from clearing.dev.workload import MIXED, SIMPLE
from clearing.failures import ExitCode, explain
from loadtests.bench import SCHEME
from loadtests.console import quiet

app = App(name="python -m loadtests.kills", help_format="markdown")

QUEUES = Path(__file__).with_name("queues.toml")
COUNTS = {"intake": 2, "engine": 2, "dispatch": 1, "sink": 2}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """payments at rate payments/s; kills: how many kill -9; plain: nothing waits, as in the load test."""

    payments: int = 1_000_000
    kills: int = 20
    seed: int = 1
    rate: float = 15_000.0
    plain: bool = False
    bootstrap: str = ""
    dsn: str = ""


class Survived(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it. wrong: "" if everything holds; killed: how often each service; waited: payments that did,
    at_once: those of them that left in pairs or gridlocks."""

    ok: bool
    payments: int
    killed: dict[str, int]
    restarts: dict[str, int]
    windows_settled: int
    batches: int
    claims: int
    waited: int
    at_once: int
    latency: str
    wrong: str


async def run(options: Options, screen: Screen) -> Survived:
    """Drill on servers of its own or the user's. What fails is kept in the cache folder."""
    stop_on_terminate()
    with run_folder("kills") as folder:
        screen.note("starting the servers")
        async with servers(folder.path, screen.note, options.bootstrap, options.dsn) as made:
            scheme = renamed(read_scheme(SCHEME if options.plain else QUEUES), made.run)
            partitions = await prepare(made.settings, scheme, by="kills")
            async with supervised(made.settings, folder.path / "services", COUNTS) as services:
                await services.ready()
                drill = Drill(
                    made.settings,
                    scheme,
                    partitions,
                    services,
                    payments=options.payments,
                    seed=options.seed,
                    mix=SIMPLE if options.plain else MIXED,
                    rows_per_s=options.rate,
                    blows=random_blows(options.kills, options.payments, options.seed),
                )
                screen.note(f"publishing {options.payments:,} payments; {options.kills} kills")
                async with screen.showing(drill):
                    result = await run_drill(drill)
                survived = report(result)
        if not survived.ok:
            folder.keep()
            screen.note(f"data and logs are kept in {folder.path}")
        return survived


def report(result: Drilled) -> Survived:
    """The drill's end in figures."""
    drill = result.drill
    killed = Counter(kill.service for kill in drill.kills if kill.pid)
    return Survived(
        ok=result.ok,
        payments=drill.published,
        killed=dict(sorted(killed.items())),
        restarts={name: drill.services[name].restarts for name in drill.services.names},
        windows_settled=drill.watch.progress.settled,
        batches=result.report.batches,
        claims=len(result.report.checks),
        waited=drill.banks.told.waited,
        at_once=sum(len(r.ids) for r in drill.watch.progress.releases.values()),
        latency=latency(drill),
        wrong="" if result.ok else str(result),
    )


@app.default
def kills(
    *,
    payments: int = 1_000_000,
    kills: int = 20,
    seed: int = 1,
    rate: float = 15_000.0,
    plain: Annotated[bool, Parameter(negative="")] = False,
    bootstrap: str = "",
    dsn: str = "",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> ExitCode:
    """Publish, kill -9 random services at random moments, let everything drain and settle, prove it.

    Two intakes, two engines, one dispatch, two sinks. Exit code 0 only if every claim of `clearing verify` holds
    and the banks' own plan agrees in counts, values, reasons, nets and finality.

        python -m loadtests.kills --payments 1000000 --kills 20 --seed 7
        python -m loadtests.kills --plain        nothing waits, nothing is linked

    Parameters
    ----------
    payments
        How many the banks publish.
    kills
        How many kill -9.
    seed
        Of payments, victims and moments.
    rate
        Payments per second, of all banks together.
    plain
        Two netted assets without queues, as in the load test, instead of every way to settle, wait and be linked.
    bootstrap
        Your Kafka: HOST:PORT,… Topics are made with a prefix of their own and deleted afterwards.
    dsn
        Your PostgreSQL, a database for trying things: what is posted stays.
    json
        Print the result as JSON.
    """
    screen = Screen(Console(stderr=True))
    options = Options(
        payments=payments,
        kills=kills,
        seed=seed,
        rate=rate,
        plain=plain,
        bootstrap=bootstrap,
        dsn=dsn,
    )
    quiet()
    try:
        survived = uvloop.run(run(options, screen))
    except (Exception, KeyboardInterrupt) as error:
        failure = explain(error, bootstrap=bootstrap, dsn=dsn)
        screen.console.print(failure.message, style="red", markup=False)
        return failure.code
    if json:
        print(msgspec.json.format(msgspec.json.encode(survived)).decode())
    else:
        _show(survived, Console())
    return ExitCode.OK if survived.ok else ExitCode.FAILED


def _show(survived: Survived, out: Console) -> None:
    killed = ", ".join(f"{name} × {count}" for name, count in survived.killed.items())
    out.print(f"{survived.payments:,} payments, {sum(survived.killed.values())} kills: {killed}")
    out.print(f"{survived.windows_settled} windows settled, {survived.batches} batches")
    out.print(f"{survived.waited:,} payments waited, {survived.at_once:,} of them left with others")
    if survived.ok:
        out.print(f"[green]everything holds[/green]: {survived.claims} claims, and the banks' plan")
    else:
        out.print(survived.wrong, style="red", markup=False)


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
