"""What happened in a simulation besides payments: deadlocks, shortfalls, commands that were refused, approvals."""

from collections.abc import Iterator

import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from clearing.core.outputs import (
    CommandEvent,
    ConfirmationEvent,
    DeadlockEvent,
    ProposalEvent,
    ShortfallEvent,
    WindowEvent,
)
from clearing.scenario import Result

EVENTS_SHOWN = 50


class _Command(msgspec.Struct):
    """What a proposed command is called."""

    type: str
    id: str


_command = msgspec.json.Decoder(_Command).decode


def happenings(result: Result, labels: dict[str, str]) -> list[Table | Text]:
    """One table in the order of the log; nothing where nothing happened. labels: of payments, by id."""
    lines = [
        (str(event.log_offset), what, detail)
        for event in result.events
        for what, detail in _told(event, labels)
    ]
    if not lines:
        return []
    table = Table(title="What else happened", title_justify="left", box=box.SIMPLE)
    table.add_column("offset", justify="right")
    table.add_column("")
    table.add_column("")
    for offset, what, detail in lines[-EVENTS_SHOWN:]:
        table.add_row(offset, what, Text(detail))
    return [table]


def _told(event: object, labels: dict[str, str]) -> Iterator[tuple[str, str]]:
    match event:
        case DeadlockEvent():
            yield from _deadlock(event, labels)
        case ShortfallEvent():
            yield from _shortfall(event)
        case ProposalEvent():
            command = _command(event.command)
            what = f"{command.type} {command.id}"
            yield "proposal", f"{event.proposal} of {event.by} {event.state}: {what}"
        case WindowEvent(state="FAILED" | "ABORTED"):
            because = f": {event.reason}" if event.reason else ""
            what = f"window {event.window} of {event.asset} version {event.version} {event.state}"
            yield "window", what + because
        case CommandEvent(status="REFUSED"):
            yield "refused", f"{event.command} {event.id} of {event.by}: {event.reason}"
        case ConfirmationEvent(status="REFUSED"):
            yield "refused", f"the answer to batch {event.batch}: {event.reason}"


def _deadlock(event: DeadlockEvent, labels: dict[str, str]) -> Iterator[tuple[str, str]]:
    yield "deadlock", f"{event.payments} payments of {event.value} {event.asset} cannot leave"
    for wait in event.waits:
        payment = labels.get(wait.payment, wait.payment)
        others = f", waits for {', '.join(wait.waits_for)}" if wait.waits_for else ""
        yield "", f"{wait.participant} lacks {wait.lacks} for {payment} ({wait.limit}){others}"
    if event.extra:
        yield "", f"{event.extra} more for {event.extra_participant} would free something"
    if event.all_extra:
        needed = ", ".join(f"{name} {amount}" for name, amount in event.all_extra.items())
        yield "", f"for everything to leave: {needed}"


def _shortfall(event: ShortfallEvent) -> Iterator[tuple[str, str]]:
    where = f"{event.shortfall} {event.asset} in window {event.window}"
    borne = f"collateral {event.collateral}, pool {event.pool}"
    yield "shortfall", f"{event.participant} lacks {where}: {borne}"
    for name, amount in event.survivors.items():
        yield "", f"{name} bears {amount}"
