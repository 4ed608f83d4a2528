"""Prometheus metrics of the engine. Labels are bounded: netting sets, assets, reasons; never an id."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

payments = Counter(
    "clearing_engine_payments",
    "Rows by outcome and ISO reason",
    ["netting_set", "outcome", "reason"],
)
log_records = Counter("clearing_engine_log_records", "Log records applied", ["netting_set"])
step_seconds = Histogram(
    "clearing_engine_step_seconds",
    "Applying the records of one cycle",
    ["netting_set"],
    buckets=_SECONDS,
)
transaction_seconds = Histogram(
    "clearing_engine_transaction_seconds", "Begin to committed", ["netting_set"], buckets=_SECONDS
)
transactions = Counter("clearing_engine_transactions", "Committed transactions", ["netting_set"])
recoveries = Counter("clearing_engine_recoveries", "Times ownership was taken", ["netting_set"])
recovery_seconds = Gauge(
    "clearing_engine_recovery_seconds", "Last recovery: fenced to serving", ["netting_set"]
)
doubts = Counter("clearing_engine_doubts", "Transactions given up as doubtful", ["netting_set"])
fenced = Counter("clearing_engine_fenced", "Times another owner took over", ["netting_set"])
snapshots_refused = Counter(
    "clearing_engine_snapshots_refused",
    "Snapshots that could not be trusted: an older one or a replay served",
    ["netting_set"],
)
owned = Gauge("clearing_engine_owned", "1: this process serves the netting set", ["netting_set"])
standby_offset = Gauge(
    "clearing_engine_standby_offset",
    "Log offset that the warm copy of a netting set has reached which another engine serves",
    ["netting_set"],
)
ticks = Counter("clearing_engine_ticks", "Ticks written on an idle log", ["netting_set"])
lag_records = Gauge("clearing_engine_lag_records", "Log records not applied yet", ["netting_set"])
lag_seconds = Gauge(
    "clearing_engine_lag_seconds", "Age of the newest record applied last", ["netting_set"]
)
remembered_ids = Gauge("clearing_engine_remembered_ids", "Payment ids remembered", ["netting_set"])
batches = Counter("clearing_engine_batches", "Settlement batches emitted", ["netting_set", "asset"])
windows = Counter(
    "clearing_engine_windows", "Window transitions", ["netting_set", "asset", "state"]
)
snapshots = Counter("clearing_engine_snapshots", "Snapshots written", ["netting_set"])
