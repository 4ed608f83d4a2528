"""`clearing dev`: the embedded servers, for a machine with nothing installed. See clearing.dev.up."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from clearing.cli.session import Given
from clearing.failures import ExitCode

app = App(
    name="dev",
    help="""Embedded Kafka and PostgreSQL, real ones, without Docker, Java or root.

    clearing dev up                        start both; they run until Ctrl-C
    clearing dev up --detach               the same in the background
    clearing dev up --scheme scheme.toml   load a scheme and run the services too
    clearing dev status                    what runs, and how to reach it
    clearing dev down                      stop it; the data stays in the cache folder
""",
)

Cache = Annotated[
    Path | None,
    Parameter(help="Folder of downloads and data. Default: CLEARING_CACHE, or your cache folder."),
]
Flag = Annotated[bool, Parameter(negative="")]


@app.command
def up(
    *,
    scheme: Path | None = None,
    fresh: Flag = False,
    detach: Flag = False,
    cache: Cache = None,
    session: Given,
) -> None:
    """Start Kafka and PostgreSQL and say how to reach them.

    Parameters
    ----------
    scheme
        Load this scheme, and run intake, engine, dispatch and sink too.
    fresh
        Begin with empty servers.
    detach
        Return when they are up; they go on in the background until `clearing dev down`.
    """
    _use(cache)
    from clearing.dev import up as servers

    if not detach:
        session.run(servers.up(session.note, scheme=scheme, fresh=fresh))
        return
    arguments = ["--scheme", str(scheme)] if scheme else []
    arguments += ["--fresh"] if fresh else []
    state = session.run(servers.up_detached(session.note, arguments))
    session.show(state, lambda _: "\n".join(servers.introduction(state)))


@app.command
def status(*, cache: Cache = None, session: Given) -> ExitCode:
    """Say what runs and how to reach it. Exit code 1 if nothing does."""
    _use(cache)
    from clearing.dev import up as servers

    state = servers.running()
    if state is None:
        session.show(None, lambda _: "nothing runs; start it with `clearing dev up`")
        return ExitCode.FAILED
    session.show(state, lambda _: "\n".join(servers.introduction(state)))
    return ExitCode.OK


@app.command
def down(*, cache: Cache = None, session: Given) -> None:
    """Stop what `clearing dev up` started. The data stays."""
    _use(cache)
    from clearing.dev import up as servers

    stopped = session.run(servers.down(session.note))
    session.note("stopped" if stopped else "nothing runs")


def _use(cache: Path | None) -> None:
    """The cache folder is asked for in many places, by the environment."""
    if cache is not None:
        os.environ["CLEARING_CACHE"] = str(cache.absolute())
