"""Child processes end when we do, however we end; what went wrong at a start is told with the log's end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from clearing.dev.process import ServerError, accepts, free_port, spawn, tail, until_ready

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
BOTH_WAYS = pytest.mark.parametrize(
    "guarded",
    [
        pytest.param(
            False,
            id="kernel",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux can"),
        ),
        pytest.param(True, id="guard"),
    ],
)


def gone(pid: int) -> bool:
    """Whether nothing of a process is left but perhaps its entry in the table."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_gone(pid: int, timeout_s: float = 20) -> bool:
    deadline = time.monotonic() + timeout_s
    while not gone(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@BOTH_WAYS
async def test_runs_in_its_own_session_and_stops_when_asked(tmp_path: Path, guarded: bool) -> None:
    child = spawn(SLEEPER, cwd=tmp_path, log=tmp_path / "log", guarded=guarded)
    try:
        assert os.getsid(child.pid) == child.pid, "a Ctrl-C in our terminal would reach it"
    finally:
        await child.stop(signal.SIGTERM, 10_000)
    assert not child.running
    assert child.process.returncode == -signal.SIGTERM


@BOTH_WAYS
def test_does_not_outlive_a_killed_parent(tmp_path: Path, guarded: bool) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from clearing.dev.process import spawn\n"
        f"child = spawn({SLEEPER!r}, cwd=Path('.'), log=Path('log'), guarded={guarded})\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert not gone(child)
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    assert wait_gone(child)


async def test_insists_when_asking_does_not_help(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    child = spawn([sys.executable, "-c", deaf], cwd=tmp_path, log=tmp_path / "log")

    async def up() -> bool:
        return "up" in (tmp_path / "log").read_text()

    try:
        await until_ready("deaf", child, tmp_path / "log", up, 20_000)
    finally:
        await child.stop(signal.SIGTERM, 300)
    assert child.process.returncode == -signal.SIGKILL


async def test_early_end_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    dying = [sys.executable, "-c", "print('first'); print('no space left'); raise SystemExit(7)"]
    child = spawn(dying, cwd=tmp_path, log=tmp_path / "log")

    async def never() -> bool:
        return False

    with pytest.raises(ServerError, match=r"(?s)Dying ended with 7 while starting.*no space left"):
        await until_ready("Dying", child, tmp_path / "log", never, 20_000)


async def test_waiting_for_readiness_is_bounded(tmp_path: Path) -> None:
    child = spawn(SLEEPER, cwd=tmp_path, log=tmp_path / "log")

    async def never() -> bool:
        return False

    try:
        with pytest.raises(ServerError, match="Sleeper was not ready after 100 ms"):
            await until_ready("Sleeper", child, tmp_path / "log", never, 100)
    finally:
        await child.stop(signal.SIGKILL, 10_000)


async def test_free_port_is_free_and_out_of_the_way_of_clients() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as busy:
        taken = busy.getsockname()[1]
        other = free_port(taken)
        assert other != taken
        assert 15_000 <= other < 32_000
        assert free_port(other) == other, "the preferred one, if it is free"
        assert free_port(other, taken=[other]) != other
        assert await accepts(taken)
    assert not await accepts(taken)


def test_long_log_is_set_aside_at_the_next_start(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"x" * ((4 << 20) + 1))
    child = spawn([sys.executable, "-c", "print('new')"], cwd=tmp_path, log=log)
    assert asyncio.run(child.ended(20_000))
    assert log.read_text() == "new\n"
    assert (tmp_path / "server.old.log").stat().st_size > 4 << 20


def test_tail_reads_only_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == f"There is no log at {log}."
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert tail(log, 2) == f"The end of {log}:\n  line 9998\n  line 9999"
