"""A drill that cannot pass must fail: it names the stage that does nothing, and finds what nobody planned."""

from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from clearing import kafka
from clearing.dev.drill import Drill, DrillFailed, run_drill
from clearing.dev.records import Fields, line_of
from clearing.dev.services import supervised
from clearing.dev.setup import in_force, prepare
from clearing.dev.workload import PLAIN
from tests.faults.harness import scheme, settings_of


async def test_a_stage_that_does_not_work_is_named(
    bootstrap: str, fresh_dsn: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings, declared = settings_of(bootstrap, fresh_dsn, topic_prefix, tmp_path), scheme()
    partitions = await prepare(settings, declared, by="test")
    async with supervised(settings, tmp_path / "services", {"intake": 1}) as services:
        await services.ready()
        drill = Drill(
            settings, declared, partitions, services, payments=500, seed=1, mix=PLAIN, stall_s=8
        )
        with pytest.raises(DrillFailed, match=r"published 500, yet to do: intake 0, engine 500"):
            await run_drill(drill)


async def test_a_payment_that_nobody_planned_is_found(
    bootstrap: str, fresh_dsn: str, topic_prefix: str, tmp_path: Path
) -> None:  # R30
    settings, declared = settings_of(bootstrap, fresh_dsn, topic_prefix, tmp_path), scheme()
    partitions = await prepare(settings, declared, by="test")
    counts = {"intake": 1, "engine": 1, "dispatch": 1, "sink": 1}
    async with supervised(settings, tmp_path / "services", counts) as services:
        await services.ready()
        await in_force(settings, partitions)
        drill = Drill(
            settings, declared, partitions, services, payments=2_000, seed=1, mix=PLAIN, blows=()
        )

        async def smuggle() -> None:
            value_date = drill.banks.streams[0].value_dates["HKD"]
            fields = Fields(
                str(uuid4()),
                *("ALPHHKHH", "BETAHKHH", "HKD", "1.00", value_date, "SMUGGLED", "NORM"),
            )
            plain = AIOKafkaProducer(bootstrap_servers=settings.bootstrap)
            async with kafka.started(plain):
                topic = settings.topics.payments("east", "ALPHHKHH")
                await plain.send_and_wait(topic, line_of(fields))

        result = await run_drill(drill, smuggle)
    # The engine has done nothing wrong, and says so. But it is not what the banks have planned.
    assert result.report.ok
    assert not result.ok
    assert "messages accepted, by the outcomes: planned 2000, got 2001" in result.differences
    assert any("value accepted in HKD" in line for line in result.differences)
