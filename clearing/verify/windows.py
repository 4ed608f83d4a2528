"""Windows, confirmations and positions: what journal and `positions` say against the log (R4, R8, R11, R23)."""

import numpy as np

from clearing.core.batches import nets
from clearing.core.commands import Confirmation
from clearing.core.money import parse, show
from clearing.core.outputs import Position, SettlementBatch, WindowEvent
from clearing.names import FUNDING_ACCOUNT
from clearing.verify.report import Check, Findings
from clearing.verify.sums import minor_units
from clearing.verify.tables import LogTable, Rows

# What the journal may show after a state (R4); PROCESSING and CLOSED are passed within one step,
# an open window says OPEN again when its cut-off changes.
_MAY_FOLLOW: dict[str, tuple[str, ...]] = {
    "": ("OPEN",),
    "OPEN": ("OPEN", "PENDING_SETTLEMENT", "SETTLED"),
    "PENDING_SETTLEMENT": ("SETTLED", "FAILED", "ABORTED"),
    "FAILED": ("PENDING_SETTLEMENT",),
    "ABORTED": ("PENDING_SETTLEMENT",),
    "SETTLED": (),
}


def check_windows(
    table: LogTable, events: list[WindowEvent], batches: list[SettlementBatch]
) -> Check:
    """Windows follow R4, one is open per asset, none is settled twice or without its ledger's word (R4, R23)."""
    found = Findings()
    states: dict[tuple[str, int], WindowEvent] = {}
    opened: dict[str, int] = {}
    by_id = {batch.id: batch for batch in batches}
    answers = _answers(table)
    for event in events:
        key = (event.asset, event.window)
        before = states.get(key)
        state = before.state if before else ""
        if event.state not in _MAY_FOLLOW.get(state, ()):
            found.add(
                f"window {key[1]} of {key[0]} went from {state or 'nothing'} to {event.state}"
            )
        if event.state == "OPEN" and state != "OPEN":
            if event.window != opened.get(event.asset, 0) + 1:
                found.add(
                    f"{event.asset}: window {event.window} opened after {opened.get(event.asset, 0)}"
                )
            last = states.get((event.asset, event.window - 1))
            if last is not None and last.state == "OPEN":
                found.add(
                    f"{event.asset}: window {event.window} opened while the one before was open"
                )
            opened[event.asset] = event.window
        elif event.batch:
            _check_batch_event(event, by_id.get(event.batch), answers, found)
        elif event.payments:
            found.add(f"window {key[1]} of {key[0]} is {event.state} without a batch")
        states[key] = event
    for batch in batches:
        if batch.kind == "net" and (batch.asset, batch.window) not in states:
            found.add(f"batch {batch.sequence} is of a window nobody opened")
    settled = sum(event.state == "SETTLED" for event in states.values())
    waiting = sum(event.state == "PENDING_SETTLEMENT" for event in states.values())
    failed = sum(event.state in ("FAILED", "ABORTED") for event in states.values())
    if waiting:
        found.wait_for(f"{waiting} windows wait for their ledger")
    return found.check(
        "windows settle once, on their ledger's word",
        "R4 R23",
        table.netting_set,
        f"{len(states):,} windows: {settled:,} settled, {waiting:,} waiting, {failed:,} failed, "
        f"{len(opened):,} open",
    )


def _answers(table: LogTable) -> dict[tuple[str, str, str], int]:
    """First log offset of each answer of a ledger: (batch, hash, status)."""
    answers: dict[tuple[str, str, str], int] = {}
    for row in table.control:
        message = row.item.message
        if isinstance(message, Confirmation):
            answers.setdefault((message.batch, message.hash, message.status), row.log_offset)
    return answers


def _check_batch_event(
    event: WindowEvent,
    batch: SettlementBatch | None,
    answers: dict[tuple[str, str, str], int],
    found: Findings,
) -> None:
    where = f"window {event.window} of {event.asset} at log offset {event.log_offset}"
    if batch is None:
        found.add(f"{where}: batch {event.batch} is not in the topic")
        return
    said = (event.hash, event.asset, event.window, event.version, event.payments, event.gross)
    if said != (batch.hash, batch.asset, batch.window, batch.version, batch.payments, batch.gross):
        found.add(f"{where}: says something else than batch {batch.sequence}")
    if event.state in ("SETTLED", "FAILED") and event.entries != batch.entries:
        found.add(f"{where}: carries other entries than batch {batch.sequence}")
    answer = {"SETTLED": "POSTED", "FAILED": "REFUSED"}.get(event.state)
    if answer is not None:
        at = answers.get((batch.id, batch.hash, answer))
        if at is None or at > event.log_offset:
            found.add(f"{where}: {event.state}, but its ledger had not said {answer}")


def check_positions(
    table: LogTable,
    rows: Rows,
    positions: list[Position],
    events: list[WindowEvent],
    batches: list[SettlementBatch],
    scales: dict[str, int],
    goal: int,
) -> Check:
    """The last position of each account is what payments, funding and settlements make it (R8, R11).

    position = credits - debits of what is not settled; prefunded = funding + settled nets; headroom adds up.
    Positions are written at a bounded rate: one that is older than its account's last change is on its way.
    goal: log offset up to which is verified; a position from beyond is left for next time.
    """
    found = Findings()
    owed, changed_at = _unsettled(table, rows, events, scales)
    held_by, held_at = _held(table, events, batches)
    compared = late = 0
    for record in positions:
        scale = scales.get(record.asset, 0)
        key = (record.participant, record.asset)
        units = [
            parse(text, scale)
            for text in (record.prefunded, record.net_debit_cap, record.position, record.reserved)
        ]
        headroom = parse(record.headroom, scale)
        if None in units or headroom is None:
            found.add(f"{key}: an amount is no decimal at scale {scale}")
            continue
        held, cap, position, reserved = (unit or 0 for unit in units)
        if held + cap + position - reserved != headroom:
            found.add(f"{key}: headroom {record.headroom} is not the sum of its parts")
        if record.log_offset >= goal:
            continue
        if max(changed_at.get(key, -1), held_at.get(key, -1)) > record.log_offset:
            late += 1
            continue
        compared += 1
        if position != owed.get(key, 0):
            found.add(
                f"{key}: position {record.position}, payments say {show(owed.get(key, 0), scale)}"
            )
        if held != held_by.get(key, 0):
            found.add(
                f"{key}: prefunded {record.prefunded}, batches say {show(held_by.get(key, 0), scale)}"
            )
    known = {(record.participant, record.asset) for record in positions}
    late += len({*owed, *held_by} - known)
    if late:
        found.wait_for(f"{late} positions are not written yet")
    return found.check(
        "positions are what is unsettled",
        "R8 R11",
        table.netting_set,
        f"{compared:,} of {len(positions):,} positions recomputed",
    )


def _unsettled(
    table: LogTable, rows: Rows, events: list[WindowEvent], scales: dict[str, int]
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """Per account: net of the accepted payments in windows that are not settled, and last log offset with one."""
    accepted = np.flatnonzero(rows.accepted)
    settled = {(e.asset, e.window) for e in events if e.state == "SETTLED"}
    numbers = {name: number for number, name in enumerate(table.assets.names)}
    final = np.array([numbers[a] << 40 | w for a, w in settled if a in numbers] or [-1], np.int64)
    asset = rows.asset[accepted].astype(np.int64)
    open_ = ~np.isin(asset << 40 | rows.window[accepted], final)
    scale = np.array([scales.get(name, -1) for name in table.assets.names] or [-1], np.int64)
    units, _ = minor_units(rows.amount[accepted], rows.decimals[accepted], scale[asset])
    width = max(len(table.assets.names), 1)
    size = len(table.participants.names) * width
    net, last = np.zeros(size, np.int64), np.full(size, -1, np.int64)
    offsets = np.array(table.offsets or [0], np.int64)[rows.record[accepted]]
    for side, sign in ((rows.debtor, -1), (rows.creditor, 1)):
        account = side[accepted].astype(np.int64) * width + asset
        np.add.at(net, account[open_], sign * units[open_])
        np.maximum.at(last, account, offsets)
    touched = np.flatnonzero(last >= 0).tolist()
    keys = {
        account: (table.participants.names[account // width], table.assets.names[account % width])
        for account in touched
    }
    return (
        {keys[account]: int(net[account]) for account in touched},
        {keys[account]: int(last[account]) for account in touched},
    )


def _held(
    table: LogTable, events: list[WindowEvent], batches: list[SettlementBatch]
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """Per account: prefunding that batches have moved, and the last log offset at which one did."""
    held: dict[tuple[str, str], int] = {}
    at: dict[tuple[str, str], int] = {}

    def move(batch: SettlementBatch, sign: int, offset: int) -> None:
        for participant, net in nets(batch).items():
            if participant != FUNDING_ACCOUNT:
                key = (participant, batch.asset)
                held[key] = held.get(key, 0) + sign * net
                at[key] = max(at.get(key, -1), offset)

    answers = _answers(table)
    for batch in batches:
        if batch.kind == "funding":
            move(batch, 1, batch.log_first)
            refused_at = answers.get((batch.id, batch.hash, "REFUSED"))
            posted_at = answers.get((batch.id, batch.hash, "POSTED"))
            if refused_at is not None and (posted_at is None or refused_at < posted_at):
                move(batch, -1, refused_at)
    by_id = {batch.id: batch for batch in batches}
    for event in events:
        if event.state == "SETTLED" and event.batch in by_id:
            move(by_id[event.batch], 1, event.log_offset)
    return held, at
