"""Where a day begins and ends."""

import datetime as dt

import pytest

from clearing.reports import Day
from clearing.reports.days import in_zone

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("date", "timezone", "begins", "hours"),
    [
        ("2026-01-05", "UTC", "2026-01-05T00:00:00+00:00", 24),
        ("2026-01-05", "Asia/Hong_Kong", "2026-01-04T16:00:00+00:00", 24),
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00+00:00", 23),
        ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00+00:00", 25),
        ("2025-04-25", "Africa/Cairo", "2025-04-24T22:00:00+00:00", 23),  # there is no midnight
    ],
)
def test_a_day_is_from_midnight_to_midnight(
    date: str, timezone: str, begins: str, hours: int
) -> None:
    day = Day.of(dt.date.fromisoformat(date), timezone)
    assert day.from_ms == dt.datetime.fromisoformat(begins).timestamp() * 1000
    assert day.to_ms - day.from_ms == hours * HOUR_MS
    assert day.has(day.from_ms)
    assert day.has(day.to_ms - 1)
    assert not day.has(day.to_ms)
    assert not day.has(day.from_ms - 1)
    assert Day.at(day.from_ms, timezone) == Day.at(day.to_ms - 1, timezone) == day


def test_moments_are_shown_as_clocks_there_do() -> None:
    assert in_zone(1_767_614_400_123, "Asia/Hong_Kong") == "2026-01-05T20:00:00.123+08:00"
