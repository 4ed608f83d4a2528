"""What every command is given: settings, where to print, and how to run something asynchronous.

Data goes to stdout (tables for people, JSON with --json), everything said about it to stderr, so that
`clearing … --json | jq` always works.
"""

import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from clearing.config import Settings

PIPE_COLUMNS = 160

T = TypeVar("T")


@dataclass(frozen=True)
class SessionOptions:
    """The global options as they were given; None: not given."""

    bootstrap: str | None = None
    dsn: str | None = None
    prefix: str | None = None
    config: Path | None = None
    json: bool = False
    debug: bool = False


@dataclass(frozen=True)
class Progress:
    """`tell`: say how far it is."""

    tell: Callable[[str], None]


class Session:
    """One invocation of the command line."""

    def __init__(self, options: SessionOptions) -> None:
        self.options = options

    @property
    def json(self) -> bool:
        return self.options.json

    @cached_property
    def settings(self) -> "Settings":
        """Defaults < TOML file < environment < flags. Raises ConfigError."""
        return self.settings_with()

    def settings_with(self, **flags: object) -> "Settings":
        """The settings with more flags of a command's own on top; from now on Kafka is reached as they say."""
        from clearing import security

        found = self.read_settings(**flags)
        security.use(found)
        return found

    def read_settings(self, **flags: object) -> "Settings":
        """The same, whether or not Kafka can be reached so."""
        from clearing import config

        given = self.options
        return config.load(
            given.config,
            bootstrap=given.bootstrap,
            dsn=given.dsn,
            topic_prefix=given.prefix,
            **flags,
        )

    @cached_property
    def out(self) -> "Console":
        """Standard output. Into a pipe or a file tables are as wide as they like, not 80 columns."""
        from rich.console import Console

        wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS
        return Console(width=wide)

    @cached_property
    def notes(self) -> "Console":
        from rich.console import Console

        return Console(stderr=True)

    def note(self, text: str) -> None:
        """Say something about what goes on, to stderr."""
        self.notes.print(text, highlight=False, soft_wrap=True)

    def show(self, data: object, render: Callable[[Any], "RenderableType"] | None = None) -> None:
        """Print data: as one JSON document with --json, else as `render` makes it for people."""
        if self.json or render is None:
            self.line(data)
        else:
            found = render(data)
            if isinstance(found, str):  # to be copied: not wrapped, no markup
                self.out.print(found, highlight=False, markup=False, soft_wrap=True)
            else:
                self.out.print(found)

    def line(self, data: object) -> None:
        """Print data as one line of JSON, at once (a reader may be at the other end of a pipe)."""
        import msgspec

        sys.stdout.write(msgspec.json.encode(data).decode() + "\n")
        sys.stdout.flush()

    @contextmanager
    def progress(self, title: str) -> "Iterator[Progress]":
        """A line on stderr that tells how far it is; silent where nobody watches."""
        with self.notes.status(title) as status:
            yield Progress(lambda text: status.update(f"{title}: {text}"))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run asynchronous work to its end; Ctrl-C cancels it and lets it clean up."""
        import logging

        import structlog
        import uvloop

        from clearing import kafka

        # What a client library complains about is told once, by the error that ends the command.
        level = logging.DEBUG if self.options.debug else logging.CRITICAL
        logging.basicConfig(level=level)
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                # Without the values of variables, among which secrets are.
                structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )
        kafka.tune_client()
        return uvloop.run(work)


# Type of a command's session parameter: handed in by the launcher, never read from the command line.
Given = Annotated[Session, Parameter(parse=False)]
