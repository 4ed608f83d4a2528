"""`python -m loadtests` (`make bench`): payments per second and CPU per payment, stage by stage."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import uvloop
from cyclopts import App, Parameter
from rich.console import Console

from clearing.failures import ExitCode, explain
from loadtests.bench import run
from loadtests.console import quiet
from loadtests.figures import Options
from loadtests.report import table

WIDTH = 110  # of the table where the output is no terminal

app = App(name="python -m loadtests", help_format="markdown")


@app.default
def bench(
    *,
    payments: int = 1_000_000,
    seed: int = 1,
    odd: float = 0.0,
    bulk: float = 0.0,
    intakes: int = 1,
    rate: float = 2_000.0,
    bootstrap: str = "",
    dsn: str = "",
    json: Annotated[bool, Parameter(negative="")] = False,
    output: Path | None = None,
) -> ExitCode:
    """Measure every stage alone and all together, prove the result, and only then say the figures.

    One netting set, sixteen banks, JSON payments published by a plain Kafka producer in a process of its own.
    Kafka and PostgreSQL are embedded ones unless you name yours.

        python -m loadtests --payments 1000000 --seed 1
        python -m loadtests --payments 200000 --bulk 1.0 --output bulk.json
        python -m loadtests --bootstrap kafka-1:9092 --dsn postgresql://…

    Parameters
    ----------
    payments
        Of the backlog that each stage works off alone; all together get the same again.
    seed
        Same seed, same payments.
    odd
        Share of wrong, repeated and refused payments, 0 to 1.
    bulk
        Share of payments that travel 50 to a record, 0 to 1.
    intakes
        Intake workers.
    rate
        Payments per second while latency is measured.
    bootstrap
        Your Kafka: HOST:PORT,… Topics are made with a prefix of their own and deleted afterwards.
    dsn
        Your PostgreSQL, a database for trying things: what is posted stays.
    json
        Print the figures as JSON instead of a table.
    output
        Write the figures as JSON to this file as well.
    """
    console = Console(stderr=True)
    options = Options(
        payments=payments,
        seed=seed,
        odd=odd,
        bulk=bulk,
        intakes=intakes,
        rate=rate,
        bootstrap=bootstrap,
        dsn=dsn,
    )
    quiet()
    try:
        figures = uvloop.run(run(options, lambda text: console.print(f"[dim]{text}[/dim]")))
    except (Exception, KeyboardInterrupt) as error:
        failure = explain(error, bootstrap=bootstrap, dsn=dsn)
        console.print(f"no figures: {failure.message}", style="red", markup=False)
        return failure.code
    encoded = msgspec.json.format(msgspec.json.encode(figures))
    if output is not None:
        output.write_bytes(encoded + b"\n")
    if json:
        print(encoded.decode())
    else:
        Console(width=None if sys.stdout.isatty() else WIDTH).print(table(figures))
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
