"""Verification: what the banks were told (R23, R41)."""

from clearing.messages import FinalRecord, StatusRecord
from tests.verify.forge import STATUSES, change_status, failed, replace
from tests.verify.world import START_MS, World


async def test_a_status_that_was_not_told(world: World) -> None:  # R41
    change_status(world, "ALPHA", StatusRecord, lambda m: replace(m, statuses=m.statuses[1:]))
    assert failed(await world.verify()) == {STATUSES}


async def test_a_receipt_that_was_not_told(world: World) -> None:  # R41
    change_status(world, "ALPHA", StatusRecord, lambda m: replace(m, receipts=m.receipts[1:]))
    assert failed(await world.verify()) == {STATUSES}


async def test_a_status_told_with_another_amount(world: World) -> None:  # R41
    def change(message: StatusRecord) -> StatusRecord:
        place = next(i for i, s in enumerate(message.statuses) if s.status == "ACSP")
        statuses = list(message.statuses)
        statuses[place] = replace(statuses[place], amount="123")
        return replace(message, statuses=statuses)

    change_status(world, "ALPHA", StatusRecord, change)
    assert failed(await world.verify()) == {STATUSES}


async def test_a_final_notice_of_another_batch(world: World) -> None:  # R23
    change_status(world, "ALPHA", FinalRecord, lambda m: replace(m, hash="00" * 32))
    assert failed(await world.verify()) == {STATUSES}


async def test_a_status_told_twice_is_dropped_by_its_place(world: World) -> None:
    """Dispatch is at least once: the sequence tells a reader what it has seen."""
    topic = world.topics.status("ALPHA")
    last = world.records(topic)[-1]
    world.add(topic, last.key, last.value, START_MS)
    report = await world.verify()
    assert report.ok
    statuses = next(check for check in report.checks if check.name == STATUSES)
    assert "1 records stood there twice" in statuses.compared


async def test_a_bank_that_was_not_told_the_end_is_behind(world: World) -> None:
    world.records(world.topics.status("BRAVO")).pop()
    report = await world.verify()
    statuses = next(check for check in report.checks if check.name == STATUSES)
    assert statuses.verdict == "behind"
    assert statuses.pending == ["dispatch is behind for 1 of 3 banks"]


async def test_a_bank_without_a_status_topic(world: World) -> None:
    for partitions in (world.partitions, world.ends):
        for partition in list(partitions):
            if partition.topic == world.topics.status("BRAVO"):
                del partitions[partition]
    assert failed(await world.verify()) == {STATUSES}
