"""Servers as child processes: started in a session of their own, bound to our life, ended in order.

A Ctrl-C in the terminal does not reach them (we stop them in order), and they do not survive us, not even
our kill -9. Nothing here knows which server it is.
"""

import asyncio
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Below the ports that Linux and macOS hand to outgoing connections: a client that keeps trying to
# reach a stopped server there would in the end connect to itself, and hold the server's own port.
PORTS = range(15_000, 32_000)
POLL_S = 0.02
LOG_KEPT_BYTES = 4 << 20


class ServerError(RuntimeError):
    """A server did not start, or is not running when it has to be; carries the end of its log."""


@dataclass(slots=True)
class Child:
    """One running server; `life` is our end of the guard's pipe where the kernel offers nothing better."""

    process: subprocess.Popen[bytes]
    life: int | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def release(self) -> None:
        """Close our end of the guard's pipe; call it when the process has ended."""
        if self.life is not None:
            os.close(self.life)
            self.life = None

    async def ended(self, timeout_ms: int) -> bool:
        """Wait for the end of the process; False if it still runs after `timeout_ms`."""
        deadline = time.monotonic() + timeout_ms / 1000
        while self.running:
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_S)
        self.release()
        return True

    async def stop(self, how: signal.Signals, timeout_ms: int) -> None:
        """Ask with `how`, wait, insist with SIGKILL."""
        self.process.send_signal(how)
        if not await self.ended(timeout_ms):
            self.process.kill()
            await self.ended(timeout_ms)


def spawn(
    program: Sequence[str | Path],
    *,
    cwd: Path,
    log: Path,
    death_signal: signal.Signals = signal.SIGKILL,
    owner: pwd.struct_passwd | None = None,
    environment: Mapping[str, str] | None = None,
    guarded: bool = sys.platform != "linux",
) -> Child:
    """Start `program` with its output appended to `log`; it gets `death_signal` when we end.

    On Linux the kernel binds it to the calling *thread*: call this from a thread that lives as long as
    the server is to. `guarded` uses a guard process and a pipe instead, as on systems without that call.
    """
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".old.log"))
    life, ours = os.pipe() if guarded else (None, None)
    who = f"{owner.pw_uid}:{owner.pw_gid}" if owner else "-"
    trampoline = [sys.executable, "-I", "-S", str(Path(__file__).with_name("_exec.py"))]
    arguments = [str(os.getpid()), str(int(death_signal)), who, "-" if life is None else str(life)]
    try:
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*trampoline, *arguments, "--", *map(str, program)],
                cwd=cwd,
                env=None if environment is None else dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=() if life is None else (life,),
            )
    except BaseException:
        if ours is not None:
            os.close(ours)
        raise
    finally:
        if life is not None:
            os.close(life)
    return Child(process, ours)


async def until_ready(
    name: str, child: Child, log: Path, ready: Callable[[], Awaitable[bool]], timeout_ms: int
) -> None:
    """Wait until `ready()` says so.

    Raises ServerError with the end of the log if the process ends before, or if time runs out.
    """
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            while child.running:
                if await ready():
                    return
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise ServerError(f"{name} was not ready after {timeout_ms} ms. {tail(log)}") from None
    code = child.process.returncode
    raise ServerError(f"{name} ended with {code} while starting. {tail(log)}")


async def accepts(port: int) -> bool:
    """Whether anything listens on this loopback port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def free_port(preferred: int | None = None, *, taken: Sequence[int] = ()) -> int:
    """A loopback port that nothing listens on: `preferred` if it is one, else one of PORTS."""
    # Chance only spreads processes that start at the same time; nothing secret, nothing to replay.
    start = random.randrange(len(PORTS))  # noqa: S311
    candidates = [PORTS[(start + step * 7) % len(PORTS)] for step in range(1_000)]
    for port in [preferred, *candidates] if preferred else candidates:
        if port in taken:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As the servers do: connections of a predecessor in TIME_WAIT are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError("no free loopback port found")


def tail(log: Path, lines: int = 20) -> str:
    """Where the log is and its last lines, for an error message."""
    if not log.exists():
        return f"There is no log at {log}."
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_384))
        end = file.read().decode(errors="replace").splitlines()[-lines:]
    return "\n".join([f"The end of {log}:", *(f"  {line[:500]}" for line in end)])
