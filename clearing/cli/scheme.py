"""`clearing scheme`: check a scheme file, load it (publish what differs), show what it means."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode

if TYPE_CHECKING:
    from clearing.core.outputs import CommandEvent
    from clearing.scheme.load import LoadReport
    from clearing.scheme.model import Scheme

app = App(
    name="scheme",
    help="""What is cleared, by whom, when: one TOML file says it all.

Loading it again publishes only what differs:

    clearing scheme check scheme.toml        every mistake, with its line
    clearing scheme load scheme.toml --dry-run
    clearing scheme load scheme.toml         make topics, tell the engine what differs
    clearing scheme load scheme.toml --wait  … and wait until it is in force
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
def load(
    file: Path,
    *,
    dry_run: bool = False,
    wait: bool = False,
    timeout_s: Annotated[float, Parameter(name="--timeout-s")] = 120.0,
    by: By = None,
    session: Given,
) -> ExitCode:
    """Make topics, directory and registry what the scheme says; publishes only what differs.

    Nothing is published, and the exit code is 1, if anything would lose data or be refused. Where four eyes are
    required, what needs them is proposed: somebody else approves it with `clearing command approve`.

    What is published is in force when intake and engine, which need not run yet, have read it: a bank that pays
    earlier may be refused as unknown. --wait returns when the engine has answered, with exit code 1 if it has
    refused anything.

    Parameters
    ----------
    dry_run
        Only say what would be done.
    wait
        Until the engine has answered every command of this load, or where nothing differs, of all before.
    timeout_s
        How long to wait at most.
    """
    import getpass

    from clearing.scheme.load import load as run
    from clearing.scheme.load import preview

    scheme, asker = read_scheme(file), by or getpass.getuser()
    if dry_run:
        report = session.run(preview(session.settings, scheme, asker))
        _show_report(session, report, "would be")
        return ExitCode.FAILED if report.refusals else ExitCode.OK
    if wait:
        report, answers = session.run(_load_and_wait(session, scheme, asker, timeout_s))
    else:
        report, answers = session.run(run(session.settings, scheme, asker)), None
    _show_report(session, report, "is", answers)
    refused = [each for each in answers or () if each.status == "REFUSED"]
    return ExitCode.FAILED if report.refusals or refused else ExitCode.OK


async def _load_and_wait(
    session: Session, scheme: "Scheme", by: str, timeout_s: float
) -> tuple["LoadReport", "list[CommandEvent] | None"]:
    """None: nothing was published, so that there is nothing to wait for."""
    from clearing.scheme.in_force import in_force, journal_ends
    from clearing.scheme.load import load

    settings = session.settings
    ends = await journal_ends(settings)
    report = await load(settings, scheme, by)
    if report.refusals:
        return report, None
    with session.progress("waiting for the engine") as progress:

        def tell(answered: int, published: int) -> None:
            progress.tell(f"{answered:,} of {published:,} commands answered")

        if not report.commands:
            return report, await in_force(settings, report.partitions, timeout_s, tell=tell)
        ids = {c.netting_set: [each.id for each in c.commands] for c in report.changes}
        return report, await in_force(
            settings, report.partitions, timeout_s, only=ids, since=ends, tell=tell
        )


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


def _show_report(
    session: Session, report: "LoadReport", verb: str, answers: "list[CommandEvent] | None" = None
) -> None:
    """answers: the engine's, where it was waited for."""
    if session.json:
        told = {} if answers is None else {"answers": answers}
        session.line(_report(report) | told)
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
    if answers is not None:
        _tell_answers(session, answers)
    elif report.commands and verb == "is":
        session.note("in force as soon as intake and engine have read it; --wait waits for that")
    if not report.refusals:
        _tell_proposals(session, report)


def _tell_answers(session: Session, answers: "list[CommandEvent]") -> None:
    refused = [each for each in answers if each.status == "REFUSED"]
    for each in refused:
        text = f"REFUSED {each.netting_set}: {each.command} {each.id}: {each.reason}"
        session.out.print(text, style="red", highlight=False, markup=False)
    done = len(answers) - len(refused)
    session.note(f"in force: the engine has answered {len(answers):,} commands, {done:,} are done")


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
