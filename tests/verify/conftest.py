"""Days and examples as worlds: made once, and a copy for each test to change."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest

from tests.verify.world import World, build, played

EXAMPLES = Path(__file__).parents[2] / "topics" / "examples"


@pytest.fixture(scope="session")
def day() -> World:
    return build()


@pytest.fixture
def world(day: World) -> World:
    """The same day for every test, each with its own copy to change."""
    return deepcopy(day)


@cache
def _played(name: str) -> World:
    folder = EXAMPLES / name
    with (folder / "events.jsonl").open("rb") as events:
        return played((folder / "scheme.toml").read_text(), events)


@pytest.fixture
def example() -> Callable[[str], World]:
    """The world of an example, by its folder's name."""
    return lambda name: deepcopy(_played(name))
