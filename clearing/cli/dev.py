"""`clearing dev`: the embedded servers, for a machine with nothing installed."""

from pathlib import Path

from cyclopts import App

from clearing.cli.session import Given

app = App(
    name="dev",
    help="""Embedded Kafka and PostgreSQL, real ones, without Docker, Java or root.

    clearing dev up      start both, print their addresses; they run until `dev down`
    clearing dev down    stop them; what they keep stays in the cache folder
""",
)


@app.command
def up(*, cache: Path | None = None, session: Given) -> None:
    """Start Kafka and PostgreSQL and say how to reach them.

    Parameters
    ----------
    cache
        Folder of downloads and data. Default: CLEARING_CACHE, or your cache folder.
    """
    from clearing.dev.up import up as run

    session.run(run(session.settings, cache=cache))


@app.command
def down(*, cache: Path | None = None, session: Given) -> None:
    """Stop what `dev up` started.

    Parameters
    ----------
    cache
        Folder of downloads and data, as given to `dev up`.
    """
    from clearing.dev.up import down as run

    session.run(run(session.settings, cache=cache))
