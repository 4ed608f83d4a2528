"""What a simulation gave, as tables for people: what became of each payment, what waits, batches, positions.

What happened in between (deadlocks, shortfalls, approvals) is in clearing.cli.simulate_events.
"""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clearing.cli.simulate_events import happenings
from clearing.cli.simulate_stories import Story, stories
from clearing.core.outputs import Entry, SettlementBatch, WindowEvent
from clearing.scenario import Result

STORIES_SHOWN = 50
BATCHES_SHOWN = 20
WAITING_SHOWN = 50


def tables(result: Result) -> RenderableType:
    standing = result.standing
    assert standing is not None, "a simulation that has ended stands somewhere"
    head = Text.assemble(
        (standing.netting_set, "bold"),
        f": {standing.records:,} log records, {standing.batches:,} batches",
    )
    told = stories(result)
    labels = {story.id: story.label for story in told}
    return Group(
        head,
        _stories(told) if len(told) <= STORIES_SHOWN else _counts(told),
        *happenings(result, labels),
        *_batches(result, labels),
        *_waiting(result, labels),
        _positions(result),
    )


def _table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left")
    return table


def _stories(told: list[Story]) -> Table:
    table = _table(
        "What became of each", "", "from", "to", "asset", "amount", "told", right=("amount",)
    )
    for story in told:
        table.add_row(
            Text(story.what), story.sender, story.to, story.asset, story.amount, Text(story.told)
        )
    return table


def _counts(told: list[Story]) -> Table:
    counts: dict[tuple[str, str], int] = {}
    for story in told:
        counts[story.told_plainly] = counts.get(story.told_plainly, 0) + 1
    table = _table("What became of all", "told", "", "number", right=("number",))
    for (status, text), count in sorted(counts.items()):
        table.add_row(status, Text(text), f"{count:,}")
    return table


def _batches(result: Result, labels: dict[str, str]) -> list[Table | Text]:
    """Each batch with its lines and what became of it; the latest ones where there are many."""
    of_windows = [batch for batch in result.batches if batch.kind != "funding"]
    states = _states([event for event in result.events if isinstance(event, WindowEvent)])
    names = {batch.id: f"{batch.asset} {batch.window}" for batch in of_windows}
    shown: list[Table | Text] = []
    for batch in of_windows[-BATCHES_SHOWN:]:
        # Of a window's parts its events name the first one; what was not given up is settled with its window.
        whole = states.get((batch.asset, batch.window), [])
        became = states.get(batch.id, whole[:1])
        if became[-1].startswith("sent") and whole[-1].startswith("SETTLED"):
            became = [*became, whole[-1]]
        title = f"{_title(batch, names)}: {', '.join(became)}"
        shown += [Text(title, "italic"), _lines(batch.entries, labels)]
    return shown


def _states(events: list[WindowEvent]) -> dict[str | tuple[str, int], list[str]]:
    """What became of each batch, by id, and of each window, and at which log offset."""
    states: dict[str | tuple[str, int], list[str]] = {}
    for event in events:
        if event.batch:
            word = "sent" if event.state == "PENDING_SETTLEMENT" else event.state
            for key in (event.batch, (event.asset, event.window)):
                states.setdefault(key, []).append(f"{word} at {event.log_offset}")
    return states


def _title(batch: SettlementBatch, names: dict[str, str]) -> str:
    version = f", version {batch.version}" if batch.version > 1 else ""
    part = f", part {batch.part} of {batch.parts}" if batch.parts > 1 else ""
    linked = sorted({names[other] for other in batch.linked if other in names})
    together = f", together with {', '.join(linked)}" if linked else ""
    return (
        f"Batch {batch.sequence}: {batch.asset}, window {batch.window}{version}{part}, "
        f"{batch.payments:,} payments, gross {batch.gross}{together}"
    )


def _lines(entries: list[Entry], labels: dict[str, str]) -> Table:
    """With the columns that its model fills."""
    optional = {
        "with": [entry.counterparty for entry in entries],
        "payment": [labels.get(entry.payment, entry.payment) for entry in entries],
        "set-off": [entry.set_off for entry in entries],
    }
    used = [name for name, values in optional.items() if any(values)]
    columns = ["participant", *(name for name in used if name != "set-off"), "debits", "credits"]
    columns += [*(name for name in used if name == "set-off"), "net"]
    table = _table("", *columns, right=("debits", "credits", "set-off", "net"))
    for i, entry in enumerate(entries):
        row = {"participant": entry.participant, "debits": entry.debits, "credits": entry.credits}
        row |= {"net": entry.net} | {name: optional[name][i] for name in used}
        table.add_row(*(row[name] for name in columns))
    return table


def _waiting(result: Result, labels: dict[str, str]) -> list[Table]:
    if not result.waiting:
        return []
    title = f"What waits: {len(result.waiting):,} payments"
    columns = ("", "from", "to", "asset", "amount", "priority", "place", "link")
    table = _table(title, *columns, right=("amount", "place"))
    for one in result.waiting[:WAITING_SHOWN]:
        place = str(one.place) if one.place else "for other legs"
        table.add_row(
            labels.get(one.id, one.end_to_end_id or one.id),
            one.debtor,
            one.creditor,
            one.asset,
            one.amount,
            one.priority,
            place + (", in part" if one.fail else ""),
            one.link,
        )
    return [table]


def _positions(result: Result) -> Table:
    amounts = ("prefunded", "cap", "position", "reserved", "headroom", "queued")
    table = _table("Positions", "participant", "asset", *amounts, right=amounts)
    for one in result.positions:
        table.add_row(
            one.participant,
            one.asset,
            one.prefunded,
            one.net_debit_cap,
            one.position,
            one.reserved,
            one.headroom,
            f"{one.queued} ({one.queued_payments})" if one.queued_payments else "",
        )
    return table
