"""What the topics say now, key by key: the console's memory, rebuilt with every start. Pure: records are handed in.

Bounded: what is older than a table holds is in the topics and is not shown.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from clearing.core.outputs import Position
from clearing.halts import decode_halt
from clearing.log.records import decode_position
from clearing.messages import DirectoryEntry, HaltRecord
from clearing.names import Topics
from clearing.views.model import (
    ActivityView,
    AuditView,
    BatchView,
    Heartbeat,
    LagSample,
    RejectView,
    WindowView,
    decode_activity,
    decode_audit,
    decode_batch,
    decode_heartbeat,
    decode_lag,
    decode_reject,
    decode_window,
)

MOST_ROWS = 100_000
LAG_SAMPLES = 900  # a quarter of an hour
UNREADABLE_KEPT = 5

T = TypeVar("T")


@dataclass(slots=True)
class Table(Generic[T]):
    """The latest record of each key. version: rises with every change. at_ms: stamp of the newest record."""

    decode: Callable[[bytes], T]
    most: int = MOST_ROWS
    version: int = 0
    at_ms: int | None = None
    values: dict[bytes, T] = field(default_factory=dict[bytes, T])

    def take(self, key: bytes, value: bytes | None, time_ms: int) -> T | None:
        """The value, None where the record takes it away. Raises msgspec's errors, UnicodeDecodeError."""
        self.version += 1
        self.at_ms = max(self.at_ms or 0, time_ms)
        if not value:
            self.values.pop(key, None)
            return None
        decoded = self.decode(value)
        if key not in self.values and len(self.values) >= self.most:
            del self.values[next(iter(self.values))]
        self.values[key] = decoded
        return decoded

    def all(self) -> list[T]:
        return list(self.values.values())


class Board:
    """Takes records of the topics it names. audit: the open proposals and what was redriven are kept besides."""

    def __init__(self, topics: Topics) -> None:
        self.directory: dict[str, int] = {}
        self.windows: Table[WindowView] = Table(decode_window)
        self.batches: Table[BatchView] = Table(decode_batch)
        self.activity: Table[ActivityView] = Table(decode_activity)
        self.rejects: Table[RejectView] = Table(decode_reject)
        self.audit: Table[AuditView] = Table(decode_audit)
        self.positions: Table[Position] = Table(decode_position)
        self.heartbeats: Table[Heartbeat] = Table(decode_heartbeat, 1_000)
        self.halts: Table[HaltRecord] = Table(decode_halt, 1_000)
        self._entries: Table[DirectoryEntry] = Table(
            msgspec.json.Decoder(DirectoryEntry).decode, 10_000
        )
        self._lag: Table[LagSample] = Table(decode_lag, 1)
        self.lag: deque[LagSample] = deque(maxlen=LAG_SAMPLES)
        self.proposals: dict[tuple[str, str], AuditView] = {}
        self.decided: dict[tuple[str, str], AuditView] = {}  # redrives, by netting set and id
        self.unreadable: deque[str] = deque(maxlen=UNREADABLE_KEPT)
        self._tables: dict[str, Table[Any]] = {
            topics.view("windows"): self.windows,
            topics.view("batches"): self.batches,
            topics.view("activity"): self.activity,
            topics.view("rejects"): self.rejects,
            topics.view("audit"): self.audit,
            topics.view("lag"): self._lag,
            topics.positions: self.positions,
            topics.heartbeats: self.heartbeats,
            topics.halts: self.halts,
            topics.netting_sets: self._entries,
        }
        # One partition each; all others have one for each netting set.
        self.single = frozenset({topics.view("lag"), topics.heartbeats, topics.netting_sets})

    @property
    def topics(self) -> list[str]:
        return list(self._tables)

    def take(
        self, topic: str, where: str, key: bytes | None, value: bytes | None, time_ms: int
    ) -> None:
        """One record. where: for people. What cannot be read is told and left out."""
        try:
            taken = self._tables[topic].take(key or b"", value, time_ms)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self.unreadable.append(f"{where} cannot be read: {error}")
            return
        match taken:
            case DirectoryEntry():
                self.directory[taken.netting_set] = taken.partition
            case LagSample():
                if not self.lag or taken.at_ms > self.lag[-1].at_ms:
                    self.lag.append(taken)
            case AuditView():
                self._keep(taken)
            case _:
                pass  # the table has it

    def _keep(self, entry: AuditView) -> None:
        place = entry.netting_set, entry.id
        if entry.kind == "proposal":
            if entry.status == "PROPOSED":
                self.proposals[place] = entry
            else:
                self.proposals.pop(place, None)
        elif entry.command == "redrive" and entry.status == "DONE":
            self.decided[place] = entry

    @property
    def data_ms(self) -> int | None:
        """How fresh what is shown is: the views sample once a second, whatever else is quiet."""
        if self.lag:
            return self.lag[-1].at_ms
        tables = (self.windows, self.batches, self.activity, self.positions)
        return max((table.at_ms for table in tables if table.at_ms is not None), default=None)

    def versions(self) -> dict[str, int]:
        """A number that has changed: there is something new in that section."""
        return {
            "windows": self.windows.version,
            "positions": self.positions.version,
            "batches": self.batches.version,
            "rejected": self.rejects.version,
            "audit": self.audit.version,
            "services": self.heartbeats.version + self.halts.version,
            "lag": self._lag.version,
            "activity": self.activity.version,
            "proposals": self.audit.version,
            "queues": self.positions.version,
        }
