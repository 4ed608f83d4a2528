"""clearing.consuming: how long a fetch waits for more, and how its consumer waits for what comes."""

import asyncio
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult
from aiokafka.errors import IllegalStateError, OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest

from clearing.consuming import (
    GATHER_MOST_MS,
    GATHER_MS,
    TWICE_AS_LONG_BYTES,
    Consumer,
    PacedFetcher,
    gather_ms,
)

A, B = TopicPartition("payments.hk.AA", 0), TopicPartition("payments.hk.BB", 0)
AT_REST = (100, 1)
PLENTY_BYTES = 4096


@pytest.mark.parametrize(
    ("brought", "waits_ms"),
    [
        (1, GATHER_MS),
        (TWICE_AS_LONG_BYTES, 2 * GATHER_MS),
        (2 * TWICE_AS_LONG_BYTES, 3 * GATHER_MS),
        (1 << 40, GATHER_MOST_MS),
    ],
)
def test_the_more_a_fetch_has_brought_the_longer_the_next_one_waits(
    brought: int, waits_ms: int
) -> None:
    assert gather_ms(brought) == waits_ms


class Pace:
    """A paced fetcher whose cluster is the test: what node 1 answers, and how node 1 and 2 are asked next."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, gathers: bool = True) -> None:
        fetcher: Any = PacedFetcher.__new__(PacedFetcher)
        fetcher._brought, fetcher._records, fetcher.gathers = {}, {}, gathers
        fetcher._max_partition_fetch_bytes = PLENTY_BYTES
        self.fetcher = fetcher
        self.answer: dict[TopicPartition, FetchResult | FetchError] = {}

        def actions(_: Any, assignment: object) -> Any:
            asked = [(node, FetchRequest(*AT_REST, 1 << 20, 1, [])) for node in (1, 2)]
            return asked, {}, 1.0, False, []

        async def proceed(*_: object) -> bool:
            fetcher._records.update(self.answer)
            return bool(self.answer)

        monkeypatch.setattr(Fetcher, "_get_actions_per_node", actions)
        monkeypatch.setattr(Fetcher, "_proc_fetch_request", proceed)

    def brings(self, answer: dict[TopicPartition, FetchResult | FetchError]) -> None:
        self.answer = answer
        wanted = [(place.topic, [(place.partition, 0, PLENTY_BYTES)]) for place in (A, B)]
        request = FetchRequest(*AT_REST, 1 << 20, 1, wanted)
        asyncio.run(self.fetcher._proc_fetch_request(None, 1, request))
        self.fetcher._records.clear()  # as whoever reads it does

    def asked(self) -> list[tuple[int, int]]:
        found, *_ = self.fetcher._get_actions_per_node(None)
        return [(request._max_wait_ms, request._min_bytes) for _, request in found]


def of_bytes(size: int) -> FetchResult:
    parsed = SimpleNamespace(size_in_bytes=lambda: size)
    records: Any = SimpleNamespace(_records=parsed)
    return FetchResult(A, partition_records=records, assignment=None, backoff=0.1)


def test_only_the_node_that_brought_something_is_asked_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pace = Pace(monkeypatch)
    assert pace.asked() == [AT_REST, AT_REST]
    pace.brings({A: of_bytes(TWICE_AS_LONG_BYTES), B: of_bytes(TWICE_AS_LONG_BYTES)})
    assert pace.asked() == [(3 * GATHER_MS, PLENTY_BYTES), AT_REST]
    pace.brings({})
    assert pace.asked() == [AT_REST, AT_REST]


def test_what_lies_there_of_others_was_not_brought(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a source that is not read any more, or of one whose lane is busy."""
    pace = Pace(monkeypatch)
    pace.fetcher._records[TopicPartition("payments.hk.CC", 0)] = of_bytes(1 << 20)
    pace.brings({A: of_bytes(1)})
    assert pace.asked()[0] == (GATHER_MS, PLENTY_BYTES)


def test_an_error_is_something_that_came(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(monkeypatch)
    pace.brings({A: FetchError(error=OffsetOutOfRangeError({A: 7}), backoff=0.1)})
    assert pace.asked()[0] == (GATHER_MS, PLENTY_BYTES)


def test_who_does_not_gather_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(monkeypatch, gathers=False)
    pace.brings({A: of_bytes(1 << 20)})
    assert pace.asked() == [AT_REST, AT_REST]


class Waiting:
    """What of a consumer `came` and `at` look at."""

    def __init__(self) -> None:
        self.records: dict[TopicPartition, object] = {}
        self.waiters: list[asyncio.Future[None]] = []
        self.errors: list[Exception] = []
        self.states = {A: SimpleNamespace(has_valid_position=True, position=7)}
        assignment = SimpleNamespace(state_value=self.states.get)
        self.consumer: Any = SimpleNamespace(
            _fetcher=SimpleNamespace(_records=self.records, _create_fetch_waiter=self._waiter),
            _coordinator=SimpleNamespace(check_errors=self._check),
            _subscription=SimpleNamespace(
                reassignment_in_progress=False,
                fetch_context=nullcontext,
                subscription=SimpleNamespace(assignment=assignment),
            ),
        )

    def _waiter(self) -> asyncio.Future[None]:
        self.waiters.append(asyncio.get_running_loop().create_future())
        return self.waiters[-1]

    def _check(self) -> None:
        for error in self.errors:
            raise error

    async def came(self, timeout_ms: int = 60_000) -> None:
        await Consumer.came(self.consumer, [A], timeout_ms)


async def test_it_waits_for_what_comes_of_these_partitions() -> None:
    rig = Waiting()
    rig.records[B] = object()
    task = asyncio.create_task(rig.came())
    await asyncio.sleep(0)
    assert not task.done()
    rig.records[A] = object()
    rig.waiters[0].set_result(None)
    await asyncio.wait_for(task, 10)
    await rig.came()  # it is there already
    assert len(rig.waiters) == 1


async def test_it_does_not_wait_for_ever_and_leaves_no_waiter() -> None:
    rig = Waiting()
    await rig.came(timeout_ms=1)
    assert rig.waiters[0].cancelled()


async def test_who_is_cancelled_leaves_no_waiter() -> None:
    rig = Waiting()
    task = asyncio.create_task(rig.came())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.waiters[0].cancelled()


async def test_what_is_wrong_with_the_group_is_raised() -> None:
    rig = Waiting()
    rig.errors.append(IllegalStateError("test"))
    rig.records[A] = object()
    with pytest.raises(IllegalStateError):
        await rig.came()


def test_a_partition_that_is_being_reassigned_has_no_position() -> None:
    rig = Waiting()
    assert Consumer.at(rig.consumer, A) == 7
    rig.states[A].has_valid_position = False
    for partition in (A, B):
        with pytest.raises(IllegalStateError):
            Consumer.at(rig.consumer, partition)
