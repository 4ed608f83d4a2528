"""`clearing setoff`: which part of a closed group's obligations clears without money, from a file (R18)."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from clearing.cli.obligation_files import ObligationFile

BAD_SHOWN = 1_000


def _no_option(_: object, file: Path) -> None:
    """ "-" is a file, what else begins so is an option that does not exist."""
    if len(str(file)) > 1 and str(file).startswith("-"):
        raise ValueError("no such option")


def setoff(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True, validator=_no_option)],
    *,
    scale: Annotated[int | None, Parameter(validator=validators.Number(gte=0, lte=9))] = None,
    output: Path | None = None,
    session: Given,
) -> ExitCode:
    """Clear the most of what a closed group owes one another, without money.

    Of all ways to set obligations off against each other this finds the one that clears the most value. Nobody
    owes anybody new, nobody's net balance changes, and the order of the lines decides nothing.

        clearing setoff obligations.csv
        clearing setoff obligations.csv --output after.csv
        grep 2026-01 ledger.jsonl | clearing setoff - --scale 2 --json

    A CSV file names its columns in the first line, JSON lines have them as fields; `id` may be left out:

        debtor,creditor,amount,id
        ALPHA,BRAVO,100.00,INV-1
        BRAVO,ALPHA,40.00,INV-2

    All amounts are of one asset. A line that is not sound is told with its number, and then nothing is set off
    (exit code 2).

    Parameters
    ----------
    file
        CSV, or JSON lines if it begins with {. "-": stdin.
    scale
        Decimals an amount may have, 0 to 9. Default: as many as the longest one in the file has.
    output
        Write each obligation with what is cleared and what remains of it: CSV if the name ends in .csv, else
        JSON lines. Of several between the same two parties the smallest clear first.
    """
    from clearing.cli import obligation_files
    from clearing.cli.setoff_report import report_of, tables

    if file == obligation_files.STDIN and sys.stdin.isatty():
        raise Failure("no file is given", "clearing setoff --help", ExitCode.USAGE)
    read = obligation_files.read(file, scale)
    if read.bad:
        _refuse(session, read)
        return ExitCode.USAGE
    report = report_of(read.obligations, read.scale)
    if output:
        obligation_files.write(output, report.results)
    session.show(report, tables)
    return ExitCode.OK


def _refuse(session: Session, read: "ObligationFile") -> None:
    if session.json:
        session.line({"lines": read.lines, "bad": read.bad})
    else:
        for one in read.bad[:BAD_SHOWN]:
            session.out.print(str(one), highlight=False, markup=False, soft_wrap=True)
        if len(read.bad) > BAD_SHOWN:
            session.note(f"and {len(read.bad) - BAD_SHOWN:,} more; all of them with --json")
    session.note(
        f"[red]nothing was set off[/red]: {len(read.bad):,} of {read.lines:,} lines are bad"
    )
