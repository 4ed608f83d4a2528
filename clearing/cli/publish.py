"""`clearing publish`: what banks send, from files into the banks' topics, checked first, each acknowledged."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from clearing.cli.payment_files import BadLine

BAD_SHOWN = 1_000


def publish(
    *files: Path,
    netting_set: str | None = None,
    sender: Annotated[str | None, Parameter(name="--as")] = None,
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    session: Given,
) -> ExitCode:
    """Publish payments, and what banks say about them, from JSONL or CSV files, each into the topic of its debtor.

    Everything is checked first, as intake will: every line that would be rejected is shown with its reason, and
    then nothing is published (exit code 2). Ends when the brokers have acknowledged every record.

        clearing publish payments.jsonl
        clearing publish monday.csv tuesday.csv
        clearing publish payments.jsonl --dry-run --json
        generate-payments | clearing publish

    A CSV file names the fields in its first line:

        id,debtor,creditor,asset,amount,value_date,end_to_end_id

    with `type` among them for what is no payment; `link` and `original` hold JSON.

    Parameters
    ----------
    files
        JSON lines (payment, token_transfer, return, cancel, priority, answer, bulk), or CSV if the name ends in
        .csv. Default: JSON lines from stdin.
    netting_set
        Where to publish. Default: where the asset is cleared; what names no asset, to the only one there is.
    sender
        Publish as this participant. Default: the payment's debtor.
    skip_bad
        Publish the sound lines although there are others.
    dry_run
        Check only.
    """
    from clearing.cli.payment_files import STDIN
    from clearing.cli.publishing import check_files, send

    if not files and sys.stdin.isatty():
        raise Failure("no file is given", "clearing publish --help", ExitCode.USAGE)
    batch = check_files(files or (STDIN,), session)
    _show_bad(session, batch.bad)
    if batch.bad and not skip_bad:
        bad_lines = len({(one.file, one.line) for one in batch.bad})
        _report(session, len(batch.lines), 0, {}, batch.bad)
        session.note(
            f"[red]nothing was published[/red]: {bad_lines:,} of {len(batch.lines):,} lines are bad"
        )
        return ExitCode.USAGE
    topics: dict[str, int] = {}
    if not dry_run:
        topics = session.run(send(session, batch, netting_set, sender))
    _report(session, len(batch.lines), sum(topics.values()), topics, batch.bad)
    if dry_run:
        session.note(f"[green]{batch.sound:,} lines are sound[/green]; nothing was published")
    else:
        session.note(
            f"[green]{sum(topics.values()):,} records acknowledged[/green] in {len(topics)} topics"
        )
    return ExitCode.OK


def _show_bad(session: Session, bad: "list[BadLine]") -> None:
    if session.json:
        return
    for one in bad[:BAD_SHOWN]:
        session.out.print(str(one), highlight=False, markup=False, soft_wrap=True)
    if len(bad) > BAD_SHOWN:
        session.note(f"and {len(bad) - BAD_SHOWN:,} more; all of them with --json")


def _report(
    session: Session, lines: int, published: int, topics: dict[str, int], bad: object
) -> None:
    if session.json:
        session.line({"lines": lines, "published": published, "topics": topics, "bad": bad})
