"""Folders of runs: gone with the run, kept when asked for, cleared up behind those that died."""

import subprocess
import sys
from pathlib import Path

import pytest

from clearing.dev.folders import remove_abandoned, run_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLEARING_CACHE", str(tmp_path))
    return tmp_path


def test_is_empty_and_gone_afterwards(cache: Path) -> None:
    with run_folder("test") as folder:
        assert folder.path.parent == cache / "runs"
        (folder.path / "data").write_text("x")
    assert not folder.path.exists()


def test_is_gone_after_an_error_and_kept_when_asked_for() -> None:
    def fail(*, keep: bool) -> Path:
        with run_folder("test") as folder:
            if keep:
                folder.keep()
            paths.append(folder.path)
            raise ZeroDivisionError

    paths: list[Path] = []
    for keep in (False, True):
        with pytest.raises(ZeroDivisionError):
            fail(keep=keep)
    assert [path.exists() for path in paths] == [False, True]


def test_one_at_work_or_kept_is_not_taken_for_abandoned(cache: Path) -> None:
    with run_folder("kept") as kept:
        kept.keep()
    with run_folder("working") as working:
        assert remove_abandoned(cache / "runs") == []
        assert working.path.exists()
    assert kept.path.exists()


def test_the_next_run_clears_up_behind_a_killed_one(cache: Path) -> None:
    code = (
        "import os, signal\n"
        "from clearing.dev.folders import run_folder\n"
        "with run_folder('dead') as folder:\n"
        "    print(folder.path, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    dead = Path(died.stdout.strip())
    assert died.returncode == -9
    assert dead.exists()
    with run_folder("next"):
        assert not dead.exists()
