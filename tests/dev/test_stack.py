"""Both servers at once: what is asked for runs, and nothing stays when one cannot start."""

from pathlib import Path

import pytest

from clearing.dev import stack as stack_module
from clearing.dev.process import ServerError
from clearing.dev.stack import EmbeddedStack
from tests.dev.test_kafka import create_topic, publish, values
from tests.dev.test_postgres import ask
from tests.dev.test_process import gone


async def test_both_come_up_and_go(tmp_path: Path) -> None:
    async with EmbeddedStack(tmp_path) as stack:
        assert stack.kafka is not None
        assert stack.postgres is not None
        pids = [stack.kafka.pid, stack.postgres.pid]
        await create_topic(stack.bootstrap, "one")
        await publish(stack.bootstrap, "one", b"record")
        assert await values(stack.bootstrap, "one") == [b"record"]
        assert await ask(stack.dsn, "SELECT 1") == 1
    assert all(gone(pid) for pid in pids)


async def test_only_what_is_asked_for(tmp_path: Path) -> None:
    async with EmbeddedStack(tmp_path, kafka=False) as stack:
        assert await ask(stack.dsn, "SELECT 1") == 1
        with pytest.raises(ServerError, match="no Kafka"):
            _ = stack.bootstrap
    assert not (tmp_path / "kafka").exists()
    with pytest.raises(ServerError, match="no PostgreSQL"):
        _ = EmbeddedStack(tmp_path, postgres=False).dsn


async def test_one_that_fails_takes_the_other_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(stack_module.EmbeddedPostgres):
        async def start(self) -> None:
            raise ServerError("no room for data")

    monkeypatch.setattr(stack_module, "EmbeddedPostgres", Broken)
    stack = EmbeddedStack(tmp_path)
    assert stack.kafka is not None
    with pytest.raises(ServerError, match="no room for data"):
        await stack.start()
    assert not stack.kafka.running
