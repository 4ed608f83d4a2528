"""What a day is: from midnight to midnight of a time zone, in the log's own time. Pure."""

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Day:
    """from_ms is its first millisecond, to_ms the first after it: 23 or 25 hours where clocks are changed."""

    date: dt.date
    timezone: str
    from_ms: int
    to_ms: int

    @classmethod
    def of(cls, day: dt.date, timezone: str = "UTC") -> "Day":
        """Raises ValueError (ZoneInfoNotFoundError is a KeyError) where there is no such zone."""
        return cls(
            day,
            timezone,
            _midnight_ms(day, timezone),
            _midnight_ms(day + dt.timedelta(1), timezone),
        )

    @classmethod
    def at(cls, time_ms: int, timezone: str = "UTC") -> "Day":
        """The day that has this moment."""
        return cls.of(
            dt.datetime.fromtimestamp(time_ms / 1000, ZoneInfo(timezone)).date(), timezone
        )

    def has(self, time_ms: int) -> bool:
        return self.from_ms <= time_ms < self.to_ms


def _midnight_ms(day: dt.date, timezone: str) -> int:
    """Where clocks skip midnight, the moment they skip to."""
    local = dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone))
    return int(local.astimezone(dt.UTC).timestamp() * 1000)


def in_zone(time_ms: int, timezone: str) -> str:
    """RFC 3339 to the millisecond, as clocks of the zone show it."""
    return dt.datetime.fromtimestamp(time_ms / 1000, ZoneInfo(timezone)).isoformat(
        timespec="milliseconds"
    )
