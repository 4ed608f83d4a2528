"""What happened in one run, line by line: virtual time, who, what; faults are marked. And a hash over all of it.

The hash is over every line of `note`, told to somebody or not: the same seed gives the same one, in any process.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import structlog

from tests.simulation import processes

FAULT = "⚡"
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}")
_UNSAID = ("event", "level", "exc_info")


class Trace:
    """clock: virtual seconds. folder: of the run. tell: takes each line, None if nobody reads.

    halts: what services gave up for.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        folder: Path,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._clock = clock
        self._folder = str(folder)
        self._tell = tell
        self._digest = hashlib.sha256()
        self.halts: list[str] = []
        self.said: Counter[str] = Counter()  # events that services logged

    @property
    def hash(self) -> str:
        return self._digest.hexdigest()

    def note(self, who: str, what: str, mark: str = " ") -> None:
        line = self._line(who, what, mark)
        self._digest.update(line.encode())
        if self._tell is not None:
            self._tell(line)

    def show(self, who: str, what: str, mark: str = " ") -> None:
        """What only a reader of the trace is told: it is no part of the hash."""
        if self._tell is not None:
            self._tell(self._line(who, what, mark))

    def _line(self, who: str, what: str, mark: str) -> str:
        # Where an object lies in memory is no part of the history.
        return f"{self._clock():10.4f} {mark} {who:<12} {_ADDRESS.sub('0x…', what)}"

    def fault(self, who: str, what: str) -> None:
        self.note(who, what, FAULT)

    def configure_logs(self) -> None:
        """Whatever services log from here on is part of the trace. structlog.reset_defaults() ends it."""
        structlog.configure(
            processors=[self._hear],
            wrapper_class=structlog.make_filtering_bound_logger("info"),
            logger_factory=lambda *_: _Nobody(),
            cache_logger_on_first_use=False,
        )

    def _hear(self, _: Any, level: str, event: MutableMapping[str, Any]) -> str:
        process = processes.current()
        who = process.name if process else "outside"
        if process is not None and not process.alive:
            raise structlog.DropEvent  # it is being unwound: nobody ever hears that
        self.said[str(event.get("event"))] += 1
        # The folder's name is no part of the history.
        said = " ".join(f"{k}={v}" for k, v in event.items() if k not in _UNSAID).replace(
            self._folder, ""
        )
        self.note(who, f"{level} {event.get('event')} {said}")
        if event.get("event") == "halted" and level == "critical":
            self.halts.append(f"{who}: {event.get('reason')}")
        raise structlog.DropEvent


class _Nobody:
    """A logger for which every line is dropped before it comes."""

    def msg(self, *_: object) -> None:
        raise AssertionError("the only processor drops every event")

    debug = info = warning = error = critical = msg
