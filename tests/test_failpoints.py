"""Fail-points: armed once they happen once; unarmed they cost nothing that could be noticed."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clearing import failpoints
from clearing.dev.points import POINTS, Points

CLEARING = Path(failpoints.__file__).parent


@pytest.fixture
def points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Points:
    """Armed for this process, which is called sink-1."""
    made = Points(tmp_path / "points")
    monkeypatch.setattr(failpoints, "_folder", made.folder)
    monkeypatch.setenv("CLEARING_INSTANCE", "sink-1")
    return made


def process(points: Points, code: str) -> subprocess.Popen[bytes]:
    """A process of its own that passes what `code` says."""
    program = [*points.command("sink")[:2], sys.executable, "-c"]
    return subprocess.Popen([*program, f"from clearing.failpoints import at\n{code}"])


def test_what_is_armed_happens_once(points: Points) -> None:
    failpoints.at("sink.read")
    points.arm("sink.read", "raise ConnectionResetError")
    failpoints.at("sink.posted")
    assert points.armed("sink.read")
    with pytest.raises(ConnectionResetError):
        failpoints.at("sink.read")
    assert not points.armed("sink.read")
    assert len(points.hits("sink.read")) == 1
    failpoints.at("sink.read")
    assert not points.disarm("sink.read")


def test_an_error_of_a_library_by_its_module(points: Points) -> None:
    points.arm("sink.read", "raise aiokafka.errors:ProducerFenced")
    from aiokafka.errors import ProducerFenced

    with pytest.raises(ProducerFenced):
        failpoints.at("sink.read")


def test_only_the_one_that_is_named(points: Points) -> None:
    points.arm("sink.read", "exit", who="sink-2")
    failpoints.at("sink.read")
    assert points.armed("sink.read", who="sink-2")
    points.arm("sink.read", "exit", who="sink-1")
    with pytest.raises(SystemExit):
        failpoints.at("sink.read")
    assert points.hits("sink.read", who="sink-1")
    assert not points.hits("sink.read", who="sink-2")


def test_skips_as_often_as_it_says_and_again_when_armed_again(points: Points) -> None:
    for _ in range(2):
        points.arm("sink.read", "skip 2 raise OSError")
        failpoints.at("sink.read")
        failpoints.at("sink.read")
        with pytest.raises(OSError):
            failpoints.at("sink.read")
    failpoints.at("sink.read")


def test_what_it_cannot_read_is_no_silence(points: Points) -> None:
    points.arm("sink.read", "explode")
    with pytest.raises(ValueError, match="armed with 'explode'"):
        failpoints.at("sink.read")


def test_a_process_dies_where_it_is_told_to(points: Points) -> None:
    points.arm("sink.read", "kill")
    victim = process(points, "at('sink.posted')\nat('sink.read')")
    assert victim.wait(30) == -signal.SIGKILL
    assert points.hits("sink.read") == {victim.pid}  # env gives its place to the program
    assert process(points, "at('sink.read')").wait(30) == 0


def test_a_process_stands_still_until_it_is_woken(points: Points) -> None:
    points.arm("sink.read", "stop")
    sleeper = process(points, "at('sink.read')")
    _, status = os.waitpid(sleeper.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert points.hits("sink.read") == {sleeper.pid}
    sleeper.send_signal(signal.SIGCONT)
    assert sleeper.wait(30) == 0


def test_every_point_in_the_loops_is_listed_by_its_role() -> None:
    """Drills go by the list: a point that it lacks would be hit by no test."""
    found = [
        match[1]
        for path in CLEARING.rglob("*.py")
        for match in re.finditer(r'failpoints\.at\("([a-z_.]+)"\)', path.read_text())
    ]
    assert sorted(found) == sorted(point for points in POINTS.values() for point in points)


def test_the_core_has_none() -> None:
    assert not [
        path for path in (CLEARING / "core").rglob("*.py") if "failpoints" in path.read_text()
    ]


def test_unarmed_it_is_one_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """No system call, no look into the environment, on the way past a point."""
    assert failpoints._folder is None
    monkeypatch.delattr(failpoints, "_reached")
    failpoints.at("sink.read")
