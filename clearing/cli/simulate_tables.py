"""What a simulation gave, as tables for people."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clearing.messages import StatusRecord
from clearing.scenario import Result
from clearing.verify.statuses import decode_status

BATCHES_SHOWN = 20


def tables(result: Result) -> RenderableType:
    standing = result.standing
    assert standing is not None, "a simulation that has ended stands somewhere"
    head = Text.assemble(
        (standing.netting_set, "bold"),
        f": {standing.records:,} log records, {standing.batches:,} batches, chain {standing.chain[:16]}…",
    )
    return Group(head, _statuses(result), *_batches(result), _positions(result))


def _statuses(result: Result) -> Table:
    counts: dict[tuple[str, str, str], int] = {}
    for told in result.statuses:
        message = decode_status(told.message)
        if isinstance(message, StatusRecord):
            for status in message.statuses:
                key = (status.status, status.reason, status.text)
                counts[key] = counts.get(key, 0) + 1
    table = Table(
        "status", "reason", "text", title="Statuses", title_justify="left", box=box.SIMPLE
    )
    table.add_column("payments", justify="right")
    for (status, reason, text), count in sorted(counts.items()):
        table.add_row(status, reason, Text(text), f"{count:,}")
    return table


def _batches(result: Result) -> list[Table | Text]:
    shown: list[Table | Text] = []
    net = [batch for batch in result.batches if batch.kind == "net"]
    for batch in net[-BATCHES_SHOWN:]:
        what = f"{batch.asset}, window {batch.window}, {batch.payments:,} payments, gross {batch.gross}"
        title = f"Batch {batch.sequence}: {what}"
        table = Table(box=box.SIMPLE)
        table.add_column("participant")
        for name in ("debits", "credits", "net"):
            table.add_column(name, justify="right")
        for entry in batch.entries:
            table.add_row(entry.participant, entry.debits, entry.credits, entry.net)
        shown += [Text(title, "italic"), table]
    return shown


def _positions(result: Result) -> Table:
    table = Table("participant", "asset", title="Positions", title_justify="left", box=box.SIMPLE)
    for name in ("prefunded", "cap", "position", "headroom"):
        table.add_column(name, justify="right")
    for one in result.positions:
        table.add_row(
            one.participant, one.asset, one.prefunded, one.net_debit_cap, one.position, one.headroom
        )
    return table
