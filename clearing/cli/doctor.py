"""`clearing doctor`: what is wrong, or soon will be, and how it is put right; exit code 1 if something fails."""

from typing import TYPE_CHECKING

from clearing.cli.session import Given
from clearing.failures import ExitCode

if TYPE_CHECKING:
    from rich.console import RenderableType

    from clearing.doctor import Finding

_MARKS = {"pass": ("✓", "green"), "warn": ("!", "bold yellow"), "fail": ("✗", "bold red")}


def doctor(*, session: Given) -> ExitCode:
    """Examine brokers, topics, transaction settings, ACLs, clocks, lag against retention, disks, ledger, versions.

    Nothing is changed. Each finding is a pass, a warning or a failure, and says what puts it right.

        clearing doctor
        clearing doctor --json | jq '.[] | select(.verdict != "pass")'

    The exit code is 1 if something fails; warnings alone leave it 0.
    """
    from clearing.doctor import Verdict, examine

    with session.progress("examining") as progress:
        findings = session.run(examine(session.settings, progress.tell))
    session.show(findings, table)
    wrong = [one for one in findings if one.verdict == Verdict.FAIL]
    warnings = [one for one in findings if one.verdict == Verdict.WARN]
    if wrong or warnings:
        session.note(f"{len(wrong)} failures, {len(warnings)} warnings")
    return ExitCode.FAILED if wrong else ExitCode.OK


def table(findings: "list[Finding]") -> "RenderableType":
    """A row for each; texts as they are: what somebody else wrote must not steer the terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = Table(box=box.SIMPLE, pad_edge=False, show_header=False)
    for _ in range(3):
        result.add_column(overflow="fold")
    for one in findings:
        mark, colour = _MARKS[one.verdict]
        said = Text(_plain(one.text))
        if one.fix:
            said.append(f"\n→ {_plain(one.fix)}", "bold")
        result.add_row(Text(f"{mark} {one.verdict}", colour), one.check, said)
    return result


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
