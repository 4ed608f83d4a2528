"""Services that are not as they should be, all at once: clocks, versions, groups, and what was read already.

One drill: every wall clock jumps a day forth and back, two intakes of different groups read the same sources, one
of them begins at offset 0 again, and an engine of another version takes over. Each payment counts once.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError

from clearing import __version__, kafka
from clearing.dev.drill import Drill
from clearing.log import payments
from clearing.log.records import TRANSACTION_KEY, Transaction, decode_transaction
from tests.faults.altered import DAY_S, JUMP_EVERY_S, NEWER_VERSION
from tests.faults.conftest import Observe
from tests.faults.harness import drilled, settings_of, soon, until

ALTERED = {
    "intake-1": ["clock"],
    "intake-2": ["clock", "apart"],
    "engine-1": ["clock"],
    "engine-2": ["clock", "newer"],
    "dispatch-1": ["clock"],
    "sink-1": ["clock"],
}


def altered(role: str) -> list[str]:
    script = str(Path(__file__).with_name("altered.py"))
    return [sys.executable, script, json.dumps(ALTERED), role]


@asynccontextmanager
async def intake_group(drill: Drill) -> AsyncIterator[AIOKafkaConsumer]:
    """The group of the first intake, with all sources."""
    settings = drill.settings
    names = [settings.topics.payments(s.netting_set, s.bank) for s in drill.banks.streams]
    async with kafka.started(
        kafka.consumer(settings.bootstrap, group=settings.topics.group("intake"))
    ) as group:
        group.assign([TopicPartition(name, 0) for name in names])
        yield group


async def begun(group: AIOKafkaConsumer) -> list[TopicPartition]:
    """Sources of which the group has read something."""
    committed = await kafka.committed(group, group.assignment())
    return sorted(source for source, (offset, _) in committed.items() if offset)


async def has_begun(drill: Drill) -> None:
    async with intake_group(drill) as group:
        await soon(lambda: begun(group), "the first intake to have read something")


async def set_back(drill: Drill) -> None:
    """The group of the first intake, which is stopped, begins at offset 0 again; the second one goes on."""
    async with intake_group(drill) as group:
        sources = await begun(group)
        assert sources

        async def done() -> bool:
            try:
                await group.commit(dict.fromkeys(sources, 0))
            except CommitFailedError:  # its member is not forgotten yet
                return False
            return True

        await soon(done, "the group to have no member")


async def another_version_takes_over(drill: Drill) -> dict[str, object]:
    """It is assigned a netting set whose windows are open, and leaves it alone. What it says."""
    services, progress = drill.services, drill.watch.progress
    services.start("engine-2")
    await until(
        lambda: services["engine-2"].says("halted") is not None, "the other version to halt"
    )
    said = services["engine-2"].says("halted")
    assert said is not None
    stands, goes_on = str(said["netting_set"]), {"east": "west", "west": "east"}
    others = progress.transactions[drill.partitions[goes_on[stands]]]
    count = len(others)
    await until(lambda: len(others) > count, "the other netting set to go on")
    await services.stop("engine-2")
    mine = progress.transactions[drill.partitions[stands]]
    count = len(mine)
    await until(lambda: len(mine) > count, "the first version to go on")
    return said


async def transactions(drill: Drill) -> dict[str, list[Transaction]]:
    """All that engines have committed, by netting set."""
    journal = drill.settings.topics.journal
    return {
        name: [
            decode_transaction(record.value or b"")
            for record in await read(drill, TopicPartition(journal, number))
            if record.key == TRANSACTION_KEY
        ]
        for name, number in drill.partitions.items()
    }


async def read(drill: Drill, partition: TopicPartition) -> list[kafka.RawRecord]:
    async with kafka.started(kafka.consumer(drill.settings.bootstrap)) as reader:
        reader.assign([partition])
        return [record async for record in kafka.read_to_end(reader, partition)]


async def test_clocks_versions_and_overlapping_readers_change_nothing(
    bootstrap: str,
    fresh_dsn: str,
    topic_prefix: str,
    tmp_path: Path,
    rounds: int,
    observed: Observe,
) -> None:  # F12 F15 F17 R4 R28 R29 R30
    settings = settings_of(bootstrap, fresh_dsn, topic_prefix, tmp_path)
    halts: list[dict[str, object]] = []

    async def trouble(drill: Drill) -> None:
        await until(lambda: drill.watch.progress.settled > 1, "work to begin")
        for _ in range(rounds):
            await has_begun(drill)
            await drill.services.stop("intake-1")
            halts.append(await another_version_takes_over(drill))
            await set_back(drill)
            drill.services.start("intake-1")
            await drill.services.ready("intake-1")
        drill.banks.finish()

    result = await drilled(
        settings,
        tmp_path,
        {"intake": 2, "engine": 1, "dispatch": 1, "sink": 1},
        payments=60_000 * rounds,
        rows_per_s=500,
        seed=12,
        during=trouble,
        command=altered,
    )
    assert result.ok, str(result)

    for said in halts:
        assert f"version {__version__} of the engine wrote it" in str(said["reason"])
        assert f"this is version {NEWER_VERSION}" in str(said["reason"])
    for made in (await transactions(result.drill)).values():
        assert {each.engine for each in made} == {__version__}
        times = [each.time_ms for each in made]
        assert times == sorted(times)
    logged = 0
    for number in result.drill.partitions.values():
        log = await read(result.drill, TopicPartition(settings.topics.log, number))
        logged += sum(
            payments.open_batch(r.value or b"").batch.num_rows for r in log if r.key == payments.KEY
        )
        assert log[-1].timestamp - log[0].timestamp < DAY_S * 1000 / 2  # the broker's, no service's
    assert logged > 1.5 * result.drill.published

    again = logged - result.drill.published
    jumps = f"clocks of all services jump by a day, forth and back, every {JUMP_EVERY_S} s"
    observed("F12", jumps, rounds, "same batches; engine time rose; no window early or twice")
    observed(
        "F15",
        "two intakes of different groups read the same sources",
        rounds,
        f"{again} rows read again, dropped",
    )
    observed(
        "F15",
        "offsets of the intake group set back to 0 under load",
        rounds,
        "dropped as already read",
    )
    observed(
        "F17",
        "an engine of another version is assigned open windows",
        rounds,
        "halted, naming both versions; nothing decided by it",
    )
