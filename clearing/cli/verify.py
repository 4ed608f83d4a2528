"""`clearing verify`: the proof, as a table or as JSON; exit code 0 only if every claim holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from clearing.cli.session import Given
from clearing.failures import ExitCode, Failure

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
    netting_set: Annotated[tuple[str, ...], Parameter(name="--netting-set", negative="")] = (),
    report: Path | None = None,
    max_mib_per_s: float = 0.0,
    session: Given,
) -> ExitCode:
    """Prove from topics and ledger alone that nothing was lost, doubled or changed.

    Reads every record of every topic and the whole ledger: each payment that entered is one thing now, accepted,
    waiting, ended, refused or rejected; nobody paid beyond a limit; linked legs were accepted and became final
    together; each batch is the sum of its payments; the ledger has each batch once; a replay of the log from its
    first record gives every output again, byte for byte; every bank was told.

        clearing verify --wait
        clearing verify --json | jq '.checks[] | select(.differences_count > 0)'
        clearing verify --max-mib-per-s 20 --report verification.html

    Log and outputs are read twice, and once with what transactions took back; the ledger is read again and again
    meanwhile. Nothing is written but temporary files (TMPDIR), about 80 bytes a payment.

    Parameters
    ----------
    wait
        First wait until everything that has entered is through.
    timeout_s
        How long to wait at most.
    netting_set
        Only this one; give it again for more. The report says what was left out.
    report
        Write a report to be filed, with what was read of each partition and its SHA-256: .json, .md or .html.
    max_mib_per_s
        Read no more than this from Kafka, so that a cluster at work is not hurt; 0: as fast as it goes.
    """
    from clearing.verify import verify as run
    from clearing.verify.filing import FORMATS, write
    from clearing.verify.run import Scope

    if report is not None and report.suffix.lower() not in FORMATS:
        raise Failure(
            f"{report}: a report is one of {', '.join(FORMATS)}, by its suffix", code=ExitCode.USAGE
        )
    scope = Scope(netting_sets=netting_set, max_mib_per_s=max_mib_per_s)
    with session.progress("verifying") as progress:
        found = session.run(
            run(
                session.settings,
                wait_s=timeout_s if wait else 0.0,
                note=progress.tell,
                scope=scope,
            )
        )
    session.show(as_data(found), lambda _: tables(found))
    if report is not None:
        session.note(f"{report}: SHA-256 {write(found, report)}")
    if found.ok:
        return ExitCode.OK
    if not found.failed and not wait:
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
        "limits": report.limits,
        "coverage": report.coverage,
        "subject": report.subject,
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
            flow.asset or ("(unreadable)" if flow.what == "payments" else f"({flow.what})"),
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
