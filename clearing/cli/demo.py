"""`clearing demo`: everything at once, with failures, ending with a proof. See clearing.dev.demo."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from clearing.cli.session import Given
from clearing.failures import ExitCode

if TYPE_CHECKING:
    from clearing.dev.demo import DemoResult


def demo(
    *,
    payments: int = 200_000,
    rate: Annotated[float, Parameter(name="--rate-per-s")] = 10_000.0,
    seed: int = 1,
    forever: Annotated[bool, Parameter(negative="")] = False,
    keep: Annotated[bool, Parameter(negative="")] = False,
    cache: Path | None = None,
    session: Given,
) -> ExitCode:
    """Kafka, PostgreSQL, nine banks, gridlock and default, kill -9 of every service, a proof: on this machine.

    Eight banks publish to two netting sets: cash, deposits, stablecoins and bonds, netted, gross, at cut-offs and
    at once. At a terminal it begins when somebody has logged in to the console, 20 s later at the latest.
    Meanwhile a story is told:

    1. Three banks are to pay what they have not got: their payments wait, and what they send next waits behind.
    2. The cut-off passes: a deadlock, with who waits for whom and what would free it.
    3. A fourth payment closes the ring: thousands leave at once, by multilateral offsetting.
    4. Bonds against cash: each leg waits for the other, both are final in one step.
    5. A ninth bank is suspended by one person and resumed by two; then it owes more than it has: its collateral
       and the pool pay, it is in default, its queue is cancelled.

    Meanwhile the ledger is late, a second engine takes a netting set over and is fenced out as a zombie, and
    engine, intake, dispatch and sink are killed while they work. Ends with the verification report: exit code
    0 only if nothing was lost, doubled or changed, and all of it went as told.

    Needs nothing installed; the first run downloads Kafka. Ctrl-C stops everything. With --bootstrap it runs on
    your Kafka, in topics of its own that are deleted afterwards; with --dsn on your PostgreSQL, where what it posts
    stays.

        clearing demo
        clearing demo --forever              keep it up to play with
        clearing demo --payments 1000000 --rate-per-s 50000

    Parameters
    ----------
    payments
        How many payments the banks publish; returns, cancellations and the like come on top.
    rate
        How many of them a second.
    seed
        Of the payments and of the moments at which services are killed.
    forever
        Keep publishing and serving until Ctrl-C.
    keep
        Leave data and logs where they are, and say where.
    cache
        Folder of downloads and data. Default: CLEARING_CACHE, or your cache folder.
    """
    if cache is not None:
        os.environ["CLEARING_CACHE"] = str(cache.absolute())
    from clearing.dev.demo import DemoOptions, run, summary
    from clearing.dev.screen import Screen

    options = DemoOptions(
        payments=payments,
        rows_per_s=rate,
        seed=seed,
        forever=forever,
        keep=keep,
        bootstrap=session.options.bootstrap or "",
        dsn=session.options.dsn or "",
    )

    def show(result: "DemoResult") -> None:
        from clearing.cli.verify import as_data, tables

        if session.json:
            import msgspec

            session.line(msgspec.structs.asdict(result) | {"report": as_data(result.report)})
            return
        session.out.print(tables(result.report))
        for sentence in summary(result):
            session.out.print(sentence, style="green" if result.ok else "red", markup=False)

    result = session.run(run(options, Screen(session.notes), show))
    return ExitCode.OK if result.ok else ExitCode.FAILED
