"""Supervision of service processes: started again, ended in order, never left behind. No broker needed."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from clearing.config import Settings
from clearing.dev.process import ServerError
from clearing.dev.services import Command, Services, environment, supervised

SERVICE = """
import os, signal, sys, time
print('{"event": "starting"}', flush=True)
print('{"event": "ready", "instance": "%s"}' % os.environ["CLEARING_INSTANCE"], flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True: time.sleep(60)
"""


def running(code: str) -> Command:
    """A service that is this Python program instead of one of ours."""
    return lambda role: [sys.executable, "-c", code]


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_a_killed_service_is_started_again_under_its_name(tmp_path: Path) -> None:
    async with supervised(
        Settings(), tmp_path, {"intake": 2, "sink": 1}, command=running(SERVICE)
    ) as services:
        assert services.names == ["intake-1", "intake-2", "sink-1"]
        assert services.of("intake") == ["intake-1", "intake-2"]
        await services.ready()
        other = services.pid("intake-1")
        killed = services.kill("intake-2")
        await until(lambda: services["intake-2"].restarts == 1)
        await services.ready("intake-2")
        assert services.pid("intake-2") != killed
        assert services.pid("intake-1") == other
        assert services["intake-2"].says("ready") == {"event": "ready", "instance": "intake-2"}
        assert services["intake-2"].says("ready", instance="intake-2", netting_set="hk") is not None
        assert services["intake-2"].says("ready", instance="intake-1") is None
        assert services["intake-2"].pids == [killed, services.pid("intake-2")]
        pids = [services.pid(name) for name in services.names]
    assert not any(alive(pid) for pid in pids)


async def test_a_paused_service_stops_like_any_other(tmp_path: Path) -> None:
    async with supervised(
        Settings(), tmp_path, {"engine": 1}, command=running(SERVICE)
    ) as services:
        await services.ready()
        pid = services.pid("engine-1")
        services.pause("engine-1")
        await until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    assert services["engine-1"].child.process.returncode == 0
    assert not alive(pid)


async def test_a_service_that_never_comes_up_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"(?s)engine-1 ended with 1.*no such thing"):
        async with supervised(
            Settings(),
            tmp_path,
            {"engine": 1},
            command=running("raise SystemExit('no such thing')"),
        ):
            await asyncio.sleep(60)


async def test_a_halt_is_not_tried_again(tmp_path: Path) -> None:
    made: list[Services] = []

    async def halt() -> None:
        async with supervised(
            Settings(), tmp_path, {"sink": 1}, command=running("raise SystemExit(4)")
        ) as services:
            made.append(services)
            await asyncio.Event().wait()

    with pytest.raises(ServerError, match="sink-1 ended with 4"):
        await halt()
    assert made[0]["sink-1"].restarts == 0


async def test_a_failure_in_the_block_ends_the_services(tmp_path: Path) -> None:
    pids: list[int] = []

    async def fail() -> None:
        async with supervised(
            Settings(), tmp_path, {"engine": 1}, command=running(SERVICE)
        ) as services:
            await services.ready()
            pids.append(services.pid("engine-1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert not alive(pids[0])


async def test_services_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from clearing.config import Settings
from clearing.dev.services import supervised
async def main():
    async with supervised(Settings(), Path({str(tmp_path)!r}), {{"intake": 1, "engine": 1}},
                          command=lambda role: [sys.executable, "-c", {SERVICE!r}]) as services:
        await services.ready()
        print(*(services.pid(name) for name in services.names), flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    line = await asyncio.wait_for(parent.stdout.readline(), 30)
    pids = [int(word) for word in line.split()]
    assert len(pids) == 2
    parent.kill()
    await parent.wait()
    await until(lambda: not any(alive(pid) for pid in pids))


def test_services_get_these_settings_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARING_CONFIG", "/nowhere/clearing.toml")
    monkeypatch.setenv("CLEARING_TOPIC_PREFIX", "the-users.")
    monkeypatch.setenv("CLEARING_CACHE", "/somewhere")
    made = environment(Settings(bootstrap="broker:1", dsn="postgresql://x"), "engine-2")
    ours = {name: value for name, value in made.items() if name.startswith("CLEARING_")}
    assert "CLEARING_CONFIG" not in ours
    assert ours["CLEARING_CACHE"] == "/somewhere"
    assert ours["CLEARING_TOPIC_PREFIX"] == ""
    assert ours["CLEARING_BOOTSTRAP"] == "broker:1"
    assert ours["CLEARING_INSTANCE"] == "engine-2"
    assert made["PATH"] == os.environ["PATH"]
