"""`clearing topics`: what the cluster has, what it should have, and making it so without losing anything."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from clearing.topics.plan import Plan

app = App(
    name="topics",
    help="""Topics of an installation, from topics.toml and a scheme's members.

`clearing scheme load` does this too:

    clearing topics plan scheme.toml     what would change on the cluster
    clearing topics apply scheme.toml    make it so; refused as a whole if it would lose data
    clearing topics list                 every topic: who writes, who reads, for how long
    clearing topics acls scheme.toml     who may do what, as commands for the cluster's administrator
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


@app.command
def acls(
    scheme: Path,
    *,
    principal: list[str] | None = None,
    role: str | None = None,
    session: Given,
) -> None:
    """Show the rules (ACLs) the cluster needs, role by role, and no others: as kafka-acls commands, or --json.

    Each service, the operators, each bank log in as themselves. Asks no cluster, changes none:

        clearing topics acls scheme.toml --principal engine=User:CN=engine.example > acls.sh

    Parameters
    ----------
    scheme
        Whose participants and netting sets.
    principal
        ROLE=PRINCIPAL, once or several times; a participant by its name. Default: User:ROLE, User:PARTICIPANT.
    role
        Only the rules of this role, or participant.
    """
    from clearing.cli.scheme import read_scheme
    from clearing.topics.contract import read_contract
    from clearing.topics.rights import rules

    contract, members = read_contract(), read_scheme(scheme).members
    known = {*contract.roles, *(name for names in members.values() for name in names)}
    named = _named(principal or [], known)
    if role is not None:
        _require(role, known)
    settings = session.read_settings()
    found = [
        rule
        for rule in rules(contract, settings.topics, members, named)
        if role is None or role in (rule.role, rule.participant)
    ]
    if session.json:
        session.line(found)
        return
    for rule in found:
        session.show(f"kafka-acls --bootstrap-server {settings.bootstrap} {rule.command()}", str)
    session.note("for kafka-acls, with --command-config FILE where you have to log in")


def _named(principals: list[str], known: set[str]) -> dict[str, str]:
    """ROLE=PRINCIPAL, each as it was given. Raises Failure."""
    named: dict[str, str] = {}
    for each in principals:
        who, equals, principal = each.partition("=")
        if not equals or not principal:
            raise Failure(f"{each}: not ROLE=PRINCIPAL", code=ExitCode.USAGE)
        _require(who, known)
        named[who] = principal
    return named


def _require(who: str, known: set[str]) -> None:
    if who not in known:
        there = ", ".join(sorted(known))
        raise Failure(f"{who}: no role and no participant. There are: {there}", code=ExitCode.USAGE)


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
