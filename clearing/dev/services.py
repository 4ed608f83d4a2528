"""The services of one installation as child processes: started, watched, started again when they die.

Each is the `clearing` command as a user would run it, in a process of its own that ends with ours (see
clearing.dev.process). Settings travel by environment; what a service says goes to <folder>/<name>.log.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from clearing.config import Secret, Settings
from clearing.dev.process import POLL_S, Child, ServerError, spawn, tail
from clearing.dev.tasks import task_group
from clearing.failures import ExitCode

ROLES = ("intake", "engine", "dispatch", "sink")  # the data path, in its order
SERVICES = (*ROLES, "views", "console")
COUNTS: Mapping[str, int] = {"intake": 2, "engine": 1, "dispatch": 1, "sink": 1, "views": 1}

POLL_MS = 1_000
STOP_TIMEOUT_MS = 15_000
READY_TIMEOUT_MS = 60_000
# A service that ends by itself so often in a row without having been ready does not get better by more tries.
FAILURES_MAX = 5
RETRY_S, RETRY_S_MAX = 0.2, 1.0
# These say that trying again would change nothing.
FINAL_CODES = (ExitCode.USAGE, ExitCode.HALTED)

Command = Callable[[str], Sequence[str]]  # role → program and arguments


def service_command(role: str) -> list[str]:
    """How a user would start a service, by this Python."""
    return [sys.executable, "-m", "clearing", role]


@dataclass(slots=True)
class Service:
    """One service process, and the one after it if it dies. killed: how often we did that ourselves."""

    name: str
    log: Path
    child: Child
    log_start: int  # where in the log the current process begins
    wanted: bool = True
    killed: int = 0
    restarts: int = 0  # all told
    pids: list[int] = field(default_factory=list[int])

    @property
    def role(self) -> str:
        return self.name.partition("-")[0]

    def says(self, event: str, **fields: object) -> dict[str, object] | None:
        """The first log line of the current process with this event, and these fields where it has such."""
        for line in self._lines(event, self.log_start):
            if all(line.get(name, value) == value for name, value in fields.items()):
                return line
        return None

    def said(self, event: str) -> list[dict[str, object]]:
        """All log lines with this event, of all its processes."""
        return list(self._lines(event, 0))

    def _lines(self, event: str, start: int) -> Iterator[dict[str, object]]:
        if not self.log.exists():
            return
        with self.log.open("rb") as file:
            file.seek(start)
            for line in file:
                if event.encode() in line and (found := _parse(line)).get("event") == event:
                    yield found


def _parse(line: bytes) -> dict[str, object]:
    """A log line as its fields; a traceback or a line cut off is none."""
    try:
        return msgspec.json.decode(line, type=dict[str, object])
    except msgspec.DecodeError:
        return {}


class Services:
    """Supervises services; made by `supervised`, which ends them all.

    `names` are role-number: intake-1, intake-2, engine-1, …
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        group: asyncio.TaskGroup,
        command: Command,
        failures_max: int = FAILURES_MAX,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self._group = group
        self._command = command
        self._failures_max = failures_max
        self._services: dict[str, Service] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}

    @property
    def names(self) -> list[str]:
        return list(self._services)

    def of(self, role: str) -> list[str]:
        """Names of the services of one role."""
        return [name for name, service in self._services.items() if service.role == role]

    def __getitem__(self, name: str) -> Service:
        return self._services[name]

    def pid(self, name: str) -> int:
        """Of the current process; it may have died a moment ago."""
        return self._services[name].child.pid

    def start(self, *names: str) -> None:
        """Start services (role-number); they come up in the background, see `ready`."""
        for name in names:
            assert name.partition("-")[0] in SERVICES, f"{name} names no service"
            assert name not in self._keepers, f"{name} runs already"
            service = self._launch(name)
            self._services[name] = service
            self._keepers[name] = self._group.create_task(self._keep(service))

    async def ready(self, *names: str, timeout_ms: int = READY_TIMEOUT_MS) -> None:
        """Wait until these (none named: all) say that they work. Raises ServerError when time runs out."""
        deadline = time.monotonic() + timeout_ms / 1000
        for name in names or self.names:
            service = self._services[name]
            while service.says("ready") is None:
                if time.monotonic() >= deadline:
                    raise ServerError(f"{name} was not ready in time. {tail(service.log, 4)}")
                await asyncio.sleep(POLL_S)

    def kill(self, name: str) -> int:
        """kill -9; the supervisor starts it again. Returns the pid that died, 0 if it was dead already."""
        service = self._services[name]
        if not service.child.running:
            return 0
        service.killed += 1
        service.child.process.kill()
        return service.child.pid

    def pause(self, name: str) -> None:
        """SIGSTOP: the process stands still, as a machine that swaps or a long collection would make it."""
        self._services[name].child.process.send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self._services[name].child.process.send_signal(signal.SIGCONT)

    async def stop(self, *names: str) -> None:
        """End these (none named: all) in order of the data path: SIGTERM, a bound, SIGKILL."""
        chosen = [self._services[name] for name in names or self.names if name in self._keepers]
        for service in chosen:
            service.wanted = False
        for role in SERVICES:
            async with task_group() as stopping:
                for service in chosen:
                    if service.role == role and service.child.running:
                        self.resume(service.name)  # one that is stopped hears no SIGTERM
                        stopping.create_task(service.child.stop(signal.SIGTERM, STOP_TIMEOUT_MS))
        keepers = [self._keepers.pop(service.name) for service in chosen]
        if keepers:
            await asyncio.wait(keepers)  # what one of them raised, its group raises

    def _launch(self, name: str) -> Service:
        log = self.folder / f"{name}.log"
        start = log.stat().st_size if log.exists() else 0
        child = spawn(
            self._command(name.partition("-")[0]),
            cwd=self.folder,
            log=log,
            environment=environment(self.settings, name),
        )
        if log.stat().st_size < start:
            start = 0  # a log that has grown too long was put aside
        return Service(name, log, child, start, pids=[child.pid])

    async def _keep(self, service: Service) -> None:
        """Start the service again whenever it dies. Raises ServerError when that is no use."""
        failures = 0
        while True:
            while not await service.child.ended(POLL_MS):
                pass
            if not service.wanted:
                return
            code = service.child.process.returncode
            failures = 0 if code == -signal.SIGKILL or service.says("ready") else failures + 1
            if code in FINAL_CODES or failures >= self._failures_max:
                raise ServerError(f"{service.name} ended with {code}. {tail(service.log, 4)}")
            await asyncio.sleep(min(RETRY_S * failures, RETRY_S_MAX))
            if not service.wanted:
                return
            successor = self._launch(service.name)
            service.child, service.log_start = successor.child, successor.log_start
            service.pids.append(successor.child.pid)
            service.restarts += 1


@asynccontextmanager
async def supervised(
    settings: Settings,
    folder: Path,
    counts: Mapping[str, int] = COUNTS,
    *,
    command: Command = service_command,
    failures_max: int = FAILURES_MAX,
) -> AsyncIterator[Services]:
    """Services of `counts` (how many of each role), not yet ready; all of them end with the block.

    The block is cancelled, and ServerError raised, when a service cannot be kept up: it has ended `failures_max`
    times in a row without having been ready.
    """
    folder.mkdir(parents=True, exist_ok=True)
    async with task_group() as group:
        services = Services(settings, folder, group, command, failures_max)
        try:
            services.start(
                *(f"{role}-{n + 1}" for role in SERVICES for n in range(counts.get(role, 0)))
            )
            yield services
        finally:
            await services.stop()


def environment(settings: Settings, name: str) -> dict[str, str]:
    """Ours with these settings and no others: a clearing.toml of the user is not for these processes.

    `name` is the service's among its peers: started again under it, it gets its partitions back at once.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CLEARING_")}
    if cache := os.environ.get("CLEARING_CACHE"):
        inherited["CLEARING_CACHE"] = cache
    own = msgspec.structs.replace(settings, instance=name, log_format="json", metrics_port=0)
    ours = msgspec.structs.asdict(own)
    said = {
        key: value.reveal() if isinstance(value, Secret) else str(value)
        for key, value in ours.items()
    }
    return inherited | {f"CLEARING_{key.upper()}": value for key, value in said.items()}
