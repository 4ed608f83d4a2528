"""`clearing simulate`: the engine's own core over files, without Kafka; all it says as JSON."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from clearing.scenario import Result
    from clearing.simulate import Observer


def simulate(
    scheme: Path | None = None,
    events: Path | None = None,
    *,
    log: Annotated[Path | None, Parameter(name="--log")] = None,
    log_out: Path | None = None,
    outputs: Path | None = None,
    netting_set: str | None = None,
    start: str | None = None,
    confirm: bool = True,
    close: bool = True,
    summary: bool = False,
    session: Given,
) -> None:
    """Run the engine's core over a scheme and a file of events. No Kafka, no clock, no chance.

    Prints batches, statuses as each bank would read them, positions, what waits, events and what was rejected, as
    JSON: one document a netting set, the same bytes each time. With --log it runs a log saved by
    `clearing replay --dump` (or by --log-out): the outputs are those of the live engine, byte for byte; compare
    the chain. The folder `topics/examples` has a scheme and events for each thing the engine does.

        clearing simulate scheme.toml events.jsonl
        clearing simulate scheme.toml events.jsonl --summary
        clearing simulate --log hk.log --outputs hk.outputs

    Parameters
    ----------
    scheme
        Scheme file (TOML).
    events
        JSON lines: payments, returns, cancellations as banks publish them, commands, confirmations;
        {"at": "…Z", "message": {…}} with the time; {"at": "…Z"} to let time pass; {"raw": "…", "owner": "BANKAAAA"}
        for any bytes; {"type": "ledger", "asset": "HKD", "answer": "REFUSED", "short": {"BANKAAAA": "5.00"}} for a
        ledger that refuses its next batch, "WAITS" or "POSTED" for one that keeps everybody waiting.
    log
        Run this log file instead of scheme and events.
    log_out
        Save the log that was made. With several netting sets one is to be chosen.
    outputs
        Save every output record, a JSON line each, with the chain after it: for `cmp`.
    netting_set
        Only this netting set.
    start
        When it begins, RFC 3339. Default: the first event's time, or noon UTC of the first value date.
    confirm
        The ledgers post every batch at once, but for what the events say. --no-confirm: they wait to be told.
    close
        Close all windows at the end.
    summary
        Tables for people instead of JSON.
    """
    if log is not None:
        results = [_run_log(log, outputs)]
    elif scheme is None or events is None:
        raise Failure(
            "give a scheme and events, or --log", "clearing simulate --help", ExitCode.USAGE
        )
    else:
        results = _run_scenario(
            scheme, events, netting_set, start, confirm, close, log_out, outputs
        )
    for result in results:
        if summary:
            from clearing.cli.simulate_tables import tables

            session.out.print(tables(result))
        else:
            _print(session, result)


def _print(session: Session, result: "Result") -> None:
    """One line with --json; laid out to be read without."""
    import msgspec

    document = msgspec.json.encode(result)
    text = document if session.json else msgspec.json.format(document, indent=2)
    print(text.decode())


def _run_log(log: Path, outputs: Path | None) -> "Result":
    from clearing import logfile
    from clearing.cli.output_file import OutputFile
    from clearing.scenario import run_saved_log

    try:
        name = logfile.netting_set_of(log)
    except ValueError as error:
        raise Failure(str(error), code=ExitCode.USAGE) from error
    with ExitStack() as files:
        observers = [files.enter_context(OutputFile(outputs)).observe] if outputs else []
        return run_saved_log(name, logfile.read(log), observers)


def _run_scenario(
    scheme_file: Path,
    events_file: Path,
    netting_set: str | None,
    start: str | None,
    confirm: bool,
    close: bool,
    log_out: Path | None,
    outputs: Path | None,
) -> "list[Result]":
    from clearing.cli.output_file import OutputFile
    from clearing.cli.scheme import read_scheme
    from clearing.logfile import LogFileWriter
    from clearing.scenario import Options, instant_ms, read_events, run_scenario, start_of

    scheme = read_scheme(scheme_file)
    with events_file.open("rb") as lines:
        events = read_events(lines, str(events_file))
    names = tuple(name for name in scheme.netting_sets if netting_set in (None, name))
    if len(names) == 0:
        raise Failure(f"the scheme has no netting set {netting_set!r}", code=ExitCode.USAGE)
    if (log_out or outputs) and len(names) > 1:
        raise Failure(
            f"--log-out and --outputs are of one netting set: {', '.join(names)}",
            f"--netting-set {names[0]}",
            ExitCode.USAGE,
        )
    try:
        start_ms = instant_ms(start) if start else start_of(events)
    except ValueError as error:
        raise Failure(f"--start: {error}", code=ExitCode.USAGE) from error
    options = Options(start_ms, names, confirm, close)
    with ExitStack() as files:
        observers: list[Observer] = []
        if outputs:
            observers.append(files.enter_context(OutputFile(outputs)).observe)
        if log_out:
            observers.append(files.enter_context(LogFileWriter(log_out, names[0])).observe)
        return list(run_scenario(scheme, events, options, lambda _: observers).values())
