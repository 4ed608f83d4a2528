"""What has stopped or is held up, before anything else: why, since when, the next command. Only what there is."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import RenderableType
from rich.text import Text

from clearing.messages import HaltRecord
from clearing.observe import OpenTransaction, StatusReport
from clearing.runbooks import retry_command


def halt_tables(report: StatusReport) -> Iterator[RenderableType]:
    """A paragraph for each halt; sentences as they are: what somebody else wrote must not steer the terminal."""
    if report.unknown:
        lines = "".join(f"  {_plain(sentence)}\n" for sentence in report.unknown)
        yield Text.assemble(("NOT KNOWN\n", "bold yellow"), lines, "  next: clearing doctor\n")
    for halt in report.halts:
        yield _halt(halt)
    for one in report.open_transactions:
        yield _held_up(one, report)
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


def _held_up(one: OpenTransaction, report: StatusReport) -> Text:
    """F8: nobody reads on from there, and no lag shows it."""
    for_s = (report.at_ms - one.since_ms) / 1000
    name = (
        f"transactional id {_plain(one.transactional_id)}"
        if one.transactional_id
        else ("which no coordinator knows: no time-out will end it")
    )
    head = f"HELD UP  readers of {one.topic}-{one.partition} at offset {one.offset}\n"
    lines = (
        f"  a transaction is open since {_at(one.since_ms)} ({for_s:,.0f} s)",
        f"  its producer: id {one.producer_id}, epoch {one.producer_epoch}, {name}",
        f"  once you know that it is not at work: {_plain(one.ended_by(report.bootstrap))}",
    )
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
