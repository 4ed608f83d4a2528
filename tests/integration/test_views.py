"""The Faust app against a real broker, fed by hand: shows what is committed, goes on after an end, is rebuilt."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from clearing import kafka
from clearing.config import Settings
from clearing.core.outputs import Event, Outcomes, Position, Rejected, SettlementBatch
from clearing.core.reasons import Code
from clearing.failures import Failure
from clearing.messages_views import (
    LAG_KEY,
    ActivityView,
    AuditView,
    BatchView,
    LagSample,
    RejectView,
    WindowView,
    decode_activity,
    decode_audit,
    decode_batch,
    decode_lag,
    decode_reject,
    decode_window,
)
from clearing.names import Topics, ViewName
from clearing.observe.views import Latest
from clearing.reading import partitions
from clearing.topics.cluster import apply_plan
from clearing.topics.contract import read_contract
from clearing.views.fold_audit import broken_link
from clearing.views.rebuild import forget_views
from clearing.views.worker import run
from tests.views import said
from tests.views.said import LEDGER, batch, confirmation, identity, outcomes, rejected, window

BOUND_S = 90.0
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
        self.topics: Topics = settings.topics
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

    @asynccontextmanager
    async def views(self, instance: str = "") -> AsyncIterator[None]:
        """The views at work, from ready on."""
        ready = asyncio.Event()
        settings = msgspec.structs.replace(self.settings, instance=instance)
        working = asyncio.create_task(run(settings, ready.set, sampler=no_lag))
        waiting = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait(
                [working, waiting], timeout=BOUND_S, return_when=asyncio.FIRST_COMPLETED
            )
            assert ready.is_set(), working
            yield
            assert not working.done(), working
        finally:
            waiting.cancel()
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

    async def shown(self, view: ViewName) -> list[msgspec.Struct]:
        decode: Callable[[bytes], msgspec.Struct] = {
            "windows": decode_window, "batches": decode_batch, "activity": decode_activity,
            "rejects": decode_reject, "audit": decode_audit, "lag": decode_lag,
        }[view]  # fmt: skip
        async with partitions(self.settings.bootstrap, "test") as reader:
            latest = Latest(self.topics.view(view), decode)
            found = await latest.refresh(reader, [PARTITION])
            assert not latest.unreadable
            other = Latest(self.topics.view(view), decode)
            assert await other.refresh(reader, [0]) == [] or view == "lag"
            return found

    async def all_shown(self) -> dict[str, list[msgspec.Struct]]:
        views: Sequence[ViewName] = ("windows", "batches", "activity", "rejects", "audit")
        return {view: await self.shown(view) for view in views}

    async def until(self, view: ViewName, holds: Callable[[list], bool]) -> list:
        """What is shown once it is as expected."""
        shown: list[msgspec.Struct] = []
        deadline = time.monotonic() + BOUND_S
        while time.monotonic() < deadline:
            shown = await self.shown(view)
            if holds(shown):
                return shown
            await asyncio.sleep(0.1)
        raise AssertionError(f"{view}: {shown}")


@pytest.fixture
async def here(bootstrap: str, topic_prefix: str) -> AsyncIterator[Here]:
    contract = msgspec.structs.replace(read_contract(), netting_set_partitions=2)
    settings = Settings(bootstrap=bootstrap, topic_prefix=topic_prefix)
    await apply_plan(bootstrap, settings.topics, {}, contract=contract)
    producer = kafka.producer(bootstrap, transactional_id=f"{topic_prefix}engine")
    async with kafka.started(producer):
        yield Here(settings, producer)


def cleared(number: int) -> Iterator[Said]:
    """A window's whole life, a command and a payment or two."""
    yield window(number, "OPEN")
    yield said.command(number)
    yield outcomes(number, [Code.ACCEPTED] * 9 + [Code.LIQUIDITY], time_ms=said.START_MS)
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
        activity: list[ActivityView] = await here.until("activity", lambda f: f[0].accepted == 10)
        assert [one.window for one in windows] == [1, 4]
        assert {one.id: one.state for one in batches} == {
            identity(1): "FINAL",
            identity(5): "PENDING",
        }
        assert windows[0].finality[LEDGER].state == "FINAL"
        assert windows[0].sequence == 1
        assert [one.by_reason for one in activity] == [{"AM04": 1}]
        rejects: list[RejectView] = await here.until("rejects", lambda found: len(found) == 1)
        assert rejects[0].rejected == rejected(1)
        audit: list[AuditView] = await here.until("audit", lambda found: len(found) == 1)
        assert (audit[0].number, audit[0].id) == (1, "c-1")


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
        assert broken_link(sorted(audit, key=lambda entry: entry.number)) == ""
        await here.until("activity", lambda found: found[0].accepted == 27)
        await here.until("rejects", lambda found: len(found) == 3)
        await here.until("batches", lambda found: [one.state for one in found] == ["FINAL"] * 3)
        await here.until("windows", lambda found: [one.state for one in found] == ["SETTLED"] * 3)
    before = await here.all_shown()

    forgotten = await forget_views(here.settings)
    assert forgotten == {"windows": 3, "batches": 3, "activity": 1, "rejects": 3, "audit": 3}
    assert await here.all_shown() == {view: [] for view in before}
    async with here.views():
        await here.until("rejects", lambda found: found == before["rejects"])
        await here.until("audit", lambda found: found == before["audit"])
        await here.until("windows", lambda found: found == before["windows"])
        await here.until("batches", lambda found: found == before["batches"])
        await here.until("activity", lambda found: found == before["activity"])


async def test_lag_is_sampled_every_second_while_the_views_work(here: Here) -> None:
    topic = here.topics.view("lag")
    async with (
        here.views("views-1"),
        kafka.started(kafka.consumer(here.settings.bootstrap)) as reader,
    ):
        reader.assign([partition := TopicPartition(topic, 0)])
        reader.seek(partition, 0)
        samples: list[LagSample] = []
        async with asyncio.timeout(BOUND_S):
            while len(samples) < 3:
                for record in (await reader.getmany(partition, timeout_ms=500)).get(partition, []):
                    assert record.key == LAG_KEY
                    samples.append(decode_lag(record.value or b""))
        assert samples[0].at_ms < samples[1].at_ms < samples[2].at_ms
