"""The one folder where everything that is downloaded or written for development lives.

`$CLEARING_CACHE`, else `$XDG_CACHE_HOME/clearing-engine`, else `~/.cache/clearing-engine`. Removing it is
always safe while nothing runs: what is in it can be fetched or made again. Nothing is written elsewhere.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


def cache_dir() -> Path:
    """The cache folder (absolute); it may not exist yet."""
    if own := os.environ.get("CLEARING_CACHE"):
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path there is invalid and is to be ignored.
    home = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return home / "clearing-engine"


@asynccontextmanager
async def exclusive(folder: Path, timeout_ms: int) -> AsyncIterator[None]:
    """Make `folder` and hold its lock file: one process at a time changes what is shared in it.

    The kernel frees the lock when its holder dies. Raises TimeoutError if another holds it for longer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_ms / 1000
    with (folder / ".lock").open("wb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"another process has held {lock.name} too long") from None
                await asyncio.sleep(0.05)
        yield
