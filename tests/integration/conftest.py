"""Real servers for the whole run: one Kafka and one PostgreSQL, started when the first test asks.

They run on the one event loop that every test of a session shares. A test that stops or kills a server
starts its own (tests/dev shows how); these are everybody's.
"""

import itertools
from collections.abc import AsyncIterator

import asyncpg
import pytest

from clearing.config import Settings
from clearing.dev.kafka import EmbeddedKafka
from clearing.dev.postgres import EmbeddedPostgres
from tests.integration.cleared import Installation, installed

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedKafka]:
    """A running broker; its topics stay until the end of the run: use `topic_prefix`."""
    async with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


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


@pytest.fixture(scope="session")
async def installation(
    request: pytest.FixtureRequest,
    bootstrap: str,
    postgres: EmbeddedPostgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Installation]:
    """All services at work, with a netting set for each module of this run that names one."""
    modules = [item.getparent(pytest.Module) for item in request.session.items]
    found = {module.obj.__name__: module.obj for module in modules if module is not None}
    folder = tmp_path_factory.mktemp("installation")
    admin = await asyncpg.connect(postgres.dsn)
    try:
        await admin.execute("CREATE DATABASE cleared")
    finally:
        await admin.close()
    settings = Settings(
        bootstrap=bootstrap,
        dsn=postgres.dsn_of("cleared"),
        topic_prefix="cleared-",
        snapshots=str(folder / "snapshots"),
    )
    named = [module for module in found.values() if hasattr(module, "NETTING_SET")]
    async with installed(settings, folder / "services", named) as running:
        yield running
