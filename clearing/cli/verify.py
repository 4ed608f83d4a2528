"""`clearing verify`: the proof, as a table or as JSON; exit code 0 only if every claim holds."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from clearing.cli.session import Given
from clearing.failures import ExitCode

if TYPE_CHECKING:
    from rich.console import RenderableType

    from clearing.verify import Report


# Columns of the table, and the fields of a Flow that each adds up.
_SHOWN = {
    "accepted": ("accepted", "done", "requested"),
    "waiting": ("queued",),
    "ended": ("cancelled", "expired", "dropped", "defaulted", "link_refused", "recast"),
    "refused": ("refused",),
    "rejected": ("rejected",),
    "repeated": ("repeated",),
}


def verify(
    *,
    wait: bool = False,
    timeout_s: Annotated[float, Parameter(name="--timeout-s")] = 120.0,
    session: Given,
) -> ExitCode:
    """Prove from topics and ledger alone that nothing was lost, doubled or changed.

    Reads every record of every topic and the whole ledger: each payment that entered is one thing now, accepted,
    waiting, ended, refused or rejected; nobody paid beyond a limit; linked legs were accepted and became final
    together; each batch is the sum of its payments; the ledger has each batch once; a replay of the log from its
    first record gives every output again, byte for byte; every bank was told.

        clearing verify --wait
        clearing verify --json | jq '.checks[] | select(.differences_count > 0)'

    Parameters
    ----------
    wait
        First wait until everything that has entered is through.
    timeout_s
        How long to wait at most.
    """
    from clearing.verify import verify as run

    with session.progress("verifying") as progress:
        report = session.run(
            run(session.settings, wait_s=timeout_s if wait else 0.0, note=progress.tell)
        )
    session.show(as_data(report), lambda _: tables(report))
    if report.ok:
        return ExitCode.OK
    if not report.failed and not wait:
        session.note(
            "next: clearing verify --wait (nothing is wrong, but not everything is through)"
        )
    return ExitCode.FAILED


def as_data(report: "Report") -> dict[str, object]:
    import msgspec

    return {
        "ok": report.ok,
        "took_ms": report.took_ms,
        "batches": report.batches,
        "flows": report.flows,
        "checks": [
            {"verdict": check.verdict, **msgspec.structs.asdict(check)} for check in report.checks
        ],
    }


def tables(report: "Report") -> "RenderableType":
    """The report for people: flows of money, then one line a claim, then the differences."""
    from rich import box
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    money = Table(title="What entered, and what it is now", title_justify="left", box=box.SIMPLE)
    for name in ("netting set", "asset"):
        money.add_column(name)
    for name in ("entered", *_SHOWN, "value in", "value accepted", "value waiting"):
        money.add_column(name, justify="right")
    for flow in report.flows:
        money.add_row(
            flow.netting_set,
            flow.asset or ("(unreadable)" if flow.what == "payments" else "(instructions)"),
            f"{flow.entered:,}",
            *(f"{sum(getattr(flow, name) for name in names):,}" for names in _SHOWN.values()),
            flow.entered_value,
            flow.accepted_value,
            flow.queued_value,
        )
    claims = Table(title="Claims", title_justify="left", box=box.SIMPLE)
    for name in ("", "claim", "rule", "where", "compared"):
        claims.add_column(name, overflow="fold")
    colours = {"ok": "green", "behind": "yellow", "FAILED": "bold red"}
    details: list[Text] = []
    for check in report.checks:
        colour = colours[check.verdict]
        claims.add_row(
            f"[{colour}]{check.verdict}[/{colour}]",
            check.name,
            check.rule,
            check.scope,
            check.compared,
        )
        details += [Text(f"  {check.name}: {line}", "yellow") for line in check.pending]
        details += [Text(f"  {check.name}: {line}", "red") for line in check.differences]
        if (more := check.differences_count - len(check.differences)) > 0:
            details.append(Text(f"  {check.name}: and {more:,} more", "red"))
    failed = sum(check.verdict == "FAILED" for check in report.checks)
    verdict = (
        "[bold green]Everything holds.[/bold green]"
        if report.ok
        else f"[bold red]{failed} claims do not hold.[/bold red]"
        if failed
        else "[bold yellow]Nothing is wrong, but not everything is through.[/bold yellow]"
    )
    summary = Text.from_markup(
        f"{verdict} {len(report.checks)} claims, {escape(f'{report.batches:,}')} batches, "
        f"{report.took_ms / 1000:.1f} s"
    )
    return Group(money, claims, *details, summary)
