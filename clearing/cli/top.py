"""`clearing top`: what the console shows, in a terminal: the answer first, then one page at a time."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from clearing.top.app import Top

ONCE_MOST = 10_000  # rows

Page = Literal[
    "overview",
    "windows",
    "positions",
    "queues",
    "rejected",
    "services",
    "halts",
    "batches",
    "participants",
    "audit",
]


def top(
    page: Page = "overview",
    *,
    once: Annotated[bool, Parameter(negative="")] = False,
    filter_: Annotated[str, Parameter(name="--filter")] = "",
    netting_set: str = "",
    interval_s: Annotated[float, Parameter(name="--interval-s")] = 1.0,
    session: Given,
) -> None:
    """Show what the console shows, in this terminal: will we make the cut-off, and what stands behind the answer.

    Overview, windows, positions against caps, queues, rejected, services, halts. `?` tells the keys, `q` quits.
    It looks and never acts. Windows, lag and rejected are folded by `clearing views`.

        clearing top
        clearing top positions --filter BANKBBBB
        clearing top windows --once
        clearing top --once --json | jq -r .headline.verdict

    Parameters
    ----------
    page
        The page to begin with.
    once
        Print that page once, as text, and end; with --json as one document.
    filter_
        Only rows in which this stands.
    netting_set
        Only this netting set.
    interval_s
        Seconds between two looks.
    """
    if once or session.json:
        session.run(_once(session, page, filter_, netting_set))
        return
    if not session.out.is_terminal:
        raise Failure("this is no terminal", "clearing top --once", ExitCode.USAGE)
    session.run(_screen(session, page, filter_, netting_set, interval_s))


async def _once(session: Session, page: str, needle: str, netting_set: str) -> None:
    from clearing.top.look import look, look_text
    from clearing.top.source import live, reach

    await reach(session.settings)
    async with live(session.settings, netting_set) as (source, reading):
        caught_up = asyncio.create_task(source.caught_up())
        try:
            await asyncio.wait([caught_up, reading], return_when=asyncio.FIRST_COMPLETED)
            await (caught_up if caught_up.done() else reading)
        finally:
            caught_up.cancel()
        session.show(look(source.scene(), page, needle, most=ONCE_MOST), look_text)


async def _screen(
    session: Session, page: str, needle: str, netting_set: str, interval_s: float
) -> None:
    from clearing.top.app import Top
    from clearing.top.source import live

    async with live(session.settings, netting_set) as (source, reading):
        app = Top(source, page=page, needle=needle, interval_s=max(0.1, interval_s))

        def leave(_: "asyncio.Task[None]") -> None:
            app.exit()

        reading.add_done_callback(leave)
        await _shown(app)
        reading.remove_done_callback(leave)
        if reading.done():
            reading.result()


async def _shown(app: "Top") -> None:
    """Until somebody quits; asked to end, it gives the terminal back as it was."""
    import signal

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, app.exit)
    try:
        await app.run_async()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
