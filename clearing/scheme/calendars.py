"""Zones, cut-off times and holidays to UTC instants: the one place that knows about time zones.

Time-zone rules change and must never enter the core: what they mean for the next days is worked out here and
travels as epoch milliseconds (SetCalendar, SetCutoffs).

One rule for every local time: the first instant at which the local clock shows it or a later one. So a time that
a clock change leaves out is the moment of the change, and of a time that comes twice the first one counts.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from clearing.core.registry import BusinessDay
from clearing.scheme.model import Calendar, Schedule

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MIDNIGHT = time()
_SECOND = timedelta(seconds=1)


def instant_ms(day: date, at: time, zone: str) -> int:
    """Epoch milliseconds of the first instant at which clocks in `zone` show `at` on `day`, or later."""
    wanted, info = datetime.combine(day, at), ZoneInfo(zone)
    first = wanted.replace(tzinfo=info, fold=0).astimezone(UTC)
    if _clock(first, info) == wanted:
        return _epoch_ms(first)
    # Left out by a clock change, which lies between the readings by the offset after it and the one before.
    low, high = wanted.replace(tzinfo=info, fold=1).astimezone(UTC), first
    assert _clock(low, info) < wanted < _clock(high, info), f"{wanted} in {zone} has no instant"
    while high - low > _SECOND:
        middle = low + (high - low) // 2 // _SECOND * _SECOND
        low, high = (middle, high) if _clock(middle, info) < wanted else (low, middle)
    return _epoch_ms(high)


def _clock(instant: datetime, info: ZoneInfo) -> datetime:
    """What a clock on the wall shows."""
    return instant.astimezone(info).replace(tzinfo=None)


def _epoch_ms(instant: datetime) -> int:
    return int(instant.timestamp()) * 1000


def is_business_day(calendar: Calendar, day: date) -> bool:
    return day.weekday() not in calendar.weekend and day not in calendar.holidays


def business_days(calendar: Calendar, today: date, horizon_days: int) -> list[BusinessDay]:
    """Business days from the last one before `today` to `today` + horizon.

    A business day begins at the local midnight after the one before it: on a Saturday it is Monday already.
    """
    earlier = _business_day_before(calendar, _business_day_before(calendar, today))
    days: list[BusinessDay] = []
    for offset in range((today - earlier).days, -horizon_days - 1, -1):
        day = today - timedelta(days=offset)
        if day <= earlier or not is_business_day(calendar, day):
            continue
        opens = instant_ms(earlier + timedelta(days=1), _MIDNIGHT, calendar.zone)
        days.append(BusinessDay(day.toordinal() - _EPOCH_ORDINAL, opens))
        earlier = day
    return days


def _business_day_before(calendar: Calendar, day: date) -> date:
    """A weekend has six days at most; the bound is for calendars that are nothing but holidays."""
    for _ in range(len(calendar.holidays) + 8):
        day -= timedelta(days=1)
        if is_business_day(calendar, day):
            return day
    raise AssertionError(f"calendar {calendar.name} has no business day before {day}")


def cutoff_instants_ms(schedule: Schedule, today: date, horizon_days: int) -> list[int]:
    """Cut-offs on the business days from `today` to `today` + horizon, ascending.

    Two local times that a clock change makes one instant are one cut-off.
    """
    instants: set[int] = set()
    for offset in range(horizon_days + 1):
        day = today + timedelta(days=offset)
        if schedule.calendar is None or is_business_day(schedule.calendar, day):
            instants.update(instant_ms(day, at, schedule.zone) for at in schedule.cutoffs)
    return sorted(instants)
