"""Prometheus metrics of intake. Labels are bounded: netting sets, kinds, reasons; never an id or a topic."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 4, 16, 64, 256, 1024, 2048, 4096, 8192, 16384, 65536)

records = Counter("clearing_intake_records", "Source records read", ["netting_set", "kind"])
rows = Counter(
    "clearing_intake_rows", "Payments and control items written to the log", ["netting_set", "kind"]
)
rejects = Counter(
    "clearing_intake_rejects", "Rows that could not be read, by reason", ["netting_set", "reason"]
)
log_records = Counter(
    "clearing_intake_log_records", "Log records acknowledged", ["netting_set", "kind"]
)
log_bytes = Counter(
    "clearing_intake_log_bytes", "Bytes of log records, before compression", ["netting_set"]
)
batch_rows = Histogram(
    "clearing_intake_batch_rows", "Rows of a log record", ["netting_set"], buckets=_ROWS
)
pack_seconds = Histogram(
    "clearing_intake_pack_seconds",
    "Decoding, checking and packing one log record",
    ["netting_set"],
    buckets=_SECONDS,
)
acknowledge_seconds = Histogram(
    "clearing_intake_acknowledge_seconds",
    "A log record sent until the log has acknowledged it",
    ["netting_set"],
    buckets=_SECONDS,
)
lag_records = Gauge(
    "clearing_intake_lag_records",
    "Records of the sources read here that the log does not have yet",
    ["netting_set"],
)
lag_seconds = Gauge(
    "clearing_intake_lag_seconds",
    "Age of the oldest record read here that the log does not have yet",
    ["netting_set"],
)
sources = Gauge("clearing_intake_sources", "Source partitions read here")
sources_waiting = Gauge(
    "clearing_intake_sources_waiting", "Source partitions whose netting set has no partition yet"
)
sources_stopped = Gauge(
    "clearing_intake_sources_stopped",
    "Source partitions that cannot be read on, by reason: a person has to look",
    ["reason"],
)
sessions_lost = Counter(
    "clearing_intake_sessions_lost", "Times everything was built anew after an error"
)
commits_failed = Counter("clearing_intake_commits_failed", "Group offsets not committed")
