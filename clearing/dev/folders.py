"""Folders of single runs below the cache folder: made fresh, removed at the end, also after a kill -9.

<cache>/runs/<name>-<pid>-<time>, with a lock that the kernel frees when its owner dies: whoever starts next
clears up behind those that could not. A run that is to be looked at is kept.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clearing.dev.cache import cache_dir

_LOCK, _KEPT = ".lock", ".kept"


class RunFolder:
    """`path`, removed with the block that made it unless `keep()` was called."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def kept(self) -> bool:
        return (self.path / _KEPT).exists()

    def keep(self) -> None:
        """Leave it where it is, for people to look at."""
        (self.path / _KEPT).touch()


@contextmanager
def run_folder(name: str) -> Iterator[RunFolder]:
    """A fresh, empty folder for one run."""
    runs = cache_dir() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    remove_abandoned(runs)
    folder = RunFolder(runs / f"{name}-{os.getpid()}-{time.time_ns():x}")
    folder.path.mkdir()
    with (folder.path / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            if not folder.kept:
                shutil.rmtree(folder.path, ignore_errors=True)


def remove_abandoned(runs: Path) -> list[Path]:
    """Remove the folders whose owners died before they could; returns which."""
    removed: list[Path] = []
    for path in sorted(runs.iterdir()):
        try:
            with (path / _LOCK).open("r+b") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not RunFolder(path).kept:
                    shutil.rmtree(path, ignore_errors=True)
                    removed.append(path)
        except (FileNotFoundError, NotADirectoryError, BlockingIOError):
            continue  # just being made or removed; or at work
    return removed
