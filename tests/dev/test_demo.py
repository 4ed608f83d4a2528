"""The demo as a newcomer runs it: it proves itself, and however it ends it leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from clearing.dev.cache import cache_dir
from clearing.dev.folders import remove_abandoned
from tests.dev.test_process import wait_gone

WORK = "working: published"  # of the line that is written every two seconds
STORY = ["deadlock", "gridlock resolved", "DvP", "suspension", "waterfall", "default"]
TROUBLE = ["late ledger", "zombie"]  # comes meanwhile


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`clearing demo` with a home and a folder for temporary files of its own; killed if it still runs."""
    home, temporary = folder / "home", folder / "tmp"
    home.mkdir()
    temporary.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CLEARING_", "XDG_"))}
    environment |= {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "CLEARING_CACHE": str(cache_dir()),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "clearing", "demo", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until_at_work(process: subprocess.Popen[str]) -> list[int]:
    """Wait until payments flow; the process ids of everything that runs then."""
    assert process.stderr is not None
    for line in process.stderr:
        if WORK in line and "published 0," not in line:
            children = psutil.Process(process.pid).children(recursive=True)
            assert len(children) >= 8, "Kafka, PostgreSQL and six services"
            return [child.pid for child in children]
    raise AssertionError(f"the demo ended with {process.wait()} before it was at work")


def left_behind(folder: Path, pid: int) -> list[Path]:
    """Files of a demo that are still there: in its home, among temporary files, in the cache's runs."""
    runs = cache_dir() / "runs"
    ours = list(runs.glob(f"demo-{pid}-*")) if runs.exists() else []
    return [*(folder / "home").rglob("*"), *(folder / "tmp").rglob("*"), *ours]


def test_the_demo_proves_itself(tmp_path: Path) -> None:
    with demo(
        tmp_path, "--payments", "20000", "--rate-per-s", "4000", "--seed", "4", "--json"
    ) as process:
        out, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
        assert left_behind(tmp_path, process.pid) == []
    result = json.loads(out)
    assert result["ok"]
    assert result["payments"] > 20_000  # returns, cancellations and the story come on top
    assert result["differences"] == []
    scenes = [sentence.partition(":")[0] for sentence in result["story"]]
    assert [scene for scene in scenes if scene not in TROUBLE] == STORY
    assert [scene for scene in scenes if scene in TROUBLE] == TROUBLE
    assert {kill["service"].partition("-")[0] for kill in result["kills"]} == {
        "intake",
        "engine",
        "dispatch",
        "sink",
    }
    assert all(kill["outstanding"] > 0 and kill["pid"] > 0 for kill in result["kills"])
    assert result["windows_settled"] >= 8
    assert {check["verdict"] for check in result["report"]["checks"]} == {"ok"}
    flows = result["report"]["flows"]
    probes = [flow for flow in flows if flow["what"] == "probes"]
    assert sum(flow["entered"] for flow in flows if flow not in probes) == result["payments"]
    assert [(flow["refused"], flow["repeated"] > 0) for flow in probes] == [(1, True)] * 2
    assert said.count("kill -9") == 4


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, which: signal.Signals) -> None:
    with demo(tmp_path) as process:
        pids = until_at_work(process)
        process.send_signal(which)
        process.communicate(timeout=60)
        assert process.returncode == 130
        assert all(wait_gone(pid) for pid in pids)
        assert left_behind(tmp_path, process.pid) == []


def test_a_killed_demo_leaves_no_process_and_the_next_run_clears_up(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        pids = until_at_work(process)
        process.kill()
        process.communicate(timeout=60)
        assert all(wait_gone(pid) for pid in pids)
        (folder,) = left_behind(tmp_path, process.pid)
        assert folder in remove_abandoned(cache_dir() / "runs")
        assert left_behind(tmp_path, process.pid) == []
