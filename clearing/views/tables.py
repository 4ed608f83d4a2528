"""The tables of the views: values in memory, kept in a topic of the contract that is the table's changelog.

A table is what Faust recovers after a restart or a take-over; readers read its topic and never ask this process.
"""

from collections.abc import Callable, Iterator
from typing import Any

import faust
import msgspec
from faust.tables.table import Table
from faust.types import TopicT

from clearing.messages_views import (
    AuditView,
    decode_activity,
    decode_audit,
    decode_batch,
    decode_reject,
    decode_window,
    encode,
)
from clearing.names import Topics, ViewName
from clearing.views.fold import Change

RAW = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
}


class ViewTable(Table):
    """Values of one view by key. Written with `put`, from anywhere: each key's partition is its netting set's."""

    def __init__(
        self,
        app: faust.App,
        *,
        name: str,
        topic: str = "",
        decode: Callable[[bytes], Any] = bytes,
        **options: Any,
    ) -> None:
        """topic: its changelog. decode: a record of it to a value."""
        self._decode = decode
        own = {"key_type": bytes, "value_type": bytes, "store": "memory://"}
        options.setdefault("changelog_topic", _changelog(app, topic))
        super().__init__(app, name=name, **(own | options))

    def put(self, partition: int, change: Change) -> None:
        """Apply a change, and send it to the topic."""
        if change.value is None:
            self.data.pop(change.key, None)
            self.send_changelog(partition, change.key, None, value_serializer="raw")
            return
        self._keep(partition, change.key, change.value)
        self.send_changelog(partition, change.key, encode(change.value))

    def _keep(self, partition: int, key: bytes, value: msgspec.Struct) -> None:
        store: Any = self.data
        store[key] = value
        store._key_partition[key] = partition  # else Faust would not forget it with its partition

    def known(self, netting_set: str) -> Iterator[Any]:
        """The values of a netting set."""
        for value in list(self.data.values()):
            if value.netting_set == netting_set:
                yield value

    def _to_value(self, v: bytes | None) -> Any:
        """A record of the changelog as it is recovered. None: a tombstone."""
        return None if v is None else self._decode(v)


class AuditTable(ViewTable):
    """All of the audit log is in its topic; only the latest entry of each netting set is kept here."""

    def _keep(self, partition: int, key: bytes, value: msgspec.Struct) -> None:
        assert isinstance(value, AuditView)
        super()._keep(partition, self._to_key(key), value)

    def _to_key(self, k: bytes) -> bytes:
        """Entries stand in the topic in the order of their numbers: the last one stays."""
        return k.partition(b"|")[0]


_DECODE: dict[ViewName, Callable[[bytes], Any]] = {
    "windows": decode_window,
    "batches": decode_batch,
    "activity": decode_activity,
    "rejects": decode_reject,
    "audit": decode_audit,
}


def make_tables(app: faust.App, topics: Topics) -> dict[ViewName, ViewTable]:
    """The app's tables, by view."""
    made: dict[ViewName, ViewTable] = {}
    for view, decode in _DECODE.items():
        kind = AuditTable if view == "audit" else ViewTable
        table = kind(
            app, name=view, topic=topics.view(view), decode=decode, beacon=app.tables.beacon
        )
        app.tables.add(table)
        made[view] = table
    return made


def _changelog(app: faust.App, topic: str) -> TopicT:
    """As Faust makes its own, but for the name: this one is part of the contract."""
    return app.topic(topic, **RAW, acks=False, internal=True, maxsize=131_072, allow_empty=True)
