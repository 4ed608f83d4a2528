"""The main claim: whatever process dies or sleeps at whatever moment, each payment counts exactly once.

Real Kafka, real PostgreSQL, the services as a user starts them. Banks publish with a plain producer; the
verification and the banks' own plan must both agree to the last unit (F1, F2, F3, F15, R28, R29, R30, R31).
The long form of the first test is `python -m loadtests.kills`.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncpg

from clearing.config import Settings
from clearing.dev.blows import random_blows
from clearing.dev.drill import Drill, Drilled, run_drill
from clearing.dev.services import Services, supervised
from clearing.dev.setup import prepare
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
SESSION_TIMEOUT_S = 6.0  # of engines and sinks in their groups


def scheme() -> Scheme:
    made = parse(SCHEME)
    assert isinstance(made, Scheme), made
    return made


async def until(condition: Callable[[], bool], what: str, timeout_s: float = 40) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        await asyncio.sleep(0.02)


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
) -> Drilled:
    """Install, run the services and a drill over them."""
    declared = scheme()
    partitions = await prepare(settings, declared, by="test")
    async with supervised(settings, folder / "services", counts) as services:
        await services.ready()
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


def settings_of(bootstrap: str, dsn: str, prefix: str, folder: Path) -> Settings:
    return Settings(
        bootstrap=bootstrap,
        dsn=dsn,
        topic_prefix=prefix,
        snapshots=str(folder / "snapshots"),
    )


def sequences_are_whole(drill: Drill) -> bool:
    """Every transaction of every netting set follows on the one before: nobody else wrote in between (F3)."""
    for made in drill.watch.progress.transactions.values():
        numbers = [sequence for sequence, _ in made]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            return False
    return bool(drill.watch.progress.transactions)


async def test_kills_of_random_processes_at_random_moments(
    bootstrap: str, fresh_dsn: str, topic_prefix: str, tmp_path: Path
) -> None:  # F1 F3 F15 R15 R17 R20 R28 R29 R30
    settings = settings_of(bootstrap, fresh_dsn, topic_prefix, tmp_path)
    counts = {"intake": 2, "engine": 2, "dispatch": 1, "sink": 2}
    result = await drilled(
        settings, tmp_path, counts, payments=30_000, rows_per_s=2_500, kills=7, seed=3
    )
    assert result.ok, result
    assert len(result.drill.kills) == 7
    assert result.drill.banks.told.waited > 100
    assert result.drill.watch.progress.releases
    assert all(kill.pid and kill.published < 30_000 for kill in result.drill.kills)
    assert len({kill.service.partition("-")[0] for kill in result.drill.kills}) >= 3
    assert result.drill.watch.progress.settled >= 4
    assert sequences_are_whole(result.drill)


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


async def test_a_second_engine_waits_and_takes_over_and_nothing_doubles(
    bootstrap: str, fresh_dsn: str, topic_prefix: str, tmp_path: Path
) -> None:  # F1 F3 R30
    settings = settings_of(bootstrap, fresh_dsn, topic_prefix, tmp_path)

    async def kill_the_one_that_serves(drill: Drill) -> None:
        progress, east = drill.watch.progress, drill.partitions["east"]
        await until(lambda: progress.engine(east) != 0, "an engine to serve")
        first = progress.engine(east)
        drill.services.kill(serving(drill.services, first, "engine"))
        await until(lambda: progress.engine(east) != first, "another engine to take over")

    result = await drilled(
        settings,
        tmp_path,
        {"intake": 1, "engine": 2, "dispatch": 1, "sink": 1},
        payments=12_000,
        rows_per_s=1_500,
        seed=11,
        during=kill_the_one_that_serves,
    )
    assert result.ok, result
    assert sequences_are_whole(result.drill)


async def test_processes_that_slept_past_their_session_write_nothing_more(
    bootstrap: str, fresh_dsn: str, topic_prefix: str, tmp_path: Path
) -> None:  # F2 R31
    settings = settings_of(bootstrap, fresh_dsn, topic_prefix, tmp_path)
    zombies: dict[str, int] = {}

    async def put_to_sleep(drill: Drill) -> None:
        services, progress, east = drill.services, drill.watch.progress, drill.partitions["east"]
        await until(lambda: progress.engine(east) != 0 and progress.settled > 0, "work to begin")
        sleeping = {
            "engine": progress.engine(east),
            "sink": await sink_of(settings.dsn, "east"),
        }
        names = {role: serving(services, pid, role) for role, pid in sleeping.items()}
        for name in names.values():
            services.pause(name)
        await until(lambda: progress.engine(east) != sleeping["engine"], "another engine to serve")
        before = progress.settled
        await until(lambda: progress.settled > before, "another sink to settle")
        assert await sink_of(settings.dsn, "east") != sleeping["sink"]
        for name in names.values():
            services.resume(name)
        zombies.update(sleeping)

    result = await drilled(
        settings,
        tmp_path,
        {"intake": 1, "engine": 2, "dispatch": 1, "sink": 2},
        payments=20_000,
        rows_per_s=1_000,
        seed=5,
        during=put_to_sleep,
    )
    assert result.ok, result
    assert zombies.keys() == {"engine", "sink"}
    assert sequences_are_whole(result.drill)
    # They were resumed in the middle of the work, and are alive: what they did about it was nothing.
    assert all(result.drill.services[name].restarts == 0 for name in result.drill.services.names)
