"""Many sources asked about together, with a broker that answers, refuses and keeps still as it is told."""

import asyncio
import gc
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.structs import OffsetAndMetadata

from clearing.intake import enquiries
from clearing.intake.enquiries import ALONE_AT_ONCE, TOGETHER, Enquiries, Found
from clearing.intake.identities import Identities
from clearing.intake.sources import SourceStopped, Stop
from clearing.topic_ids import _MetadataRequest

COMMITTED, IDS, FIRST, END = STEPS = ("committed", "ids", "first", "end")


def sources(count: int, begin: int = 0) -> list[TopicPartition]:
    return [TopicPartition(f"payments.hk.{n:05}", 0) for n in range(begin, begin + count)]


class Broker(GroupCoordinator):
    """A consumer, its coordinator and its client in one, as far as they are asked here.

    The n-th source is read up to n, begins at 2n and ends at 3n; id of a topic: its name in hexadecimal.
    """

    def __init__(self) -> None:
        self._coordinator = self._client = self.cluster = self
        self.requests: list[tuple[str, list[Any]]] = []  # what was asked for, and for what
        self.refused: dict[tuple[str, str], Exception] = {}  # (step, topic)
        self.still: dict[str, int] = {}  # step: not answered for so many sources or more
        self.leaderless: set[str] = set()
        self.renamed: dict[str, bytes] = {}  # topic: another id
        self.read_as: dict[TopicPartition, str] = {}
        self.came, self.answers = asyncio.Event(), asyncio.Event()
        self.answers.set()
        self.under_way = self.most_under_way = 0

    async def _asked(self, step: str, names: Sequence[Any]) -> None:
        self.requests.append((step, list(names)))
        self.came.set()
        topics = [name if isinstance(name, str) else name.topic for name in names]
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0)
            await self.answers.wait()
            if len(names) >= self.still.get(step, len(names) + 1):
                await asyncio.Event().wait()
        finally:
            self.under_way -= 1
        for topic in topics:
            if (step, topic) in self.refused:
                raise self.refused[step, topic]

    async def fetch_committed_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        await self._asked(COMMITTED, list(partitions))
        return {
            partition: OffsetAndMetadata(number(partition), self.read_as.get(partition, ""))
            for partition in partitions
            if number(partition)  # the first one has nothing
        }

    def leader_for_partition(self, partition: TopicPartition) -> int:
        return -1 if partition.topic in self.leaderless else 1

    def get_random_node(self) -> int:
        return 1

    async def send(self, node: int, request: _MetadataRequest) -> Any:
        topics = [topic for _, topic, _ in request._topics]
        await self._asked(IDS, topics)
        ids = [self.renamed.get(topic, topic[-16:].encode().rjust(16)) for topic in topics]
        return SimpleNamespace(topics=[(0, *each, False) for each in zip(topics, ids, strict=True)])

    async def beginning_offsets(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        await self._asked(FIRST, partitions)
        return {partition: 2 * number(partition) for partition in partitions}

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await self._asked(END, partitions)
        return {partition: 3 * number(partition) for partition in partitions}

    def asked_for(self, *partitions: TopicPartition) -> list[str]:
        """Which requests asked for exactly these."""
        names = [partition.topic for partition in partitions]
        return [step for step, of in self.requests if sorted(map(_topic, of)) == sorted(names)]


def _topic(name: str | TopicPartition) -> str:
    return name if isinstance(name, str) else name.topic


def number(partition: TopicPartition) -> int:
    return int(partition.topic[-5:])


def found(partition: TopicPartition) -> Found:
    n = number(partition)
    return Found(n or None, (2 * n, 3 * n))


@asynccontextmanager
async def asking(broker: Broker, identities: Identities | None = None) -> AsyncIterator[Enquiries]:
    """Nothing is left over behind it, and nobody has missed an error."""
    before, missed = asyncio.all_tasks(), list[dict[str, Any]]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: missed.append(context))
    made = Enquiries(broker, identities or Identities())  # type: ignore[arg-type]
    work = asyncio.create_task(made.run())
    try:
        async with asyncio.timeout(30):
            yield made
        assert not work.done(), work
    finally:
        work.cancel()
        await asyncio.wait([work])
        await asyncio.sleep(0)
        gc.collect()
        loop.set_exception_handler(None)
    assert asyncio.all_tasks() == before
    assert not missed


def all_of(made: Enquiries, partitions: Iterable[TopicPartition]) -> list[asyncio.Task[Found]]:
    return [asyncio.create_task(made.of(partition)) for partition in partitions]


async def answers(made: Enquiries, partitions: Iterable[TopicPartition]) -> list[Any]:
    return await asyncio.gather(*all_of(made, partitions), return_exceptions=True)


async def stands(broker: Broker, requests: int) -> None:
    """Until so many requests have come."""
    while len(broker.requests) < requests:
        broker.came.clear()
        await broker.came.wait()


async def test_sources_that_start_together_are_asked_about_together() -> None:
    """In batches, each read in this order: what is committed, which topic it is, where it begins and ends."""
    broker, many = Broker(), sources(2 * TOGETHER + 7)
    async with asking(broker) as made:
        assert await answers(made, many) == [found(partition) for partition in many]
    batches = [many[:TOGETHER], many[TOGETHER : 2 * TOGETHER], many[2 * TOGETHER :]]
    topics = [[partition.topic for partition in batch] for batch in batches]
    assert broker.requests == [
        (step, names if step == IDS else batch)
        for batch, names in zip(batches, topics, strict=True)
        for step in STEPS
    ]


async def test_who_asks_while_others_are_asked_about_comes_with_the_next_batch() -> None:
    broker, (first, *others) = Broker(), sources(21)
    async with asking(broker) as made:
        broker.answers.clear()
        early = all_of(made, [first])
        await stands(broker, 1)
        late = all_of(made, others)
        broker.answers.set()
        assert await asyncio.gather(*early, *late) == [found(each) for each in (first, *others)]
    assert broker.asked_for(first) == broker.asked_for(*others) == list(STEPS)
    assert len(broker.requests) == 2 * len(STEPS)


@pytest.mark.parametrize("step", STEPS)
async def test_a_failure_is_that_sources_alone(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the broker does not say of its bounds stops the source; any other word is the session's."""
    monkeypatch.setattr("clearing.intake.identities.RETRY_S", 0)
    broker, many = Broker(), sources(40)
    bad = many[13]
    error = broker.refused[step, bad.topic] = TopicAuthorizationFailedError(bad.topic)
    async with asking(broker) as made:
        said = dict(zip(many, await answers(made, many), strict=True))
    why = said.pop(bad)
    assert said == {each: found(each) for each in many if each != bad}
    if step in (COMMITTED, IDS):
        assert why is error
    else:
        assert isinstance(why, SourceStopped)
        assert (why.reason, why.__cause__) == (Stop.UNREACHABLE, error)
    assert broker.most_under_way == ALONE_AT_ONCE


async def test_no_batch_waits_for_a_source_without_leader() -> None:
    broker, many = Broker(), sources(9)
    lost = many[4]
    broker.leaderless = {lost.topic}
    broker.refused[FIRST, lost.topic] = KafkaError("no leader")
    others = [each for each in many if each != lost]
    async with asking(broker) as made:
        said = await answers(made, many)
    assert [each for each in said if isinstance(each, Found)] == [found(each) for each in others]
    assert broker.asked_for(*others) == list(STEPS)
    assert broker.asked_for(lost) == [COMMITTED, IDS, FIRST]
    assert len(broker.requests) == 2 * len(STEPS) - 1


@pytest.mark.parametrize("step", STEPS)
async def test_a_batch_that_is_not_answered_is_asked_for_one_by_one(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that keeps still holds up the sources of the others for a moment, not for the whole time-out."""
    monkeypatch.setattr(enquiries, "TOGETHER_TIMEOUT_S", 0.01)
    monkeypatch.setattr(enquiries, "BOUNDS_TIMEOUT_S", 60.0)
    broker, many = Broker(), sources(5)
    broker.still[step] = 2
    async with asking(broker) as made:
        assert await answers(made, many) == [found(each) for each in many]


async def test_a_source_alone_is_asked_about_once() -> None:
    broker, (lost,) = Broker(), sources(1)
    broker.refused[END, lost.topic] = KafkaError("no")
    async with asking(broker) as made:
        (why,) = await answers(made, [lost])
    assert isinstance(why, SourceStopped)
    assert broker.asked_for(lost) == list(STEPS)


async def test_a_source_whose_bounds_nobody_tells_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enquiries, "BOUNDS_TIMEOUT_S", 0.01)
    broker, (lost,) = Broker(), sources(1)
    broker.still[END] = 1
    async with asking(broker) as made:
        with pytest.raises(SourceStopped, match="its bounds cannot be read: TimeoutError"):
            await made.of(lost)


async def test_who_is_cancelled_leaves_nothing_behind() -> None:
    """While they are asked about, while they wait for it, and while each is asked about alone."""
    broker, many = Broker(), sources(60)
    gone, stay, late = many[:20], many[20:40], many[40:]
    broker.refused[FIRST, gone[0].topic] = broker.refused[FIRST, stay[0].topic] = KafkaError("no")
    async with asking(broker) as made:
        broker.answers.clear()
        under_way = all_of(made, gone + stay)
        await stands(broker, 1)
        waiting = all_of(made, late)
        await asyncio.sleep(0)
        for task in (*under_way[:20], *waiting):
            task.cancel()
        await asyncio.wait([*under_way[:20], *waiting])
        broker.answers.set()
        (why, *said) = await asyncio.gather(*under_way[20:], return_exceptions=True)
        assert isinstance(why, SourceStopped)
        assert said == [found(each) for each in stay[1:]]
        before = len(broker.requests)
        assert not any(set(late) & set(of) for _, of in broker.requests)

        alone = all_of(made, [gone[0], stay[0]])
        await stands(broker, before + 2 * len(STEPS))  # three for both, then each for itself
        for task in alone:
            task.cancel()
        await asyncio.wait(alone)
        assert await answers(made, late) == [found(each) for each in late]
    assert all(task.cancelled() for task in (*under_way[:20], *waiting, *alone))


async def test_who_is_cancelled_just_when_the_answer_is_there_leaves_nothing_behind() -> None:
    broker, many = Broker(), sources(3)
    async with asking(broker) as made:
        for turns in range(40):
            tasks = all_of(made, many)
            for _ in range(turns):
                await asyncio.sleep(0)
            tasks[1].cancel()
            said = await asyncio.gather(*tasks, return_exceptions=True)
            assert [said[0], said[2]] == [found(many[0]), found(many[2])]


async def test_a_topic_that_was_made_again_is_told_and_has_no_bounds() -> None:
    """Whether this process knew the other one, or the group has read it; each of its partitions."""
    broker, many = Broker(), sources(4, 1)
    known, read, fine, sibling = many[0], many[1], many[2], TopicPartition(many[1].topic, 1)
    identities = Identities()
    async with asking(broker, identities) as made:
        await made.of(known)
        broker.renamed[known.topic] = b"another one's id"
        before = identities.of(known.topic)
        broker.read_as = {known: "a third one", read: "what it was"}
        del broker.requests[:]
        stranger, reread, ok, beside = await answers(made, [known, read, fine, sibling])
    assert ok == found(fine)
    assert (stranger.committed, reread.committed, beside.committed) == (1, 2, 2)
    for said in (stranger, reread, beside):
        assert isinstance(said.bounds, SourceStopped)
        assert said.bounds.reason == Stop.RECREATED
    assert (identities.of(known.topic), identities.of(read.topic)) == (before, "what it was")
    assert [of for step, of in broker.requests if step in (FIRST, END)] == [[fine], [fine]]
