"""`clearing demo`: everything at once, with failures, ending with a proof. See clearing.dev.demo."""

from pathlib import Path

from clearing.cli.session import Given
from clearing.failures import ExitCode


def demo(
    *,
    payments: int | None = None,
    seed: int = 1,
    forever: bool = False,
    cache: Path | None = None,
    session: Given,
) -> ExitCode:
    """Kafka, PostgreSQL, eight banks, kill -9 of every service, settlement, and a proof: on this machine.

    Needs nothing installed; the first run downloads Kafka. Ends with the verification report: exit code 0 only
    if nothing was lost, doubled or changed. Ctrl-C stops everything.

        clearing demo
        clearing demo --forever              keep it up to play with
        clearing demo --payments 1000000

    Parameters
    ----------
    payments
        How many payments the banks publish.
    seed
        Of the payments and of the moments at which services are killed.
    forever
        Keep publishing and serving until Ctrl-C.
    cache
        Folder of downloads and data. Default: CLEARING_CACHE, or your cache folder.
    """
    from clearing.dev.demo import run

    ok = session.run(
        run(session.settings, payments=payments, seed=seed, forever=forever, cache=cache)
    )
    return ExitCode.OK if ok else ExitCode.FAILED
