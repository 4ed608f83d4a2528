"""Named places in the loops where a test can have this process die, stand still or fail: `at("stage.place")`.

Off, one comparison, unless CLEARING_FAILPOINTS names a folder when the process starts. A file in it,
`<instance or *>.<point>`, arms a point, and holds what happens there: `kill`, `stop` (SIGSTOP), `exit`,
`raise module:Name` (or a built-in error's name), each after `skip N ` if the first N times are to pass.
The process renames the file to `….hit-<pid>` before it acts: armed once, it happens once, and can be seen.
"""

import os
import pkgutil
import signal
import sys
from pathlib import Path

FOLDER = "CLEARING_FAILPOINTS"

_folder: Path | None = Path(named) if (named := os.environ.get(FOLDER)) else None
_skipped: dict[Path, int] = {}


def at(point: str) -> None:
    """Do here what the point is armed with, if it is. Raises whatever it was told to, ValueError if unreadable."""
    if _folder is not None:
        _reached(_folder, point)


def _reached(folder: Path, point: str) -> None:
    for who in (os.environ.get("CLEARING_INSTANCE"), "*"):
        armed = folder / f"{who}.{point}"
        try:
            action = armed.read_text("ascii").split()
        except FileNotFoundError:
            continue
        if action[:1] == ["skip"]:
            _skipped[armed] = _skipped.get(armed, -1) + 1
            if _skipped[armed] < int(action[1]):
                continue
            del _skipped[armed], action[:2]
        try:
            armed.rename(armed.with_name(f"{armed.name}.hit-{os.getpid()}"))
        except FileNotFoundError:
            continue  # another process was first
        _act(action)


def _act(action: list[str]) -> None:
    match action:
        case ["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["stop"]:
            os.kill(os.getpid(), signal.SIGSTOP)
        case ["exit"]:
            sys.exit(1)
        case ["raise", name]:
            raise pkgutil.resolve_name(name if ":" in name else f"builtins:{name}")
        case _:
            raise ValueError(f"a fail-point is armed with {' '.join(action)!r}")
