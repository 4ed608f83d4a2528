"""Records of the engine's topics in, changes of views out: one place where every fold of every netting set is.

Pure but for the log: what cannot be read, or folded, is left out and said so. A view must never stand still for it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec
import structlog

from clearing.core.outputs import SettlementBatch
from clearing.log.records import (
    EVENT_KEY,
    OUTCOMES_KEY,
    RESOLUTION_KEY,
    decode_event,
    decode_outcomes,
    decode_rejected,
    decode_resolutions,
    decode_settlement,
    outcomes_header,
)
from clearing.names import ViewName
from clearing.views import metrics
from clearing.views.fold import Change
from clearing.views.fold_activity import Activity, Told
from clearing.views.fold_audit import Audit
from clearing.views.fold_rejects import Rejects
from clearing.views.fold_settling import Settling

_log = structlog.get_logger()


class Record(NamedTuple):
    """A record of one of the engine's topics."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class Known(Protocol):
    """What is known of a netting set: the values of one view, as a table has them."""

    def known(self, netting_set: str) -> Iterable[msgspec.Struct]: ...


@dataclass(slots=True)
class _Folds:
    netting_set: str
    settling: Settling
    activity: Activity
    rejects: Rejects
    audit: Audit


class Projection:
    """The folds of every netting set, by partition; each begins with what the tables know of it."""

    def __init__(self, tables: dict[ViewName, Known]) -> None:
        self._tables = tables
        self._folds: dict[int, _Folds] = {}

    def forget(self) -> None:
        """Begin anew with what the tables know: they were recovered."""
        self._folds.clear()

    @property
    def netting_sets(self) -> list[str]:
        return [folds.netting_set for folds in self._folds.values()]

    def netting_set_of(self, partition: int) -> str:
        """Empty before anything of it was read."""
        folds = self._folds.get(partition)
        return folds.netting_set if folds else ""

    def journal(self, records: Iterable[Record]) -> list[Change]:
        """What people did, and what became of windows and batches. Records of one partition, in their order."""
        return self._each(records, self._event)

    def settlements(self, records: Iterable[Record]) -> list[Change]:
        return self._each(records, self._settlement)

    def rejected(self, records: Iterable[Record]) -> list[Change]:
        return self._each(records, self._reject)

    def outcomes(self, records: Iterable[Record]) -> list[Change]:
        """What became of payments: all records in one go, a change for each minute."""
        told: list[Told] = []
        folds: _Folds | None = None
        for record in records:
            if record.value is None or record.key not in (OUTCOMES_KEY, RESOLUTION_KEY):
                continue
            try:
                if record.key == OUTCOMES_KEY:
                    folds = self._folds.get(record.partition) or self._begin(
                        record.partition, outcomes_header(record.value).netting_set
                    )
                    outcomes = decode_outcomes(record.value)
                    metrics.payments.inc(len(outcomes.codes))
                    told.append(Told(record.offset, outcomes))
                else:
                    resolutions = decode_resolutions(record.value)
                    folds = self._begin(record.partition, resolutions.netting_set)
                    told.append(Told(record.offset, resolutions))
            except Exception as error:
                _left_out(record, error)
        return folds.activity.take(told) if folds else []

    def _event(self, record: Record) -> list[Change]:
        if record.key != EVENT_KEY:
            return []  # where the engine stands
        event = decode_event(record.value or b"")
        folds = self._begin(record.partition, event.netting_set)
        return folds.settling.take_event(event, record.offset) + folds.audit.take_event(
            event, record.offset
        )

    def _settlement(self, record: Record) -> list[Change]:
        said = decode_settlement(record.value or b"")
        if not isinstance(said, SettlementBatch):
            return []  # an account that the ledger is to have
        folds = self._begin(record.partition, said.netting_set)
        return folds.settling.take_batch(said, record.topic, record.partition, record.offset)

    def _reject(self, record: Record) -> list[Change]:
        rejected = decode_rejected(record.value or b"")
        folds = self._begin(record.partition, rejected.netting_set)
        return folds.rejects.take(rejected, record.partition, record.offset)

    def _each(
        self, records: Iterable[Record], fold: Callable[[Record], list[Change]]
    ) -> list[Change]:
        """One record after the other; of each key the latest change."""
        changes: dict[tuple[ViewName, bytes], Change] = {}
        for record in records:
            try:
                made = fold(record)
            except Exception as error:
                _left_out(record, error)
                continue
            changes.update(((change.view, change.key), change) for change in made)
        return list(changes.values())

    def _begin(self, partition: int, netting_set: str) -> _Folds:
        """The folds of a partition; a partition has one netting set for ever."""
        folds = self._folds.get(partition)
        if folds is None:
            known = {view: list(table.known(netting_set)) for view, table in self._tables.items()}
            folds = self._folds[partition] = _Folds(
                netting_set,
                Settling(netting_set, known["windows"], known["batches"]),  # pyright: ignore[reportArgumentType]  as their tables decode them
                Activity(netting_set, known["activity"]),  # pyright: ignore[reportArgumentType]
                Rejects(netting_set, known["rejects"]),  # pyright: ignore[reportArgumentType]
                Audit(netting_set, next(iter(known["audit"]), None)),  # pyright: ignore[reportArgumentType]
            )
        if folds.netting_set != netting_set:
            raise ValueError(f"partition {partition} is of {folds.netting_set}, not {netting_set}")
        return folds


def _left_out(record: Record, error: Exception) -> None:
    """Nothing is decided by a view: it goes on without, but not in silence."""
    metrics.left_out.labels(record.topic).inc()
    _log.error(
        "record_left_out",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        error=repr(error),
    )
