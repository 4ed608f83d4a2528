"""`clearing dev up | down | status`: embedded Kafka and PostgreSQL for work on one's own, with their data kept.

One such pair for each folder, by default <cache>/dev. Whoever serves holds the lock of that folder, and the
kernel frees it however that process ends: a state file that is left over is told from one that is true.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import msgspec

from clearing.config import Settings
from clearing.dev.cache import cache_dir
from clearing.dev.process import ServerError, tail
from clearing.dev.services import supervised
from clearing.dev.setup import in_force, prepare, read_scheme, stop_on_terminate
from clearing.dev.stack import EmbeddedStack
from clearing.failures import ExitCode, Failure

READY_TIMEOUT_S = 300.0  # the first start downloads Kafka
DOWN_TIMEOUT_S = 60.0
POLL_S = 0.05
OWN_ATTEMPTS = 20

Note = Callable[[str], None]


class DevState(msgspec.Struct, frozen=True, kw_only=True):
    """What runs and where. services: name → pid at the start, empty if only the servers run."""

    pid: int
    folder: str
    started_ms: int
    bootstrap: str
    dsn: str
    services: dict[str, int] = {}


def default_folder() -> Path:
    """Where data, logs and the state file are unless the user names another folder."""
    return cache_dir() / "dev"


def running(folder: Path) -> DevState | None:
    """What `up` has brought up in this folder, None if nothing runs."""
    try:
        with _owned(folder):
            return None  # nobody serves
    except BlockingIOError:
        pass
    try:
        return msgspec.json.decode((folder / "up.json").read_bytes(), type=DevState)
    except FileNotFoundError:
        return None  # it is just starting


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises BlockingIOError if somebody else does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


async def _own(stack: AsyncExitStack, folder: Path) -> None:
    """Hold the folder's lock until the stack ends. Whoever only looks holds it for a moment too: try again."""
    for _ in range(OWN_ATTEMPTS):
        try:
            stack.enter_context(_owned(folder))
        except BlockingIOError:
            await asyncio.sleep(POLL_S)
        else:
            return
    raise Failure("it is up already", "clearing dev status", ExitCode.USAGE)


async def up(note: Note, folder: Path, *, scheme: Path | None = None, fresh: bool = False) -> None:
    """Serve until cancelled. scheme: load it, and run the services too. fresh: begin with empty servers.

    Raises Failure when it runs already, and what the servers raise when they do not start.
    """
    stop_on_terminate()
    declared = read_scheme(scheme) if scheme else None
    async with AsyncExitStack() as stack:
        await _own(stack, folder)
        state_file = folder / "up.json"
        state_file.unlink(missing_ok=True)
        if fresh:
            for name in ("kafka", "postgres", "services", "snapshots"):
                shutil.rmtree(folder / name, ignore_errors=True)
        note("starting Kafka and PostgreSQL (the first time Kafka is downloaded)")
        servers = await stack.enter_async_context(EmbeddedStack(folder))
        settings = Settings(
            bootstrap=servers.bootstrap, dsn=servers.dsn, snapshots=str(folder / "snapshots")
        )
        pids: dict[str, int] = {}
        if declared is not None:
            partitions = await prepare(settings, declared, by="dev")
            services = await stack.enter_async_context(supervised(settings, folder / "services"))
            note(f"starting {', '.join(services.names)}")
            await services.ready()
            await in_force(settings, partitions)
            pids = {name: services.pid(name) for name in services.names}
        state = DevState(
            pid=os.getpid(),
            folder=str(folder),
            started_ms=int(time.time() * 1000),
            bootstrap=servers.bootstrap,
            dsn=servers.dsn,
            services=pids,
        )
        part = state_file.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(state))
        part.replace(state_file)
        stack.callback(state_file.unlink, missing_ok=True)
        for line in introduction(state):
            note(line)
        await asyncio.Event().wait()


def introduction(state: DevState) -> list[str]:
    """What to do with what runs now, line by line; to be pasted into a shell."""
    lines = [
        "up. For this shell:",
        f"  export CLEARING_BOOTSTRAP={state.bootstrap}",
        f"  export CLEARING_DSN='{state.dsn}'",
    ]
    if state.services:
        lines.append(f"services: {', '.join(state.services)}; logs in {state.folder}/services")
        return [*lines, "  clearing status --watch"]
    return [*lines, "  clearing scheme load scheme.toml && clearing sink --migrate"]


async def up_detached(
    note: Note, folder: Path, *, scheme: Path | None = None, fresh: bool = False
) -> DevState:
    """Start `clearing dev up` in the background; returns when it is up. Raises Failure or ServerError."""
    if running(folder):
        raise Failure("it is up already", "clearing dev status", ExitCode.USAGE)
    arguments = ["--folder", str(folder.absolute())]
    arguments += ["--scheme", str(scheme.absolute())] if scheme else []
    arguments += ["--fresh"] if fresh else []
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "up.log"
    note(f"starting in the background, log in {log}")
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "clearing", "dev", "up", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while (state := running(folder)) is None and process.returncode is None:  # noqa: ASYNC110  a process's, not ours
                await asyncio.sleep(POLL_S)
    except BaseException:
        process.terminate()
        raise
    if state is None:
        raise ServerError(f"`clearing dev up` ended with {process.returncode}. {tail(log)}")
    return state


async def down(note: Note, folder: Path) -> bool:
    """Stop what `up` has started, in this terminal or another; False if nothing ran. The data stays."""
    state = running(folder)
    if state is None:
        return False
    note(f"stopping process {state.pid}")
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_TIMEOUT_S
    while running(folder) is not None:
        if time.monotonic() > deadline:
            os.kill(state.pid, signal.SIGKILL)  # its servers end with it
            deadline = time.monotonic() + DOWN_TIMEOUT_S
        await asyncio.sleep(POLL_S)
    return True
