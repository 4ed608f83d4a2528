"""What a process says of itself; and that saying it is never in the way of the service."""

import asyncio
import time
from contextlib import suppress

import pytest

from clearing import kafka
from clearing.config import Settings
from clearing.heartbeats import Vitals, beat, beating
from clearing.messages_views import Heartbeat, decode_heartbeat, heartbeat_key
from clearing.names import Topics
from clearing.observe.views import Latest
from clearing.reading import partitions
from clearing.topics.cluster import apply_plan

BOUND_S = 60.0


def said(vitals: Vitals, instance: str = "engine-1") -> Heartbeat:
    return beat("engine", Settings(instance=instance), 1_000, vitals)


def test_a_process_is_starting_ready_halted_stopping() -> None:
    vitals = Vitals()
    assert said(vitals).state == "starting"
    vitals.is_ready = True
    assert said(vitals).state == "ready"
    vitals.stands_still("hk")
    vitals.stands_still("eu")
    vitals.goes_on("hk")
    assert said(vitals).state == "halted"
    vitals.goes_on("eu")
    assert said(vitals).state == "ready"
    vitals.is_stopping = True
    assert said(vitals).state == "stopping"


def test_it_says_what_it_serves_since_when_and_how_far() -> None:
    vitals = Vitals()
    vitals.serves("hk", epoch=7, next_offset=40)
    since_ms = said(vitals).netting_sets["hk"].owned_since_ms
    vitals.reached("hk", 41)
    vitals.reached("eu", 5)  # served without fencing
    served = said(vitals).netting_sets
    assert (served["hk"].epoch, served["hk"].next_offset) == (7, 41)
    assert served["hk"].owned_since_ms == since_ms
    assert (served["eu"].epoch, served["eu"].next_offset) == (None, 5)
    vitals.leaves("hk")
    assert list(said(vitals).netting_sets) == ["eu"]


@pytest.mark.parametrize("instance", ["engine-1", ""])
def test_a_process_has_one_key(instance: str) -> None:
    """By its name among its peers, so that its successor takes its place; else by where it runs."""
    first = said(Vitals(), instance)
    expected = instance or f"{first.host}-{first.pid}"
    assert heartbeat_key(first) == f"engine|{expected}".encode()


async def heard(bootstrap: str, topics: Topics) -> list[Heartbeat]:
    async with partitions(bootstrap, "test") as reader:
        return await Latest(topics.heartbeats, decode_heartbeat).refresh(reader, [0])


async def test_it_is_told_while_it_works_and_when_it_stops(
    bootstrap: str, topic_prefix: str
) -> None:
    settings = Settings(bootstrap=bootstrap, topic_prefix=topic_prefix, instance="engine-1")
    await apply_plan(bootstrap, settings.topics, {})
    vitals = Vitals()
    async with beating("engine", settings, vitals, interval_s=0.05), asyncio.timeout(BOUND_S):
        vitals.is_ready = True
        vitals.serves("hk", epoch=3, next_offset=9)
        found: list[Heartbeat] = []
        while not any(one.netting_sets for one in found):
            await asyncio.sleep(0.05)
            found = await heard(bootstrap, settings.topics)
        assert (found[0].state, found[0].netting_sets["hk"].epoch) == ("ready", 3)
        first_ms = found[0].at_ms
        while (await heard(bootstrap, settings.topics))[0].at_ms == first_ms:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    [last] = await heard(bootstrap, settings.topics)
    assert last.state == "stopping"


async def test_without_the_topic_nothing_is_made_and_nothing_fails(
    bootstrap: str, topic_prefix: str
) -> None:
    settings = Settings(bootstrap=bootstrap, topic_prefix=topic_prefix)
    async with beating("engine", settings, Vitals(), interval_s=0.01):
        await asyncio.sleep(0.5)
    async with kafka.administration(bootstrap) as admin:
        assert settings.topics.heartbeats not in await admin.list_topics()


async def test_without_kafka_the_service_works_and_ends_at_once() -> None:
    """Its cancellation comes through, and is not waited for."""
    settings = Settings(bootstrap="127.0.0.1:1")  # nobody listens
    ended = asyncio.Event()

    async def service() -> None:
        async with beating("engine", settings, Vitals()):
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    working = asyncio.create_task(service())
    await asyncio.sleep(0.2)
    assert not working.done()
    began_s = time.monotonic()
    working.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(working, BOUND_S)
    assert ended.is_set()
    assert time.monotonic() - began_s < BOUND_S
