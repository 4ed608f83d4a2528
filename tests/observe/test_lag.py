"""Lag is told as it is known: an unknown age is no zero, and the oldest record decides."""

from aiokafka import TopicPartition

from clearing.observe.lag import _lag, _worst
from clearing.observe.probe import NOTHING, Backlog

NOW_MS = 1_000_000.0


def test_no_records_are_no_lag() -> None:
    lag = _lag("engine", "hk", NOTHING, NOW_MS)
    assert (lag.lag_records, lag.lag_seconds) == (0, 0.0)


def test_the_age_is_that_of_the_oldest_record() -> None:
    lag = _lag("engine", "hk", Backlog(3, 990_500), NOW_MS)
    assert (lag.lag_records, lag.lag_seconds) == (3, 9.5)


def test_an_unknown_age_is_not_zero() -> None:
    """The broker gave no record in time, or a stamp nobody set (-1)."""
    assert _lag("engine", "hk", Backlog(3, None), NOW_MS).lag_seconds is None
    assert _lag("engine", "hk", Backlog(3, -1), NOW_MS).lag_seconds is None


def test_a_clock_ahead_of_ours_gives_no_negative_age() -> None:  # F12
    assert _lag("engine", "hk", Backlog(1, 2_000_000), NOW_MS).lag_seconds == 0.0


def test_all_sources_are_one_lag() -> None:
    """Records are summed, the oldest decides the age, the one furthest behind is named."""
    first, second, third = (TopicPartition(name, 0) for name in "abc")
    found = {first: Backlog(2, 900_000), second: Backlog(5, 999_000), third: NOTHING}
    lag = _worst("intake", found, NOW_MS)
    assert (lag.scope, lag.lag_records, lag.lag_seconds, lag.partitions) == ("b", 7, 100.0, 3)
    assert _worst("intake", {third: NOTHING}, NOW_MS).scope == "all sources"


def test_one_unknown_age_makes_the_age_of_all_unknown() -> None:
    found = {TopicPartition("a", 0): Backlog(2, 900_000), TopicPartition("b", 0): Backlog(1, None)}
    assert _worst("intake", found, NOW_MS).lag_seconds is None
