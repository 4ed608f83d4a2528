"""What has stopped, before anything else: why, since when, and the next command. Only where there is something."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import RenderableType
from rich.text import Text

from clearing.messages import HaltRecord
from clearing.observe import StatusReport
from clearing.runbooks import retry_command


def halt_tables(report: StatusReport) -> Iterator[RenderableType]:
    """A paragraph for each halt; sentences as they are: what somebody else wrote must not steer the terminal."""
    for halt in report.halts:
        yield _halt(halt)
    for sentence in report.unreadable:
        yield Text(f"Somebody else writes here: {_plain(sentence)}", "red")


def _halt(halt: HaltRecord) -> Text:
    asked = f", {halt.retried_by} has asked for another try" if halt.state == "RETRY" else ""
    times = f"{_ordinal(halt.times)} time, first " if halt.times > 1 else ""
    offset = f" offset {halt.offset}" if halt.offset >= 0 else ""
    since = f"{times}{_at(halt.first_at_ms)}, last by {_plain(halt.owner)} {_at(halt.at_ms)}"
    then = f"once it is repaired: {retry_command(halt.netting_set)}"
    lines = (
        f"  {_plain(halt.reason)}",
        f"  at {_plain(halt.topic)}-{halt.partition}{offset}, {since}{asked}",
        f"  next: {halt.next_command}; {then}; see {halt.runbook}",
    )
    head = f"HALTED  {halt.service} of {halt.netting_set}: {halt.kind.value}\n"
    return Text.assemble((head, "bold red"), "\n".join(lines) + "\n")


def _ordinal(number: int) -> str:
    suffix = (
        "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number}{suffix}"


def _at(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
