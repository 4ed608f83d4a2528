"""Faults of the simulated network: what each rule does to a request, seen through a real producer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from clearing import kafka
from tests.simulation.install import installed
from tests.simulation.network import Rule
from tests.simulation.simulation import Simulation

BOOTSTRAP = "simulated:9092"
PATIENCE_S = 120.0


def world(
    act: Callable[[AIOKafkaProducer], Awaitable[Any]], *rules: Rule, seed: int = 1, **plan: Any
) -> Simulation:
    """A process `bank` with an idempotent producer does this while these faults happen. plan: second → what."""
    simulation = Simulation(seed)
    simulation.broker.create_topic("out")

    async def main() -> None:
        async with kafka.started(kafka.producer(BOOTSTRAP)) as producer:
            simulation.network.rules.extend(rules)
            await act(producer)

    with installed(simulation):
        process = simulation.start("bank", main)
        for when, what in plan.items():
            simulation.call_at(float(when.removeprefix("at_")), lambda what=what: what(simulation))
        ended = simulation.run_until(lambda: not process.alive, within_s=PATIENCE_S)
        simulation.close()
    assert ended
    if process.error is not None:
        raise process.error
    return simulation


async def send_three(producer: AIOKafkaProducer) -> None:
    for number in range(3):
        await producer.send_and_wait("out", b"%d" % number, partition=0)


def values(simulation: Simulation) -> list[bytes | None]:
    return [record.value for record in simulation.broker.read_all("out", 0)]


@pytest.mark.parametrize(
    "rule",
    [
        Rule("lose_request", "Produce", skip=1),
        Rule("lose_response", "Produce", skip=1),
        Rule("duplicate", "Produce", count=3),
        Rule("delay_request", "Produce", delay_s=30.0),
        Rule("delay_response", "Produce", delay_s=30.0),
        Rule("break_before", "Produce"),
        Rule("break_after", "Produce"),
        Rule("error", "Produce", error="NOT_ENOUGH_REPLICAS", count=2),
        Rule("error", "Produce", error="NOT_LEADER_FOR_PARTITION"),
    ],
    ids=lambda rule: f"{rule.action} {rule.error}",
)
async def test_an_idempotent_producer_loses_and_doubles_nothing(
    rule: Rule,
) -> None:  # F4 F6 F11 F15
    simulation = world(send_three, rule)
    assert rule.hits > 0
    assert values(simulation) == [b"0", b"1", b"2"]


async def test_a_lost_response_is_no_lost_request() -> None:  # F4
    rule = Rule("lose_response", "Produce")

    async def give_up(producer: AIOKafkaProducer) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await producer.send_and_wait("out", b"sent", partition=0)
        await kafka.discard(producer, 1.0)

    assert values(world(give_up, rule)) == [b"sent"]


async def test_a_request_that_is_delayed_outlives_its_connection() -> None:  # F4
    rule = Rule("delay_request", "Produce", delay_s=50.0)

    async def give_up(producer: AIOKafkaProducer) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await producer.send_and_wait("out", b"late", partition=0)
        await kafka.discard(producer, 1.0)
        await asyncio.sleep(60)

    simulation = world(give_up, rule)
    assert values(simulation) == [b"late"]
    (stored,) = simulation.broker.read_all("out", 0)
    assert stored.fate == "committed"


async def test_what_was_cut_off_goes_on_when_it_is_healed() -> None:  # F11
    async def send_slowly(producer: AIOKafkaProducer) -> None:
        for number in range(3):
            await producer.send_and_wait("out", b"%d" % number, partition=0)
            await asyncio.sleep(1)

    cut = world(
        send_slowly,
        at_1=lambda s: s.network.cut("bank"),
        at_20=lambda s: s.network.heal("bank"),
        seed=3,
    )
    assert values(cut) == [b"0", b"1", b"2"]
    assert cut.now_s > 20


async def test_a_cluster_survives_one_node_after_the_other() -> None:  # F5
    def stop(node: int) -> Callable[[Simulation], None]:
        return lambda s: s.broker.stop_node(node)

    def start(node: int) -> Callable[[Simulation], None]:
        return lambda s: s.broker.start_node(node)

    async def send_slowly(producer: AIOKafkaProducer) -> None:
        for number in range(30):
            await producer.send_and_wait("out", b"%d" % number, partition=0)
            await asyncio.sleep(1)

    simulation = world(
        send_slowly,
        at_2=stop(0),
        at_6=start(0),
        at_10=stop(1),
        at_14=start(1),
        at_18=stop(2),
        at_22=start(2),
    )
    assert values(simulation) == [b"%d" % number for number in range(30)]


async def test_an_error_the_protocol_has_no_place_for_is_a_mistake_of_the_plan() -> None:
    rule = Rule("error", "Metadata", error="UNKNOWN")
    with pytest.raises(AssertionError, match="no place for an error"):
        world(send_three, rule, seed=2)


async def test_all_nodes_down_is_an_error_within_bounds() -> None:  # F5
    async def start_again(producer: AIOKafkaProducer) -> None:
        await asyncio.sleep(2)
        with pytest.raises(KafkaError):
            async with kafka.started(kafka.producer(BOOTSTRAP)):
                raise AssertionError("there is nobody to begin with")
        await kafka.discard(producer, 1.0)

    def stop_all(simulation: Simulation) -> None:
        for node in list(simulation.broker.nodes):
            simulation.broker.stop_node(node)

    world(start_again, at_1=stop_all)
