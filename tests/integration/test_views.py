"""The Faust app against a real broker, fed by hand: shows what is committed, goes on after an end, is rebuilt."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from faust.transport.consumer import Consumer

from clearing import kafka
from clearing.config import Settings
from clearing.core.outputs import Event, Outcomes, Position, Rejected, SettlementBatch
from clearing.core.reasons import Code
from clearing.dev.services import supervised
from clearing.failures import Failure
from clearing.messages_views import (
    LAG_KEY,
    ActivityView,
    AuditView,
    BatchView,
    LagSample,
    RejectView,
    WindowView,
    decode_lag,
    encode,
)
from clearing.names import VIEW_NAMES, ViewName
from clearing.reading import partitions
from clearing.topics.cluster import apply_plan
from clearing.topics.contract import read_contract
from clearing.views.fold_audit import broken_link
from clearing.views.projection import Projection, Record
from clearing.views.rebuild import FOLDED, forget_views
from tests.integration.viewing import BOUND_S, shown, until_shown, views_at_work
from tests.views import said
from tests.views.said import LEDGER, batch, confirmation, identity, outcomes, rejected, window

SLOW_SEEK_S = 0.5
PARTITION = 1  # of two: no record may end in the wrong one

Said = Event | SettlementBatch | Outcomes | Rejected


class NoLag:
    """Samples nothing: how lag is measured is tests/observe's."""

    def __init__(self) -> None:
        self.positions: list[Position] = []

    async def sample(self) -> LagSample:
        return LagSample(at_ms=time.time_ns() // 1_000_000, clock_skew_ms=None)


@asynccontextmanager
async def no_lag(_: Settings) -> AsyncIterator[NoLag]:
    yield NoLag()


class Here:
    """An installation of topics alone, an engine's voice and a reader's eyes."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self.settings = settings
        self.topics = settings.topics
        self._producer = producer

    async def say(self, *messages: Said, commit: bool = True) -> None:
        """One transaction of an engine."""
        made = [said.record(message) for message in messages]
        await self._producer.begin_transaction()
        for one in made:
            topic = getattr(self.topics, one.topic)
            await self._producer.send_and_wait(topic, one.value, key=one.key, partition=PARTITION)
        if commit:
            await self._producer.commit_transaction()
        else:
            await self._producer.abort_transaction()

    def views(self, instance: str = "") -> AbstractAsyncContextManager[None]:
        return views_at_work(self.settings, instance, no_lag)

    async def all_shown(self) -> dict[ViewName, list[Any]]:
        """Of both partitions; nothing is ever in the other one."""
        for view in FOLDED:
            assert await shown(self.settings, view, 1 - PARTITION) == []
        return {view: await shown(self.settings, view, PARTITION) for view in FOLDED}

    async def until(self, view: ViewName, holds: Callable[[list[Any]], bool]) -> list[Any]:
        return await until_shown(self.settings, view, PARTITION, holds)


@pytest.fixture
async def here(bootstrap: str, topic_prefix: str) -> AsyncIterator[Here]:
    contract = msgspec.structs.replace(read_contract(), netting_set_partitions=2)
    settings = Settings(bootstrap=bootstrap, topic_prefix=topic_prefix)
    await apply_plan(bootstrap, settings.topics, {}, contract=contract)
    producer = kafka.producer(bootstrap, transactional_id=f"{topic_prefix}engine")
    async with kafka.started(producer):
        yield Here(settings, producer)


def cleared(number: int) -> Iterator[Said]:
    """A window's whole life, a command, ten payments, an input that cannot be read."""
    yield window(number, "OPEN")
    yield said.command(number)
    yield outcomes(number, [Code.ACCEPTED] * 9 + [Code.LIQUIDITY])
    yield batch(number, number)
    yield window(number, "PENDING_SETTLEMENT")
    yield window(number, "SETTLED")
    yield confirmation(identity(number))
    yield rejected(number)


async def test_a_view_shows_what_is_committed_and_nothing_that_was_aborted(here: Here) -> None:
    """DESIGN.md §2: Faust's own consumer would show it."""
    await here.say(*cleared(1))
    await here.say(*cleared(2), commit=False)
    async with here.views():
        await here.say(window(3, "OPEN"), commit=False)
        await here.say(window(4, "OPEN"), batch(2, 5), outcomes(9, [Code.ACCEPTED]))
        windows: list[WindowView] = await here.until("windows", lambda found: len(found) == 2)
        batches: list[BatchView] = await here.until("batches", lambda found: len(found) == 2)
        activity: list[ActivityView] = await here.until(
            "activity", lambda found: [one.accepted for one in found] == [10]
        )
        rejects: list[RejectView] = await here.until("rejects", lambda found: len(found) == 1)
        audit: list[AuditView] = await here.until("audit", lambda found: len(found) == 1)
    assert [(one.window, one.state) for one in windows] == [(1, "SETTLED"), (4, "OPEN")]
    assert (windows[0].finality[LEDGER].state, windows[0].sequence) == ("FINAL", 1)
    assert {one.id: one.state for one in batches} == {identity(1): "FINAL", identity(5): "PENDING"}
    assert activity[0].by_reason == {"AM04": 1}
    assert rejects[0].rejected == rejected(1)
    assert (audit[0].number, audit[0].id) == (1, "c-1")
    assert len((await here.all_shown())["windows"]) == 2


async def test_views_go_on_after_an_end_and_come_out_the_same_when_rebuilt(here: Here) -> None:
    async with here.views():
        await here.say(*cleared(1))
        await here.until("audit", lambda found: len(found) == 1)
        with pytest.raises(Failure, match="the views are running"):
            await forget_views(here.settings, patience_s=0)
    await here.say(*cleared(2))
    async with here.views():  # from their tables, which begin with what was folded before
        await here.say(*cleared(3))
        audit: list[AuditView] = await here.until("audit", lambda found: len(found) == 3)
        assert broken_link(audit) == ""
        await here.until("activity", lambda found: [one.accepted for one in found] == [27])
        await here.until("rejects", lambda found: len(found) == 3)
        await here.until("batches", lambda found: [one.state for one in found] == ["FINAL"] * 3)
        await here.until("windows", lambda found: [one.state for one in found] == ["SETTLED"] * 3)
    before = await here.all_shown()

    forgotten = await forget_views(here.settings)
    assert forgotten == {"windows": 3, "batches": 3, "activity": 1, "rejects": 3, "audit": 3}
    assert await here.all_shown() == {view: [] for view in FOLDED}
    async with here.views():
        for view in FOLDED:
            await here.until(view, lambda found, view=view: found == before[view])


async def test_nothing_is_lost_when_the_views_go_back_to_what_was_committed(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust does so when tables are recovered: it throws away what it has fetched, and empties its queues."""
    go_back = Consumer.perform_seek
    seen: set[Consumer] = set()
    handing_on: list[bool] = []

    async def watched(consumer: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        by_recovery = (
            getattr(task.get_coro(), "__name__", "") == "perform_seek"
        )  # in a task of its own
        if (
            consumer in seen or not by_recovery
        ):  # the fetcher does so too, which must not be held up:
            await go_back(consumer)  # it would stop a flow that was resumed meanwhile
            return
        seen.add(consumer)
        handing_on.append(consumer.flow_active)
        thread, fetched = consumer._thread, {}
        while not fetched:
            reading = thread._ensure_consumer().getmany
            fetched = await thread.call_thread(reading, timeout_ms=500)  # by nobody
        await go_back(consumer)
        await asyncio.sleep(SLOW_SEEK_S)  # in which the fetcher would hand on all there is
        handing_on.append(consumer.flow_active)

    monkeypatch.setattr(Consumer, "perform_seek", watched)
    for number in (1, 2, 3):
        await here.say(*cleared(number))
    wanted = await folded_in_one_go(here)
    for attempt in ("nothing is committed", "0 is committed"):
        async with asyncio.timeout(2 * BOUND_S), here.views():
            for view, values in wanted.items():
                await here.until(
                    view, lambda found, values=values: sorted(map(encode, found)) == values
                )
        if attempt == "nothing is committed":
            await forget_views(here.settings)
    assert len(seen) == 2
    assert not any(handing_on)


class _Nothing:
    """A table of views that begins with nothing."""

    def known(self, netting_set: str) -> Iterable[msgspec.Struct]:
        return ()


async def folded_in_one_go(here: Here) -> dict[ViewName, list[bytes]]:
    """What the topics come to when nobody is killed: by the folds alone, from the first record."""
    projection = Projection(dict.fromkeys(VIEW_NAMES, _Nothing()))
    topics = here.topics
    values: dict[ViewName, dict[bytes, bytes]] = {view: {} for view in FOLDED}
    async with partitions(here.settings.bootstrap, "test") as reader:
        for topic, fold in (
            (topics.journal, projection.journal),
            (topics.settlements, projection.settlements),
            (topics.rejected, projection.rejected),
            (topics.outcomes, projection.outcomes),
        ):
            async for records in reader.chunks(TopicPartition(topic, PARTITION)):
                for one in records:
                    record = Record(topic, PARTITION, one.offset, one.key, one.value)
                    for change in fold([record]):
                        assert change.value is not None
                        values[change.view][change.key] = encode(change.value)
    return {view: sorted(found.values()) for view, found in values.items()}


async def test_killed_while_they_fold_the_views_come_out_the_same(
    here: Here, tmp_path: Path
) -> None:
    """kill -9 of the real process, a burst half folded: nothing is lost, nothing counted twice."""
    settings = msgspec.structs.replace(here.settings, probe_every_s=0)
    kills, burst = 2, 10
    async with supervised(settings, tmp_path / "services", {"views": 1}) as services:
        await services.ready()
        for round_ in range(kills):
            for number in range(round_ * burst + 1, (round_ + 1) * burst + 1):
                await here.say(*cleared(number))
            await here.until("audit", lambda found, before=round_ * burst: len(found) > before)
            assert services.kill("views-1")
            await services.ready()
        await here.say(*cleared(kills * burst + 1))
        wanted = await folded_in_one_go(here)
        assert len(wanted["audit"]) == kills * burst + 1
        for view, values in wanted.items():
            await here.until(
                view, lambda found, values=values: sorted(map(encode, found)) == values
            )
        assert services["views-1"].restarts == kills


async def test_lag_is_sampled_every_second_while_the_views_work(here: Here) -> None:
    partition = TopicPartition(here.topics.view("lag"), 0)
    async with (
        here.views("views-1"),
        kafka.started(kafka.consumer(here.settings.bootstrap)) as reader,
    ):
        reader.assign([partition])
        reader.seek(partition, 0)
        samples: list[LagSample] = []
        async with asyncio.timeout(BOUND_S):
            while len(samples) < 3:
                for record in (await reader.getmany(partition, timeout_ms=500)).get(partition, []):
                    assert record.key == LAG_KEY
                    samples.append(decode_lag(record.value or b""))
        assert samples[0].at_ms < samples[1].at_ms < samples[2].at_ms
