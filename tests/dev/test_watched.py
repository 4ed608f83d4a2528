"""The demo waits for whoever looks on at a terminal, and for nobody else."""

import io
from typing import Any

import pytest
from rich.console import Console

from clearing.dev import demo
from clearing.dev.screen import Screen


class Supervised:
    """A console of which the log says `logged_in` with the `at`-th look, and never for 0."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.looks = 0

    def of(self, role: str) -> list[str]:
        assert role == "console"
        return ["console-1"]

    def __getitem__(self, name: str) -> "Supervised":
        return self

    def says(self, event: str) -> dict[str, object] | None:
        assert event == "logged_in"
        self.looks += 1
        return {"event": event} if self.looks == self.at else None


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


def screen(shown: io.StringIO, *, terminal: bool) -> Screen:
    return Screen(Console(file=shown, force_terminal=terminal, width=200))


async def watched(services: Any, shown: io.StringIO, *, terminal: bool = True) -> float:
    return await demo._watched(screen(shown, terminal=terminal), services)


async def test_a_pipe_waits_for_nobody(shown: io.StringIO) -> None:
    services = Supervised()
    assert await watched(services, shown, terminal=False) == 0.0
    assert (services.looks, shown.getvalue()) == (0, "")


async def test_it_begins_when_somebody_has_logged_in(
    shown: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "WATCHED_POLL_S", 0.0)
    services = Supervised(at=3)
    assert await watched(services, shown) < demo.WATCHED_S
    assert services.looks == 3
    assert "as soon as somebody has logged in" in shown.getvalue()


async def test_it_begins_at_last_without_anybody(
    shown: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "WATCHED_S", 0.05)
    monkeypatch.setattr(demo, "WATCHED_POLL_S", 0.01)
    assert await watched(Supervised(), shown) >= 0.05
