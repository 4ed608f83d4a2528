"""Prometheus metrics of the views, and the Faust sensor that feeds them. Labels: topics and views, never an id."""

from time import perf_counter
from typing import Any

import faust
from faust.sensors import Sensor
from faust.types import TP, Message
from faust.types.tuples import RecordMetadata
from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

records = Counter("clearing_views_records", "Records read of the engine's topics", ["topic"])
payments = Counter("clearing_views_payments", "Rows of outcomes folded")
changes = Counter("clearing_views_changes", "Values written or forgotten", ["view"])
left_out = Counter("clearing_views_left_out", "Records that could not be folded", ["topic"])
fold_seconds = Histogram(
    "clearing_views_fold_seconds", "Folding the records of one batch", ["topic"], buckets=_SECONDS
)
commit_seconds = Histogram(
    "clearing_views_commit_seconds", "Flushing changes and committing offsets", buckets=_SECONDS
)
rebalances = Counter("clearing_views_rebalances", "Times the group dealt its partitions anew")
recovery_seconds = Gauge(
    "clearing_views_recovery_seconds", "Last recovery of the tables, from their topics"
)
send_errors = Counter("clearing_views_send_errors", "Changes that Kafka did not take")
sample_errors = Counter("clearing_views_sample_errors", "Samples of lag that could not be taken")
buffer_full = Counter(
    "clearing_views_buffer_full", "Times a topic was paused as its fold was behind", ["topic"]
)


class PrometheusSensor(Sensor):
    """What Faust tells of itself, as metrics."""

    def on_message_in(self, tp: TP, offset: int, message: Message) -> None:
        records.labels(tp.topic).inc()

    def on_topic_buffer_full(self, tp: TP) -> None:
        buffer_full.labels(tp.topic).inc()

    def on_commit_initiated(self, consumer: Any) -> float:
        return perf_counter()

    def on_commit_completed(self, consumer: Any, state: float) -> None:
        commit_seconds.observe(perf_counter() - state)

    def on_send_completed(self, producer: Any, state: Any, metadata: RecordMetadata) -> None:
        """Counted where it is folded."""

    def on_send_error(self, producer: Any, exc: BaseException, state: Any) -> None:
        send_errors.inc()

    def on_rebalance_start(self, app: faust.App) -> dict[str, float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        rebalances.inc()
        return {"began_s": perf_counter()}

    def on_rebalance_end(self, app: faust.App, state: dict[str, float]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        recovery_seconds.set(perf_counter() - state["began_s"])
