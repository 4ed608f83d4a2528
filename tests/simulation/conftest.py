"""Facts of Kafka are held on a simulated cluster and on a real one."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest

from tests.simulation.contract import Cluster
from tests.simulation.install import installed
from tests.simulation.simulation import Simulation

SEEDS = 3

Fact = Callable[[Cluster], Awaitable[None]]


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.thorough)])
def hold(
    request: pytest.FixtureRequest, topic_prefix: str
) -> Iterator[Callable[[Fact], Awaitable[None]]]:
    """Runs a fact on a cluster of either kind."""

    async def simulated(fact: Fact) -> None:
        for seed in range(SEEDS):
            simulation = Simulation(seed)
            try:
                with installed(simulation):
                    cluster = Cluster("simulated:9092", topic_prefix)
                    process = simulation.start("test", partial(fact, cluster))
                    ended = simulation.run_until(lambda p=process: not p.alive, 300)
                    assert ended, "it went on for ever"
            finally:
                simulation.close()
            if process.error is not None:
                raise process.error

    if request.param == "simulated":
        yield simulated
        return
    bootstrap = request.getfixturevalue("bootstrap")

    async def real(fact: Fact) -> None:
        await fact(Cluster(bootstrap, topic_prefix))

    yield real
