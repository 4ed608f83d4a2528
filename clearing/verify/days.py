"""Business dates of log records, worked out anew from their times and the calendars commands have set (F12)."""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from clearing.core.commands import SetCalendar
from clearing.core.inputs import I64
from clearing.verify.commands import Effective
from clearing.verify.tables import LogTable

_DAY_MS = 86_400_000


@dataclass(slots=True)
class BusinessDates:
    """dates[i]: days since the epoch, of the log record at offsets[i]. Neither they nor times ever go back."""

    offsets: list[int]
    dates: I64

    def on(self, log_offset: int) -> int:
        """Business date of the record at this log offset."""
        return int(self.dates[bisect_left(self.offsets, log_offset)])

    def starts(self) -> I64:
        """Log offsets of the records with which a business day began."""
        return np.array(self.offsets, np.int64)[np.flatnonzero(np.diff(self.dates, prepend=-1))]


def business_dates(table: LogTable, commands: list[Effective]) -> BusinessDates:
    """Without a calendar every UTC day is a business day; a new one counts from the next log record on."""
    times = np.maximum.accumulate(np.array(table.times_ms, np.int64))
    offsets = np.array(table.log_offsets, np.int64)
    dates = times // _DAY_MS
    calendars = [
        (one.log_offset, one.command.days)
        for one in commands
        if isinstance(one.command, SetCalendar)
    ]
    for since, days in calendars:
        later = offsets > since
        if not days:
            dates[later] = times[later] // _DAY_MS
            continue
        opens = np.array([day.opens_at_ms for day in days], np.int64)
        begun = np.searchsorted(opens, times[later], side="right")
        dates[later] = np.array([day.date for day in days], np.int64)[np.maximum(begun, 1) - 1]
    return BusinessDates(table.log_offsets, np.maximum.accumulate(dates))
