"""`clearing scheme`: check a scheme file, load it (publish what differs), show what it means."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode

if TYPE_CHECKING:
    from clearing.scheme.load import LoadReport
    from clearing.scheme.model import Scheme

app = App(
    name="scheme",
    help="""What is cleared, by whom, when: one TOML file says it all.

Loading it again publishes only what differs:

    clearing scheme check scheme.toml        every mistake, with its line
    clearing scheme load scheme.toml --dry-run
    clearing scheme load scheme.toml         make topics, tell the engine what differs
    clearing scheme show scheme.toml --json  the commands it stands for
""",
)

By = Annotated[str | None, Parameter(help="Who asks; stands in the log. Default: your user name.")]


@app.command
def check(file: Path, *, session: Given) -> ExitCode:
    """Say what is wrong with a scheme, each with line and reason. Exit code 2 if anything is."""
    from clearing.scheme.parse import parse

    found = parse(file.read_bytes())
    if isinstance(found, list):
        problems = [{"line": p.line, "column": p.column, "message": p.message} for p in found]
        if session.json:
            session.line({"ok": False, "problems": problems})
        for problem in found if not session.json else ():
            session.out.print(f"{file}:{problem}", highlight=False, markup=False)
        return ExitCode.USAGE
    if session.json:
        session.line({"ok": True, "problems": []})
    else:
        session.out.print(
            f"[green]ok[/green] {found.name}: {len(found.netting_sets)} netting sets, "
            f"{len(found.assets)} assets, {len(found.participants)} participants, "
            f"{len(found.accounts)} accounts",
            highlight=False,
        )
    return ExitCode.OK


@app.command
def load(file: Path, *, dry_run: bool = False, by: By = None, session: Given) -> ExitCode:
    """Make topics, directory and registry what the scheme says; publishes only what differs.

    Nothing is published, and the exit code is 1, if anything would lose data or be refused. Where four eyes are
    required, what needs them is proposed: somebody else approves it with `clearing command approve`.

    Parameters
    ----------
    dry_run
        Only say what would be done.
    """
    import getpass

    from clearing.scheme.load import load as run
    from clearing.scheme.load import preview

    scheme = read_scheme(file)
    work = preview if dry_run else run
    report = session.run(work(session.settings, scheme, by or getpass.getuser()))
    _show_report(session, report, "would be" if dry_run else "is")
    return ExitCode.FAILED if report.refusals else ExitCode.OK


@app.command
def show(
    file: Path,
    *,
    on: Annotated[date | None, Parameter(help="Day to start from. Default: today, UTC.")] = None,
    by: By = None,
    session: Given,
) -> None:
    """Show the commands a scheme stands for, by netting set, for an engine that knows nothing yet."""
    import getpass
    from datetime import UTC, datetime

    from rich.table import Table

    from clearing.scheme.changes import find_changes
    from clearing.scheme.standing import Published

    scheme = read_scheme(file)
    today = on or datetime.now(UTC).date()
    changes = [
        (name, change)
        for name in scheme.netting_sets
        for change in find_changes(scheme, Published(name), by or getpass.getuser(), today).changes
    ]
    data = [{"netting_set": name, "command": change.command} for name, change in changes]

    def table(_: object) -> Table:
        result = Table("netting set", "what", box=None)
        for name, change in changes:
            result.add_row(name, change.text)
        return result

    session.show(data, table)


def read_scheme(file: Path) -> "Scheme":
    """The scheme in a file. Raises Failure with its first problem."""
    from clearing.failures import Failure
    from clearing.scheme.parse import parse

    found = parse(file.read_bytes())
    if isinstance(found, list):
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise Failure(f"{file}:{found[0]}{more}", f"clearing scheme check {file}", ExitCode.USAGE)
    return found


def _show_report(session: Session, report: "LoadReport", verb: str) -> None:
    if session.json:
        session.line(_report(report))
        return

    def line(kind: str, text: str, style: str = "") -> None:
        session.out.print(f"{kind:<8}{text}", style=style, highlight=False, markup=False)

    for change in report.topics.changes:
        line("topic", str(change))
    for changes in report.changes:
        for change in changes.changes:
            is_proposed = change in changes.proposed
            line("propose" if is_proposed else "command", f"{changes.netting_set}: {change.text}")
        for change in changes.waiting:
            line("waits", f"{changes.netting_set}: {change.text}")
        for note in changes.notes:
            line("note", f"{changes.netting_set}: {note}")
    for note in report.topics.notes:
        line("note", note)
    for refusal in report.refusals:
        line("REFUSED", refusal, "red")
    count = report.commands + len(report.topics.changes)
    if report.refusals:
        session.note("[red]nothing was published[/red]")
    elif not count:
        session.note("[green]nothing differs[/green]")
    else:
        session.note(
            f"{report.commands} commands and {len(report.topics.changes)} topics: {verb} done"
        )
    if not report.refusals:
        _tell_proposals(session, report)


def _report(report: "LoadReport") -> dict[str, object]:
    from clearing.core.approvals import content_hash

    return {
        "refusals": report.refusals,
        "topics": [str(change) for change in report.topics.changes],
        "notes": [*report.topics.notes, *(n for c in report.changes for n in c.notes)],
        "netting_sets": report.partitions,
        "commands": [
            {"netting_set": c.netting_set, "text": change.text, "command": change.command}
            for c in report.changes
            for change in c.changes
        ],
        "proposals": [
            {
                "netting_set": c.netting_set,
                "text": each.text,
                "proposal": each.command.id,
                "hash": content_hash(each.command.command),
            }
            for c in report.changes
            for each in c.proposed
        ],
    }


def _tell_proposals(session: Session, report: "LoadReport") -> None:
    """How what is proposed comes into force: approved by somebody else, in this order."""
    for changes in report.changes:
        if not changes.proposed:
            continue
        name, count = changes.netting_set, len(changes.proposed)
        ids = " ".join(each.command.id for each in changes.proposed)
        session.note(
            f"{name}: {count} {'waits' if count == 1 else 'wait'} for somebody else to approve:\n"
            f"    clearing command proposals --netting-set {name}\n"
            f"    clearing command approve {ids} --netting-set {name}"
        )
