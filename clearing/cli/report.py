"""`clearing report`: the end of the day in tables and files, and whether journal, settlements and ledger agree."""

import datetime as dt
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from clearing.reports import Day, DayReport, Reconciled

app = App(
    name="report",
    help="""Report on a day, and reconcile the books.

    Both read what the services have written and change nothing.
    """,
)


@app.command
def day(
    *,
    date: str | None = None,
    timezone: str = "UTC",
    netting_set: str | None = None,
    participant: str = "",
    format_: Annotated[Literal["csv", "parquet", "json"] | None, Parameter(name="--format")] = None,
    output: Path | None = None,
    session: Given,
) -> None:
    """Report a day, per participant and for the scheme: payments, queues, windows, nets, finality, exceptions.

    A payment belongs to the day on which it was accepted, refused or queued, a window to the day on which it
    closed; what became of the window later is told with it. Before the day is over: as far as it has come.

        clearing report day
        clearing report day --date 2026-01-05 --timezone Asia/Hong_Kong --format csv --output reports
        clearing report day --participant ALPHA --format json | jq '.[].nets'

    Parameters
    ----------
    date
        YYYY-MM-DD, from midnight to midnight of the time zone, by the log's own time. Default: today.
    timezone
        As in the IANA database: Asia/Hong_Kong. The log does not have the scheme's.
    netting_set
        Only this one. Default: all, each with its own report.
    participant
        Only what this participant may see: its own payments, and the windows it took part in.
    format_
        csv: a file a table; parquet: the same, money as decimals; json: one document. Default: csv with --output,
        else tables for people.
    output
        Folder for the files, made if it is not there. Files of the same day are replaced. JSON needs none.
    """
    from clearing.commanding.places import netting_sets
    from clearing.names import PARTICIPANT
    from clearing.reports import of_participant
    from clearing.reports.run import day_reports

    wanted = _day(date, timezone)
    if participant and not PARTICIPANT.fullmatch(participant):
        raise Failure(f"{participant!r} is no participant's name", code=ExitCode.USAGE)
    if output is None and format_ in ("csv", "parquet"):
        raise Failure(
            f"{format_} is more than one file: where to?", "--output FOLDER", code=ExitCode.USAGE
        )

    async def read() -> "list[DayReport]":
        places = await netting_sets(session.settings, netting_set)
        return await day_reports(session.settings, places, wanted, progress.tell)

    with session.progress("reading") as progress:
        reports = session.run(read())
    if participant:
        reports = [of_participant(report, participant) for report in reports]
    for report in reports:
        for limit in report.limits:
            session.note(f"{report.netting_set}: {limit}")
    if output is not None:
        _write(session, reports, format_ or "csv", output)
    elif format_ == "json":
        session.line(reports)
    else:
        from clearing.cli.report_tables import day_tables

        session.show(reports, day_tables)


def _day(date: str | None, timezone: str) -> "Day":
    import time
    from zoneinfo import ZoneInfoNotFoundError

    from clearing.reports import Day

    try:
        if date is None:
            return Day.at(time.time_ns() // 1_000_000, timezone)
        return Day.of(dt.date.fromisoformat(date), timezone)
    except (ZoneInfoNotFoundError, IsADirectoryError) as error:
        raise Failure(
            f"there is no time zone {timezone!r}", "e.g. Asia/Hong_Kong", ExitCode.USAGE
        ) from error
    except (ValueError, OverflowError) as error:
        raise Failure(
            f"--date {date} --timezone {timezone}: {error}", "YYYY-MM-DD", ExitCode.USAGE
        ) from error


def _write(
    session: Session,
    reports: "list[DayReport]",
    format_: Literal["csv", "parquet", "json"],
    folder: Path,
) -> None:
    from clearing.reports.files import write

    paths = [path for report in reports for path in write(report, format_, folder)]
    if session.json:
        session.line([str(path) for path in paths])
    else:
        for path in paths:
            session.out.print(str(path), highlight=False, markup=False, soft_wrap=True)


@app.command
def reconcile(
    *,
    netting_set: str | None = None,
    grace_s: Annotated[float, Parameter(name="--grace-s")] = 60.0,
    since: str = "",
    metrics: Path | None = None,
    session: Given,
) -> ExitCode:
    """Reconcile the journal with settlements and the ledger, and explain every break in one sentence.

    Missing in one of the three, doubled, an amount that differs, not confirmed yet and for how long, refused by the
    ledger. The exit code is 1 if there is a break. Without --dsn the ledger's answers are those the journal has.

        clearing report reconcile
        clearing report reconcile --json | jq '.[].breaks[].text'
        clearing report reconcile --since 2d --metrics /var/lib/node_exporter/clearing_reconcile.prom

    `clearing verify` proves far more, from every payment up; this one reads neither the log nor what banks sent.

    Parameters
    ----------
    netting_set
        Only this one. Default: all.
    grace_s
        What is younger is under way: no break, but counted.
    since
        Read the journal from then on: 2d, 12h, or a date or time (UTC unless it says otherwise). Older batches are
        compared with the ledger alone. Default: from its first record.
    metrics
        Write what was found as metrics to this file, for the node exporter's textfile collector: the alert
        ReconBreak looks at them.
    """
    from clearing.cli.report_tables import reconciled_lines
    from clearing.commanding.places import netting_sets
    from clearing.reports.run import reconcile as run

    if not grace_s >= 0:
        raise Failure("--grace-s is not below zero", code=ExitCode.USAGE)
    now_s = time.time()
    since_ms = _moment_ms(since, now_s) if since else None

    async def read() -> "list[Reconciled]":
        places = await netting_sets(session.settings, netting_set)
        return await run(session.settings, places, grace_s, progress.tell, since_ms)

    with session.progress("reconciling") as progress:
        found = session.run(read())
    if metrics is not None:
        from clearing.reports.metrics import write

        write(found, now_s, metrics)
    session.show(_as_data(found), lambda _: reconciled_lines(found))
    return ExitCode.OK if all(one.ok for one in found) else ExitCode.FAILED


def _moment_ms(text: str, now_s: float) -> int:
    """2d, 12h: so long ago; else a date or time. Raises Failure."""
    if ago := re.fullmatch(r"([0-9]{1,5})([dh])", text):
        return round((now_s - int(ago[1]) * {"d": 86_400, "h": 3_600}[ago[2]]) * 1000)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise Failure(f"--since {text}: {error}", "2d, 12h, 2026-01-05", ExitCode.USAGE) from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() * 1000)


def _as_data(found: "list[Reconciled]") -> list[dict[str, object]]:
    import msgspec

    return [
        {"ok": one.ok, "sentence": one.sentence, **msgspec.structs.asdict(one)} for one in found
    ]
