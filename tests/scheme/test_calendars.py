"""Local times to instants: clock changes on purpose, business days, cut-offs (ADR 0003)."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clearing.core.registry import BusinessDay
from clearing.scheme.calendars import business_days, cutoff_instants_ms, instant_ms
from clearing.scheme.model import Calendar, Schedule

EPOCH = date(1970, 1, 1)


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def calendar(*holidays: str, weekend: tuple[int, ...] = (5, 6), zone: str = "UTC") -> Calendar:
    return Calendar("c", zone, frozenset(weekend), tuple(map(date.fromisoformat, holidays)))


@pytest.mark.parametrize(
    ("zone", "day", "at", "expected"),
    [
        ("Asia/Hong_Kong", "2026-11-23", "17:00", "2026-11-23T09:00"),
        ("Asia/Kolkata", "2026-11-23", "12:00", "2026-11-23T06:30"),
        ("Europe/Zurich", "2026-07-01", "17:00", "2026-07-01T15:00"),
        # 02:30 is left out: the moment of the change, when clocks jump from 02:00 to 03:00.
        ("Europe/Zurich", "2026-03-29", "02:30", "2026-03-29T01:00"),
        ("Europe/Zurich", "2026-03-29", "02:00", "2026-03-29T01:00"),
        ("Europe/Zurich", "2026-03-29", "01:59:59", "2026-03-29T00:59:59"),
        ("Europe/Zurich", "2026-03-29", "03:00", "2026-03-29T01:00"),
        # 02:30 comes twice: the first time.
        ("Europe/Zurich", "2026-10-25", "02:30", "2026-10-25T00:30"),
        ("Europe/Zurich", "2026-10-25", "03:00", "2026-10-25T02:00"),
        # Midnight itself is left out, or comes twice.
        ("Africa/Cairo", "2026-04-24", "00:00", "2026-04-23T22:00"),
        ("America/Havana", "2026-11-01", "00:00", "2026-11-01T04:00"),
        # A change of half an hour; a whole day that was left out.
        ("Australia/Lord_Howe", "2026-10-04", "02:10", "2026-10-03T15:30"),
        ("Pacific/Apia", "2011-12-30", "12:00", "2011-12-30T10:00"),
    ],
)
def test_a_local_time_is_the_first_instant_at_which_clocks_show_it_or_later(
    zone: str, day: str, at: str, expected: str
) -> None:
    found = instant_ms(date.fromisoformat(day), time.fromisoformat(at), zone)
    assert datetime.fromtimestamp(found / 1000, UTC) == datetime.fromtimestamp(
        utc(expected) / 1000, UTC
    )


ZONES = [
    "Europe/Zurich",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Hong_Kong",
    "America/Havana",
]


@given(
    st.dates(date(2020, 1, 1), date(2035, 1, 1)),
    st.times().map(lambda at: at.replace(microsecond=0)),
    st.sampled_from(ZONES),
)
@example(date(2026, 3, 29), time(2, 30), "Europe/Zurich")
@example(date(2026, 10, 25), time(2, 59, 59), "Europe/Zurich")
def test_nothing_earlier_shows_it(day: date, at: time, zone: str) -> None:
    wanted, info = datetime.combine(day, at), ZoneInfo(zone)
    instant = datetime.fromtimestamp(instant_ms(day, at, zone) // 1000, UTC)
    assert instant.astimezone(info).replace(tzinfo=None) >= wanted
    # In the three hours before, across any change: not yet.
    for seconds in (1, 60, 1_800, 3_599, 3_600, 7_200, 10_800):
        earlier = (instant - timedelta(seconds=seconds)).astimezone(info).replace(tzinfo=None)
        assert earlier < wanted


def dates(days: list[BusinessDay]) -> list[str]:
    return [(EPOCH + timedelta(days=day.date)).isoformat() for day in days]


def test_business_days_open_at_local_midnight_after_the_one_before() -> None:
    """On the holiday and the weekend it is the next Monday already."""
    hong_kong = calendar("2026-12-25", zone="Asia/Hong_Kong")
    days = business_days(hong_kong, date(2026, 12, 26), 3)
    assert dates(days) == ["2026-12-24", "2026-12-28", "2026-12-29"]
    assert [day.opens_at_ms for day in days] == [
        utc("2026-12-23T16:00"),
        utc("2026-12-24T16:00"),
        utc("2026-12-28T16:00"),
    ]


def test_business_days_begin_with_the_last_one_before_today() -> None:
    """West of Greenwich it is yesterday still when the UTC day begins."""
    honolulu = calendar(zone="Pacific/Honolulu")
    days = business_days(honolulu, date(2026, 11, 24), 1)
    assert dates(days) == ["2026-11-23", "2026-11-24", "2026-11-25"]
    assert days[0].opens_at_ms < utc("2026-11-24T00:00") < days[1].opens_at_ms


@given(
    st.dates(date(2025, 1, 1), date(2030, 1, 1)),
    st.sets(st.dates(date(2025, 1, 1), date(2031, 6, 1)), max_size=60),
    st.sets(st.integers(0, 6), max_size=6),
    st.sampled_from(ZONES),
)
def test_business_days_ascend_and_today_is_decided(
    today: date, holidays: set[date], weekend: set[int], zone: str
) -> None:
    """What the engine asks of a calendar, and that one of its days has begun before today does."""
    days = business_days(
        Calendar("c", zone, frozenset(weekend), tuple(sorted(holidays))), today, 100
    )
    assert days[0].opens_at_ms < instant_ms(today, time(), "UTC")
    for before, after in pairwise(days):
        assert before.date < after.date
        assert before.opens_at_ms < after.opens_at_ms
    assert not {EPOCH + timedelta(days=day.date) for day in days} & holidays


def test_cutoffs_on_business_days_only() -> None:
    schedule = Schedule((time(12), time(17)), "Asia/Hong_Kong", calendar("2026-11-24"))
    assert cutoff_instants_ms(schedule, date(2026, 11, 21), 4) == [  # a Saturday; Tuesday is off
        utc("2026-11-23T04:00"),
        utc("2026-11-23T09:00"),
        utc("2026-11-25T04:00"),
        utc("2026-11-25T09:00"),
    ]


def test_cutoffs_without_a_calendar_on_every_day() -> None:
    schedule = Schedule((time(12),), "UTC", None)
    assert len(cutoff_instants_ms(schedule, date(2026, 11, 21), 6)) == 7


def test_two_cutoffs_that_a_clock_change_makes_one_are_one() -> None:
    schedule = Schedule((time(2, 15), time(2, 45)), "Europe/Zurich", None)
    assert cutoff_instants_ms(schedule, date(2026, 3, 29), 0) == [utc("2026-03-29T01:00")]
