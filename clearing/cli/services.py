"""`clearing intake | engine | dispatch | sink`: one process each, until SIGTERM or Ctrl-C. See clearing.service."""

from typing import Annotated

from cyclopts import Parameter

from clearing.cli.session import Given
from clearing.failures import ExitCode

MetricsPort = Annotated[int | None, Parameter(name="--metrics-port")]


def intake(*, metrics_port: MetricsPort = None, session: Given) -> ExitCode:
    """Run an intake worker: reads what banks, operators and ledgers publish, writes the clearing log.

    Start as many as you like: they share the sources.

        clearing intake --metrics-port 9101

    Parameters
    ----------
    metrics_port
        Port of the Prometheus endpoint. 0: any free port, the log says which. -1: none.
    """
    from clearing.intake.worker import run
    from clearing.service import run_service

    settings = session.settings_with(metrics_port=metrics_port)
    return run_service("intake", run, settings, debug=session.options.debug)


def engine(
    *, standby: bool | None = None, metrics_port: MetricsPort = None, session: Given
) -> ExitCode:
    """Run an engine: reads the clearing log, writes outcomes, positions, windows and settlement batches.

    Several share the netting sets and take over from one another when one dies.

        clearing engine --metrics-port 9102 --standby

    Parameters
    ----------
    standby
        Keep warm copies of the netting sets that other engines serve, to take over within a second. Each costs as
        much memory and CPU again.
    metrics_port
        Port of the Prometheus endpoint. 0: any free port, the log says which. -1: none.
    """
    from clearing.engine.worker import run
    from clearing.service import run_service

    settings = session.settings_with(metrics_port=metrics_port, standby=standby)
    return run_service("engine", run, settings, debug=session.options.debug)


def dispatch(*, metrics_port: MetricsPort = None, session: Given) -> ExitCode:
    """Run dispatch: tells each bank, in its own status topic, what became of its payments.

    Several share the netting sets and take over from one another when one dies.

        clearing dispatch --metrics-port 9103

    Parameters
    ----------
    metrics_port
        Port of the Prometheus endpoint. 0: any free port, the log says which. -1: none.
    """
    from clearing.dispatch.worker import run
    from clearing.service import run_service

    settings = session.settings_with(metrics_port=metrics_port)
    return run_service("dispatch", run, settings, debug=session.options.debug)


def sink(
    *,
    ledger: str = "postgres",
    migrate: bool = False,
    metrics_port: MetricsPort = None,
    session: Given,
) -> ExitCode:
    """Run a ledger sink: posts each settlement batch to PostgreSQL once, and tells the engine.

    Several share the netting sets; the ledger itself decides who may write.

        clearing sink --dsn postgresql://user:password@host/ledger --migrate

    Parameters
    ----------
    ledger
        Which ledger's batches to post, as the scheme's assets name it.
    migrate
        First bring the ledger's tables up to date, or make them.
    metrics_port
        Port of the Prometheus endpoint. 0: any free port, the log says which. -1: none.
    """
    from functools import partial

    from clearing.ledgers import schema
    from clearing.ledgers.sink import run
    from clearing.service import run_service

    settings = session.settings_with(metrics_port=metrics_port)
    if migrate:
        _require_dsn(settings.dsn)
        version = session.run(schema.migrate(settings.dsn))
        session.note(f"the ledger's schema has version {version}")
    return run_service("sink", partial(run, ledger=ledger), settings, debug=session.options.debug)


def _require_dsn(dsn: str) -> None:
    from clearing.failures import Failure

    if not dsn:
        raise Failure(
            "no ledger is named: the setting dsn is empty",
            "clearing dev up (a local one), or --dsn postgresql://… (yours)",
            ExitCode.USAGE,
        )
