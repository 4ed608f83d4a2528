"""What a reconciliation came to, for Prometheus: as a file that its node exporter picks up (textfile collector).

A report runs now and then and is gone: nobody could scrape it. The alert ReconBreak looks at it.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from clearing.reports.breaks import BREAK_KINDS, Reconciled

registry = CollectorRegistry()  # not that of a process which is scraped
breaks = Gauge(
    "clearing_reconcile_breaks",
    "Where journal, settlements and ledger did not agree at the last reconciliation",
    ["netting_set", "kind"],
    registry=registry,
)
at = Gauge(
    "clearing_reconcile_timestamp_seconds",
    "When the books were reconciled last",
    ["netting_set"],
    registry=registry,
)


def write(found: Iterable[Reconciled], at_s: float, file: Path) -> None:
    """Replace the file as one. Raises OSError."""
    breaks.clear()
    at.clear()
    for one in found:
        counts = Counter(each.kind for each in one.breaks)
        for kind in BREAK_KINDS:
            breaks.labels(one.netting_set, kind).set(counts[kind])
        at.labels(one.netting_set).set(at_s)
    write_to_textfile(str(file), registry)
