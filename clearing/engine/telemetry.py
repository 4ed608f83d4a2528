"""What a committed cycle adds to the engine's metrics. Reads the outputs; changes nothing."""

import numpy as np

from clearing.core.outputs import WindowEvent
from clearing.core.reasons import REASONS, Code, status_of
from clearing.engine import metrics
from clearing.engine.machine import Machine
from clearing.log.records import (
    EVENT_KEY,
    OUTCOMES_KEY,
    OutputRecord,
    decode_event,
    decode_outcomes,
)


def count(netting_set: str, machine: Machine, outputs: list[OutputRecord], records: int) -> None:
    """Rows by outcome, window transitions and sizes of one committed cycle of `records` log records."""
    metrics.log_records.labels(netting_set).inc(records)
    metrics.remembered_ids.labels(netting_set).set(len(machine.state.ids))
    codes = [
        decode_outcomes(output.value).codes for output in outputs if output.key == OUTCOMES_KEY
    ]
    if codes:
        _count_codes(netting_set, np.concatenate(codes))
    for output in outputs:
        if output.topic == "journal" and output.key == EVENT_KEY:
            event = decode_event(output.value)
            if isinstance(event, WindowEvent):
                metrics.windows.labels(netting_set, event.asset, event.state).inc()
                if event.state == "PENDING_SETTLEMENT":
                    metrics.batches.labels(netting_set, event.asset).inc()


def _count_codes(netting_set: str, codes: np.ndarray) -> None:
    for code, rows in enumerate(np.bincount(codes).tolist()):
        if not rows:
            continue
        if code == Code.ALREADY_READ:
            outcome, reason = "already_read", ""
        else:
            outcome = status_of(code).lower()
            reason = REASONS[Code(code)].iso if Code(code) in REASONS else ""
        metrics.payments.labels(netting_set, outcome, reason).inc(rows)
