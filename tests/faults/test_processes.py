"""The main claim: whatever process dies or sleeps at whatever moment, each payment counts exactly once.

Real Kafka, real PostgreSQL, the services as a user starts them (F1, F2, F3, F15, R28, R29, R30, R31).
The long form of the first test is `python -m loadtests.kills`.
"""

from pathlib import Path

from clearing.dev.drill import Drill
from tests.faults.harness import drilled, sequences_are_whole, serving, settings_of, sink_of, until


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
