"""The settlement batches that hold a payment, and how far each has come (R2, R4, R23, R25)."""

from clearing.core.outputs import Entry, SettlementBatch, WindowEvent
from clearing.explain.evidence import Evidence
from clearing.explain.story import Batch, Line, Place, Release, Row


def batches_of(evidence: Evidence, row: Row, release: Release) -> list[Batch]:
    """Every version of the batch with which a window settles this payment, in order of sequence."""
    events = evidence.events.get((row.asset, release.window), [])
    held = [
        batch
        for batch in evidence.batches.values()
        if (batch.asset, batch.window) == (row.asset, release.window)
        and batch.version <= _last_version(release, events)
        and (batch.kind != "gross" or any(entry.payment == row.id for entry in batch.entries))
    ]
    held.sort(key=lambda batch: batch.sequence)
    told: list[Batch] = []
    for batch in held:
        sent = _sent(batch, events)
        if sent is not None:  # else behind what was read
            is_last = batch is held[-1]
            told.append(_batch(batch, sent, evidence, row, events, is_last=is_last))
    return told


def _last_version(release: Release, events: list[WindowEvent]) -> int:
    """Version of the window that last held it: a recast has taken it out of the next ones."""
    if release.taken_out is None:
        return 1 << 62
    at = release.taken_out.log_offset
    return next(e.version for e in events if (e.state, e.log_offset) == ("ABORTED", at))


def _sent(batch: SettlementBatch, events: list[WindowEvent]) -> WindowEvent | None:
    """The event with which it left; of the parts of a window it names the first."""
    pending = [event for event in events if event.state == "PENDING_SETTLEMENT"]
    named = [event for event in pending if event.batch == batch.id]
    return next(iter(named + [event for event in pending if event.version == batch.version]), None)


def _batch(
    batch: SettlementBatch,
    sent: WindowEvent,
    evidence: Evidence,
    row: Row,
    events: list[WindowEvent],
    *,
    is_last: bool,
) -> Batch:
    answer = evidence.answers.get(batch.id)
    latest = next((event for event in reversed(events) if event.batch == batch.id), None)
    if latest is not None and latest.state in ("FAILED", "ABORTED"):
        state = latest.state
    elif is_last and any(event.state == "SETTLED" for event in events):
        state = "SETTLED"
    else:
        state = "POSTED" if answer else "PENDING_SETTLEMENT"
    return Batch(
        id=batch.id,
        hash=batch.hash,
        kind=batch.kind,
        ledger=batch.ledger,
        sequence=batch.sequence,
        version=batch.version,
        part=batch.part,
        parts=batch.parts,
        payments=batch.payments,
        sent=Place(sent.log_offset, sent.time_ms),
        state=state,
        answered=Place(answer.log_offset, answer.time_ms) if answer else None,
        reason=latest.reason if latest and state in ("FAILED", "ABORTED") else "",
        linked=batch.linked,
        lines=[
            Line(participant=one.participant, net=one.net, counterparty=one.counterparty)
            for one in batch.entries
            if _is_line_of(one, row)
        ],
    )


def _is_line_of(entry: Entry, row: Row) -> bool:
    """Whether the payment is in this line, by the model of its asset (R6)."""
    if entry.payment:
        return entry.payment == row.id
    parties = (row.debtor, row.creditor)
    if entry.counterparty:
        return (entry.participant, entry.counterparty) in (parties, parties[::-1])
    return entry.participant in parties
