"""What every test shares: the order of the run, hypothesis' profiles, and real servers for who asks.

One Kafka and one PostgreSQL (for each worker of `make test`), started when the first test asks, on the one event
loop that every test of a session shares. A test that stops or kills a server starts its own (tests/dev shows
how); these are everybody's.
"""

import itertools
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import structlog
from hypothesis import HealthCheck, settings

from clearing.dev.kafka import EmbeddedKafka
from clearing.dev.postgres import EmbeddedPostgres

# The same examples on every run and machine, however slow: a red build can be repeated anywhere.
settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell starts its background jobs with SIGINT ignored, and what they start inherits that: the processes that
# tests press Ctrl-C on have to hear it, however the tests themselves were started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
# Cheap and telling first, real servers last; of those what takes longest first, so that all workers of `make test`
# end together. Folders that are not named run in between.
FIRST = ("core", "log")
LAST = ("simulation", "dev", "faults", "integration")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rounds", type=int, default=1, help="how often fault tests inject their faults"
    )
    parser.addoption(
        "--observations", help="file that fault tests append what they saw to, as JSON"
    )


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0]
    if folder in FIRST:
        return FIRST.index(folder) - len(FIRST)
    return LAST.index(folder) + 1 if folder in LAST else 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order by cost; the sort is stable, so that the order within a folder stays. What takes minutes, or compares
    times, is left to the long form: `make chaos`, or --rounds 2."""
    items.sort(key=_rank)
    if (config.getoption("--rounds") or 1) > 1:
        return
    for item in items:
        if item.get_closest_marker("thorough"):
            item.add_marker(
                pytest.mark.skip(reason="the long form only: make chaos, or --rounds 2")
            )


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command run in this process sends logs to the stderr of its test, which is closed when the test ends."""
    yield
    structlog.reset_defaults()


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedKafka]:
    """A running broker; its topics stay until the end of the run: use `topic_prefix`."""
    async with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server
        await server.kill()  # in order it would close thousands of files first


@pytest.fixture(scope="session")
def bootstrap(kafka: EmbeddedKafka) -> str:
    """`host:port` of the run's broker."""
    return kafka.bootstrap


@pytest.fixture
def topic_prefix() -> str:
    """What no other test of this run starts its topics, groups and transactional ids with."""
    return f"t{next(_numbers)}-"


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    """A running server that need not survive a power cut."""
    folder = tmp_path_factory.mktemp("postgres")
    async with EmbeddedPostgres(folder, settings={"fsync": "off"}) as server:
        yield server


@pytest.fixture(scope="session")
def dsn(postgres: EmbeddedPostgres) -> str:
    """The default database of the run's server: shared; `fresh_dsn` is an empty one of your own."""
    return postgres.dsn


@pytest.fixture
async def fresh_dsn(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A database that nobody has used, removed after the test with whoever is still connected."""
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(postgres.dsn)
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        yield postgres.dsn_of(name)
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()
