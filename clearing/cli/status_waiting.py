"""Tables of what waits for somebody: deadlocks, shortfalls, proposals. Only those there are."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from clearing.cli.lines import command_of, freed_text, shortfall_text, waits_text
from clearing.cli.status_parts import clock, table_of
from clearing.observe import StatusReport

WAITS_SHOWN = 10


def waiting_tables(report: StatusReport) -> Iterator[Table]:
    if report.deadlocks:
        yield _deadlocks(report)
    if report.shortfalls:
        yield _shortfalls(report)
    if report.proposals:
        yield _proposals(report)


def _deadlocks(report: StatusReport) -> Table:
    """R16: as of the asset's latest cut-off at which nothing could leave."""
    title = "Deadlocks at the latest cut-off"
    columns = (
        "netting set",
        "asset",
        "at",
        ">payments",
        ">value",
        "who waits for whom",
        "freed by",
    )
    table = table_of(title, *columns)
    for event in report.deadlocks:
        more = len(event.waits) - WAITS_SHOWN
        waits = [waits_text(one) for one in event.waits[:WAITS_SHOWN]]
        table.add_row(
            event.netting_set,
            event.asset,
            clock(event.time_ms),
            f"{event.payments:,}",
            event.value,
            Text("\n".join([*waits, f"{more:,} more"] if more > 0 else waits)),
            Text(freed_text(event)),
        )
    return table


def _shortfalls(report: StatusReport) -> Table:
    table = table_of("Shortfalls", "netting set", "asset", ">window", ">version", "at", "who paid")
    for event in report.shortfalls:
        table.add_row(
            event.netting_set,
            event.asset,
            str(event.window),
            str(event.version),
            clock(event.time_ms),
            Text(shortfall_text(event)),
        )
    return table


def _proposals(report: StatusReport) -> Table:
    title = "Proposals that wait for a second person"
    table = table_of(title, "netting set", "proposal", "at", "by", "command", "hash")
    for event in report.proposals:
        table.add_row(
            event.netting_set,
            Text(event.proposal),
            clock(event.time_ms),
            Text(event.by),
            Text(command_of(event)),
            event.hash,
        )
    return table
