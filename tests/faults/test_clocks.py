"""Clocks that are a day off or go back: time is what the log's stamps say, and it never goes back (F12, R4)."""

import time
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic

from clearing import kafka
from clearing.core.outputs import WindowEvent
from clearing.core.state import DAY_MS
from clearing.log import control
from clearing.log.records import EVENT_KEY, decode_event
from clearing.names import Topics
from tests.faults.conftest import Observe
from tests.faults.harness import soon
from tests.faults.test_versions import ROWS, engine, journal, paid, until_applied
from tests.integration.engine_log import (
    OUTPUTS,
    control_value,
    create_topics,
    opening,
    read_topic,
    write_log,
)

EVERY_S = 1


async def windows(bootstrap: str, topics: Topics) -> list[WindowEvent]:
    """What the journal says of windows, in order."""
    found = await read_topic(bootstrap, topics.journal)
    events = [decode_event(value or b"") for _, key, value, _ in found if key == EVENT_KEY]
    return [event for event in events if isinstance(event, WindowEvent)]


def assert_none_early(events: list[WindowEvent]) -> None:
    """No window ended before its cut-off, by engine time."""
    due = {event.window: event.cutoff_ms for event in events if event.state == "OPEN"}
    ended = [event for event in events if event.state != "OPEN"]
    assert ended
    for event in ended:
        assert event.time_ms >= due[event.window] > 0


@pytest.mark.parametrize("shift_s", [-86_400, 86_400], ids=["yesterday", "tomorrow"])
async def test_an_engine_whose_clock_is_a_day_off_closes_windows_when_they_are_due(
    bootstrap: str,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    observed: Observe,
    shift_s: int,
) -> None:  # F12 R4
    topics = Topics(topic_prefix)
    await create_topics(bootstrap, topics)
    commands = control.KEY, control_value(opening(every_s=EVERY_S))
    await write_log(bootstrap, topics, [commands, paid(0)])
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift_s)

    async def closed() -> bool:
        return any(w.state == "PENDING_SETTLEMENT" for w in await windows(bootstrap, topics))

    async with engine(bootstrap, topics, tmp_path):
        await soon(closed, "the idle log's window to close")
    log = await read_topic(bootstrap, topics.log)
    ticks = [stamp for _, _, value, stamp in log if value == control.TICK]
    spent_s = (log[-1][3] - log[0][3]) / 1000
    assert 1 <= len(ticks) <= 3 + 2 * spent_s / EVERY_S  # not one every poll
    assert_none_early(await windows(bootstrap, topics))
    observed(
        "F12", f"the engine's clock is off by {shift_s} s", 1, "idle log ticked when due, not more"
    )


async def test_stamps_that_jump_close_each_window_once_and_time_never_goes_back(
    bootstrap: str, topic_prefix: str, tmp_path: Path, observed: Observe
) -> None:  # F12 R4 R29
    topics = Topics(topic_prefix)
    async with kafka.administration(bootstrap) as admin:
        # Stamps that the test gives: a broker's clock that jumps would give the same.
        far = {"message.timestamp.after.max.ms": str((1 << 63) - 1)}
        names = (topics.log, *(getattr(topics, name) for name in OUTPUTS))
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=far) for name in names])
    now_ms = int(time.time() * 1000)
    jumps_ms = [0, 5_000, -DAY_MS, 7_000, DAY_MS // 2, -DAY_MS, 0, DAY_MS // 2 + 1_500, -9_000]
    async with kafka.started(kafka.producer(bootstrap)) as producer:
        records = [(control.KEY, control_value(opening(every_s=EVERY_S)))]
        records += [paid(number * ROWS) for number in range(len(jumps_ms) - 1)]
        for (key, value), jump_ms in zip(records, jumps_ms, strict=True):
            await producer.send_and_wait(topics.log, value, key, 0, timestamp_ms=now_ms + jump_ms)
    async with engine(bootstrap, topics, tmp_path):
        await until_applied(bootstrap, topics)
    times = [each.time_ms for each in await journal(bootstrap, topics)]
    assert times == sorted(times)
    assert times[-1] >= now_ms + max(jumps_ms)
    ended = [
        w for w in await windows(bootstrap, topics) if w.state in ("PENDING_SETTLEMENT", "SETTLED")
    ]
    assert len({w.window for w in ended}) == len(ended) >= 4
    assert_none_early(await windows(bootstrap, topics))
    stamps = [stamp for *_, stamp in await read_topic(bootstrap, topics.log)]
    assert stamps != sorted(stamps)
    observed(
        "F12",
        "the log's stamps jump by days, forth and back",
        len(jumps_ms),
        "engine time rose; each window closed once, none early",
    )
