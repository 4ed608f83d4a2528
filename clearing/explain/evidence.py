"""What the engine's outputs say of some rows and payments: fed with output records, it keeps those that matter.

Records are told apart by their raw bytes and opened only then. The order within a topic is the topic's; of topics
`outcomes` comes first, for it says in which windows payments were accepted.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from clearing.core.outputs import (
    CommandEvent,
    ConfirmationEvent,
    DeadlockEvent,
    Event,
    Outcomes,
    Resolution,
    SettlementBatch,
    WindowEvent,
)
from clearing.core.reasons import Code
from clearing.explain.story import Place, Row
from clearing.log.records import (
    EVENT_KEY,
    OUTCOMES_KEY,
    RESOLUTION_KEY,
    decode_event,
    decode_outcomes,
    decode_resolutions,
    decode_settlement,
)

_LOG_OFFSET = re.compile(rb'"log_offset":(\d+)')
_NEXT_OFFSET = re.compile(rb'"next_offset":(\d+)')
_CLOSED_AT_MS = re.compile(rb'"closed_at_ms":(\d+)')

WindowKey = tuple[str, int]  # asset, window


def log_offset_of(value: bytes) -> int | None:
    """Log offset of an output record: JSON says it, and so does the header of columns."""
    found = _LOG_OFFSET.search(value)
    return int(found[1]) if found else None


def journal_place(value: bytes) -> int | None:
    """Log offset of a record of the journal; of the end of a transaction the last one in it. It never falls."""
    found = _NEXT_OFFSET.search(value)
    return int(found[1]) - 1 if found else log_offset_of(value)


def closed_at_ms(value: bytes) -> int | None:
    """Of a settlement batch the time at which it left; None of what is none. It never falls."""
    found = _CLOSED_AT_MS.search(value)
    return int(found[1]) if found else None


class Resolved(NamedTuple):
    """What one log record did to a payment of an earlier one. together: all it did, in its order."""

    at: Place
    resolution: Resolution
    together: list[Resolution]


class Evidence:
    """rows: those to know of, as clearing.explain.rows found them. payments: ids whose fate is to be known.

    goal: nothing of log records from this offset on is taken: the engine has not committed it, or later than we
    began. windows: that hold one of the payments. events: of those windows. answers: ledgers' confirmations, by
    batch. commands: by log offset. deadlocks: that name one of the payments.
    """

    def __init__(self, rows: Iterable[Row], payments: Iterable[str], goal: int) -> None:
        self.goal = goal
        self._rows: dict[int, list[Row]] = {}
        for row in rows:
            self._rows.setdefault(row.log_offset, []).append(row)
        self.payments = frozenset(payments)
        self._texts = [payment.encode() for payment in self.payments]
        self.outcomes: dict[int, Outcomes] = {}
        self.windows: set[WindowKey] = set()
        self.events: dict[WindowKey, list[WindowEvent]] = {}
        self.batches: dict[str, SettlementBatch] = {}
        self.answers: dict[str, ConfirmationEvent] = {}
        self.commands: dict[int, list[CommandEvent]] = {}
        self.deadlocks: list[DeadlockEvent] = []
        self._resolved: dict[int, list[bytes]] = {}  # log offset → all its records of resolutions
        self._latest: tuple[int | None, list[bytes]] = (None, [])
        self._waits: set[str] = set()  # of the payments, as far as was read
        self._last = max(self._rows)

    @property
    def first(self) -> int:
        """Log offset of the first row: nothing about them lies before it."""
        return min(self._rows)

    @property
    def last(self) -> int:
        """Log offset of the last thing that is known of them."""
        return self._last

    @property
    def all_have_left(self) -> bool:
        """Whether none of the payments waits any more after what was read."""
        return not self._waits

    @property
    def all_are_final(self) -> bool:
        """Whether every window that holds one of them is settled, as far as events were read."""
        return all(
            any(event.state == "SETTLED" for event in self.events.get(key, ()))
            for key in self.windows
        )

    def take_outcome(self, key: bytes | None, value: bytes) -> None:
        """A record of the topic `outcomes`."""
        offset = log_offset_of(value)
        if offset is None or offset >= self.goal:
            return
        if key == OUTCOMES_KEY and offset in self._rows:
            self._take_rows(offset, decode_outcomes(value))
        elif key == RESOLUTION_KEY:
            if offset != self._latest[0]:
                self._latest = (offset, [])
            self._latest[1].append(value)  # also those before and after the one that is about us
            if any(value.find(text) >= 0 for text in self._texts):
                self._resolved[offset] = self._latest[1]
                self._last = max(self._last, offset)
                self._take_resolutions(value)

    def _take_rows(self, offset: int, outcomes: Outcomes) -> None:
        self.outcomes[offset] = outcomes
        for row in self._rows[offset]:
            code = int(outcomes.codes[row.row])
            if row.id not in self.payments or outcomes.repeat[row.row]:
                continue
            if code == Code.ACCEPTED:
                self.windows.add((row.asset, outcomes.windows[row.asset]))
            elif code == Code.QUEUED:
                self._waits.add(row.id)

    def _take_resolutions(self, value: bytes) -> None:
        for one in decode_resolutions(value).items:
            if one.id in self.payments:
                if one.code == Code.ACCEPTED:
                    self.windows.add((one.asset, one.window))
                if not one.remaining:
                    self._waits.discard(one.id)

    def resolved(self) -> dict[str, list[Resolved]]:
        """What became of each payment that waited or was taken out again, in the log's order."""
        found: dict[str, list[Resolved]] = {}
        for _, values in sorted(self._resolved.items()):
            records = [decode_resolutions(value) for value in values]
            together = [one for record in records for one in record.items]
            at = Place(records[0].log_offset, records[0].time_ms)
            for one in together:
                if one.id in self.payments:
                    found.setdefault(one.id, []).append(Resolved(at, one, together))
        return found

    def take_event(self, key: bytes | None, value: bytes) -> None:
        """A record of the journal."""
        if key == EVENT_KEY and (event := decode_event(value)).log_offset < self.goal:
            self.take(event)

    def take(self, event: Event) -> None:
        match event:
            case WindowEvent() if (event.asset, event.window) in self.windows:
                if event.state != "OPEN":
                    self.events.setdefault((event.asset, event.window), []).append(event)
                    self._last = max(self._last, event.log_offset)
            case ConfirmationEvent() if event.status == "DONE":
                self.answers[event.batch] = event
            case CommandEvent():
                if event.status == "DONE" and event.command == "release_queued":
                    self.commands.setdefault(event.log_offset, []).append(event)
            case DeadlockEvent() if any(one.payment in self.payments for one in event.waits):
                self.deadlocks.append(event)
            case _:
                pass

    def take_settlement(self, value: bytes) -> None:
        """A record of the topic `settlements`: kept if it is a batch that may hold one of the payments."""
        if not any(_names(value, key) for key in self.windows):
            return
        batch = decode_settlement(value)
        if (
            not isinstance(batch, SettlementBatch)
            or (batch.asset, batch.window) not in self.windows
        ):
            return
        if batch.kind == "net" or any(value.find(text) >= 0 for text in self._texts):
            self.batches[batch.id] = batch


def _names(value: bytes, key: WindowKey) -> bool:
    """Whether JSON may say this asset and window: a quick look."""
    asset, window = key
    return value.find(b'"window":%d,' % window) >= 0 and value.find(b'"%s"' % asset.encode()) >= 0
