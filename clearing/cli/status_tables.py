"""Tables of a StatusReport for people."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clearing.cli.status_halts import halt_tables
from clearing.cli.status_parts import clock, table_of
from clearing.cli.status_waiting import waiting_tables
from clearing.core.outputs import Position
from clearing.observe import Lag, StatusReport
from clearing.observe.outlook import worst
from clearing.views.model import Verdict

POSITIONS_SHOWN = 40
_LATE_S = 5.0
_COLOURS: dict[Verdict, str] = {
    "ON_TIME": "bold green",
    "AT_RISK": "bold yellow",
    "WILL_MISS": "bold red",
    "NO_CUTOFF": "bold",
    "UNKNOWN": "bold yellow",
}


def tables(report: StatusReport) -> RenderableType:
    at = datetime.fromtimestamp(report.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    sets = ", ".join(f"{name} (partition {number})" for name, number in report.netting_sets.items())
    head = Text.assemble(
        (f"{report.bootstrap}  {at}  ", "dim"), (sets or "no netting set yet", "bold")
    )
    return Group(
        *_outlook(report),
        head,
        *halt_tables(report),
        _services(report),
        _lags(report),
        _windows(report),
        _positions(report),
        *waiting_tables(report),
    )


def _outlook(report: StatusReport) -> Iterator[Text]:
    """The first question, whether we make the cut-off, in one sentence: that of the worst."""
    found = worst(report.outlooks)
    if found is not None:
        yield Text(f"{found.netting_set}: {found.sentence}", _COLOURS[found.verdict])


def _services(report: StatusReport) -> Table:
    table = table_of("Services", "service", "state", ">members", "who")
    for service in report.services:
        state = service.state if service.members else f"[red]{service.state}[/red]"
        who = ", ".join(f"{m.client}@{m.host} ({m.assigned})" for m in service.members)
        name = service.group or service.name
        table.add_row(name, state, str(len(service.members)), who)
    return table


def _lags(report: StatusReport) -> Table:
    table = table_of("Lag", "stage", "netting set", ">records", ">seconds")
    for lag in report.lags:
        table.add_row(lag.stage, lag.scope, f"{lag.lag_records:,}", _seconds(lag))
    return table


def _seconds(lag: Lag) -> str:
    if lag.lag_seconds is None:
        return "–"
    colour = "red" if lag.lag_seconds > _LATE_S else "green"
    return f"[{colour}]{lag.lag_seconds:.1f}[/{colour}]"


def _windows(report: StatusReport) -> Group:
    opened = table_of("Open windows", "netting set", "asset", ">window", "open since", "cut-off in")
    for window in report.windows:
        left = window.cutoff_in_s
        cutoff = "by command" if left is None else "due" if left < 0 else f"{left:,.1f} s"
        since = clock(window.opened_at_ms)
        opened.add_row(window.netting_set, window.asset, str(window.window), since, cutoff)
    ended = table_of(
        "Windows that ended",
        "netting set",
        "asset",
        ">window",
        "state",
        ">payments",
        ">gross",
        "reason",
    )
    colours = {"SETTLED": "green", "FAILED": "red", "ABORTED": "red"}
    for event in report.ended:
        colour = colours.get(event.state, "yellow")
        ended.add_row(
            event.netting_set,
            event.asset,
            str(event.window),
            f"[{colour}]{event.state}[/{colour}]",
            f"{event.payments:,}",
            event.gross,
            Text(event.reason),
        )
    return Group(opened, ended)


def _positions(report: StatusReport) -> Table:
    shown = sorted(report.positions, key=_urgency, reverse=True)[:POSITIONS_SHOWN]
    hidden = len(report.positions) - len(shown)
    title = "Positions" + (
        f" (the {len(shown)} that wait or are nearest to their limits; {hidden:,} more with --json)"
        if hidden
        else ""
    )
    table = table_of(
        title,
        "netting set",
        "participant",
        "asset",
        ">prefunded",
        ">cap",
        ">position",
        ">headroom",
        ">used",
        ">queued",
        ">payments",
    )
    for position in shown:
        used = _used(position)
        colour = "red" if used >= 90 else "yellow" if used >= 70 else "green"
        table.add_row(
            position.netting_set,
            position.participant,
            position.asset,
            position.prefunded,
            position.net_debit_cap,
            position.position,
            position.headroom,
            f"[{colour}]{used:.0f} %[/{colour}]",
            f"[yellow]{position.queued}[/yellow]" if position.queued_payments else "",
            f"{position.queued_payments:,}" if position.queued_payments else "",
        )
    return table


def _urgency(position: Position) -> tuple[bool, Decimal]:
    return position.queued_payments > 0, _used(position)


def _used(position: Position) -> Decimal:
    """Per cent of prefunding and cap that is used by a net debit."""
    limit = Decimal(position.prefunded) + Decimal(position.net_debit_cap)
    debit = -Decimal(position.position)
    if debit <= 0:
        return Decimal(0)
    return debit * 100 / limit if limit > 0 else Decimal(100)
