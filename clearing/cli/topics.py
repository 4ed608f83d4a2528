"""`clearing topics`: what the cluster has, what it should have, and making it so without losing anything."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode

if TYPE_CHECKING:
    from clearing.topics.plan import Plan

app = App(
    name="topics",
    help="""Topics of an installation, from topics.toml and a scheme's members.

`clearing scheme load` does this too:

    clearing topics plan scheme.toml     what would change on the cluster
    clearing topics apply scheme.toml    make it so; refused as a whole if it would lose data
    clearing topics list                 every topic: who writes, who reads, for how long
""",
)


@app.command
def plan(scheme: Path | None = None, *, session: Given) -> ExitCode:
    """Show the difference between the cluster and what it should be. Exit code 1 if something is refused.

    Parameters
    ----------
    scheme
        Whose members get topics. Default: those who have topics already.
    """
    from clearing.topics.cluster import plan_cluster

    return _run(session, scheme, plan_cluster, "would be")


@app.command
def apply(scheme: Path | None = None, *, session: Given) -> ExitCode:
    """Make the topics as they should be. Nothing is done, and the exit code is 1, if it would lose data.

    Parameters
    ----------
    scheme
        Whose members get topics. Default: those who have topics already.
    """
    from clearing.topics.cluster import apply_plan

    return _run(session, scheme, apply_plan, "is")


def _run(
    session: Session,
    scheme: Path | None,
    work: Callable[..., Coroutine[Any, Any, "Plan"]],
    verb: str,
) -> ExitCode:
    from clearing.cli.scheme import read_scheme

    members = read_scheme(scheme).members if scheme else None
    settings = session.settings
    found = session.run(
        work(settings.bootstrap, settings.topics, members, netting_sets=len(members or {}))
    )
    data = {
        "changes": [str(c) for c in found.changes],
        "refusals": found.refusals,
        "notes": found.notes,
    }
    if session.json:
        session.line(data)
        return ExitCode.FAILED if found.refusals else ExitCode.OK
    for label, lines in (
        ("", data["changes"]),
        ("note: ", found.notes),
        ("REFUSED: ", found.refusals),
    ):
        for line in lines:
            session.out.print(f"{label}{line}", highlight=False, markup=False)
    if found.refusals:
        session.note("[red]nothing was changed[/red]")
    else:
        session.note(
            f"{len(found.changes)} changes: {verb} done"
            if found.changes
            else "[green]nothing differs[/green]"
        )
    return ExitCode.FAILED if found.refusals else ExitCode.OK


@app.command(name="list")
def list_topics(*, session: Given) -> None:
    """Show the one list of topics: partitions, retention, who writes, who reads. Asks no cluster."""
    from rich.table import Table

    from clearing.topics.contract import read_contract

    contract = read_contract()

    def table(_: object) -> Table:
        result = Table("topic", "partitions", "kept", "written by", "read by", box=None)
        for spec in contract.topics.values():
            days = spec.retention_days
            kept = (
                "latest of each key"
                if spec.compacted
                else days
                if isinstance(days, str)
                else f"{days} days"
            )
            result.add_row(
                spec.name,
                spec.partitions,
                str(kept),
                ", ".join(spec.written_by),
                ", ".join(spec.read_by),
            )
        return result

    session.show(contract.topics, table)
