"""A service as a process: signals, exit codes, logs, metrics. The services here are a few lines each."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from clearing.failures import ExitCode

TIMEOUT_S = 30

# What a process runs: a service of the given body under run_service.
_PROGRAM = """
import asyncio, sys
from clearing.config import Settings
from clearing.service import run_service

async def service(settings, ready):
{body}

sys.exit(run_service("test", service, Settings(bootstrap="127.0.0.1:9", log_format="json"), debug={debug}))
"""


def program(body: str, *, debug: bool = False) -> list[str]:
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return [sys.executable, "-c", _PROGRAM.format(body=indented, debug=debug)]


def events(stream: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """What the process says of itself. At any moment its heartbeats may find that there is no broker."""
    for line in map(json.loads, stream):
        if "logger" not in line and line["event"] != "heartbeat_not_sent":
            yield line


def last_of(stderr: bytes) -> dict[str, Any]:
    *_, last = events(stderr.splitlines())
    return last


@contextmanager
def started(body: str) -> Iterator[tuple[subprocess.Popen[bytes], list[dict[str, Any]]]]:
    """The process once it is ready, and what it has logged until then."""
    process = subprocess.Popen(program(body), stderr=subprocess.PIPE)
    assert process.stderr is not None
    lines: list[dict[str, Any]] = []
    try:
        for line in events(process.stderr):
            lines.append(line)
            if lines[-1]["event"] == "ready":
                break
        yield process, lines
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(TIMEOUT_S)
        process.stderr.close()


WAITS = """
ready()
try:
    await asyncio.Event().wait()
finally:
    print("cleaned up", flush=True)
"""


@pytest.mark.parametrize(
    ("signal_sent", "code"),
    [(signal.SIGTERM, ExitCode.OK), (signal.SIGINT, ExitCode.INTERRUPTED)],
)
def test_a_signal_cancels_the_service_which_cleans_up(
    signal_sent: signal.Signals, code: ExitCode
) -> None:
    process = subprocess.Popen(program(WAITS), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stderr is not None
    try:
        assert any(said["event"] == "ready" for said in events(process.stderr))
        process.send_signal(signal_sent)
        out, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == code
    assert out == b"cleaned up\n"
    said = list(events(errors.splitlines()))
    assert [each["event"] for each in said] == ["stopping", "stopped"]
    assert said[0]["signal"] == signal_sent.name


def test_a_second_signal_ends_a_clean_up_that_hangs() -> None:
    body = """
ready()
try:
    await asyncio.Event().wait()
finally:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""
    with started(body) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert next(events(process.stderr))["event"] == "stopping"
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 128 + signal.SIGTERM


def test_metrics_are_served_at_the_port_that_is_logged() -> None:
    with started(WAITS) as (process, lines):
        starting = lines[0]
        assert starting["event"] == "starting"
        assert starting["pid"] == process.pid
        url = f"http://127.0.0.1:{starting['metrics_port']}/metrics"
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            text = answer.read().decode()
    assert re.search(r'^clearing_up\{service="test"\} 1\.0$', text, re.MULTILINE)


def test_a_service_that_ends_by_itself_is_done() -> None:
    ended = subprocess.run(program("ready()"), capture_output=True, timeout=TIMEOUT_S, check=False)
    assert ended.returncode == ExitCode.OK
    assert last_of(ended.stderr)["event"] == "stopped"


@pytest.mark.parametrize(
    ("raising", "code", "error"),
    [
        (
            "from clearing.core.faults import Halt, HaltKind\nraise Halt(HaltKind.GAP, 'the log has a gap')",
            ExitCode.HALTED,
            "halted: the log has a gap",
        ),
        (
            "from clearing.log.records import UnreadableLog\nraise UnreadableLog('offset 7')",
            ExitCode.HALTED,
            "halted: offset 7",
        ),
        (
            "from aiokafka.errors import KafkaConnectionError\nraise KafkaConnectionError('no')",
            ExitCode.UNREACHABLE,
            "cannot reach Kafka at 127.0.0.1:9",
        ),
        (
            "from clearing.config import ConfigError\nraise ConfigError('log_level is wrong')",
            ExitCode.USAGE,
            "log_level is wrong",
        ),
        (
            "import asyncpg\nraise asyncpg.CannotConnectNowError('starting up')",
            ExitCode.UNREACHABLE,
            "cannot reach the ledger: starting up",
        ),
        ("raise ValueError('what\\n is this')", ExitCode.FAILED, "ValueError: what is this"),
        ("raise asyncio.CancelledError", ExitCode.INTERRUPTED, "interrupted"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(raising: str, code: ExitCode, error: str) -> None:
    ended = subprocess.run(program(raising), capture_output=True, timeout=TIMEOUT_S, check=False)
    assert ended.returncode == code
    last = last_of(ended.stderr)
    assert (last["event"], last["error"], last["exit_code"]) == ("failed", error, code)
    assert b"Traceback" not in ended.stderr


def test_debug_shows_where_it_came_from() -> None:
    command = program("raise ValueError('why')", debug=True)
    ended = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    frames = last_of(ended.stderr)["exception"]
    assert frames[0]["exc_type"] == "ValueError"


def test_a_port_that_is_taken_is_said() -> None:
    with started(WAITS) as (_, lines):
        text = " ".join(program("ready()")[2:]).replace(
            'bootstrap="127.0.0.1:9"', f"metrics_port={lines[0]['metrics_port']}"
        )
        ended = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, timeout=TIMEOUT_S, check=False
        )
    assert ended.returncode == ExitCode.USAGE
    assert "Address already in use" in last_of(ended.stderr)["error"]


def test_log_lines_of_libraries_are_json_too() -> None:
    body = "import logging\nlogging.getLogger('aiokafka').error('something')\nready()"
    ended = subprocess.run(program(body), capture_output=True, timeout=TIMEOUT_S, check=False)
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    wanted = {"event": "something", "logger": "aiokafka", "service": "test"}
    assert any(wanted.items() <= line.items() for line in lines)


def test_the_exit_codes_are_distinct_and_documented() -> None:
    from clearing.cli import EPILOGUE

    assert len({int(code) for code in ExitCode}) == len(ExitCode)
    for code in ExitCode:
        assert re.search(rf"\b{int(code)} [a-zK]", EPILOGUE), f"{code!r} is not in the help"
    assert os.EX_OK == ExitCode.OK
