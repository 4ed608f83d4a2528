"""`clearing status`: services, windows, positions against caps, what waits, lag; once, or again and again."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from clearing.cli.session import Given, Session


def status(
    *,
    watch: bool = False,
    interval_s: Annotated[float, Parameter(name="--interval-s")] = 1.0,
    session: Given,
) -> None:
    """Show services, windows with time to cut-off, positions against caps, what waits and why, and the lag of all.

    Lag is told in records and in seconds: the age of the oldest record that is not processed yet; "–" if it is
    unknown.

        clearing status
        clearing status --watch
        clearing status --json | jq '.lags[] | select(.lag_records > 0)'

    Parameters
    ----------
    watch
        Look again and again, until Ctrl-C. With --json: one document a line.
    interval_s
        Seconds between two looks.
    """
    session.run(_watch(session, interval_s) if watch else _once(session))


async def _once(session: Session) -> None:
    from clearing.cli.status_tables import tables
    from clearing.observe import collect

    session.show(await collect(session.settings), tables)


async def _watch(session: Session, interval_s: float) -> None:
    from rich.live import Live

    from clearing.cli.status_tables import tables
    from clearing.observe import observer

    async with observer(session.settings) as one:
        if session.json:
            while True:
                session.line(await one.collect())
                await asyncio.sleep(interval_s)
        with Live(console=session.out, auto_refresh=False, screen=session.out.is_terminal) as live:
            while True:
                live.update(tables(await one.collect()), refresh=True)
                await asyncio.sleep(interval_s)
