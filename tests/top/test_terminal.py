"""`clearing top` as a process in a terminal of its own: ends cleanly, gives the terminal back, obeys NO_COLOR."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from clearing.failures import ExitCode
from tests.cli.run import Runner

BOUND_S = 90.0
NOWHERE = "127.0.0.1:1"  # no Kafka listens there
LEFT_SCREEN, SHOWN_CURSOR = b"\x1b[?1049l", b"\x1b[?25h"
COLOUR = re.compile(rb"\x1b\[(?:[0-9]*;)*[34]8;[25]")


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of one: ours and the process's."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


class Printed:
    """What has come out of a terminal so far."""

    def __init__(self, ours: int) -> None:
        self.text = bytearray()
        self._ours = ours
        self._came = asyncio.Event()
        asyncio.get_running_loop().add_reader(ours, self._read)

    def _read(self) -> None:
        self.text += os.read(self._ours, 1 << 16)
        self._came.set()

    async def until(self, wanted: bytes) -> None:
        async with asyncio.timeout(BOUND_S):
            while wanted not in self.text:
                self._came.clear()
                await self._came.wait()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
async def test_it_waits_for_kafka_and_leaves_the_terminal_as_it_was(how: str) -> None:
    command = [sys.executable, "-m", "clearing", "--bootstrap", NOWHERE, "top"]
    environment = os.environ | {"TERM": "xterm-256color", "NO_COLOR": "1"}
    environment.pop("COLORTERM", None)
    with terminal() as (ours, theirs):
        printed = Printed(ours)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
        )
        try:
            await printed.until(b"Nothing is known yet: reading.")
            if how == "Ctrl-C":
                os.write(ours, b"\x03")
            else:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(BOUND_S):
                assert await process.wait() == ExitCode.OK
            await printed.until(LEFT_SCREEN)
            await printed.until(SHOWN_CURSOR)
        finally:
            printed.close()
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert not COLOUR.search(printed.text), "NO_COLOR"
    assert b"Traceback" not in printed.text


def test_once_without_kafka_fails_as_every_command_does(capsys: pytest.CaptureFixture[str]) -> None:
    ran = Runner(capsys)("--bootstrap", NOWHERE, "top", "--once")
    assert ran.code == ExitCode.UNREACHABLE
    assert "cannot reach Kafka" in ran.err
    assert ran.out == ""


def test_without_a_terminal_it_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    ran = Runner(capsys)("top")
    assert ran.code == ExitCode.USAGE
    assert "clearing top --once" in ran.err
