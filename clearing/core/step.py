"""The state machine: step(state, log record) → outputs. The whole of clearing in one place to start reading.

No clock, randomness, I/O or floats: the same log gives the same outputs, always (R29). A record's path:
sources (gap? read before?) → time → what has expired, windows that are due → payments or control →
what can leave the queues → windows that are settled at once → positions.
"""

import numpy as np

from clearing.core.commands import Command, Confirmation
from clearing.core.control import apply_command
from clearing.core.faults import Halt, HaltKind
from clearing.core.inputs import ControlItem, LogRecord, PaymentRows, Reject, SourceSpan
from clearing.core.money import show
from clearing.core.outputs import Outputs, Position, Rejected
from clearing.core.payments import clear_payments
from clearing.core.reasons import REASONS, Code
from clearing.core.recalls import expire
from clearing.core.release import offset_queues
from clearing.core.settlement import confirm
from clearing.core.state import NettingSet
from clearing.core.transfers import take_in_members
from clearing.core.windows import close_due_windows, close_immediate_windows


def step(state: NettingSet, record: LogRecord) -> Outputs:
    """Apply one log record to the state and say everything it caused.

    Raises Halt on a gap in a source; the state is then not to be used any more.
    """
    out = Outputs()
    expected = _expected_offsets(state, record.sources)
    state.advance(record.time_ms)
    expire(state, out)
    close_due_windows(state, record.offset, out)
    if record.payments is not None:
        out.outcomes = clear_payments(state, record, record.payments, expected, out)
        _report_rejects(state, record, record.payments, out)
    for row, item in enumerate(record.control):
        if item.offset >= expected[item.source]:
            _control(state, record, row, item, out)
    offset_queues(state, record.offset, out)
    while close_immediate_windows(state, record.offset, out):
        offset_queues(state, record.offset, out)
    take_in_members(state)
    _write_positions(state, record.offset, out)
    return out


def _expected_offsets(state: NettingSet, sources: list[SourceSpan]) -> list[int]:
    """Per source of the record the offset from which on it is new; moves the state's mark (DESIGN §2)."""
    expected: list[int] = []
    reached = state.sources
    for span in sources:
        key, start, end = (span.topic, span.partition), span.start, span.end
        mark = reached.get(key)
        if mark is None:
            if not _is_source_of(state.name, span.topic):
                raise Halt(
                    HaltKind.FOREIGN_WRITER,
                    f"the log holds something of {span.topic}, which is no source of netting set {state.name}: "
                    f"intake did not write it, or wrote it to the wrong partition",
                )
            mark = reached[key] = 0
        if start > mark:
            raise Halt(
                HaltKind.GAP,
                f"gap in source {span.topic}-{span.partition}: the log goes on at offset {start}, "
                f"but everything from {mark} on is missing",
            )
        expected.append(mark)
        if end > mark:
            reached[key] = end
    return expected


def _is_source_of(netting_set: str, topic: str) -> bool:
    """payments.<netting set>.<participant>, commands or confirmations, behind whatever prefix."""
    kind, *names = topic.rsplit(".", 2)
    if len(names) == 2 and kind.endswith("payments"):
        return names[0] == netting_set
    return topic.endswith(("commands", "confirmations"))


def _control(
    state: NettingSet, record: LogRecord, row: int, item: ControlItem, out: Outputs
) -> None:
    if isinstance(item.message, Command):
        apply_command(state, item.message, record.offset, out)
    elif isinstance(item.message, Confirmation):
        confirm(state, item.message, record.offset, out)
    elif item.reject is not None:
        source = record.sources[item.source]
        out.rejected.append(_rejected(state, record, row, source, item.offset, item.reject))


def _report_rejects(state: NettingSet, record: LogRecord, rows: PaymentRows, out: Outputs) -> None:
    assert out.outcomes is not None
    for row, reject in rows.rejects.items():
        if out.outcomes.codes[row] != Code.ALREADY_READ:
            source = record.sources[int(rows.source[row])]
            offset = int(rows.source_offset[row])
            out.rejected.append(_rejected(state, record, row, source, offset, reject))


def _rejected(
    state: NettingSet, record: LogRecord, row: int, source: SourceSpan, offset: int, reject: Reject
) -> Rejected:
    reason = REASONS[Code(reject.code)]
    return Rejected(
        netting_set=state.name,
        log_offset=record.offset,
        row=row,
        topic=source.topic,
        partition=source.partition,
        offset=offset,
        item=reject.item,
        reason=reason.iso,
        text=reason.text,
        detail=reject.detail,
        hash=reject.hash,
        id=reject.id,
        time_ms=state.counters.time_ms,
    )


def _write_positions(state: NettingSet, offset: int, out: Outputs) -> None:
    """Changed positions, at most every positions_interval_ms of log time."""
    counters = state.counters
    if counters.time_ms < counters.positions_at_ms + state.positions_interval_ms:
        return
    changed = np.flatnonzero(state.dirty)
    if not len(changed):
        return
    state.dirty[changed] = False
    counters.positions_at_ms = counters.time_ms
    accounts = state.accounts
    held, caps, positions, reserved, queued, queued_payments = (
        column.reshape(-1)[changed].tolist()
        for column in (
            accounts.prefunded,
            accounts.cap,
            accounts.position,
            accounts.reserved,
            accounts.queued,
            accounts.queued_payments,
        )
    )
    for i, account in enumerate(changed.tolist()):
        p, a = divmod(account, state.width)
        asset = state.assets[a]
        scale = asset.spec.scale
        out.positions.append(
            Position(
                netting_set=state.name,
                participant=state.name_of(p),
                asset=asset.spec.id,
                prefunded=show(held[i], scale),
                net_debit_cap=show(caps[i], scale),
                position=show(positions[i], scale),
                reserved=show(reserved[i], scale),
                headroom=show(held[i] + caps[i] + positions[i] - reserved[i], scale),
                queued=show(queued[i], scale),
                queued_payments=queued_payments[i],
                window=asset.window.number,
                log_offset=offset,
                time_ms=counters.time_ms,
            )
        )
