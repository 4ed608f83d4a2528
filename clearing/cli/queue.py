"""`clearing queue`: what waits, account by account in order, and why: once, or again and again."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from clearing.explain.queues import QueueReport
    from clearing.live import Follower


def queue(
    *,
    asset: str = "",
    netting_set: str | None = None,
    log: Annotated[Path | None, Parameter(name="--log")] = None,
    watch: bool = False,
    interval_s: Annotated[float, Parameter(name="--interval-s")] = 1.0,
    session: Given,
) -> None:
    """Show what waits: each account's payments in the order in which they may leave, since when, and what binds.

    And why nothing leaves: who waits for whom, circles of banks that wait for one another, the least liquidity
    that would free something, and what everybody lacks for everything to leave (R16).

    Rebuilds the state beside the engine: from the newest snapshot in the folder of snapshots (see `clearing config
    show`), else from the log's first record. Changes nothing.

        clearing queue
        clearing queue --asset HKD --watch
        clearing queue --json | jq '.deadlock.free_any'

    Parameters
    ----------
    asset
        Only what waits in this asset.
    netting_set
        Only this netting set. Default: that of the asset, else all. With --json a line each.
    log
        A log saved by `clearing replay --dump` or `simulate --log-out`, as it ends, instead of Kafka's.
    watch
        Look again and again, until Ctrl-C.
    interval_s
        Seconds between two looks.
    """
    from clearing.cli.live_states import saved_state
    from clearing.explain.queues import queue_report

    if log is not None and watch:
        raise Failure("a saved log does not grow", "clearing queue --watch", ExitCode.USAGE)
    if log is not None:
        with session.progress("reading") as progress:
            reports = [queue_report(saved_state(log, netting_set, asset, progress.tell), asset)]
        _show(session, reports)
    else:
        session.run(_look(session, netting_set, asset, interval_s if watch else None))


async def _look(
    session: Session, netting_set: str | None, asset: str, interval_s: float | None
) -> None:
    """interval_s: None: once."""
    from clearing.cli.live_states import followers

    async with AsyncExitStack() as stack:
        with session.progress("reading") as progress:
            found = await stack.enter_async_context(
                followers(session, netting_set, asset, progress.tell)
            )
            reports = await _reports(found, asset)
        if interval_s is None or session.json:
            _show(session, reports)
        if interval_s is not None:
            await _watch(session, found, asset, interval_s, reports)


async def _watch(
    session: Session,
    found: "list[Follower]",
    asset: str,
    interval_s: float,
    reports: "list[QueueReport]",
) -> None:
    """Until Ctrl-C."""
    from rich.live import Live

    from clearing.cli.queue_tables import tables

    while session.json:
        await asyncio.sleep(interval_s)
        _show(session, await _reports(found, asset))
    screen = session.out.is_terminal
    with Live(console=session.out, auto_refresh=False, screen=screen) as shown:
        while True:
            shown.update(tables(reports), refresh=True)
            await asyncio.sleep(interval_s)
            reports = await _reports(found, asset)


async def _reports(found: "list[Follower]", asset: str) -> "list[QueueReport]":
    from clearing.explain.queues import queue_report

    reports: list[QueueReport] = []
    for one in found:
        live = await one.refresh()
        await one.look_up_entered(live)
        reports.append(queue_report(live, asset))
    return reports


def _show(session: Session, reports: "list[QueueReport]") -> None:
    from clearing.cli.queue_tables import tables

    if session.json:
        for report in reports:
            session.line(report)
    else:
        session.out.print(tables(reports))
