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
    """Kafka, PostgreSQL, eight banks, kill -9 of every service, settlement, and a proof: on this machine.

    Needs nothing installed; the first run downloads Kafka. Ends with the verification report: exit code 0 only
    if nothing was lost, doubled or changed. Ctrl-C stops everything. With --bootstrap it runs on your Kafka, in
    topics of its own that are deleted afterwards; with --dsn on your PostgreSQL, where what it posts stays.

        clearing demo
        clearing demo --forever              keep it up to play with
        clearing demo --payments 1000000 --rate-per-s 50000

    Parameters
    ----------
    payments
        How many payments the banks publish.
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
