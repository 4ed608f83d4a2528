"""A payment that is looked for: how far it is, shared by all who ask, ended when nobody asks any more."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

from clearing.console import lives
from clearing.console.lives import SEARCHES_MOST, UNASKED_S, Lives, Looking, NobodyAsks
from clearing.console.refusals import Refusal
from clearing.explain.story import Finality, Place, Row, Story
from clearing.live import Tell

PAYMENT = UUID(int=1)


def story(netting_set: str, read_to: int) -> Story:
    entered = Place(0, 0)
    row = Row(
        kind="payment", id=str(PAYMENT), log_offset=0, row=0, time_ms=0, source=("p", 0, 0, -1)
    )
    finality = Finality(entered=entered, irrevocable=None, final=None)
    return Story(
        netting_set=netting_set,
        id=str(PAYMENT),
        read_to=read_to,
        status="PDNG",
        finality=finality,
        row=row,
    )


class Logs:
    """hk holds the payment; a look at a log goes on when `go` is set, or raises `error`. tell: of the last look."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.looked: list[str] = []
        self.ended: list[str] = []
        self.tell: Tell | None = None
        self.error: Exception | None = None

    async def find(self, netting_set: str, payment: UUID, tell: Tell) -> Story | None:
        self.looked.append(netting_set)
        self.tell = tell
        tell(f"{netting_set}, 1 of 2 log records")
        try:
            await self.go.wait()
        finally:
            self.ended.append(netting_set)
        if self.error is not None:
            raise self.error
        return story("hk", len(self.looked)) if netting_set == "hk" else None


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "ANSWER_S", 0.01)


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


async def test_it_says_how_far_it_is_and_then_what_it_found() -> None:
    logs = Logs()
    it = Lives(logs.find)
    asked = [await it.of(PAYMENT, ["eu", "hk"]) for _ in range(3)]
    assert asked == [Looking("eu, 1 of 2 log records")] * 3
    assert logs.looked == ["eu"]  # one search, however many ask
    logs.go.set()
    await _until(lambda: logs.ended == ["eu", "hk"])
    assert await it.of(PAYMENT, ["eu", "hk"]) == story("hk", 2)
    assert await it.of(PAYMENT, ["eu", "hk"]) == story("hk", 2)  # still known, not looked for again
    assert logs.looked == ["eu", "hk"]


async def test_anew_is_not_what_was_told_before() -> None:
    logs = Logs()
    logs.go.set()
    it = Lives(logs.find)
    assert await it.of(PAYMENT, ["hk"]) == story("hk", 1)
    logs.go.clear()
    assert isinstance(await it.of(PAYMENT, ["hk"], anew=True), Looking)
    logs.go.set()
    await _until(lambda: logs.ended == ["hk", "hk"])
    assert await it.of(PAYMENT, ["hk"], anew=True) == story("hk", 2)  # asked anew, not yet told
    assert await it.of(PAYMENT, ["hk"], anew=True) == story("hk", 3)


async def test_what_nobody_asks_for_is_ended_and_forgotten() -> None:
    logs, clock = Logs(), Clock()
    it = Lives(logs.find, clock)
    assert isinstance(await it.of(PAYMENT, ["eu", "hk"]), Looking)
    clock.now_s = UNASKED_S
    it.tidy()
    assert it.searched == [PAYMENT]
    assert isinstance(await it.of(PAYMENT, ["eu", "hk"]), Looking)
    clock.now_s += UNASKED_S + 1
    it.tidy()
    assert it.searched == []
    await _until(lambda: logs.ended == ["eu"])
    assert logs.tell is not None
    with pytest.raises(NobodyAsks):  # the thread that reads hears of it with its next chunk
        logs.tell("eu, 2 of 2 log records")


async def test_an_error_is_told_once_and_the_next_one_begins_again() -> None:
    logs = Logs()
    logs.error = ValueError("the log holds a record that is none of ours")
    logs.go.set()
    it = Lives(logs.find)
    with pytest.raises(ValueError, match="none of ours"):
        await it.of(PAYMENT, ["hk"])
    logs.error = None
    assert await it.of(PAYMENT, ["hk"]) == story("hk", 2)


async def test_searches_are_bounded_and_what_is_found_makes_room() -> None:
    logs = Logs()
    it = Lives(logs.find)
    for number in range(SEARCHES_MOST):
        assert isinstance(await it.of(UUID(int=100 + number), ["eu"]), Looking)
    with pytest.raises(Refusal) as refused:
        await it.of(PAYMENT, ["hk"])
    assert refused.value.problem.code == "UNAVAILABLE"
    logs.go.set()
    await _until(lambda: len(logs.ended) == SEARCHES_MOST)
    assert await it.of(PAYMENT, ["hk"]) == story("hk", SEARCHES_MOST + 1)
    assert len(it.searched) <= SEARCHES_MOST


async def test_the_end_of_the_console_ends_them() -> None:
    logs = Logs()
    it = Lives(logs.find)
    waiting = asyncio.create_task(it.of(PAYMENT, ["hk"]))
    await _until(lambda: logs.looked == ["hk"])
    it.stop()
    with pytest.raises(Refusal, match="ended"):
        await waiting
    assert it.searched == []
