"""The main claim: whatever process dies at whatever moment, each payment counts exactly once.

Real Kafka, real PostgreSQL, the services as a user starts them (F1, F3, F15, R28, R29, R30, R31). Named places
have a test of their own (test_fail_points); the long form of this one is `python -m loadtests.kills`.
"""

from pathlib import Path

from tests.faults.conftest import Observe
from tests.faults.harness import drilled, sequences_are_whole, settings_of


async def test_kills_of_random_processes_at_random_moments(
    bootstrap: str,
    fresh_dsn: str,
    topic_prefix: str,
    tmp_path: Path,
    rounds: int,
    observed: Observe,
) -> None:  # F1 F3 F15 R15 R17 R20 R28 R29 R30
    settings = settings_of(bootstrap, fresh_dsn, topic_prefix, tmp_path)
    counts = {"intake": 2, "engine": 2, "dispatch": 1, "sink": 2}
    payments, kills = 10_000 * rounds, 5 * rounds
    result = await drilled(
        settings, tmp_path, counts, payments=payments, rows_per_s=1_500, kills=kills, seed=9
    )
    assert result.ok, str(result)
    assert len(result.drill.kills) == kills
    assert result.drill.banks.told.waited > 0
    assert all(kill.pid and kill.published < payments for kill in result.drill.kills)
    assert len({kill.service.partition("-")[0] for kill in result.drill.kills}) >= 2
    assert result.drill.watch.progress.settled >= 2
    assert sequences_are_whole(result.drill)
    observed(
        "F1",
        "kill -9 of any service at any moment",
        kills,
        "every payment once in topics, inboxes and ledger",
    )
