"""`python -m loadtests` (`make bench`): measured beside its peers, in one run, on one real broker."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import uvloop
from cyclopts import App, Parameter
from rich.console import Console

from clearing.failures import ExitCode, explain
from loadtests.bench import run
from loadtests.console import quiet
from loadtests.contest import PEERS
from loadtests.figures import Options
from loadtests.report import encoded, table, write

WIDTH = 130  # of the table where the output is no terminal
FULL = {"payments": 1_000_000, "bulk_payments": 2_000_000, "minutes": 120.0, "peers": tuple(PEERS)}

PeerName = Literal[
    "streams-memory", "streams-rocksdb", "streams-hash", "streams-filtered", "plain", "faust"
]
WorkloadName = Literal["uniform", "core", "hot", "refused", "queued", "bulk", "arrow"]

app = App(name="python -m loadtests", help_format="markdown")


@app.default
def bench(
    *,
    full: Annotated[bool, Parameter(negative="")] = False,
    payments: int | None = None,
    bulk_payments: int | None = None,
    rounds: int = 5,
    peer: Annotated[tuple[PeerName, ...], Parameter(negative="")] = (),
    workload: Annotated[tuple[WorkloadName, ...], Parameter(negative="")] = (),
    seed: int = 1,
    minutes: float | None = None,
    rate: float = 2_000.0,
    bootstrap: str = "",
    dsn: str = "",
    json: Annotated[bool, Parameter(negative="")] = False,
    output: Path = Path("build/bench"),
) -> ExitCode:
    """Measure the engine beside Kafka Streams, an aiokafka loop and Faust; prove it; only then say the figures.

    Everything runs on one broker, in turns, each warm, over the same payments. What each of them does and what is
    counted is in loadtests/README.md. The exit code is not 0 when anything was lost, came twice or still waited.

        python -m loadtests
        python -m loadtests --full
        python -m loadtests --peer streams-hash --workload uniform --workload arrow
        python -m loadtests --bootstrap kafka-1:9092 --dsn postgresql://…

    Parameters
    ----------
    full
        More of everything: a million payments a round, every peer and workload, up to two hours.
    payments
        Of each round of the comparison and of each workload (300,000; a slow peer gets a part of it).
    bulk_payments
        Of the workloads with many payments in a record (300,000).
    rounds
        Of the comparison, after one to warm up.
    peer
        Only these peers; may be given several times.
    workload
        Only these workloads, each stage alone; may be given several times.
    seed
        Same seed, same payments.
    minutes
        Begin nothing that would take longer (10): fewer rounds and workloads on a slow machine.
    rate
        Payments per second while latency is measured.
    bootstrap
        Your Kafka: HOST:PORT,… Topics are made with a prefix of their own and deleted afterwards.
    dsn
        Your PostgreSQL, a database for trying things: what is posted stays.
    json
        Print the figures as JSON instead of tables.
    output
        Folder for bench.json and the plots.
    """
    console = Console(stderr=True)
    asked = {
        "payments": payments,
        "bulk_payments": bulk_payments,
        "minutes": minutes,
        "peers": peer,
    }
    chosen = (FULL if full else {}) | {name: value for name, value in asked.items() if value}
    options = Options(
        rounds=rounds,
        workloads=workload,
        seed=seed,
        rate=rate,
        bootstrap=bootstrap,
        dsn=dsn,
        **chosen,
    )
    began = time.monotonic()

    def note(text: str) -> None:
        console.print(f"{time.monotonic() - began:5.0f} s  {text}", style="dim", markup=False)

    quiet()
    try:
        figures = uvloop.run(run(options, note))
    except (Exception, KeyboardInterrupt, asyncio.CancelledError) as error:
        failure = explain(error, bootstrap=bootstrap, dsn=dsn)
        console.print(f"no figures: {failure.message}", style="red", markup=False)
        return failure.code
    files = write(figures, output)
    if json:
        print(encoded(figures).decode())
    else:
        Console(width=None if sys.stdout.isatty() else WIDTH).print(table(figures))
    console.print(f"written: {', '.join(map(str, files))}", style="dim", markup=False)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
