"""What fault tests share: a scheme with every way to settle, all services on real servers, a drill over them.

A drill has seeded banks that plan their own right answers (clearing.dev.drill); it ends in `clearing verify`, and
both must agree to the last unit. A test says what goes wrong meanwhile.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncpg

from clearing.config import Settings
from clearing.dev.blows import random_blows
from clearing.dev.drill import Drill, Drilled, run_drill
from clearing.dev.services import Command, Services, service_command, supervised
from clearing.dev.setup import in_force, prepare
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse

SCHEME = b"""
name = "Exactly once"
[netting_sets.east]
[netting_sets.west]
[assets.HKD]
netting_set = "east"
issuer = "HKMA"
ledger = "postgres"
scale = 2
kind = "cash"
every_s = 2
queue = "FIFO"
value_days_ahead = 3
accounts = { prefunded = "20000000", net_debit_cap = "10000000" }
[assets.COIN]
netting_set = "east"
issuer = "Coin Ltd"
ledger = "postgres"
scale = 6
kind = "stablecoin"
model = "GROSS/BILATERAL/DEFERRED"
queue = "BYPASS_FIFO"
value_days_ahead = 3
accounts = { prefunded = "20000000" }
[[pairs]]
delivery = "COIN"
payment = "HKD"
model = 2
[assets.EUR]
netting_set = "west"
issuer = "ECB"
ledger = "postgres"
scale = 2
kind = "cash"
every_s = 3
value_days_ahead = 3
accounts = { net_debit_cap = "10000000" }
[participants.ALPHHKHH]
name = "Alpha"
[participants.BETAHKHH]
name = "Beta"
[participants.GAMMHKHH]
name = "Gamma"
[participants.DELTHKHH]
name = "Delta"
netting_sets = ["west"]
"""


def scheme() -> Scheme:
    made = parse(SCHEME)
    assert isinstance(made, Scheme), made
    return made


async def until(condition: Callable[[], bool], what: str, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        await asyncio.sleep(0.02)


async def soon(ask: Callable[[], Awaitable[object]], what: str, timeout_s: float = 90) -> None:
    """As `until`, of what has to be asked for."""
    deadline = time.monotonic() + timeout_s
    while not await ask():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        await asyncio.sleep(0.01)


async def drilled(
    settings: Settings,
    folder: Path,
    counts: dict[str, int],
    *,
    payments: int,
    rows_per_s: float,
    kills: int = 0,
    seed: int,
    during: Callable[[Drill], Coroutine[Any, Any, None]] | None = None,
    command: Command = service_command,
    proxied: Settings | None = None,
) -> Drilled:
    """Install, run the services and a drill over them. proxied: what the services are told, where banks and
    auditors go another way."""
    declared = scheme()
    partitions = await prepare(settings, declared, by="test")
    told = proxied or settings
    async with supervised(told, folder / "services", counts, command=command) as services:
        await services.ready()
        await in_force(told, partitions)
        drill = Drill(
            settings,
            declared,
            partitions,
            services,
            payments=payments,
            seed=seed,
            rows_per_s=rows_per_s,
            blows=random_blows(kills, payments, seed),
        )
        return await run_drill(drill, None if during is None else lambda: during(drill))


def settings_of(
    bootstrap: str, dsn: str, prefix: str, folder: Path, snapshot_every_s: float = 60
) -> Settings:
    return Settings(
        bootstrap=bootstrap,
        dsn=dsn,
        topic_prefix=prefix,
        snapshots=str(folder / "snapshots"),
        snapshot_every_s=snapshot_every_s,
    )


def sequences_are_whole(drill: Drill) -> bool:
    """Every transaction of every netting set follows on the one before: nobody else wrote in between (F3)."""
    for made in drill.watch.progress.transactions.values():
        numbers = [sequence for sequence, _ in made]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            return False
    return bool(drill.watch.progress.transactions)


def serving(services: Services, pid: int, role: str) -> str:
    """The service whose process that is."""
    return next(name for name in services.of(role) if pid in services[name].pids)


async def sink_of(dsn: str, netting_set: str) -> int:
    """Process id of the sink that owns a netting set, by the ledger itself."""
    connection = await asyncpg.connect(dsn)
    try:
        owner = await connection.fetchval(
            "SELECT owner FROM clearing.progress WHERE netting_set = $1", netting_set
        )
    finally:
        await connection.close()
    return int(owner.rpartition("/")[2])
