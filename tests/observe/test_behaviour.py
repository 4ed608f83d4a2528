"""A reader is judged by what it did lately: a table of windows, and what each of them is (Burrow's rules)."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.observe.behaviour import (
    JUDGED_FROM_S,
    WINDOW_S,
    Look,
    Window,
    classify,
    drain_s,
    velocity_per_s,
)

_SECONDS = 15


def looks(
    positions: list[int], ends: list[int], *, members: int | None = 1, unstable: int = 0
) -> list[Look]:
    """A look a second. unstable: offsets above the last stable one."""
    return [
        Look(1_000 * at, position, max(0, end - position), end, end + unstable, members)
        for at, (position, end) in enumerate(zip(positions, ends, strict=True))
    ]


def rising(start: int, step: int, count: int = _SECONDS) -> list[int]:
    return [start + step * at for at in range(count)]


_SAME = rising(50, 0)
_SAWTOOTH = [400 + 100 * at - (150 if at % 2 else 0) for at in range(_SECONDS)]

_TABLE = [
    ("nothing ever comes", looks(_SAME, _SAME), "OK"),
    ("it keeps pace", looks(rising(0, 100), rising(40, 100)), "OK"),
    ("it catches up from far behind", looks(rising(0, 300), rising(9_000, 100)), "OK"),
    ("it moves, and ever more is left", looks(rising(0, 50), rising(100, 100)), "SLOW"),
    ("more is left, by fits and starts", looks(rising(0, 20), _SAWTOOTH), "SLOW"),
    ("as much is left as before", looks(rising(0, 50), rising(700, 50)), "OK"),
    ("it does not move, more comes", looks(_SAME, rising(60, 10)), "STALLED"),
    ("it does not move, nothing comes", looks(_SAME, rising(60, 0)), "STALLED"),
    ("nobody says who is there", looks(_SAME, rising(60, 10), members=None), "STALLED"),
    ("nobody is at work", looks(_SAME, rising(60, 10), members=0), "STOPPED"),
    ("nobody is needed", looks(_SAME, _SAME, members=0), "OK"),
    (
        "it had read all: what is there is new",
        looks(_SAME, [50] * 5 + [60] * 10),
        "OK",
    ),
    ("offsets were reset", looks([*rising(100, 5, 14), 20], rising(300, 5)), "REWOUND"),
    ("reset, and nothing is left", looks([90, 50, 50], [90, 50, 50]), "REWOUND"),
    ("a transaction hangs, all before it is read", looks(_SAME, _SAME, unstable=7), "HUNG_TXN"),
    (
        "one hangs, and what is before it is being read",
        looks(rising(0, 1), _SAME, unstable=7),
        "HUNG_TXN",
    ),
    (
        "one after the other, each ends",
        looks(rising(50, 3), rising(50, 3), unstable=7),
        "OK",
    ),
    ("too short to be judged", looks(_SAME[:8], rising(60, 10, 8), members=0), "OK"),
]


@pytest.mark.parametrize(
    ("window", "status"), [row[1:] for row in _TABLE], ids=[r[0] for r in _TABLE]
)
def test_behaviour(window: list[Look], status: str) -> None:
    assert classify(window) == status


def test_no_looks_say_nothing() -> None:
    assert classify([]) == "OK"
    assert velocity_per_s([]) is None


def test_a_rebalance_is_no_stop() -> None:
    """Without members for a moment, and then somebody is there again."""
    window = looks(_SAME, rising(60, 10), members=0)
    window[-1] = window[-1]._replace(members=1)
    assert classify(window) == "STALLED"


def test_the_window_slides() -> None:
    window = Window()
    for second in range(100):
        window.add(Look(1_000 * second, second, 5, second + 5, second + 5, 1))
    assert window.looks[-1].at_ms == 99_000
    assert window.looks[-1].at_ms - window.looks[0].at_ms == WINDOW_S * 1000
    assert WINDOW_S > JUDGED_FROM_S


def test_a_clock_set_back_begins_anew() -> None:  # F12
    window = Window()
    for at_ms in (5_000, 6_000, 3_000):
        window.add(Look(at_ms, 1, 1, 2, 2, 1))
    assert [look.at_ms for look in window.looks] == [3_000]


def test_velocity_is_of_the_times_at_work() -> None:
    """Idle seconds are left out, as is an interval in which it went back."""
    window = [
        Look(0, 0, 0, 0, 0, 1),
        Look(1_000, 0, 100, 100, 100, 1),  # it came just now
        Look(2_000, 60, 40, 100, 100, 1),  # 60 a second
        Look(4_000, 100, 0, 100, 100, 1),  # 20 a second
        Look(9_000, 100, 0, 100, 100, 1),  # idle
    ]
    assert velocity_per_s(window) == 40
    assert velocity_per_s([Look(0, 9, 3, 12, 12, 1), Look(1_000, 5, 7, 12, 12, 1)]) is None


def test_drain() -> None:
    assert drain_s(0, None) == 0
    assert drain_s(100, 50.0) == 2
    assert drain_s(100, None) is None
    assert drain_s(100, 0.0) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=40
    )
)
def test_every_window_has_one_answer(steps: list[tuple[int, int, int]]) -> None:
    """Whatever is seen: only what went back is REWOUND, and whoever had nothing left was not stopped by that."""
    position = end = 0
    window: list[Look] = []
    for at, (arrived, read, members) in enumerate(steps):
        end += arrived
        position = min(end, position + read)
        window.append(Look(at * 1_000, position, end - position, end, end, members))
    status = classify(window)
    assert status != "REWOUND"
    assert status != "HUNG_TXN"
    if any(look.lag_records == 0 for look in window):
        assert status == "OK"
    rate = velocity_per_s(window)
    assert rate is None or 0 <= rate <= 5
    back = [look._replace(position=look.position - 1) for look in window[-1:]]
    moved = [*window, *(look._replace(at_ms=look.at_ms + 1_000) for look in back)]
    assert any(b.position < a.position for a, b in pairwise(moved))
    assert classify(moved) == "REWOUND"
