"""Dispatch against a real broker: everything committed is told, in order, and what was told is not told again."""

import asyncio
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from prometheus_client import REGISTRY

from clearing import halts
from clearing.config import Settings
from clearing.core.outputs import Outcomes
from clearing.dev.kafka import EmbeddedKafka
from clearing.dispatch import worker
from clearing.log import control, payments
from clearing.log.records import OUTCOMES_KEY, WINDOW_KEY, encode_outcomes
from clearing.names import Topics
from tests.dispatch.feed import (
    BANKS,
    Feed,
    as_read,
    commit,
    committed,
    create_all,
    create_topics,
    delete_records,
    delete_topic,
    feeding,
    read_told,
    until,
    until_committed,
)
from tests.dispatch.rows import LogPiece, Row

PROCESS = """
import asyncio, sys
from clearing import halts
from clearing.config import Settings
from clearing.dispatch.worker import run
asyncio.run(run(Settings(bootstrap=sys.argv[1], topic_prefix=sys.argv[2])))
"""


@pytest.fixture
def topics(topic_prefix: str) -> Topics:
    halts.halted.clear()  # what an earlier test has left there
    return Topics(topic_prefix)


@asynccontextmanager
async def dispatching(bootstrap: str, topics: Topics) -> AsyncIterator[asyncio.Task[None]]:
    """Dispatch as a task of this process, ready; handed over at the end."""
    ready = asyncio.Event()
    settings = Settings(bootstrap=bootstrap, topic_prefix=topics.prefix)
    task = asyncio.create_task(worker.run(settings, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def all_told(bootstrap: str, topics: Topics, *feeds: Feed) -> None:
    """Wait until readers have everything; then nothing must be there that should not."""

    async def check() -> bool:
        told = await read_told(bootstrap, topics)
        read = {bank: as_read(values) for bank, values in told.items()}
        return all(
            len(read[bank].get(feed.netting_set, [])) >= len(wanted)
            for feed in feeds
            for bank, wanted in feed.wanted.items()
        )

    await until(check)
    told = await read_told(bootstrap, topics)
    for feed in feeds:
        for bank in BANKS:
            read = as_read(told[bank]).get(feed.netting_set, [])
            assert read == feed.wanted.get(bank, []), f"{bank} in {feed.netting_set}"


async def told_once(bootstrap: str, topics: Topics, feed: Feed) -> None:
    """Not even a repeat stands in the topics."""
    await all_told(bootstrap, topics, feed)
    assert await read_told(bootstrap, topics) == {bank: feed.wanted.get(bank, []) for bank in BANKS}


async def halted() -> bool:
    """Whether something stands still, of whatever kind."""
    samples = [sample for metric in halts.halted.collect() for sample in metric.samples]
    return any(sample.value == 1.0 for sample in samples)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_everything_committed_is_told_in_order(bootstrap: str, topics: Topics) -> None:
    """Statuses, receipts and windows, byte for byte, in the order of the log (R23, R41)."""
    await create_all(bootstrap, topics)
    async with feeding(bootstrap, topics) as feed, dispatching(bootstrap, topics):
        for i in range(5):
            await feed.payments(20, of=i)
        await feed.windows(1, 2)
        await feed.payments(3)
        await feed.releases(3, window=3)
        await told_once(bootstrap, topics, feed)


async def test_aborted_outcomes_are_never_told(bootstrap: str, topics: Topics) -> None:
    """What a fenced engine had not committed does not exist for anybody (F3, F4)."""
    await create_all(bootstrap, topics)
    async with feeding(bootstrap, topics) as feed, dispatching(bootstrap, topics):
        await feed.payments(2)
        piece = LogPiece([Row(uuid.uuid4())])
        piece.log_offset = await feed.append(payments.KEY, piece.value())
        await feed.abort(piece.outcomes())
        await feed.payments(2)
        await told_once(bootstrap, topics, feed)


async def test_what_was_told_is_not_told_again(bootstrap: str, topics: Topics) -> None:
    """A lost group offset costs a look at the ends of the status topics, no repeats (F15)."""
    await create_all(bootstrap, topics)
    async with feeding(bootstrap, topics) as feed:
        async with dispatching(bootstrap, topics):
            for i in range(4):
                await feed.payments(10, of=i)
            await feed.windows(1, 2, 3)
            await told_once(bootstrap, topics, feed)
        assert await committed(bootstrap, topics)
        for offset in (0, 5):
            await commit(bootstrap, topics, offset)
            known = metric("clearing_dispatch_records_total", netting_set="hk", result="known")
            async with dispatching(bootstrap, topics):
                await feed.payments(1)
                await told_once(bootstrap, topics, feed)
            again = metric("clearing_dispatch_records_total", netting_set="hk", result="known")
            assert again > known


async def test_last_told_is_found_below_what_others_were_told(
    bootstrap: str, topics: Topics
) -> None:
    """A status topic is shared by netting sets: it looks back as far as it takes, and past what is foreign."""
    await create_all(bootstrap, topics)
    async with feeding(bootstrap, topics) as feed:
        async with dispatching(bootstrap, topics):
            await feed.payments(4)
            await feed.windows(1)
            await told_once(bootstrap, topics, feed)
        others = [b"{}"] + [feed.wanted["ALPHA"][0].replace(b'"hk"', b'"eu"')] * 150
        for number, value in enumerate(others):
            key = b"eu" if number else b"hk"
            await feed.log.send_and_wait(topics.status("ALPHA"), value, key, 0)
        await commit(bootstrap, topics, 0)
        async with dispatching(bootstrap, topics):
            await feed.payments(4)
            told = [*feed.wanted["ALPHA"][:-1], *others, feed.wanted["ALPHA"][-1]]

            async def all_there() -> bool:
                return len((await read_told(bootstrap, topics))["ALPHA"]) >= len(told)

            await until(all_there)
            assert (await read_told(bootstrap, topics))["ALPHA"] == told


@pytest.mark.parametrize("told_before", [0, 1, 2, 3, 4])
async def test_restart_between_the_outcomes_of_one_log_record(
    bootstrap: str, topics: Topics, told_before: int
) -> None:
    """Numbers within a log offset go on where they were, from whichever record it starts again (R23)."""
    await create_all(bootstrap, topics)
    async with feeding(bootstrap, topics) as feed:
        await feed.payments(4)
        await feed.windows(1, 2, 3)
        for bank, wanted in feed.wanted.items():
            for value in wanted[:told_before]:
                await feed.log.send_and_wait(topics.status(bank), value, b"hk", 0)
        # In outcomes: the statuses at 0, a commit marker at 1, the windows from 2 on.
        await commit(bootstrap, topics, [0, 1, 3, 4, 5][told_before])
        async with dispatching(bootstrap, topics):
            await feed.windows(4, banks=("ALPHA",))
            await told_once(bootstrap, topics, feed)


@pytest.mark.parametrize("start", range(4))
async def test_restart_between_resolutions(bootstrap: str, topics: Topics, start: int) -> None:
    """Rows, resolutions in several records, then the window: numbered alike from wherever it starts (R28)."""
    await create_all(bootstrap, topics)
    async with feeding(bootstrap, topics) as feed:
        await feed.releases(2, window=1)
        for value in feed.wanted["ALPHA"][:start]:
            await feed.log.send_and_wait(topics.status("ALPHA"), value, b"hk", 0)
        await commit(bootstrap, topics, start)
        async with dispatching(bootstrap, topics):
            await feed.windows(4, banks=("ALPHA",))
            await told_once(bootstrap, topics, feed)


async def test_killed_and_started_again_loses_nothing(bootstrap: str, topics: Topics) -> None:
    """kill -9 at any moment: at least once, in order, and readers that drop repeats see it once (F1)."""
    await create_all(bootstrap, topics)
    async with feeding(bootstrap, topics) as feed:

        async def feed_on() -> None:
            for i in range(60):
                await feed.payments(40, of=i)
                if i % 10 == 9:
                    await feed.windows(i, i + 1)

        feeding_on = asyncio.create_task(feed_on())
        for kills in range(3):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", PROCESS, bootstrap, topics.prefix
            )
            goal = 5 * (kills + 1)

            async def some_told(goal: int = goal) -> bool:
                told = await read_told(bootstrap, topics, BANKS[:1])
                return len(as_read(told["ALPHA"]).get("hk", [])) >= goal

            await until(some_told)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        await feeding_on
        async with dispatching(bootstrap, topics):
            await all_told(bootstrap, topics, feed)


async def test_broker_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    """Stall, then go on by itself (F5): nothing lost, nothing out of order."""
    topics = Topics("t.")
    async with EmbeddedKafka(tmp_path) as server:
        await create_all(server.bootstrap, topics)
        async with dispatching(server.bootstrap, topics) as task:
            async with feeding(server.bootstrap, topics) as feed:
                for i in range(30):
                    await feed.payments(20, of=i)
            await server.kill()
            await server.restart()
            async with feeding(server.bootstrap, topics) as again:
                again.wanted = feed.wanted
                for i in range(5):
                    await again.payments(20, of=i)
                await all_told(server.bootstrap, topics, again)
            assert not task.done()
            await server.kill()
            task.cancel()  # no broker to say good-bye to: it must end all the same
            done, _ = await asyncio.wait([task], timeout=30)
            assert done


async def test_netting_sets_move_between_workers(bootstrap: str, topics: Topics) -> None:
    """A worker joins, one leaves: what is told stays complete and in order per netting set (F3)."""
    await create_all(bootstrap, topics, partitions=2)
    async with (
        feeding(bootstrap, topics, "hk", 0) as hk,
        feeding(bootstrap, topics, "eu", 1) as eu,
    ):

        async def both(n: int) -> None:
            for i in range(n):
                await asyncio.gather(hk.payments(10, of=i), eu.payments(10, of=i))

        async with dispatching(bootstrap, topics) as first:
            await both(5)
            async with dispatching(bootstrap, topics):
                await both(10)
                first.cancel()
                await both(10)
                await all_told(bootstrap, topics, hk, eu)


async def test_bank_without_a_topic_stalls_nobody(bootstrap: str, topics: Topics) -> None:
    """It is left out, counted, and told from when its topic is there; the others wait for nothing."""
    await create_all(bootstrap, topics, banks=("ALPHA", "BRAVO"))

    def left_out() -> float:
        return metric("clearing_dispatch_records_total", netting_set="hk", result="no_topic")

    async with feeding(bootstrap, topics) as feed, dispatching(bootstrap, topics):
        before = left_out()
        for i in range(3):
            await feed.payments(6, of=i)

        async def others_told() -> bool:
            told = await read_told(bootstrap, topics, ("ALPHA", "BRAVO"))
            return all(told[bank] == feed.wanted[bank] for bank in told)

        await until(others_told)
        assert left_out() == before + len(feed.wanted["CHARLIE"])
        await create_topics(bootstrap, NewTopic(topics.status("CHARLIE"), 1, 1))

        async def told_too() -> bool:
            await feed.payments(2, of=1)
            return bool((await read_told(bootstrap, topics, ("CHARLIE",)))["CHARLIE"])

        await until(told_too)
        await until(others_told)
        (told,) = (await read_told(bootstrap, topics, ("CHARLIE",))).values()
        assert told == feed.wanted["CHARLIE"][-len(told) :]


async def test_nothing_is_committed_before_it_is_acknowledged(
    bootstrap: str, topics: Topics
) -> None:
    """A status topic that takes nothing (F6): the others are told, the group's offset waits for it."""
    await create_all(bootstrap, topics)
    async with feeding(bootstrap, topics) as feed:
        async with dispatching(bootstrap, topics):
            await feed.windows(1)
            await told_once(bootstrap, topics, feed)
            await until_committed(bootstrap, topics, 1)
            await delete_topic(bootstrap, topics.status("CHARLIE"))
            for i in range(3):
                await feed.payments(6, of=1 + i)

            async def others_told() -> bool:
                told = await read_told(bootstrap, topics, ("ALPHA", "BRAVO"))
                return all(told[bank] == feed.wanted[bank] for bank in told)

            await until(others_told)
            assert await committed(bootstrap, topics) == 1
        assert await committed(bootstrap, topics) == 1  # nor when it was handed over
        await create_topics(bootstrap, NewTopic(topics.status("CHARLIE"), 1, 1))
        async with dispatching(bootstrap, topics):
            await all_told(bootstrap, topics, feed)


POISON = {
    "foreign": "unreadable",
    "not_payments": "unreadable",
    "goes_back": "foreign_writer",
    "twice": "foreign_writer",
}


@pytest.mark.parametrize("poison", POISON)
async def test_netting_set_that_halts_leaves_the_others_alone(
    bootstrap: str, topics: Topics, poison: str
) -> None:
    """What cannot be told stops its netting set, is never skipped, and is nobody else's trouble (F14, F17)."""
    await create_all(bootstrap, topics, partitions=2)
    async with (
        feeding(bootstrap, topics, "hk", 0) as hk,
        feeding(bootstrap, topics, "eu", 1) as eu,
        dispatching(bootstrap, topics) as task,
    ):
        offset = await hk.payments(2)
        if poison == "foreign":
            bad = (b"who/1", b"knows")
        elif poison == "not_payments":
            tick = await hk.append(control.KEY, control.TICK)
            one = Outcomes(tick, 0, np.zeros(1, np.uint8), np.zeros(1, np.bool_), {})
            bad = (OUTCOMES_KEY, encode_outcomes("hk", one))
        elif poison == "twice":
            one = Outcomes(offset, 0, np.zeros(2, np.uint8), np.zeros(2, np.bool_), {})
            bad = (OUTCOMES_KEY, encode_outcomes("hk", one))
        else:
            (event,) = await hk.windows(1)
            earlier = msgspec.structs.replace(event, log_offset=offset)
            bad = (WINDOW_KEY, msgspec.json.encode(earlier))
        await hk.commit(bad)
        before = {bank: list(told) for bank, told in hk.wanted.items()}

        await until(halted)
        assert list(halts.halted._metrics) == [("dispatch", "hk", POISON[poison])]
        await hk.payments(2)
        await eu.payments(2)
        hk.wanted = before
        await all_told(bootstrap, topics, hk, eu)
        assert not task.done()


async def test_log_that_is_gone_halts(bootstrap: str, topics: Topics) -> None:
    """Retention past the resume offset: halt, never skip (F14)."""
    await create_all(bootstrap, topics)
    async with feeding(bootstrap, topics) as feed:
        await feed.payments(2)
        last = await feed.payments(2)
        await delete_records(bootstrap, TopicPartition(topics.log, 0), last)
        async with dispatching(bootstrap, topics):
            await until(halted)
            assert not any((await read_told(bootstrap, topics)).values())


@pytest.mark.parametrize("offset", [0, 99])
async def test_outcomes_that_are_lost_halt(bootstrap: str, topics: Topics, offset: int) -> None:
    """The group's offset lies outside of what the topic holds: halt, never skip (F14)."""
    await create_all(bootstrap, topics)
    async with feeding(bootstrap, topics) as feed:
        for _ in range(2):
            await feed.payments(2)
        await delete_records(bootstrap, TopicPartition(topics.outcomes, 0), 2)
        await commit(bootstrap, topics, offset)
        async with dispatching(bootstrap, topics):
            await until(halted)
            assert not any((await read_told(bootstrap, topics)).values())
