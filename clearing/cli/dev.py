"""`clearing dev`: the embedded servers, for a machine with nothing installed. See clearing.dev.up."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from clearing.cli.session import Given
from clearing.failures import ExitCode

app = App(
    name="dev",
    help="""Embedded Kafka and PostgreSQL, real ones, without Docker, Java or root.

One pair for each cache folder:

    clearing dev up                        start both; they run until Ctrl-C
    clearing dev up --detach               the same in the background
    clearing dev up --scheme scheme.toml   load a scheme and run the services too
    clearing dev status                    what runs, and how to reach it
    clearing dev down                      stop it; the data stays in the cache folder
""",
)

Folder = Annotated[
    Path | None,
    Parameter(
        help="Folder of this pair of servers: another folder, another pair. Default: dev in the cache folder."
    ),
]
Flag = Annotated[bool, Parameter(negative="")]


@app.command
def up(
    *,
    scheme: Path | None = None,
    fresh: Flag = False,
    detach: Flag = False,
    folder: Folder = None,
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
    from clearing.dev import up as servers

    where = folder or servers.default_folder()
    if not detach:
        session.run(servers.up(session.note, where, scheme=scheme, fresh=fresh))
        return
    state = session.run(servers.up_detached(session.note, where, scheme=scheme, fresh=fresh))
    session.show(state, lambda _: "\n".join(servers.introduction(state)))


@app.command
def status(*, folder: Folder = None, session: Given) -> ExitCode:
    """Say what runs and how to reach it. Exit code 1 if nothing does."""
    from clearing.dev import up as servers

    state = servers.running(folder or servers.default_folder())
    if state is None:
        session.show(None, lambda _: "nothing runs; start it with `clearing dev up`")
        return ExitCode.FAILED
    session.show(state, lambda _: "\n".join(servers.introduction(state)))
    return ExitCode.OK


@app.command
def down(*, folder: Folder = None, session: Given) -> None:
    """Stop what `clearing dev up` started. The data stays."""
    from clearing.dev import up as servers

    stopped = session.run(servers.down(session.note, folder or servers.default_folder()))
    session.note("stopped" if stopped else "nothing runs")
