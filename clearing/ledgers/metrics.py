"""Prometheus metrics of a ledger sink. Labels are bounded: ledgers, netting sets, assets; never an id."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_OF = ["ledger", "netting_set"]

batches = Counter(
    "clearing_sink_batches", "Batches by answer: POSTED, REFUSED", [*_OF, "asset", "status"]
)
entries = Counter("clearing_sink_entries", "Entries posted", [*_OF, "asset"])
accounts = Counter("clearing_sink_account_records", "Accounts opened or changed", _OF)
confirmations = Counter("clearing_sink_confirmations", "Confirmations published", _OF)
posting_seconds = Histogram(
    "clearing_sink_posting_seconds",
    "One database transaction: begin to committed",
    _OF,
    buckets=_SECONDS,
)
confirmed_seconds = Histogram(
    "clearing_sink_confirmed_seconds",
    "Batch written by the engine until its confirmation is acknowledged",
    _OF,
    buckets=_SECONDS,
)
epoch = Gauge("clearing_sink_epoch", "Epoch of this owner, 0: does not own", _OF)
owned = Gauge("clearing_sink_owned", "1: this process posts the netting set", _OF)
fenced = Counter("clearing_sink_fenced", "Times another owner took over", _OF)
doubts = Counter("clearing_sink_doubts", "Sessions discarded because of an unknown outcome", _OF)
lag_records = Gauge("clearing_sink_lag_records", "Settlement offsets not posted yet", _OF)
lag_seconds = Gauge(
    "clearing_sink_lag_seconds", "Age of the newest record posted, 0 at the end", _OF
)
