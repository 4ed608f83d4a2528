"""The directory: who asks early waits; a netting set that moves ends the process rather than split its log."""

import asyncio

import pytest

from clearing.core.faults import Halt
from clearing.intake.directory import Directory
from clearing.messages import DirectoryEntry
from clearing.names import Topics


def entry(netting_set: str, partition: int) -> DirectoryEntry:
    return DirectoryEntry(netting_set=netting_set, partition=partition)


async def test_who_asks_early_waits() -> None:
    directory = Directory("", Topics())
    directory._learn(entry("hk", 0))
    assert await directory.partition_of("hk") == 0
    early = [
        asyncio.create_task(directory.partition_of("us")),
        asyncio.create_task(directory.name_of(1)),
    ]
    await asyncio.sleep(0)
    assert directory.waiting == 2
    directory._learn(entry("eu", 2))
    await asyncio.sleep(0)
    assert not any(task.done() for task in early)
    directory._learn(entry("us", 1))
    assert await asyncio.wait_for(asyncio.gather(*early), 10) == [1, "us"]
    assert directory.waiting == 0


async def test_who_gives_up_waiting_is_not_counted() -> None:
    directory = Directory("", Topics())
    early = asyncio.create_task(directory.partition_of("us"))
    await asyncio.sleep(0)
    early.cancel()
    await asyncio.gather(early, return_exceptions=True)
    assert directory.waiting == 0


@pytest.mark.parametrize("second", [entry("hk", 1), entry("us", 0)])
async def test_a_directory_that_contradicts_itself_is_an_error(second: DirectoryEntry) -> None:
    """The same payments in two partitions of the log would be cleared twice."""
    directory = Directory("", Topics())
    directory._learn(entry("hk", 0))
    directory._learn(entry("hk", 0))  # said again
    with pytest.raises(Halt, match="hk"):
        directory._learn(second)
    assert await directory.partition_of("hk") == 0
