"""Processes and their time in the simulation: what kill -9, SIGSTOP and a wrong clock are to mean there."""

import asyncio
import os
import time
from collections.abc import Iterator

import pytest

from tests.simulation.install import installed
from tests.simulation.loop import Livelock
from tests.simulation.processes import Killed, Process, current
from tests.simulation.simulation import EPOCH_S, Simulation


@pytest.fixture
def world() -> Iterator[Simulation]:
    simulation = Simulation(1)
    with installed(simulation):
        yield simulation
        simulation.close()


async def test_time_is_virtual(world: Simulation) -> None:
    seen: list[float] = []

    async def sleeper() -> None:
        await asyncio.sleep(3600)
        seen.append(time.time() - EPOCH_S)
        async with asyncio.timeout(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await asyncio.Event().wait()
        seen.append(time.monotonic())

    process = world.start("sleeper", sleeper)
    assert world.run_until(lambda: process.ended, within_s=4000)
    assert process.error is None
    assert seen == [3600, 3605]


async def test_nothing_of_a_killed_process_ever_runs(world: Simulation) -> None:  # F1
    done: list[str] = []

    async def worker() -> None:
        try:
            while True:
                await asyncio.sleep(1)
                done.append("worked")
        finally:
            done.append("cleaned up")

    process = world.start("worker", worker)
    world.run(2.5)
    process.kill()
    world.run(10)
    assert done == ["worked", "worked"]
    assert not process.alive
    assert not process.ended


async def test_who_kills_himself_stops_where_he_stands(world: Simulation) -> None:  # F1
    done: list[str] = []

    async def worker() -> None:
        me = current()
        assert me is not None
        done.append("before")
        me.kill()
        done.append("after")

    process = world.start("worker", worker)
    world.run(1)
    assert done == ["before"]
    assert process.error is None
    with pytest.raises(Killed):
        world.loop.run_for(0.1, until=lambda: raise_killed())


def raise_killed() -> bool:
    raise Killed


async def test_a_frozen_process_does_later_what_it_was_to_do(world: Simulation) -> None:  # F2
    ticks: list[float] = []

    async def ticker() -> None:
        while True:
            await asyncio.sleep(1)
            ticks.append(world.now_s)

    process = world.start("ticker", ticker)
    world.run(1.5)
    process.freeze()
    world.run(60)
    assert ticks == [1]
    process.thaw()
    world.run(2)
    assert ticks == [1, 61.5, 62.5, 63.5]


async def test_each_process_has_its_own_clock_and_number(world: Simulation) -> None:  # F12
    seen: dict[str, tuple[float, int]] = {}

    async def look() -> None:
        await asyncio.sleep(1)
        me = current()
        assert me is not None
        seen[me.name] = (time.time() - EPOCH_S, os.getpid())

    right, wrong = world.start("right", look), world.start("wrong", look)
    wrong.skew_s = -86_400
    world.run(2)
    assert seen == {"right": (1, right.pid), "wrong": (1 - 86_400, wrong.pid)}
    assert right.pid != wrong.pid


async def test_a_thread_of_a_process_that_dies_has_done_nothing(world: Simulation) -> None:
    done: list[str] = []

    async def writer() -> None:
        await asyncio.to_thread(done.append, "first")
        await asyncio.to_thread(done.append, "second")

    process = world.start("writer", writer)
    assert world.run_until(lambda: len(done) == 1, within_s=1)
    process.kill()
    world.run(1)
    assert done == ["first"]


async def test_what_spins_is_found_out(world: Simulation) -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    world.start("spinner", spin)
    with pytest.raises(Livelock):
        world.run(1)


async def test_the_same_seed_gives_the_same_order() -> None:
    def history(seed: int) -> list[tuple[float, str]]:
        simulation = Simulation(seed)
        told: list[tuple[float, str]] = []

        async def work() -> None:
            me = current()
            assert me is not None
            for _ in range(20):
                await asyncio.to_thread(lambda: told.append((simulation.now_s, me.name)))

        with installed(simulation):
            started: list[Process] = [simulation.start(name, work) for name in "abc"]
            assert simulation.run_until(lambda: not any(p.alive for p in started), within_s=60)
            simulation.close()
        return told

    assert history(7) == history(7)
    assert history(7) != history(8)
