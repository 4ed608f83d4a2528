"""Arms the fail-points of service processes (clearing.failpoints), and tells which of them were hit.

Used by fault tests and drills; a point that was armed and never hit is for them to complain of.
"""

import glob
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from clearing.failpoints import FOLDER

ANY = "*"  # whoever comes by first
# Role → its points in the order of its path. The engine's `replaying` comes by once a log record, `writing` once
# a part of the file.
POINTS: Mapping[str, Sequence[str]] = {
    "intake": (
        "intake.read",
        "intake.packed",
        "intake.sent",
        "intake.acknowledged",
        "intake.committing",
        "intake.committed",
    ),
    "engine": (
        "engine.fencing",
        "engine.fenced",
        "engine.recover.journal_read",
        "engine.recover.snapshot_loaded",
        "engine.recover.replaying",
        "engine.recover.replayed",
        "engine.read",
        "engine.applied",
        "transact.begun",
        "transact.sent",
        "transact.acknowledged",
        "transact.committed",
        "engine.snapshot.writing",
        "engine.snapshot.written",
        "engine.snapshot.renamed",
    ),
    "dispatch": (
        "dispatch.read",
        "dispatch.sent",
        "dispatch.acknowledged",
        "dispatch.committing",
        "dispatch.committed",
    ),
    "sink": (
        "sink.owned",
        "sink.read",
        "sink.posting",
        "sink.committing",
        "sink.posted",
        "sink.confirmation.sent",
        "sink.confirmation.acknowledged",
        "sink.confirmation.remembered",
    ),
}


class Points:
    """The folder in which points are armed; services started with `command` look into it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def command(self, role: str) -> list[str]:
        """Program and arguments of a service that knows this folder, for `supervised`."""
        return ["/usr/bin/env", f"{FOLDER}={self.folder}", sys.executable, "-m", "clearing", role]

    def arm(self, point: str, action: str = "kill", who: str = ANY) -> None:
        """Once, whoever of `who` (a service's name) comes by next; `action` as clearing.failpoints says."""
        part = self.folder / f".{who}.{point}"  # appears with its content or not at all
        part.write_text(action, "ascii")
        part.rename(self.folder / f"{who}.{point}")

    def armed(self, point: str, who: str = ANY) -> bool:
        """Whether it is still to be hit."""
        return (self.folder / f"{who}.{point}").exists()

    def disarm(self, point: str, who: str = ANY) -> bool:
        """Take it back; whether it was still to be hit."""
        try:
            (self.folder / f"{who}.{point}").unlink()
        except FileNotFoundError:
            return False
        return True

    def hits(self, point: str, who: str = ANY) -> set[int]:
        """Process ids of those that it has happened to."""
        return {int(path.name.rpartition("-")[2]) for path in self._hits(point, who)}

    def forget(self, point: str, who: str = ANY) -> None:
        """Those that it has happened to: one that was only stopped may come by again."""
        for hit in self._hits(point, who):
            hit.unlink()

    def _hits(self, point: str, who: str) -> list[Path]:
        return list(self.folder.glob(f"{glob.escape(f'{who}.{point}')}.hit-*"))
