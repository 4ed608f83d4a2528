"""The console as a service: the board kept up, the web server, and their common end. See clearing.service."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace

import structlog
import uvicorn

from clearing.asof import RECORDS_MOST
from clearing.config import ConfigError, Settings
from clearing.console.access import Front
from clearing.console.accounts import Accounts
from clearing.console.app import shielded
from clearing.console.board import Board
from clearing.console.cluster import Cluster
from clearing.console.copies import Copies
from clearing.console.desk import Desk
from clearing.console.files import read_files
from clearing.console.following import Following

BACKLOG = 128
CONNECTIONS_MOST = 512
STOP_TIMEOUT_S = 5

_log = structlog.get_logger()


class _Server(uvicorn.Server):
    """uvicorn without its own signals: those are the service's (clearing.service)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(
    settings: Settings,
    ready: Callable[[], None],
    *,
    front: Front,
    accounts: Accounts,
    past_records: int = RECORDS_MOST,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until cancelled. Raises ConfigError where the address is taken.

    past_records: log records that are replayed for one look into the past. on_ready: told the address.
    """
    listening = _listen(front)
    front = replace(front, port=listening.getsockname()[1])
    board = Board(settings.topics)
    desk = Desk(
        settings,
        front,
        accounts,
        board,
        Following(settings, board),
        Copies(settings, past_records),
        Cluster(settings),
    )
    config = uvicorn.Config(
        shielded(desk, read_files()),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="none",
        lifespan="on",
        limit_concurrency=CONNECTIONS_MOST,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )
    server = _Server(config)
    following = asyncio.create_task(desk.following.run())
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    tidying = [
        asyncio.create_task(keeping()) for keeping in (desk.copies.keep_tidy, desk.lives.keep_tidy)
    ]
    try:
        await _until_serving(server, serving)
        address = front.public_url or f"http://{_named(front.host)}:{front.port}"
        _log.info("console", address=address, accounts=len(accounts.all()))
        if not accounts.all():
            _log.warning("nobody_can_log_in", next="clearing console user add NAME --role operator")
        ready()
        if on_ready is not None:
            on_ready(address)
        running = (serving, following, *tidying)
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            if task.done():
                task.result()
    finally:
        server.should_exit = True
        for task in tidying:
            task.cancel()
        await desk.stop()
        following.cancel()
        await asyncio.wait([serving, following, *tidying], timeout=2 * STOP_TIMEOUT_S)
        listening.close()


def _listen(front: Front) -> socket.socket:
    family = socket.AF_INET6 if ":" in front.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((front.host, front.port))
    except OSError as error:
        listening.close()
        raise ConfigError(f"--host {front.host} --port {front.port}: {error.strerror}") from error
    listening.listen(BACKLOG)
    return listening


async def _until_serving(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        await asyncio.wait([serving], timeout=0.01)
        if serving.done():
            serving.result()
            raise ConfigError("the web server ended before it began")


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else host
