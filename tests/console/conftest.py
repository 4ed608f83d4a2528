"""Fixtures of the console's tests: a netting set with something in it, and people who look at it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.console.stage import Browser, Stage
from tests.explain.town import A, B, C, Town


@pytest.fixture
def town() -> Town:
    """ALPHA has 3 and pays 5: two wait. A window was closed and settled, something could not be read."""
    town = Town(held="3")
    for number in range(5):
        town.pays(number, A, (B, C)[number % 2], 1)
    town.post(*town.close("HKD"))
    town.pay(A, b'{"type": "payment"')
    town.flush()
    town.now_ms += 1_000  # positions are told at most twice a second of log time
    town.tick()
    return town


@pytest.fixture
def stage(town: Town, tmp_path: Path) -> Stage:
    return Stage(town, tmp_path)


@pytest.fixture
async def browse(stage: Stage) -> AsyncIterator[Callable[[], Browser]]:
    """Browsers of people; they are closed at the end."""
    open_: list[Browser] = []

    def browser() -> Browser:
        one = stage.client()
        open_.append(one)
        return one

    yield browser
    for one in open_:
        await one.client.aclose()


@pytest.fixture
async def alice(stage: Stage) -> AsyncIterator[Browser]:
    async with stage.client() as one:
        assert (await one.login("alice")).status_code == 200
        yield one


@pytest.fixture
async def bob(stage: Stage) -> AsyncIterator[Browser]:
    async with stage.client() as one:
        assert (await one.login("bob")).status_code == 200
        yield one
