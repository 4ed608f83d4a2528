"""Prometheus metrics of dispatch. Labels are bounded: netting sets, statuses; never a participant or an id."""

import numpy as np
from prometheus_client import Counter, Gauge, Histogram

from clearing.core.inputs import U8
from clearing.core.reasons import Code
from clearing.dispatch.wording import wording

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

lag_records = Gauge(
    "clearing_dispatch_lag_records",
    "Outcomes records not told and acknowledged yet",
    ["netting_set"],
)
lag_seconds = Gauge(
    "clearing_dispatch_lag_seconds",
    "Age of the oldest outcomes record not told yet, 0: none",
    ["netting_set"],
)
statuses = Counter("clearing_dispatch_statuses", "Payments told of", ["netting_set", "status"])
finals = Counter("clearing_dispatch_finals", "Banks told of a window", ["netting_set", "status"])
records = Counter(
    "clearing_dispatch_records",
    "Status records: told, known (told before a restart), no_topic (nobody to tell)",
    ["netting_set", "result"],
)
build_seconds = Histogram(
    "clearing_dispatch_build_seconds",
    "Making the status records of one log record",
    ["netting_set"],
    buckets=_SECONDS,
)
send_seconds = Histogram(
    "clearing_dispatch_send_seconds",
    "One batch to one status topic, acknowledged",
    buckets=_SECONDS,
)
in_flight_bytes = Gauge("clearing_dispatch_in_flight_bytes", "Made, not acknowledged yet")
restarts = Counter("clearing_dispatch_restarts", "Times all was begun anew after a Kafka error")


def count(netting_set: str, codes: U8) -> None:
    """Statuses told of rows or resolutions with these outcomes. Raises ValueError on a code of a newer version."""
    for code, number in enumerate(np.bincount(codes).tolist()):
        if number and code != Code.ALREADY_READ:
            statuses.labels(netting_set, wording(code).status).inc(number)
