"""What was not as it should be on a day, each with one sentence. Pure.

From the journal's events, what a recast took out, inputs that could not be read, and what has stopped.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from clearing.core.outputs import (
    ConfirmationEvent,
    DeadlockEvent,
    Event,
    Rejected,
    ShortfallEvent,
    WindowEvent,
)
from clearing.messages import HaltRecord
from clearing.names import PROBE, Topics, owner_of
from clearing.reports.days import Day
from clearing.reports.model import ExceptionDay, ExceptionKind
from clearing.reports.payments import Sum, TakenOut, money


class Halted(NamedTuple):
    """A halt as its topic has it; until_ms: when it was over, None: it is not."""

    record: HaltRecord
    until_ms: int | None


class _Unread(NamedTuple):
    topic: str
    reason: str
    text: str


class Exceptions:
    """Of one netting set and day. Events come in the journal's order."""

    def __init__(self, netting_set: str, day: Day, topics: Topics) -> None:
        self.netting_set = netting_set
        self._topics = topics
        self.day = day
        self._rows: list[ExceptionDay] = []
        self._unread: dict[_Unread, tuple[int, Rejected]] = {}  # how often, and the first
        self._answered = -1  # log offset of the last event of a window that its ledger refused

    def take_event(self, event: Event) -> None:
        if not self.day.has(event.time_ms):
            return
        match event:
            case WindowEvent():
                self._window(event)
            case ConfirmationEvent():
                self._answer(event)
            case ShortfallEvent():
                self._shortfall(event)
            case DeadlockEvent():
                who = ", ".join(one.participant for one in event.waits)
                text = f"{event.payments:,} payments worth {event.value} could not leave at the cut-off"
                text += f", as these wait for others: {who}" if who else ""
                self._add(event, "deadlock", text, asset=event.asset, value=event.value)
            case _:
                pass

    def _window(self, event: WindowEvent) -> None:
        because = f": {event.reason}" if event.reason else ""
        if event.state == "FAILED":
            self._of_window(event, "failed", f"the ledger refused version {event.version}{because}")
        elif event.state == "ABORTED":
            self._of_window(event, "aborted", f"version {event.version} is given up{because}")
        elif event.state == "PENDING_SETTLEMENT" and event.version > 1:
            self._of_window(event, "sent_again", f"sent again as version {event.version}")
        if event.state in ("FAILED", "ABORTED"):
            self._answered = event.log_offset

    def _of_window(self, event: WindowEvent, kind: ExceptionKind, text: str) -> None:
        self._add(event, kind, text, asset=event.asset, window=event.window, value=event.gross)

    def _answer(self, event: ConfirmationEvent) -> None:
        if event.status == "REFUSED":
            text = f"an answer to batch {event.batch} counts for nothing: {event.reason}"
            self._add(event, "confirmation_refused", text)
        elif event.status == "DONE" and event.reason and event.log_offset != self._answered:
            text = f"the ledger did not move the prefunding of batch {event.batch}: {event.reason}"
            self._add(event, "funding_refused", text)

    def _shortfall(self, event: ShortfallEvent) -> None:
        survivors = ", ".join(f"{name} {value}" for name, value in event.survivors.items())
        text = (
            f"{event.participant} lacked {event.shortfall}: its collateral bears {event.collateral}, the pool "
            f"{event.pool}, survivors {survivors or 'nothing'}"
        )
        self._add(
            event,
            "shortfall",
            text,
            asset=event.asset,
            window=event.window,
            participant=event.participant,
            value=event.shortfall,
        )

    def _add(
        self,
        event: Event,
        kind: ExceptionKind,
        text: str,
        *,
        asset: str = "",
        window: int | None = None,
        participant: str = "",
        value: str | None = None,
    ) -> None:
        self._rows.append(
            ExceptionDay(
                at_ms=event.time_ms,
                kind=kind,
                asset=asset,
                window=window,
                participant=participant,
                value=value,
                log_offset=event.log_offset,
                text=text,
            )
        )

    def take_taken_out(self, found: Mapping[TakenOut, Sum], scales: Mapping[str, int]) -> None:
        """What recasts took out of windows, whenever these closed."""
        self._rows += [
            ExceptionDay(
                at_ms=place.time_ms,
                kind="recast",
                asset=place.asset,
                window=place.window,
                times=total.number,
                value=money(total.value, place.asset, scales),
                log_offset=place.log_offset,
                text=f"{total.number:,} payments were taken out, as a party could not pay",
            )
            for place, total in found.items()
        ]

    def take_rejected(self, rejected: Rejected) -> None:
        """An input that could not be read; all of the same topic and reason become one row."""
        if not self.day.has(rejected.time_ms) or owner_of(rejected.topic) == PROBE:
            return
        key = _Unread(rejected.topic, rejected.reason, rejected.text)
        times, first = self._unread.get(key, (0, rejected))
        self._unread[key] = times + 1, first

    def take_halts(self, halts: Iterable[Halted]) -> None:
        """Those of this netting set that lasted for a part of the day."""
        for record, until_ms in halts:
            lasted = record.first_at_ms < self.day.to_ms and (
                until_ms is None or until_ms >= self.day.from_ms
            )
            if record.netting_set == self.netting_set and lasted:
                where = f"{record.topic}-{record.partition}"
                self._rows.append(
                    ExceptionDay(
                        at_ms=max(record.first_at_ms, self.day.from_ms),
                        kind="halt",
                        times=record.times,
                        text=f"{record.service} stopped at {where}: {record.reason}",
                    )
                )

    def rows(self) -> list[ExceptionDay]:
        """By time."""
        unread = [
            ExceptionDay(
                at_ms=first.time_ms,
                kind="unreadable",
                participant=owner_of(key.topic) if self._topics.parse_payments(key.topic) else "",
                times=times,
                log_offset=first.log_offset,
                text=f"{key.topic}: {key.reason}, {key.text}; the first at offset {first.offset}",
            )
            for key, (times, first) in self._unread.items()
        ]
        return sorted([*self._rows, *unread], key=lambda row: (row.at_ms, row.kind, row.text))
