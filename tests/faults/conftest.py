"""What fault tests report: what was injected how often, and what was observed. `make chaos` makes a table of it."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest


class Observation(msgspec.Struct, frozen=True):
    """A row of the fault matrix. fault: F1 … F18 of the list; times: how often it was injected in this test."""

    fault: str
    injected: str
    times: int
    observed: str
    test: str = ""


Observe = Callable[[str, str, int, str], None]


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often to inject what a test injects: 1 in the short form, more in the long one (--rounds)."""
    rounds: int | None = request.config.getoption("--rounds")
    assert rounds is not None
    return rounds


@pytest.fixture
def observed(request: pytest.FixtureRequest) -> Observe:
    """Report `(fault, injected, times, observed)` once it was seen: appended to the file --observations names."""
    file: str | None = request.config.getoption("--observations")

    def observe(fault: str, injected: str, times: int, seen: str) -> None:
        row = Observation(fault, injected, times, seen, request.node.nodeid)
        if file is not None:
            with Path(file).open("ab") as out:
                out.write(msgspec.json.encode(row) + b"\n")

    return observe
