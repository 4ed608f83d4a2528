"""`clearing dev up`, `status` and `down`: one pair of servers a folder, whose data stays."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clearing.dev import up
from clearing.failures import Failure
from clearing.kafka import administration
from tests.dev.test_kafka import create_topic, publish, values
from tests.dev.test_process import wait_gone


def quiet(_: str) -> None:
    """Nobody listens."""


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A folder for servers, which are down in the end."""
    yield tmp_path / "dev"
    await up.down(quiet, tmp_path / "dev")


async def test_up_serves_until_down_and_keeps_its_data(folder: Path) -> None:
    said: list[str] = []
    assert up.running(folder) is None
    assert await up.down(said.append, folder) is False

    first = await up.up_detached(said.append, folder)
    assert up.running(folder) == first
    await create_topic(first.bootstrap, "kept")
    await publish(first.bootstrap, "kept", b"record")
    with pytest.raises(Failure, match="already"):
        await up.up_detached(said.append, folder)
    assert await up.down(said.append, folder) is True
    assert up.running(folder) is None
    assert wait_gone(first.pid)

    second = await up.up_detached(said.append, folder)
    assert await values(second.bootstrap, "kept") == [b"record"]
    assert second.dsn.rpartition("@")[0] == first.dsn.rpartition("@")[0]
    assert await up.down(said.append, folder) is True

    third = await up.up_detached(said.append, folder, fresh=True)
    async with administration(third.bootstrap) as admin:
        assert "kept" not in await admin.list_topics()


async def test_up_with_a_scheme_runs_the_services(folder: Path) -> None:
    scheme = Path(up.__file__).with_name("demo.toml")
    state = await up.up_detached(quiet, folder, scheme=scheme)
    assert list(state.services) == [
        "intake-1", "intake-2", "engine-1", "dispatch-1", "sink-1", "views-1",
    ]  # fmt: skip
    assert any("clearing status" in line for line in up.introduction(state))
    assert await up.down(quiet, folder) is True
    assert all(wait_gone(pid) for pid in state.services.values())


async def test_a_start_that_fails_says_why(folder: Path, tmp_path: Path) -> None:
    scheme = tmp_path / "scheme.toml"
    scheme.write_text("name = 1\n")
    with pytest.raises(up.ServerError, match=r"(?s)ended with 2.*scheme\.toml"):
        await up.up_detached(quiet, folder, scheme=scheme)
    assert up.running(folder) is None
