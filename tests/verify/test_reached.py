"""A verification of an installation at work begins when the engine is where the log ended (R30)."""

import time

import msgspec
import pytest

from clearing.log.records import TRANSACTION_KEY, decode_transaction
from clearing.verify import reached
from tests.verify.world import ListReader, World


def _hold_back(world: World) -> bytes:
    """Take the last transaction's word that the log is processed back; the record as it was."""
    place = max(n for n, r in enumerate(world.records("journal")) if r.key == TRANSACTION_KEY)
    whole = world.records("journal")[place].value or b""
    last = decode_transaction(whole)
    earlier = msgspec.structs.replace(last, next_offset=last.next_offset - 1)
    world.replace("journal", place, value=msgspec.json.encode(earlier))
    return whole


async def test_it_begins_when_the_engine_has_come_so_far(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, looks = _hold_back(world), 0

    async def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            world.replace("journal", -1, value=whole)

    monkeypatch.setattr(reached.asyncio, "sleep", sleep)
    await reached.until_reached(ListReader(world), world.topics, 0, 60)
    assert looks == 3


async def test_it_waits_no_longer_than_it_may(world: World) -> None:
    _hold_back(world)
    began = time.monotonic()
    await reached.until_reached(ListReader(world), world.topics, 0, 0.2)
    assert time.monotonic() - began >= 0.2


async def test_a_journal_that_cannot_be_read_is_not_waited_for(world: World) -> None:
    _hold_back(world)
    world.replace("journal", -1, value=b"{")
    await reached.until_reached(ListReader(world), world.topics, 0, 60)
    assert world.records("journal")[-1].value == b"{"
